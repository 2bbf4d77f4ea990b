"""Compiles the CUDA kernels: every kernels/cuda/*.cu to PTX for compute_80, which is committed, and to one cubin for each
architecture, which is not. Does what is out of date, all cores at a time.

    compile.py                 with NVRTC from the wheel in requirements.txt
    compile.py --nvcc NVCC     cubins with a CUDA toolkit's own compiler; the PTX is left alone
    compile.py --check         also fails when the PTX differs from what was there: that of another compiler, or edited
    compile.py --verbose       prints what ptxas says of registers and spills

The same sources give the same bytes anywhere. The PTX carries line numbers, for whatever runs it to name the line at fault.
"""

import argparse
import ctypes
import multiprocessing
import os
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
ARCHITECTURES = ["sm_80", "sm_86", "sm_89", "sm_90", "sm_100", "sm_120"]
PTX = "compute_80"
OPTIONS = ["-std=c++17"]


def target(source, arch):
    """The file that a source compiles to for an architecture."""
    if arch == PTX:
        return HERE / "ptx" / (source.stem + ".ptx")
    return HERE / "cubin" / arch / (source.stem + ".cubin")


def nvrtc(source, arch, verbose):
    """Compiles with NVRTC and returns the image and the log."""
    import nvidia.cuda_nvrtc

    folder = pathlib.Path(nvidia.cuda_nvrtc.__path__[0]) / "lib"
    lib = ctypes.CDLL(str(next(folder.glob("libnvrtc.so.*"))))
    lib.nvrtcGetErrorString.restype = ctypes.c_char_p

    def call(name, *args):
        code = getattr(lib, name)(*args)
        if code and name != "nvrtcCompileProgram":
            sys.exit(f"{name}: {lib.nvrtcGetErrorString(code).decode()}")
        return code

    def text(kind):
        size = ctypes.c_size_t()
        call(f"nvrtcGet{kind}Size", program, ctypes.byref(size))
        data = ctypes.create_string_buffer(size.value)
        call(f"nvrtcGet{kind}", program, data)
        return data.raw

    program = ctypes.c_void_p()
    call("nvrtcCreateProgram", ctypes.byref(program), source.read_bytes(), source.name.encode(), 0, None, None)
    # -default-device: NVRTC takes a generic lambda in a kernel for host code without it.
    options = OPTIONS + [f"--gpu-architecture={arch}", "--include-path=.", "-default-device"]
    options += ["-lineinfo"] if arch == PTX else ["--ptxas-options=-v"] if verbose else []
    code = call("nvrtcCompileProgram", program, len(options), (ctypes.c_char_p * len(options))(*(o.encode() for o in options)))
    log = text("ProgramLog").rstrip(b"\0\n").decode()
    if code:
        sys.exit(f"{source.name} for {arch}:\n{log}")
    if arch != PTX:
        return text("CUBIN"), log
    return text("PTX").rstrip(b"\0").replace(f"{HERE}/".encode(), b""), log  # names of sources relative to this folder


def compile_one(job):
    source, arch, nvcc, verbose = job
    out = target(source, arch)
    out.parent.mkdir(parents=True, exist_ok=True)
    part = out.with_name(out.name + f".{os.getpid()}")
    if nvcc:
        command = [nvcc, "-cubin", f"-arch={arch}", *OPTIONS, source.name, "-o", str(part)]
        run = subprocess.run(command + (["-Xptxas", "-v"] if verbose else []), cwd=HERE, capture_output=True, text=True)
        if run.returncode:
            return out, None, run.stderr
        log = run.stderr.strip()
    else:
        os.chdir(HERE)
        try:
            image, log = nvrtc(source, arch, verbose)
        except SystemExit as e:
            return out, None, str(e)
        part.write_bytes(image)
    changed = not out.exists() or out.read_bytes() != part.read_bytes()
    part.replace(out)
    return out, changed, log


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--nvcc")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--verbose", action="store_true")
    parser.add_argument("sources", nargs="*", help="names of .cu files; all when none is given")
    args = parser.parse_args()
    headers = [*HERE.glob("*.cuh"), HERE.parent / "abi" / "abi.h", HERE / "compile.py"]
    newest = max(h.stat().st_mtime for h in headers)
    jobs = []
    for source in sorted(HERE.glob("*.cu")):
        if args.sources and source.name not in args.sources:
            continue
        for arch in ARCHITECTURES + ([] if args.nvcc else [PTX]):
            out = target(source, arch)
            stale = args.nvcc or not out.exists() or out.stat().st_mtime < max(newest, source.stat().st_mtime)
            if stale or args.verbose or (args.check and arch == PTX):
                jobs.append((source, arch, args.nvcc, args.verbose))
    failed = False
    with multiprocessing.Pool(os.cpu_count()) as pool:
        for out, changed, log in pool.imap_unordered(compile_one, jobs):
            name = out.relative_to(HERE)
            print(f"{name}: {'failed' if changed is None else 'compiled'}", flush=True)
            if log:
                print(log)
            if changed is None or args.check and changed and out.suffix == ".ptx":
                failed = True
                if changed:
                    print(f"{name} is not what its source compiles to")
    sys.exit(failed)


if __name__ == "__main__":
    main()
