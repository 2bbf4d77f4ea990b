#!/bin/sh
# compilers.sh NVCC DIR: sees that compilers other than the NVRTC of compile.py take the kernels as they are. What comes out goes to
# DIR and is not used.
#
#   NVCC     of CUDA 13: one pass of the front end, machine code of every architecture
#   clang    14 or newer, without a header of CUDA's: PTX. Skipped where there is none; CLANG names one.
set -eu
nvcc=$(realpath "$1")
mkdir -p "$2"
out=$(realpath "$2")
cd "$(dirname "$0")"
jobs=$(nproc)

codes=$(python3 -c 'import compile; print(*(f"-gencode arch=compute_80,code={a}" for a in compile.ARCHITECTURES))')
ls *.cu | xargs -P "$jobs" -I{} "$nvcc" -fatbin -std=c++17 -Xptxas --warn-on-spills $codes {} -o "$out/{}.fatbin"
echo "$("$nvcc" --version | grep -o 'release.*'): $(ls *.cu | wc -l) files compile for $(echo "$codes" | grep -o 'sm_[0-9]*' | tr '\n' ' ')"

clang=${CLANG:-$(command -v clang++ || command -v clang++-19 || command -v clang++-14 || true)}
if [ -z "$clang" ]; then
  echo "SKIPPED: there is no clang (apt-get install clang)"
  exit 0
fi
ls *.cu | xargs -P "$jobs" -I{} "$clang" -x cuda --cuda-device-only --cuda-gpu-arch=sm_80 -Xclang -target-feature -Xclang +ptx71 -nocudainc -nocudalib \
  -fms-extensions -O1 -Wno-pass-failed -std=c++17 -include testdata/clang.h -S {} -o "$out/{}.ptx"
echo "$("$clang" --version | head -n 1): $(ls *.cu | wc -l) files compile"
