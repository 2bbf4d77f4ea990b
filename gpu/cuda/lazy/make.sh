#!/bin/sh
# make.sh DIR prepares what a build with the tag cuda needs and leaves its environment in DIR/env:
#
#   cuda.h      from $CUDA_HOME (CUDA 12 or 13), or from NVIDIA's wheel of the CUDA 12.9 runtime
#   libcuda.a   every driver symbol of symbols.txt is a jump through a table that is filled when the process starts, from
#               $TAPWEIGHT_LIBCUDA or libcuda.so.1. A program linked to it needs no driver to start: without one, cuInit succeeds,
#               there are 0 devices and every other call returns CUDA_ERROR_NO_DEVICE. (gorgonia.org/cu ends the process in its
#               init when cuInit fails.)
set -eu
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1"
cd "$1"
dir=$(pwd)
if [ -n "${CUDA_HOME:-}" ]; then
  include=$CUDA_HOME/include
  [ -e "$include/cuda.h" ] || { echo "CUDA_HOME=$CUDA_HOME holds no include/cuda.h; without CUDA_HOME the header is downloaded" >&2; exit 1; }
else
  [ -x venv/bin/pip ] || python3 -m venv venv
  venv/bin/pip install -q --disable-pip-version-check --no-deps --require-hashes -r "$here/requirements.txt"
  include=$(dirname "$(find "$dir/venv" -name cuda.h | head -n 1)")
fi
symbols=$(cat "$here/symbols.txt")
{
  echo '#include <dlfcn.h>'
  echo '#include <stdlib.h>'
  echo 'enum {'
  for s in $symbols; do echo "  AT_$s,"; done
  echo '  COUNT'
  echo '};'
  echo 'static const char *const names[COUNT] = {'
  for s in $symbols; do echo "  \"$s\","; done
  echo '};'
  cat "$here/bind.c"
} > lazy.c
{
  echo '.text'
  i=0
  for s in $symbols; do
    echo ".globl $s"
    echo ".type $s,@function"
    echo "$s: movq tw_cu_table@GOTPCREL(%rip), %r11; jmp *$((i * 8))(%r11)"
    i=$((i + 1))
  done
  echo '.section .note.GNU-stack,"",@progbits'
} > trampolines.S
${CC:-cc} -O2 -fPIC -c lazy.c trampolines.S
rm -f libcuda.a
ar rcs libcuda.a lazy.o trampolines.o
cat > env <<ENV
export CGO_CFLAGS="-O2 -g -I$here/compat -I$include"
export CGO_LDFLAGS="-O2 -g -L$dir"
ENV
