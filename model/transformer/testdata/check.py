"""The other side of TestTransformers (see `make hf-check`).

python check.py write DIR    networks with random weights in every form that `transformers` and torch.save write, each with
                             expected.safetensors: rows and logits in float64
python check.py read DIR     opens what was written here, compares with expected.safetensors beside it, in float64 and float32
python check.py embed DIR FILE OUT   sentence-transformers' embeddings of the lines of FILE (float32, as safetensors)"""
import json
import os
import sys

import torch
import transformers as tf
from safetensors.torch import load_file, save_file

torch.set_num_threads(1)  # the networks are small
tf.logging.set_verbosity_error()
tf.utils.logging.disable_progress_bar()
SMALL = dict(vocab_size=1000, max_position_embeddings=130, num_labels=4, attn_implementation="eager")
BERT = dict(hidden_size=192, num_hidden_layers=3, num_attention_heads=3, intermediate_size=768, **SMALL)
CONFIGS = {
    "bert": tf.BertConfig(**BERT),
    "bert-uneven": tf.BertConfig(**BERT | dict(hidden_size=156, num_attention_heads=12, intermediate_size=600)),  # as TinyBERT
    "roberta": tf.RobertaConfig(type_vocab_size=1, layer_norm_eps=1e-5, **BERT),
    "xlm-roberta": tf.XLMRobertaConfig(type_vocab_size=1, layer_norm_eps=1e-5, **BERT),
    "camembert": tf.CamembertConfig(type_vocab_size=1, hidden_act="gelu_new", **BERT),
    "distilbert": tf.DistilBertConfig(dim=192, n_layers=3, n_heads=3, hidden_dim=768, **SMALL),
}
CLASSES = {"class": tf.AutoModelForSequenceClassification, "mlm": tf.AutoModelForMaskedLM, "base": tf.AutoModel}


def outputs(model, kind, texts):
    """Rows of all tokens in one stream, and logits: of texts, or of every token."""
    pad = model.config.pad_token_id
    longest = max(map(len, texts))
    ids = torch.tensor([t + [pad] * (longest - len(t)) for t in texts])
    mask = torch.tensor([[1] * len(t) + [0] * (longest - len(t)) for t in texts])
    with torch.no_grad():
        out = model(input_ids=ids, attention_mask=mask, output_hidden_states=True)
    real = mask.bool()
    got = {"rows": out.hidden_states[-1][real]}
    if kind != "base":
        got["logits"] = out.logits if kind == "class" else out.logits[real]
    return {k: v.contiguous() for k, v in got.items()}


def old_names(state):
    return {k.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): v for k, v in state.items()}


FORMS = {
    "safetensors": lambda m, d: m.save_pretrained(d),
    "sharded": lambda m, d: m.save_pretrained(d, max_shard_size="1MB"),
    "half": lambda m, d: m.half().save_pretrained(d),
    "bfloat16": lambda m, d: m.bfloat16().save_pretrained(d),
    "bin": lambda m, d: torch.save(m.state_dict(), os.path.join(d, "pytorch_model.bin")),
    "legacy-bin": lambda m, d: torch.save(old_names(m.state_dict()), os.path.join(d, "pytorch_model.bin"), _use_new_zipfile_serialization=False),
}


def write(root):
    torch.manual_seed(1)
    texts = [torch.randint(5, 1000, (n,)).tolist() for n in (1, 2, 17, 40, 65, 100, 3, 128)]
    with open(os.path.join(root, "texts.json"), "w") as f:
        json.dump(texts, f)
    for name, config in CONFIGS.items():
        for kind in ("class", "mlm"):
            for form, save in FORMS.items():
                if form in ("sharded", "half", "bfloat16", "legacy-bin") and name != "bert":
                    continue
                model = CLASSES[kind].from_config(config).float().eval()
                with torch.no_grad():
                    for p in model.parameters():
                        p.add_(0.05 * torch.randn_like(p))
                path = os.path.join(root, f"{name}.{kind}.{form}")
                os.makedirs(path)
                model.config.save_pretrained(path)
                save(model, path)
                save_file(outputs(model.double(), kind, texts), os.path.join(path, "expected.safetensors"))


def read(root):
    with open(os.path.join(root, "texts.json")) as f:
        texts = json.load(f)
    worst, bad = {}, False
    for name in sorted(os.listdir(root)):
        path = os.path.join(root, name)
        if not os.path.isdir(path):
            continue
        kind = name.split(".")[1]
        model, info = CLASSES[kind].from_pretrained(path, output_loading_info=True, attn_implementation="eager")
        # The pooler of a model without a head is not used here.
        lost = [k for k in list(info["missing_keys"]) + list(info["unexpected_keys"]) if not k.startswith("pooler.")]
        expected = load_file(os.path.join(path, "expected.safetensors"))
        for precision, most in (("float32", 1e-5), ("float64", 1e-12)):
            for what, got in outputs(model.to(getattr(torch, precision)), kind, texts).items():
                error = ((got.double() - expected[what]).abs().max() / expected[what].abs().max()).item()
                worst[precision] = max(worst.get(precision, 0), error)
                if not error <= most or lost:
                    bad = True
                    print(f"{name}: {what} differ by {error:.1e} in {precision}; missing or unexpected: {lost}")
    if not worst:
        sys.exit("nothing to read")
    print(", ".join(f"{p}: {e:.1e}" for p, e in worst.items()))
    sys.exit(bad)


def embed(folder, texts, out):
    from sentence_transformers import SentenceTransformer

    with open(texts) as f:
        lines = f.read().split("\n")
    model = SentenceTransformer(folder, device="cpu")
    save_file({"embeddings": torch.tensor(model.encode(lines))}, out)


{"write": write, "read": read, "embed": embed}[sys.argv[1]](*sys.argv[2:])
