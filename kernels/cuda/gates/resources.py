"""Holds the compiled kernels to rules.txt: registers, spills, the warps that fit on a multiprocessor, and the instructions that
must be there, from the cubins of every architecture and with NVIDIA's disassembler. Needs no GPU.

    resources.py           prints what is broken; exit status 1 if anything is
    resources.py --table   prints registers, shared memory, warps and instructions of every kernel as well
"""

import collections
import multiprocessing
import os
import pathlib
import re
import subprocess
import sys
import sysconfig

HERE = pathlib.Path(__file__).resolve().parent
CUBINS = HERE.parent / "cubin"
PTX = HERE.parent / "ptx"
TOOLS = pathlib.Path(sysconfig.get_path("purelib")) / "nvidia" / "cu13" / "bin"

Card = collections.namedtuple("Card", "warps blocks shared")  # of a multiprocessor; shared memory in bytes
CARDS = {  # CUDA C++ Programming Guide, technical specifications per compute capability
    "sm_80": Card(64, 32, 164 << 10),
    "sm_86": Card(48, 16, 100 << 10),
    "sm_89": Card(48, 24, 100 << 10),
    "sm_90": Card(64, 32, 228 << 10),
    "sm_100": Card(64, 32, 228 << 10),
    "sm_120": Card(48, 24, 100 << 10),
}
RESERVED = 1024  # bytes of shared memory that every block takes besides its own


def warps_resident(card, threads, registers, shared):
    """Warps of blocks of this size that fit on a multiprocessor at once: 65536 registers, dealt out 256 to a warp."""
    warps = -(-threads // 32)
    per_warp = -(-registers * 32 // 256) * 256
    by_registers = 65536 // 4 // per_warp * 4 // warps  # a quarter of the registers belongs to each of four schedulers
    by_shared = card.shared // (shared + RESERVED)
    return warps * min(card.blocks, card.warps // warps, by_registers, by_shared)


def read_rules():
    rules = []
    for number, line in enumerate((HERE / "rules.txt").read_text().splitlines(), 1):
        fields = line.split()
        if not fields or fields[0].startswith("#") or fields[0] in ("traffic", "conflicts", "sectors"):  # those are gpu/cuda/gates'
            continue
        needs = []
        for need in fields[3:]:
            name, count = need.split(">=")
            needs.append((name, int(count)))
        rules.append((number, re.compile("tw_(?:%s)_f32" % fields[0]), int(fields[1]), int(fields[2]), needs))
    return rules


def run(tool, *args):
    return subprocess.run([TOOLS / tool, *args], check=True, capture_output=True, text=True, env={**os.environ, "PATH": f"{TOOLS}:{os.environ['PATH']}"})


def inspect(cubin):
    """Registers, stack and static shared memory, and counted instructions, of every kernel of a cubin."""
    usage = run("cuobjdump", "-res-usage", cubin)
    kernels = {}
    for name, registers, stack, shared in re.findall(r"Function (\w+):\s+REG:(\d+) STACK:(\d+) SHARED:(\d+)", usage.stdout + usage.stderr):
        kernels[name] = (int(registers), int(stack), int(shared), collections.Counter())
    count = None
    for line in run("nvdisasm", "-c", cubin).stdout.splitlines():
        if m := re.match(r"\.text\.(\w+):", line):
            count = kernels[m[1]][3]
        elif m := re.match(r"\s+/\*[0-9a-f]+\*/\s+(@!?U?P\w+\s+)?([A-Z][A-Z0-9_.]*)", line):
            if (m[1] or "").strip() != "@!PT":  # filler that never runs
                count[m[2].replace(".CONSTANT", "")] += 1
    return cubin, kernels


def threads_of_kernels():
    threads = {}
    for ptx in PTX.glob("*.ptx"):
        for name, x, y, z in re.findall(r"\.entry (\w+)\([^)]*\)\s*\.maxntid (\d+), (\d+), (\d+)", ptx.read_text()):
            threads[name] = int(x) * int(y) * int(z)
    return threads


def main():
    rules, threads, used, broken = read_rules(), threads_of_kernels(), set(), []
    cubins = [c for arch in CARDS for c in sorted((CUBINS / arch).glob("*.cubin"))]
    if want := [f"{arch}/{p.stem}" for arch in CARDS for p in PTX.glob("*.ptx") if not (CUBINS / arch / f"{p.stem}.cubin").exists()]:
        sys.exit(f"not compiled: {' '.join(sorted(want))} (make kernels)")
    kernels = 0
    with multiprocessing.Pool(os.cpu_count()) as pool:
        for cubin, found in pool.imap(inspect, cubins):
            arch = cubin.parent.name
            for name, (registers, stack, shared, instructions) in found.items():
                kernels += 1
                own = shared - RESERVED if shared >= RESERVED and arch not in ("sm_80", "sm_86", "sm_89") else shared
                matching = [r for r in rules if r[1].fullmatch(name)]
                if not matching:
                    broken.append(f"{arch} {name}: no rule")
                    continue
                resident = warps_resident(CARDS[arch], threads[name], registers, own + max(r[3] for r in matching))
                if "--table" in sys.argv:
                    print(f"{arch} {name}: {registers} registers, {own} bytes shared, {resident} warps, {sum(instructions.values())} instructions")
                local = stack + sum(n for op, n in instructions.items() if re.match(r"(LDL|STL)\b", op))
                if local:
                    broken.append(f"{arch} {name}: {stack} bytes of local memory")
                for number, _, warps, _, needs in matching:
                    used.add(number)
                    if resident < warps:
                        broken.append(f"{arch} {name}: {resident} warps fit on a multiprocessor, rules.txt:{number} wants {warps}")
                    for need, least in needs:
                        n = sum(c for op, c in instructions.items() if op == need or op.startswith(need + "."))
                        if n < least:
                            broken.append(f"{arch} {name}: {n} {need}, rules.txt:{number} wants {least}")
    broken += [f"rules.txt:{r[0]} matches no kernel" for r in rules if r[0] not in used]
    print("\n".join(broken or [f"{kernels} kernels keep the rules"]))
    sys.exit(bool(broken))


if __name__ == "__main__":
    main()
