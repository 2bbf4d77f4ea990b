// Kernels of four kinds, to time the executor: streaming, a block reduction, a gather, tensor cores.
typedef unsigned u32;

extern "C" __global__ void __launch_bounds__(256) saxpy(float *y, const float *x, float a, int n) {
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) y[i] += a * x[i];
}

extern "C" __global__ void __launch_bounds__(256) sum(float *out, const float *x, int n) {
  __shared__ float part[256];
  float s = 0;
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) s += x[i];
  part[threadIdx.x] = s;
  __syncthreads();
  for (int k = 128; k >= 32; k >>= 1) {
    if (threadIdx.x < k) part[threadIdx.x] += part[threadIdx.x + k];
    __syncthreads();
  }
  if (threadIdx.x >= 32) return;
  s = part[threadIdx.x];
  for (int k = 16; k; k >>= 1) s += __shfl_xor_sync(~0u, s, k);
  if (threadIdx.x == 0) out[blockIdx.x] = s;
}

// y[i,:] = sum over the row's edges of x[col,:], d columns, 16 bytes a thread.
extern "C" __global__ void __launch_bounds__(256) csr(float4 *y, const float4 *x, const int *ptr, const int *col, int n, int d4) {
  for (int t = blockIdx.x * blockDim.x + threadIdx.x; t < n * d4; t += gridDim.x * blockDim.x) {
    const int i = t / d4, c = t % d4;
    float4 s = make_float4(0, 0, 0, 0);
    for (int e = ptr[i]; e < ptr[i + 1]; e++) {
      const float4 v = x[(long)col[e] * d4 + c];
      s.x += v.x, s.y += v.y, s.z += v.z, s.w += v.w;
    }
    y[t] = s;
  }
}

// C (m,n) f32 = A (m,k) bf16 times B (n,k) bf16 transposed; tiles of 64x64x32, two stages of cp.async; m, n, k multiples of these.
extern "C" __global__ void __launch_bounds__(128) gemm(float *c, const unsigned short *a, const unsigned short *b, int m, int n, int k) {
  __shared__ __align__(16) unsigned short sa[2][64][40], sb[2][64][40];  // 80-byte rows: no bank conflicts
  const int t = threadIdx.x, warp = t >> 5, lane = t & 31, m0 = blockIdx.y * 64, n0 = blockIdx.x * 64;
  auto load = [&](int stage, int k0) {
    for (int i = t; i < 256; i += 128) {
      const int r = i >> 2, q = (i & 3) * 8;
      asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"((u32)__cvta_generic_to_shared(&sa[stage][r][q])), "l"(a + (long)(m0 + r) * k + k0 + q));
      asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"((u32)__cvta_generic_to_shared(&sb[stage][r][q])), "l"(b + (long)(n0 + r) * k + k0 + q));
    }
    asm volatile("cp.async.commit_group;");
  };
  float acc[8][4] = {};
  load(0, 0);
  for (int k0 = 0, s = 0; k0 < k; k0 += 32, s ^= 1) {
    if (k0 + 32 < k) {
      load(s ^ 1, k0 + 32);
      asm volatile("cp.async.wait_group 1;" ::: "memory");
    } else {
      asm volatile("cp.async.wait_group 0;" ::: "memory");
    }
    __syncthreads();
#pragma unroll
    for (int kk = 0; kk < 32; kk += 16) {
      u32 fa[4];
      const u32 at = (u32)__cvta_generic_to_shared(&sa[s][warp * 16 + (lane & 15)][kk + (lane >> 4) * 8]);
      asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];" : "=r"(fa[0]), "=r"(fa[1]), "=r"(fa[2]), "=r"(fa[3]) : "r"(at) : "memory");
#pragma unroll
      for (int j = 0; j < 4; j++) {
        u32 fb[4];
        const u32 bt = (u32)__cvta_generic_to_shared(&sb[s][j * 16 + (lane & 7) + (lane >> 4) * 8][kk + (lane >> 3 & 1) * 8]);
        asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];" : "=r"(fb[0]), "=r"(fb[1]), "=r"(fb[2]), "=r"(fb[3]) : "r"(bt) : "memory");
#pragma unroll
        for (int h = 0; h < 2; h++)
          asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                       : "+f"(acc[2 * j + h][0]), "+f"(acc[2 * j + h][1]), "+f"(acc[2 * j + h][2]), "+f"(acc[2 * j + h][3])
                       : "r"(fa[0]), "r"(fa[1]), "r"(fa[2]), "r"(fa[3]), "r"(fb[2 * h]), "r"(fb[2 * h + 1]));
      }
    }
    __syncthreads();
  }
#pragma unroll
  for (int j = 0; j < 8; j++)
#pragma unroll
    for (int h = 0; h < 2; h++)
      *(float2 *)(c + (long)(m0 + warp * 16 + (lane >> 2) + 8 * h) * n + n0 + j * 8 + (lane & 3) * 2) = make_float2(acc[j][2 * h], acc[j][2 * h + 1]);
}
