#!/bin/sh
# pack.sh DIR VERSION packs what a machine with a GPU needs to check this version into DIR/tapweight-gpu-check.tar.xz: the programs
# built in DIR/stage/programs, the libraries they load, the peers and instructions. The machine needs the driver and nothing else.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
dir=$1 version=$2
stage=$dir/stage/tapweight-gpu-check
rm -rf "$stage"
mkdir -p "$stage/bin" "$stage/programs" "$stage/lib" "$stage/libc" "$stage/peers"
cp "$dir"/stage/programs/* "$stage/programs/"
strip "$stage"/programs/*
cp "$here/../peers/molecules.py" "$stage/peers/"
# Libraries of the C library's family go apart: they are used only where the machine's own are too old.
ldd "$stage"/programs/* | awk '/=> \//{print $3} $1 ~ /^\/.*ld-linux/{print $1}' | sort -u | while read -r lib; do
  case $(basename "$lib") in
    libc.so.*|libm.so.*|libpthread.so.*|libdl.so.*|librt.so.*|libresolv.so.*|ld-linux*) cp -L "$lib" "$stage/libc/" ;;
    *) cp -L "$lib" "$stage/lib/" ;;
  esac
done
for program in "$stage"/programs/*; do
  name=$(basename "$program")
  [ "$name" = gpucheck ] && continue
  cat > "$stage/bin/$name" <<'SH'
#!/bin/sh
# Runs the program of this name with the libraries packed beside it, and with the C library packed beside it where the machine's
# own is too old.
root=$(cd "$(dirname "$0")/.." && pwd)
program=$root/programs/$(basename "$0")
export LD_LIBRARY_PATH="$root/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
if LD_TRACE_LOADED_OBJECTS=1 "$program" 2>&1 | grep -q 'not found'; then
  path=$root/libc:$LD_LIBRARY_PATH
  unset LD_LIBRARY_PATH
  exec "$root/libc/ld-linux-x86-64.so.2" --library-path "$path" "$program" "$@"
fi
exec "$program" "$@"
SH
  chmod +x "$stage/bin/$name"
done
cat > "$stage/run" <<'SH'
#!/bin/sh
# Checks this version of tapweight on this machine's GPU and writes report.json. --quick takes small sizes.
root=$(cd "$(dirname "$0")" && pwd)
exec "$root/programs/gpucheck" --root "$root" "$@"
SH
chmod +x "$stage/run"
cat > "$stage/README.txt" <<TXT
tapweight $version: check on an NVIDIA GPU

    tar xf tapweight-gpu-check.tar.xz && cd tapweight-gpu-check && ./run

needs Linux on x86-64 and the NVIDIA driver, no CUDA toolkit, and takes about half an hour; compute-sanitizer, nvidia-smi and a
Python with torch and torch_geometric (--python FILE) are used where they are there. The card should be idle. Please send back
report.json.
TXT
tar -C "$dir/stage" -cf - tapweight-gpu-check | xz -T0 -6 > "$dir/tapweight-gpu-check.tar.xz"
size=$(stat -c %s "$dir/tapweight-gpu-check.tar.xz")
echo "$dir/tapweight-gpu-check.tar.xz: $((size >> 20)) MiB"
[ "$size" -lt $((60 << 20)) ] || { echo "the archive must stay below 60 MiB" >&2; exit 1; }
