"""Writes ../unicode.txt: how the Python package `tokenizers` classifies and maps every code point.

It is asked one code point at a time, since its parts follow different versions of Unicode (categories, normalisation and
regular expressions come from three libraries), none of which is Go's. One line per class: first-last in hexadecimal.
The line `lower` has first-last/step:difference and single code points with what they become.

    python3 -m venv build/tok-venv && build/tok-venv/bin/pip install tokenizers==0.23.3
    build/tok-venv/bin/python model/text/testdata/make_unicode.py
"""

import pathlib

from tokenizers import __version__
from tokenizers import normalizers as N
from tokenizers import pre_tokenizers as P

CODE_POINTS = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]


def bert(clean=False, cjk=False, accents=False):
    return N.BertNormalizer(clean_text=clean, handle_chinese_chars=cjk, strip_accents=accents, lowercase=False).normalize_str


clean, cjk, unaccented = bert(clean=True), bert(cjk=True), bert(accents=True)
nfd, nfkd, lower, combining = (n.normalize_str for n in (N.NFD(), N.NFKD(), N.Lowercase(), N.StripAccents()))
punctuation, byte_level, words = (p.pre_tokenize_str for p in (P.BertPreTokenizer(), P.ByteLevel(add_prefix_space=False), P.Whitespace()))


def moved(ch):
    """Whether normalisation knows ch: it decomposes, or it has a combining class and is ordered by it."""
    low, high = "\u0334", "\u0345"  # combining classes 1 and 240
    return nfkd(ch) != ch or nfd(ch + low) != ch + low or (ch != high and nfd(high + ch) != high + ch)


CLASSES = {
    "removed": lambda c: clean(f"a{c}a") == "aa",  # by BERT's clean_text
    "blank": lambda c: clean(f"a{c}a") == "a a",  # made a space by clean_text
    "white": lambda c: [w for w, _ in punctuation(f"a{c}a")] == ["a", "a"],
    "punct": lambda c: len(punctuation(f"a{c}a")) == 3,
    "cjk": lambda c: cjk(c) == f" {c} ",
    "nonspacing": lambda c: unaccented(c) == "",
    "combining": lambda c: combining(c) == "",
    "letter": lambda c: len(byte_level(f"A{c}A")) == 1,
    "number": lambda c: len(byte_level(f"1{c}1")) == 1,
    "word": lambda c: len(words(f"a{c}a")) == 1,
    "moved": moved,
}


def ranges(points):
    out = []
    for c in points:
        if out and out[-1][1] == c - 1:
            out[-1][1] = c
        else:
            out.append([c, c])
    return " ".join(f"{a:x}" if a == b else f"{a:x}-{b:x}" for a, b in out)


def lowercase():
    runs, single = [], []
    for c in CODE_POINTS:
        to = [ord(x) for x in lower(chr(c))]
        if to == [c]:
            continue
        if len(to) > 1:
            single.append(f"{c:x}=" + "+".join(f"{x:x}" for x in to))
            continue
        by = to[0] - c
        if runs and runs[-1][3] == by:
            first, last, step, _ = runs[-1]
            if c - last <= 2 and step in (0, c - last):
                runs[-1] = (first, c, c - last, by)
                continue
        runs.append((c, c, 0, by))
    return " ".join([f"{a:x}-{b:x}/{max(step, 1)}:{by}" for a, b, step, by in runs] + single)


def main():
    lines = [f"# tokenizers {__version__}; written by testdata/make_unicode.py"]
    for name, is_in in CLASSES.items():
        lines.append(f"{name} " + ranges(c for c in CODE_POINTS if is_in(chr(c))))
    lines.append("lower " + lowercase())
    here = pathlib.Path(__file__).parent
    (here.parent / "unicode.txt").write_text("\n".join(lines) + "\n")


main()
