"""Reads texts as JSON from standard input and prints what AutoTokenizer says of them in each folder, for TestTransformers."""

import json
import sys

from transformers import AutoTokenizer


def answer(folder, texts):
    t = AutoTokenizer.from_pretrained(folder)
    out = {"ids": [], "wrapped": [], "types": [], "special": [t.cls_token_id, t.sep_token_id, t.mask_token_id, t.pad_token_id, t.unk_token_id], "size": len(t)}
    for i, text in enumerate(texts):
        e = t(text, texts[i - 1], return_token_type_ids=True, truncation="longest_first", max_length=40)
        out["ids"].append(t(text, add_special_tokens=False, truncation=False)["input_ids"])
        out["wrapped"].append(e["input_ids"])
        out["types"].append(e["token_type_ids"])
    return out


texts = json.load(sys.stdin)
json.dump([answer(folder, texts) for folder in sys.argv[1:]], sys.stdout)
