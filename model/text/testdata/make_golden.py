"""Writes golden.json.gz, wordpiece.json.gz and bpe.json.gz: what the Python package `tokenizers` says of 3 000 texts.

Half of the texts are sentences of inaugural addresses of US presidents (public domain), half are made up to be nasty. The two
vocabularies are trained on the sentences; that of WordPiece comes out a little different each time, as `tokenizers` numbers
tokens that begin with ## in the order of a hash map. Each case is a tokenizer: one of them with some fields of its tokenizer.json
replaced ("drop" takes tokens out of the vocabulary). Offsets count bytes. Of ids with offsets only a hash for each text is kept, two bytes long.

    python3 -m venv build/tok-venv && build/tok-venv/bin/pip install tokenizers==0.23.3
    make minilm
    build/tok-venv/bin/python model/text/testdata/make_golden.py train/data/demo/inaugural.tsv build/minilm
"""

import copy
import gzip
import hashlib
import json
import pathlib
import random
import sys
import unicodedata

import tokenizers
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

HERE = pathlib.Path(__file__).parent
BERT_SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
ROBERTA_SPECIALS = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]


def sentences(path, n):
    lines = pathlib.Path(path).read_text().splitlines()[1:]
    random.Random(1).shuffle(lines)
    out = [line.split("\t")[2] for line in lines]
    return [s if len(s) < 160 else s[:160].rsplit(" ", 1)[0] for s in out[:n]]


def marks(rng):
    """A letter under marks of many combining classes, in any order."""
    pool = "\u0301\u0300\u0302\u0308\u0323\u0327\u0328\u0334\u0338\u0345\u035c\u05b0\u05bc\u064b\u0651\u0670\u0f71\u0f72\u0f74\u0f73\u302a\u302e\u302f\u3099\u309a\u0344\u0899\u1d165\U0001d165\U0001d16d\U0001e944\u1acf\u20dd"
    return rng.choice("aeioAEnNsq ạệÅ가\u1100か\u0915") + "".join(rng.choice(pool) for _ in range(rng.randint(1, 5)))


def any_of(rng, low, high):
    while True:
        c = rng.randint(low, high)
        if not 0xD800 <= c < 0xE000:
            return chr(c)


FRAGMENTS = """naïve café CAFÉ ÀÉÎÕÜ Ångström ñandú Straße ẞ İstanbul ISTANBUL ıçök ŉ ǅ ΑΣ ὈΔΥΣΣΕΎΣ ﬁﬂ ﬀ ſt ＦＵＬＬ　ｗｉｄｔｈ ｶﾞ ㍿ ① ² ½ Ⅷ ℌ 𝔘𝔫𝔦 𝟘𝟙
日本語 漢字kanji 한국어 각 각 ひらがな カタカナ 中文，标点。 𠀀𠀁 豈 你好world 丽 ㌀ ﷺ
مرحبا العَرَبِيَّة שָׁלוֹם עברית\u200f\u200e हिन्दी क्षि ไทย བོད་ தமிழ் Ελλάδα Ωμέγα Привет ЙЁ ЖЖ Việt Nguyễn Ệ
👍 👍🏽 👨\u200d👩\u200d👧\u200d👦 🏳️\u200d🌈 🇩🇪🇫🇷 ❤️ ☃ 🫨 🪿 ™ © € £ ¥ ¿¡ «quoted» “curly” ‘single’ it’s — – … · •
don't DON'T we're I'm he'd she'll they've it's 's 't 'x ''s '' ' s ’s rock'n'roll o'clock
[MASK] [mask] [CLS] [SEP] [UNK] [PAD] [MASK][MASK] x[MASK]y [MASK [ MASK ] <mask> <mask><mask> <s> </s> <pad> <unk> < mask> <|endoftext|> ##ing ## #
http://example.org/a?b=c&d=%20 user@example.com #hashtag @user C++ f(x)=x^2 a_b a-b 1,000.50 $5 50% 3.14e-10 0x1F x=1;y=2 {json:"v"} C:\\path \\n &amp; <br/>
the The THE of we people unaffable internationalization pneumonoultramicroscopicsilicovolcanoconiosis 1234567890 ٣٤٥ १२३ ௧ 一二三 ½¼ ⁴₅""".split()
BLANKS = [" ", " ", " ", " ", "", "", "  ", "\t", "\n", "\r\n", "\u00a0", "\u2003", "\u3000", "\u2028", "\u0085", "\x0b", "\x0c", "   ", "\u200b", "\u00ad", "\ufeff", "\x00", "\x7f", "\ufffd", "\u180e", "\ue000", "\u2060"]


