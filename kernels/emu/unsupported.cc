// Calls that programs link to and that make no sense here: arrays, textures, surfaces, managed memory, linking, peers.
#include "driver.h"

using namespace emu;
using namespace emu::api;

static int unsupported(const char *call) {
  return in_driver(call, [](Entry &) { return ERROR_NOT_SUPPORTED; }, Entry::kUninitialised);
}

#define UNSUPPORTED(name) \
  API name() { return unsupported(#name); }

UNSUPPORTED(cuArray3DCreate_v2)
UNSUPPORTED(cuArray3DGetDescriptor_v2)
UNSUPPORTED(cuArrayCreate_v2)
UNSUPPORTED(cuArrayDestroy)
UNSUPPORTED(cuArrayGetDescriptor_v2)
UNSUPPORTED(cuCtxDisablePeerAccess)
UNSUPPORTED(cuCtxEnablePeerAccess)
UNSUPPORTED(cuDeviceGetP2PAttribute)
UNSUPPORTED(cuLinkAddData_v2)
UNSUPPORTED(cuLinkAddFile_v2)
UNSUPPORTED(cuLinkComplete)
UNSUPPORTED(cuLinkCreate_v2)
UNSUPPORTED(cuLinkDestroy)
UNSUPPORTED(cuMemAdvise)
UNSUPPORTED(cuMemAllocManaged)
UNSUPPORTED(cuMemHostGetDevicePointer_v2)
UNSUPPORTED(cuMemPrefetchAsync)
UNSUPPORTED(cuMemcpy3DPeer)
UNSUPPORTED(cuMemcpy3DPeerAsync)
UNSUPPORTED(cuMemcpyAtoA_v2)
UNSUPPORTED(cuMemcpyAtoD_v2)
UNSUPPORTED(cuMemcpyAtoHAsync_v2)
UNSUPPORTED(cuMemcpyAtoH_v2)
UNSUPPORTED(cuMemcpyDtoA_v2)
UNSUPPORTED(cuMemcpyHtoAAsync_v2)
UNSUPPORTED(cuMemcpyHtoA_v2)
UNSUPPORTED(cuModuleGetSurfRef)
UNSUPPORTED(cuModuleGetTexRef)
UNSUPPORTED(cuPointerSetAttribute)
UNSUPPORTED(cuStreamAttachMemAsync)
UNSUPPORTED(cuStreamWaitValue32_v2)
UNSUPPORTED(cuStreamWriteValue32_v2)
UNSUPPORTED(cuSurfRefGetArray)
UNSUPPORTED(cuSurfRefSetArray)
UNSUPPORTED(cuTexRefGetAddressMode)
UNSUPPORTED(cuTexRefGetAddress_v2)
UNSUPPORTED(cuTexRefGetArray)
UNSUPPORTED(cuTexRefGetBorderColor)
UNSUPPORTED(cuTexRefGetFilterMode)
UNSUPPORTED(cuTexRefGetFlags)
UNSUPPORTED(cuTexRefGetFormat)
UNSUPPORTED(cuTexRefGetMaxAnisotropy)
UNSUPPORTED(cuTexRefSetAddress2D_v3)
UNSUPPORTED(cuTexRefSetAddressMode)
UNSUPPORTED(cuTexRefSetAddress_v2)
UNSUPPORTED(cuTexRefSetArray)
UNSUPPORTED(cuTexRefSetBorderColor)
UNSUPPORTED(cuTexRefSetFilterMode)
UNSUPPORTED(cuTexRefSetFlags)
UNSUPPORTED(cuTexRefSetFormat)
UNSUPPORTED(cuTexRefSetMaxAnisotropy)
UNSUPPORTED(cuTexRefSetMipmapFilterMode)
UNSUPPORTED(cuTexRefSetMipmapLevelBias)
UNSUPPORTED(cuTexRefSetMipmapLevelClamp)
