// The driver API as this library sees it: the facts of cuda.h that it needs (types, codes, layouts), so that it builds without a
// CUDA toolkit. Handles are numbers here and pointers there: the same eight bytes. testdata/layout.h compares the layouts with a
// real cuda.h.
#pragma once
#include <cstddef>
#include <cstdint>

// API marks a function that the library exports under its own name; it returns a CUresult.
#define API extern "C" __attribute__((visibility("default"))) int

namespace emu::api {

using Handle = uintptr_t;   // CUcontext, CUstream, CUevent, CUmodule, CUfunction, CUgraph, CUgraphNode, CUgraphExec
using Address = uint64_t;   // CUdeviceptr
using Device = int;         // CUdevice
using HostFunction = void (*)(void *);
using OccupancySize = size_t (*)(int block);

// Status is CUresult. (value, name, text)
#define EMU_STATUS(X) \
  X(0, SUCCESS, "no error") \
  X(1, ERROR_INVALID_VALUE, "invalid argument") \
  X(2, ERROR_OUT_OF_MEMORY, "out of memory") \
  X(3, ERROR_NOT_INITIALIZED, "initialization error") \
  X(4, ERROR_DEINITIALIZED, "driver shutting down") \
  X(34, ERROR_STUB_LIBRARY, "CUDA driver is a stub library") \
  X(46, ERROR_DEVICE_UNAVAILABLE, "CUDA-capable device(s) is/are busy or unavailable") \
  X(100, ERROR_NO_DEVICE, "no CUDA-capable device is detected") \
  X(101, ERROR_INVALID_DEVICE, "invalid device ordinal") \
  X(200, ERROR_INVALID_IMAGE, "device kernel image is invalid") \
  X(201, ERROR_INVALID_CONTEXT, "invalid device context") \
  X(209, ERROR_NO_BINARY_FOR_GPU, "no kernel image is available for execution on the device") \
  X(214, ERROR_ECC_UNCORRECTABLE, "uncorrectable ECC error encountered") \
  X(215, ERROR_UNSUPPORTED_LIMIT, "limit is not supported on this architecture") \
  X(217, ERROR_PEER_ACCESS_UNSUPPORTED, "peer access is not supported between these two devices") \
  X(218, ERROR_INVALID_PTX, "a PTX JIT compilation failed") \
  X(220, ERROR_NVLINK_UNCORRECTABLE, "uncorrectable NVLink error detected during the execution") \
  X(222, ERROR_UNSUPPORTED_PTX_VERSION, "the provided PTX was compiled with an unsupported toolchain.") \
  X(301, ERROR_FILE_NOT_FOUND, "file not found") \
  X(304, ERROR_OPERATING_SYSTEM, "OS call failed or operation not supported on this OS") \
  X(400, ERROR_INVALID_HANDLE, "invalid resource handle") \
  X(401, ERROR_ILLEGAL_STATE, "the operation cannot be performed in the present state") \
  X(500, ERROR_NOT_FOUND, "named symbol not found") \
  X(600, ERROR_NOT_READY, "device not ready") \
  X(700, ERROR_ILLEGAL_ADDRESS, "an illegal memory access was encountered") \
  X(701, ERROR_LAUNCH_OUT_OF_RESOURCES, "too many resources requested for launch") \
  X(702, ERROR_LAUNCH_TIMEOUT, "the launch timed out and was terminated") \
  X(704, ERROR_PEER_ACCESS_ALREADY_ENABLED, "peer access is already enabled") \
  X(705, ERROR_PEER_ACCESS_NOT_ENABLED, "peer access has not been enabled") \
  X(708, ERROR_PRIMARY_CONTEXT_ACTIVE, "cannot set while device is active in this process") \
  X(709, ERROR_CONTEXT_IS_DESTROYED, "context is destroyed") \
  X(710, ERROR_ASSERT, "device-side assert triggered") \
  X(712, ERROR_HOST_MEMORY_ALREADY_REGISTERED, "part or all of the requested memory range is already mapped") \
  X(713, ERROR_HOST_MEMORY_NOT_REGISTERED, "pointer does not correspond to a registered memory region") \
  X(714, ERROR_HARDWARE_STACK_ERROR, "hardware stack error") \
  X(715, ERROR_ILLEGAL_INSTRUCTION, "an illegal instruction was encountered") \
  X(716, ERROR_MISALIGNED_ADDRESS, "misaligned address") \
  X(717, ERROR_INVALID_ADDRESS_SPACE, "operation not supported on global/shared address space") \
  X(718, ERROR_INVALID_PC, "invalid program counter") \
  X(719, ERROR_LAUNCH_FAILED, "unspecified launch failure") \
  X(800, ERROR_NOT_PERMITTED, "operation not permitted") \
  X(801, ERROR_NOT_SUPPORTED, "operation not supported") \
  X(803, ERROR_SYSTEM_DRIVER_MISMATCH, "system has unsupported display driver / cuda driver combination") \
  X(900, ERROR_STREAM_CAPTURE_UNSUPPORTED, "operation not permitted when stream is capturing") \
  X(901, ERROR_STREAM_CAPTURE_INVALIDATED, "operation failed due to a previous error during capture") \
  X(902, ERROR_STREAM_CAPTURE_MERGE, "operation would result in a merge of separate capture sequences") \
  X(903, ERROR_STREAM_CAPTURE_UNMATCHED, "capture was not ended in the same stream as it began") \
  X(904, ERROR_STREAM_CAPTURE_UNJOINED, "capturing stream has unjoined work") \
  X(905, ERROR_STREAM_CAPTURE_ISOLATION, "dependency created on uncaptured work in another stream") \
  X(906, ERROR_STREAM_CAPTURE_IMPLICIT, "operation would make the legacy stream depend on a capturing blocking stream") \
  X(907, ERROR_CAPTURED_EVENT, "operation not permitted on an event last recorded in a capturing stream") \
  X(908, ERROR_STREAM_CAPTURE_WRONG_THREAD, "attempt to terminate a thread-local capture sequence from another thread") \
  X(910, ERROR_GRAPH_EXEC_UPDATE_FAILURE, "the graph update was not performed because it included changes which violated constraints") \
  X(999, ERROR_UNKNOWN, "unknown error")

enum Status : int {
#define X(value, name, text) name = value,
  EMU_STATUS(X)
#undef X
};

constexpr Handle kLegacyStream = 1, kPerThreadStream = 2;   // besides 0, which means the legacy stream
constexpr unsigned kStreamNonBlocking = 1, kEventDisableTiming = 2, kRecordExternal = 1, kWaitExternal = 1;
constexpr int kMemoryHost = 1, kMemoryDevice = 2, kMemoryUnified = 4;

enum JitOption { kInfoLog = 3, kInfoLogBytes = 4, kErrorLog = 5, kErrorLogBytes = 6 };

enum FunctionAttribute {
  kMaxThreadsPerBlock, kSharedBytes, kConstBytes, kLocalBytes, kRegisters, kPtxVersion, kBinaryVersion, kCacheMode,
  kMaxDynamicShared, kCarveout
};

enum NodeKind { kKernelNode, kCopyNode, kMemsetNode, kHostNode, kGraphNode, kEmptyNode, kWaitNode, kRecordNode };
enum CaptureMode { kCaptureGlobal, kCaptureThreadLocal, kCaptureRelaxed };
enum CaptureStatus { kCaptureNone, kCaptureActive, kCaptureInvalidated };

struct KernelNodeParams {                 // CUDA_KERNEL_NODE_PARAMS_v2; _v1 ends before kernel
  Handle function;
  unsigned grid[3], block[3], shared;
  void **params, **extra;
  Handle kernel, context;
};

struct Copy2D {                           // CUDA_MEMCPY2D_v2
  size_t src_x, src_y;
  int src_type;
  const void *src_host;
  Address src_device;
  Handle src_array;
  size_t src_pitch, dst_x, dst_y;
  int dst_type;
  void *dst_host;
  Address dst_device;
  Handle dst_array;
  size_t dst_pitch, width, height;
};

struct Copy3D {                           // CUDA_MEMCPY3D_v2; CUDA_MEMCPY3D_PEER has contexts in place of the reserved fields
  size_t src_x, src_y, src_z, src_lod;
  int src_type;
  const void *src_host;
  Address src_device;
  Handle src_array, src_reserved;
  size_t src_pitch, src_height, dst_x, dst_y, dst_z, dst_lod;
  int dst_type;
  void *dst_host;
  Address dst_device;
  Handle dst_array, dst_reserved;
  size_t dst_pitch, dst_height, width, height, depth;
};

struct MemsetNodeParams {                 // CUDA_MEMSET_NODE_PARAMS_v1
  Address dst;
  size_t pitch;
  unsigned value, element;
  size_t width, height;
};

struct HostNodeParams {                   // CUDA_HOST_NODE_PARAMS_v1
  HostFunction function;
  void *data;
};

struct UpdateResult {                     // CUgraphExecUpdateResultInfo
  int result;
  Handle node, from;
};
enum UpdateCode { kUpdated, kUpdateError, kTopologyChanged, kNodeKindChanged, kFunctionChanged, kParametersChanged };

}  // namespace emu::api