def nasty(rng):
    yield from ["", " ", "  ", "\t", "\n\n", "\u00a0", "\u3000 ", "a", "A", "é", "e\u0301", "\u0301", "\u0301\u0323", "\x00", "\ufffd", "[MASK]", " [MASK] ", "<mask>", " <mask> ", "  <mask>  x", "'s", " 's", "\t's", "\t foo", " \tfoo", "\tfoo", "<x>  <x>", "a <x> \t <x>b", "axyz xyz yz", "½", "½ ¾", "日\x00a\x00", "aé", "éa", "İ", "ẞ", "日", "👍", "\U0010ffff", "\ufdd0"]
    for n in (1, 99, 100, 101, 102, 300):
        yield "a" * n
        yield "é" * n
        yield "x" + "日" * n
        yield "𝔘" * n + " end"
        yield " " * n
        yield "x" + " " * n + "y"
        yield "!" * n
        yield "e" + "\u0301" * n
        yield "a" * n + "[MASK]" + "b" * n
    yield "internationalization" * 500
    yield "the " * 2000
    yield "\u0323\u0301" * 500
    yield "'" * 50 + "s't're've'm'll'd" * 20
    for c in list(range(0x00, 0x180)) + list(range(0x2000, 0x2070)):
        if c % 3 == 0:
            yield f"a{chr(c)}{chr(c + 1)} {chr(c + 2)}b{chr(c)}"
    while True:
        kind = rng.random()
        if kind < 0.45:
            yield "".join(rng.choice(FRAGMENTS) + rng.choice(BLANKS) for _ in range(rng.randint(1, 9)))
        elif kind < 0.6:
            yield "".join((marks(rng) if rng.random() < 0.6 else rng.choice(FRAGMENTS)) + rng.choice(BLANKS) for _ in range(rng.randint(1, 6)))
        elif kind < 0.7:
            yield "".join(any_of(rng, 0, 0x10FFFF if rng.random() < 0.2 else 0x1FFFF) for _ in range(rng.randint(1, 10)))
        elif kind < 0.8:
            yield "".join(any_of(rng, 0, 0x2FFF) + rng.choice(["", "", " "]) for _ in range(rng.randint(1, 20)))
        elif kind < 0.9:
            yield "".join(any_of(rng, 0, 0x7F) for _ in range(rng.randint(1, 40)))
        else:
            form = rng.choice(["NFC", "NFD", "NFKC", "NFKD"])
            yield unicodedata.normalize(form, " ".join(rng.choice(FRAGMENTS) for _ in range(rng.randint(1, 9))))


def wordpiece(texts):
    t = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    t.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    t.train_from_iterator(texts + [s.lower() for s in texts] + ["naive cafe 日 本 ! ? # [ ] ' don t"], trainers.WordPieceTrainer(vocab_size=3000, special_tokens=BERT_SPECIALS, show_progress=False))
    t.normalizer = normalizers.BertNormalizer()
    ids = {s: t.token_to_id(s) for s in BERT_SPECIALS}
    t.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[(s, ids[s]) for s in ("[CLS]", "[SEP]")])
    t.decoder = decoders.WordPiece()
    return t


