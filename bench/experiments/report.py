"""What the experiments share: running tapweight, reading run folders, and filling the tables of a markdown file."""
import glob
import json
import os
import re
import statistics
import subprocess


def run(binary, folder, flags):
    """Runs tapweight in folder, or goes on with what is there; a finished run costs a second."""
    subprocess.run([binary, "run", "--quiet", "--out", folder, *flags], check=True)


def summary(folder):
    with open(os.path.join(folder, "summary.json")) as f:
        return json.load(f)


def seeds(folder, weights="learned"):
    """Folders of one weighting, a seed each; the first seed of the first weighting has the run folder itself."""
    found = glob.glob(os.path.join(folder, "runs", f"{weights}-seed*"))
    if summary(folder)["weights"] == weights:
        found.append(folder)
    return sorted(found, key=lambda f: summary(f)["seed"])


def search(folder):
    """Lines of the three-level iterations in metrics.jsonl."""
    with open(os.path.join(folder, "metrics.jsonl")) as f:
        lines = [json.loads(line) for line in f]
    return [line for line in lines if line["phase"] == "search"]


def spread(values, digits=3):
    return f"{statistics.fmean(values):.{digits}f} ± {statistics.stdev(values):.{digits}f}"


def table(head, rows):
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(c) for c in line) + " |" for line in lines)


def fill(path, parts):
    """Replaces what stands between the comments `begin NAME` and `end NAME` of a markdown file; all else is prose by hand."""
    with open(path) as f:
        text = f.read()
    for name, part in parts.items():
        place = re.compile(rf"(<!-- begin {name} -->\n).*?(<!-- end {name} -->)", re.DOTALL)
        if not place.search(text):
            raise SystemExit(f"{path} has no place for {name}")
        text = place.sub(lambda m: m[1] + part + "\n" + m[2], text)
    with open(path, "w") as f:
        f.write(text)
