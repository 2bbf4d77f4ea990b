"""Writes small BERT, RoBERTa and DistilBERT models with random float64 weights, as `transformers` saves them, and beside each
golden.safetensors: the rows after the last layer, logits, losses and the gradients of all parameters.
usage: python make_golden.py (torch 2.15.0, transformers 5.24.0, safetensors 0.8.0)"""
import json
import os
import shutil

import torch
import transformers as tf
from safetensors.torch import save_file

HERE = os.path.dirname(os.path.abspath(__file__))
# Sequences of different lengths, one of a single token; the positions whose tokens are to be predicted; classes.
TEXTS = [[2, 11, 7, 29, 5, 3, 21, 3], [9], [2, 17, 17, 4, 6, 8, 25, 13, 3, 19, 20, 3]]
TYPES = [[0] * 6 + [1] * 2, [0], [0] * 9 + [1] * 3]
MASKED = [(0, 2, 14), (0, 4, 29), (2, 3, 17), (2, 11, 0)]  # sequence, position, token
CLASSES = [2, 0, 1]
SMALL = dict(vocab_size=30, max_position_embeddings=16, num_labels=3, attn_implementation="eager")
BERT = dict(hidden_size=12, num_hidden_layers=2, num_attention_heads=3, intermediate_size=20, **SMALL)
CONFIGS = {
    "bert": tf.BertConfig(**BERT),
    "roberta": tf.RobertaConfig(hidden_act="gelu_new", type_vocab_size=1, layer_norm_eps=1e-5, pad_token_id=1, **BERT),
    "distilbert": tf.DistilBertConfig(dim=12, n_layers=2, n_heads=3, hidden_dim=20, activation="relu", tie_word_embeddings=False, **SMALL),
}


def batch(types, pad):
    longest = max(map(len, TEXTS))
    fill = lambda rows, value: torch.tensor([r + [value] * (longest - len(r)) for r in rows])
    b = {"input_ids": fill(TEXTS, pad), "attention_mask": fill([[1] * len(r) for r in TEXTS], 0)}
    if types:
        b["token_type_ids"] = fill(TYPES, 0)
    return b


for name, config in CONFIGS.items():
    torch.manual_seed(7)
    mlm = tf.AutoModelForMaskedLM.from_config(config).double().eval()
    with torch.no_grad():
        for n, p in mlm.named_parameters():
            p.normal_(1 if n.endswith("norm.weight") or n.endswith("LayerNorm.weight") else 0, 0.3)
    head = tf.AutoModelForSequenceClassification.from_config(config).double().eval()
    with torch.no_grad():
        for p in head.parameters():
            p.normal_(0, 0.3)
    head.base_model.load_state_dict({k: v for k, v in mlm.base_model.state_dict().items()}, strict=False)
    inputs = batch(name == "bert", config.pad_token_id)
    golden = {}

    labels = torch.full_like(inputs["input_ids"], -100)
    for s, i, token in MASKED:
        labels[s, i] = token
    out = mlm(**inputs, labels=labels, output_hidden_states=True)
    out.loss.backward()
    real = inputs["attention_mask"].bool()
    golden["rows"] = out.hidden_states[-1][real]
    golden["mlm.logits"] = torch.stack([out.logits[s, i] for s, i, _ in MASKED])
    golden["mlm.loss"] = out.loss
    golden |= {"mlm.grad." + n: p.grad for n, p in mlm.named_parameters()}

    out = head(**inputs, labels=torch.tensor(CLASSES))
    out.loss.backward()
    golden["class.logits"], golden["class.loss"] = out.logits, out.loss
    # RoBERTa and DistilBERT do not use their poolers, nor positions behind the longest text.
    golden |= {"class.grad." + n: p.grad for n, p in head.named_parameters() if p.grad is not None}

    for kind, model in [("mlm", mlm), ("class", head)]:
        path = os.path.join(HERE, f"{name}-{kind}")
        shutil.rmtree(path, ignore_errors=True)
        model.generation_config = None
        model.save_pretrained(path)
    save_file({k: v.detach().contiguous() for k, v in golden.items()}, os.path.join(HERE, f"{name}-golden.safetensors"))
with open(os.path.join(HERE, "input.json"), "w") as f:
    json.dump({"texts": TEXTS, "types": TYPES, "masked": MASKED, "classes": CLASSES}, f)