def byte_level_bpe(texts):
    t = Tokenizer(models.BPE())
    t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    specials = [AddedToken(s, lstrip=s == "<mask>", special=True) for s in ROBERTA_SPECIALS]
    t.train_from_iterator(texts, trainers.BpeTrainer(vocab_size=3000, min_frequency=2, special_tokens=specials, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
    t.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), trim_offsets=True, add_prefix_space=False)
    t.decoder = decoders.ByteLevel()
    return t


def bert(**fields):
    return {"normalizer": dict({"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True, "strip_accents": None, "lowercase": True}, **fields)}


def sequence(*names):
    return {"normalizer": {"type": "Sequence", "normalizers": [{"type": n} for n in names]}}


def byte_level(space=False, regex=True, trim=True):
    return {"type": "ByteLevel", "add_prefix_space": space, "trim_offsets": trim, "use_regex": regex}


def split(*steps):
    return {"pre_tokenizer": {"type": "Sequence", "pretokenizers": list(steps)}}


def roberta(space):
    return {"type": "RobertaProcessing", "sep": ["</s>", 2], "cls": ["<s>", 0], "trim_offsets": True, "add_prefix_space": space}


def added(t, *rows):
    out, n = list(t["added_tokens"]), len(t["model"]["vocab"])
    for content, flags in rows:
        out.append({"id": t["model"]["vocab"].get(content, n), "content": content, **{k: k in flags for k in ("single_word", "lstrip", "rstrip", "normalized", "special")}})
        n += content not in t["model"]["vocab"]
    return {"added_tokens": out}


def cases(wp, bpe):
    words = (("New York", ["normalized"]), ("the", ["single_word"]), ("of", ["single_word", "normalized"]), ("CAFÉ", ["normalized"]), ("<x>", ["lstrip", "rstrip"]), ("日本", []), ("[MASK][", []), ("  ", ["special"]), ("we", ["lstrip", "single_word", "normalized"]), ("people ", ["rstrip"]), ("xyz", ["single_word"]), ("yz", []))
    keep = [t for t in bpe["model"]["merges"]][:1000]
    used = {s for pair in bpe["model"]["merges"] for s in pair}
    unused = [s for s in bpe["model"]["vocab"] if s not in used and len(s) == 1][:90]
    yield "bert", "wordpiece", {}
    yield "roberta", "bpe", {}
    yield "bert-cased", "wordpiece", bert(lowercase=False)
    yield "bert-accents", "wordpiece", bert(strip_accents=False)
    yield "bert-unclean", "wordpiece", bert(clean_text=False, handle_chinese_chars=False, strip_accents=True, lowercase=False)
    yield "bert-added", "wordpiece", added(wp, *words)
    yield "bert-sequence", "wordpiece", sequence("NFD", "Lowercase", "StripAccents") | {"pre_tokenizer": {"type": "Whitespace"}}
    yield "bert-two", "wordpiece", {"normalizer": {"type": "Sequence", "normalizers": [bert()["normalizer"], {"type": "NFKC"}]}} | split({"type": "WhitespaceSplit"}, {"type": "BertPreTokenizer"})
    yield "bert-short", "wordpiece", {"model": {"max_input_chars_per_word": 7}}
    yield "roberta-space", "bpe", {"pre_tokenizer": byte_level(space=True), "post_processor": roberta(True)}
    yield "roberta-added", "bpe", added(bpe, *words)
    yield "gpt2", "bpe", {"post_processor": byte_level(trim=False)}
    yield "bpe-nfc", "bpe", sequence("NFC", "Lowercase")
    yield "bpe-nfd", "bpe", sequence("NFD")
    yield "bpe-nfkc", "bpe", sequence("NFKC")
    yield "bpe-nfkd", "bpe", sequence("NFKD", "StripAccents")
    yield "bpe-words", "bpe", split({"type": "Whitespace"}, byte_level(space=True))
    yield "bpe-split", "bpe", split({"type": "WhitespaceSplit"}, byte_level())
    yield "bpe-uncut", "bpe", {"pre_tokenizer": byte_level(space=True, regex=False)}
    yield "bpe-ignore", "bpe", {"model": {"ignore_merges": True, "merges": keep}}
    yield "bpe-unknown", "bpe", {"model": {"unk_token": "<unk>", "drop": unused}}
    yield "bpe-spread", "bpe", sequence("NFKC") | split({"type": "Whitespace"}, byte_level(space=True)) | {"post_processor": roberta(True)}
    yield "bpe-letter", "bpe", {"model": {"unk_token": "a", "fuse_unk": True, "drop": unused}}
    yield "bpe-fuse", "bpe", {"model": {"unk_token": "<unk>", "fuse_unk": True, "drop": unused}}


def patched(base, patch):
    out = copy.deepcopy(base)
    for key, value in patch.items():
        if key == "model":
            out["model"].update({k: v for k, v in value.items() if k != "drop"})
            for token in value.get("drop", []):
                del out["model"]["vocab"][token]
        else:
            out[key] = value
    return out


def tokens(t, text):
    at = [0]
    for c in text:
        at.append(at[-1] + len(c.encode()))
    e = t.encode(text, add_special_tokens=False)
    return [(i, at[a], at[b]) for i, (a, b) in zip(e.ids, e.offsets)]


def digest(s):
    return hashlib.sha256(s.encode()).hexdigest()[:4]


def pairs(t, rng, texts):
    """Wrapped texts and pairs, truncated longest first."""
    out = []
    for _ in range(60):
        a, b = rng.choice(texts)[: rng.randint(0, 120)], rng.choice(texts)[: rng.randint(0, 120)] if rng.random() < 0.7 else None
        limit = rng.randint(6, 50)
        t.enable_truncation(limit, strategy="longest_first")
        e = t.encode(a) if b is None else t.encode(a, b)
        out.append({"a": a, "b": b, "limit": limit, "ids": e.ids, "types": e.type_ids})
    t.no_truncation()
    return out


def write(name, value):
    data = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    with open(HERE / name, "wb") as raw, gzip.GzipFile(fileobj=raw, mode="wb", mtime=0, filename="") as f:
        f.write(data)


def main():
    real = sentences(sys.argv[1], 1500)
    texts, maker = list(real), nasty(random.Random(2))
    while len(texts) < 3000:
        text = next(maker)
        if text not in texts:
            texts.append(text)
    base = {"wordpiece": json.loads(wordpiece(real).to_str()), "bpe": json.loads(byte_level_bpe(real).to_str())}
    out = {"tokenizers": tokenizers.__version__, "texts": texts, "real": len(real), "cases": []}
    for name, on, patch in cases(base["wordpiece"], base["bpe"]):
        t = Tokenizer.from_str(json.dumps(patched(base[on], patch)))
        got = [tokens(t, s) for s in texts]
        case = {"name": name, "base": on, "patch": patch}
        if not patch:
            case["ids"] = [[i for i, _, _ in row] for row in got]
            case["pairs"] = pairs(t, random.Random(3), texts)
            case["decoded"] = "".join(digest(t.decode(row)) for row in case["ids"])
        case["tokens"] = "".join(digest(",".join(f"{i}:{a}:{b}" for i, a, b in row)) for row in got)
        if "normalizer" in patch or name == "bert":
            points = (chr(c) for c in range(0x110000) if not 0xD800 <= c < 0xE000)
            case["normalized"] = hashlib.sha256("".join(t.normalizer.normalize_str(c) + "\n" for c in points).encode()).hexdigest()
        out["cases"].append(case)
    real_vocab = Tokenizer.from_file(str(pathlib.Path(sys.argv[2]) / "tokenizer.json"))
    real_vocab.no_truncation()
    real_vocab.no_padding()
    out["minilm"] = "".join(digest(",".join(f"{i}:{a}:{b}" for i, a, b in tokens(real_vocab, s))) for s in texts)
    write("golden.json.gz", out)
    for name, value in base.items():
        write(f"{name}.json.gz", value)


main()
