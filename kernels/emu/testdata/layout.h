// Compares api.h with a real cuda.h: CALL(name, parameters) for each exported call, and the structs.
#pragma once
#define __CUDA_API_VERSION_INTERNAL  // all versions of the calls, under their own names
#include <cuda.h>

#include <type_traits>

#include "api.h"

using namespace emu::api;

// like says that two parameter types are passed in the same way: both pointers or handles, or integers of the same size.
template <class A, class B>
constexpr bool like = sizeof(A) == sizeof(B) && std::is_floating_point_v<A> == std::is_floating_point_v<B>;

template <class A, class B>
struct Same : std::false_type {};
template <class... A, class... B>
struct Same<CUresult(A...), int(B...)> {
  static constexpr bool all() {
    if constexpr (sizeof...(A) != sizeof...(B)) return false;
    else return (like<A, B> && ...);
  }
  static constexpr bool value = all();
};
#define CALL(name, ...) static_assert(Same<decltype(::name), int(__VA_ARGS__)>::value, #name);

#define FIELD(ours, mine, theirs, its) static_assert(offsetof(ours, mine) == offsetof(theirs, its), #theirs "." #its)
static_assert(sizeof(KernelNodeParams) == sizeof(CUDA_KERNEL_NODE_PARAMS_v2));
FIELD(KernelNodeParams, params, CUDA_KERNEL_NODE_PARAMS_v2, kernelParams);
FIELD(KernelNodeParams, shared, CUDA_KERNEL_NODE_PARAMS_v1, sharedMemBytes);
FIELD(KernelNodeParams, extra, CUDA_KERNEL_NODE_PARAMS_v1, extra);
static_assert(sizeof(Copy2D) == sizeof(CUDA_MEMCPY2D_v2));
FIELD(Copy2D, src_pitch, CUDA_MEMCPY2D_v2, srcPitch);
FIELD(Copy2D, dst_device, CUDA_MEMCPY2D_v2, dstDevice);
FIELD(Copy2D, width, CUDA_MEMCPY2D_v2, WidthInBytes);
static_assert(sizeof(Copy3D) == sizeof(CUDA_MEMCPY3D_v2));
FIELD(Copy3D, src_device, CUDA_MEMCPY3D_v2, srcDevice);
FIELD(Copy3D, src_height, CUDA_MEMCPY3D_v2, srcHeight);
FIELD(Copy3D, dst_host, CUDA_MEMCPY3D_v2, dstHost);
FIELD(Copy3D, dst_height, CUDA_MEMCPY3D_v2, dstHeight);
FIELD(Copy3D, depth, CUDA_MEMCPY3D_v2, Depth);
static_assert(sizeof(MemsetNodeParams) == sizeof(CUDA_MEMSET_NODE_PARAMS_v1));
FIELD(MemsetNodeParams, element, CUDA_MEMSET_NODE_PARAMS_v1, elementSize);
FIELD(MemsetNodeParams, height, CUDA_MEMSET_NODE_PARAMS_v1, height);
static_assert(sizeof(HostNodeParams) == sizeof(CUDA_HOST_NODE_PARAMS_v1));
static_assert(sizeof(UpdateResult) == sizeof(CUgraphExecUpdateResultInfo));
FIELD(UpdateResult, node, CUgraphExecUpdateResultInfo, errorNode);

#define X(value, name, text) static_assert(CUDA_##name == value);
EMU_STATUS(X)
#undef X
static_assert(kMaxDynamicShared == CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES && kCarveout == CU_FUNC_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT);
static_assert(kErrorLog == CU_JIT_ERROR_LOG_BUFFER && kErrorLogBytes == CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES);
static_assert(kRecordNode == CU_GRAPH_NODE_TYPE_EVENT_RECORD && kEmptyNode == CU_GRAPH_NODE_TYPE_EMPTY && kGraphNode == CU_GRAPH_NODE_TYPE_GRAPH);
static_assert(kCaptureInvalidated == CU_STREAM_CAPTURE_STATUS_INVALIDATED && kCaptureRelaxed == CU_STREAM_CAPTURE_MODE_RELAXED);
static_assert(kParametersChanged == CU_GRAPH_EXEC_UPDATE_ERROR_PARAMETERS_CHANGED && kTopologyChanged == CU_GRAPH_EXEC_UPDATE_ERROR_TOPOLOGY_CHANGED);
static_assert(kStreamNonBlocking == CU_STREAM_NON_BLOCKING && kEventDisableTiming == CU_EVENT_DISABLE_TIMING && kMemoryUnified == CU_MEMORYTYPE_UNIFIED);
