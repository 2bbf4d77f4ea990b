"""Runs our iteration and the PyTorch variants interleaved on one machine and writes a markdown table of medians and ratios.

usage: python compare.py TAPWEIGHT BATCH_DIR OUT.md [ROUNDS]
"""
import json
import os
import statistics
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
SIZE = ["--preset", "paper", "--optimizer", "sgd", "--pretrain-lr", "0.05", "--finetune-lr", "0.01", "--gamma", "0.001",
        "--objectives", "cluster-100,cluster-1000,cluster-10000,mask-atom,contrast"]
# glibc keeps freed memory instead of returning and faulting it in again: what "tuned allocator" means here.
TUNED = {"MALLOC_TRIM_THRESHOLD_": str(1 << 36), "MALLOC_MMAP_THRESHOLD_": str(1 << 36), "MALLOC_TOP_PAD_": str(1 << 28)}
PEERS = {"reference (PyG, finite differences, default allocator)": ("reference", {}),
         "strongest (hand-written aggregation, exact dot/hybrid, tuned allocator)": ("strong", TUNED),
         "plain weighted steps (hand-written, tuned allocator)": ("plain", TUNED)}


def ours(binary, extra=()):
    out = subprocess.run([binary, "bench", "iteration", "--json", "--rounds", "2", *SIZE, *extra], check=True, capture_output=True, text=True)
    return json.loads(out.stdout)


def peer(variant, batch, env):
    out = subprocess.run([sys.executable, "-W", "ignore", os.path.join(HERE, "molecules.py"), batch, "--variant", variant, "--rounds", "1"],
                         check=True, capture_output=True, text=True, env={**os.environ, **env})
    lines = [json.loads(l) for l in out.stdout.splitlines()]
    return lines[0], lines[-1]


def spread(v):
    return f"{statistics.median(v) / 1000:.2f} ({min(v) / 1000:.2f}–{max(v) / 1000:.2f})"


def main():
    binary, directory, report = sys.argv[1:4]
    rounds = int(sys.argv[4]) if len(sys.argv) > 4 else 7
    subprocess.run([binary, "bench", "export-batch", "--out", directory, *SIZE], check=True)
    batch = os.path.join(directory, "batch.safetensors")
    times, peak, first = {}, {}, {}
    for r in range(rounds):
        for name, extra in (("tapweight", ()), ("tapweight --compress=false", ("--compress=false",))):
            if extra and r % 3:
                continue  # the slower form every third round
            t = ours(binary, extra)
            times.setdefault(name, []).append(t["ms"]["total"])
            times.setdefault(name + ", plain steps", []).append(t["ms"]["plain"])
            peak[name] = max(peak.get(name, 0), t["peak_bytes"])
            first[name] = t["losses"]
            device = f"{t['device']}, {t['isa']}, {t['threads']} threads"
        for name, (variant, env) in PEERS.items():
            warm, last = peer(variant, batch, env)
            times.setdefault(name, []).append(last["ms"]["total"])
            peak[name] = max(peak.get(name, 0), last["peak_bytes"])
            first[name] = warm["losses"]
            version = last["torch"]
        print(f"round {r + 1}/{rounds}", {n: round(v[-1]) for n, v in times.items()}, file=sys.stderr, flush=True)
    base, mem = statistics.median(times["tapweight"]), peak["tapweight"]
    worst = max(abs(first["tapweight"][k] - v) / abs(v) for name in PEERS for k, v in first[name].items() if v is not None and k in first["tapweight"] and k != "validation")
    with open(report, "w") as f:
        f.write(f"# One iteration of the three levels: tapweight and PyTorch\n\n{device}; PyTorch {version}; {rounds} rounds, interleaved in one run; "
                f"command `make bench-peers`.\n\nGIN 5×300, 1 024 pool molecules in four views, 64 + 64 task molecules, five objectives "
                f"(cluster-100, -1000, -10000, mask-atom, contrast), SGD. Same batches, same weights; training losses agree within {worst:.0e} relative.\n\n"
                "| what | seconds, median (range) | times ours | peak memory, GiB | times ours |\n|---|---|---|---|---|\n")
        for name, v in times.items():
            m = peak.get(name)
            f.write(f"| {name} | {spread(v)} | {statistics.median(v) / base:.2f} | " + (f"{m / 2**30:.2f} | {m / mem:.2f} |\n" if m else " | |\n"))
        ratio = base / statistics.median(times["tapweight, plain steps"])
        f.write(f"\nIteration against our own plain weighted steps: {ratio:.3f}.\n")


main()
