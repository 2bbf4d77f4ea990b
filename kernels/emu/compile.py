"""compile.py LIBNVRTC FILE.cu...: PTX beside each file, for compute_80, with NVRTC and line numbers. Paths in it are relative."""
import ctypes
import os
import sys


def compile(nvrtc, path):
    program, size = ctypes.c_void_p(), ctypes.c_size_t()
    with open(path, "rb") as f:
        source = f.read()
    options = [b"--gpu-architecture=compute_80", b"-std=c++17", b"-lineinfo", b"-I" + os.path.dirname(path).encode()]
    assert nvrtc.nvrtcCreateProgram(ctypes.byref(program), source, path.encode(), 0, None, None) == 0
    failed = nvrtc.nvrtcCompileProgram(program, len(options), (ctypes.c_char_p * len(options))(*options))
    nvrtc.nvrtcGetProgramLogSize(program, ctypes.byref(size))
    log = ctypes.create_string_buffer(size.value)
    nvrtc.nvrtcGetProgramLog(program, log)
    if len(log.value.strip()):
        print(log.value.decode(), file=sys.stderr)
    if failed:
        return False
    nvrtc.nvrtcGetPTXSize(program, ctypes.byref(size))
    ptx = ctypes.create_string_buffer(size.value)
    nvrtc.nvrtcGetPTX(program, ptx)
    with open(os.path.splitext(path)[0] + ".ptx", "wb") as f:
        f.write(ptx.value.replace(os.getcwd().encode() + b"/", b""))  # NVRTC puts it before every file
    nvrtc.nvrtcDestroyProgram(ctypes.byref(program))
    return True


if __name__ == "__main__":
    library = ctypes.CDLL(sys.argv[1])
    sys.exit(not all([compile(library, path) for path in sys.argv[2:]]))
