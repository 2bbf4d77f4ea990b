"""One TapWeight iteration over texts in PyTorch on the batch that `tapweight bench export-batch` wrote.

Variants
  reference  transformers' models (SDPA) on padded batches, masked-LM logits at every position, both finite-difference pairs of
             betty's darts, AdamW as it comes
  sorted     transformers' models (SDPA) on batches sorted by length and padded in buckets, masked-LM logits where they are needed,
             exact dot products from gradients kept apart, fused AdamW
  strong     one row per real token in the maps, attention in buckets of similar length, masked-LM logits where they are needed,
             word embeddings' gradients as rows, exact dot products from gradients kept apart, fused AdamW
  plain      the weighted pretraining and the finetuning step of strong without level III
Prints one JSON object per round on standard output.
"""
import torch
import torch.nn.functional as F

from common import Levels, add_gradients, arguments, load, now, parse, report

OBJECTIVES = ["mlm", "simcse", "sop"]


def similarity(z):
    """SimCSE's loss of rows of first tokens, two copies of the batch one after the other."""
    a, b = F.normalize(z).chunk(2)
    return F.cross_entropy(a @ b.T / 0.05, torch.arange(len(a)))


def dimensions(t):
    vocab, width = t["theta/encoder.embeddings.word.weight"].shape
    layers = sum(n.startswith("theta/encoder.layers.") and n.endswith("qkv.weight") for n in t)
    return vocab, width, layers, int(t["heads"])


class Reference(Levels):
    """As users write it."""

    FUSED = False
    NAMES = [("encoder.embeddings.word", "bert.embeddings.word_embeddings"), ("encoder.embeddings.position", "bert.embeddings.position_embeddings"),
             ("encoder.embeddings.type", "bert.embeddings.token_type_embeddings"), ("encoder.embeddings.norm", "bert.embeddings.LayerNorm"),
             ("encoder.layers", "bert.encoder.layer"), ("attention.out", "attention.output.dense"), ("attention.norm", "attention.output.LayerNorm"),
             ("mlp.up", "intermediate.dense"), ("mlp.down", "output.dense"), ("mlp.norm", "output.LayerNorm"), ("head.hidden", "bert.pooler.dense"),
             ("head.out", "classifier"), ("heads.mlm.layer", "cls.predictions.transform.dense"), ("heads.mlm.norm", "cls.predictions.transform.LayerNorm"),
             ("heads.mlm.decoder", "cls.predictions.decoder")]

    def __init__(self, t, a):
        from transformers import BertConfig, BertForMaskedLM, BertForSequenceClassification

        vocab, width, layers, heads = dimensions(t)
        cfg = BertConfig(vocab_size=vocab, hidden_size=width, num_hidden_layers=layers, num_attention_heads=heads, num_labels=len(t["omega/head.out.bias"]),
                         intermediate_size=len(t["theta/encoder.layers.0.mlp.up.bias"]), hidden_dropout_prob=a.dropout, attention_probs_dropout_prob=a.dropout)
        self.lm, self.classifier = BertForMaskedLM(cfg), BertForSequenceClassification(cfg)
        for model, prefix in ((self.lm, "theta/"), (self.classifier, "omega/")):
            self.fill(model, {n[len(prefix) :]: t.pop(n) for n in list(t) if n.startswith(prefix) and not n.startswith(("theta/heads.simcse", "theta/heads.sop"))})
            model.train()
        linear = lambda n: self.linear(t.pop(n + ".weight"), t.pop(n + ".bias"))
        self.simcse, self.sop = linear("theta/heads.simcse.dense"), torch.nn.Sequential(linear("theta/heads.sop.dense"), torch.nn.Tanh(), linear("theta/heads.sop.out"))
        self.theta = list(self.lm.bert.parameters())
        self.omega = [p for n, p in self.classifier.bert.named_parameters() if not n.startswith("pooler")]
        self.gamma, self.logits = a.gamma, torch.zeros(3)
        self.opt_theta = optimizer(a, [*self.lm.parameters(), *self.simcse.parameters(), *self.sop.parameters()], fused=self.FUSED)
        self.opt_omega = optimizer(a, self.classifier.parameters(), fused=self.FUSED)
        self.batch = {n: self.pad(t, n, a.pad_to) for n in OBJECTIVES + ["finetune", "validation"]}
        self.target = {n: t[n + ".target"].long() for n in ["sop", "finetune", "validation"]}
        ptr, at = t["mlm.ptr"], t["mlm.at"]
        row = torch.searchsorted(ptr, at, right=True) - 1
        self.mask(row, at - ptr[row], t["mlm.target"])

    def mask(self, row, column, target):
        self.labels = torch.full_like(self.batch["mlm"]["input_ids"], -100)
        self.labels[row, column] = target

    def fill(self, model, named):
        state = {}
        for name, v in named.items():
            for a, b in self.NAMES:
                name = name.replace(a, b)
            if "attention.qkv" in name:
                for part, x in zip(("query", "key", "value"), v.chunk(3)):
                    state[name.replace("attention.qkv", "attention.self." + part)] = x
            else:
                state[name] = v
        missing, unexpected = model.load_state_dict(state, strict=False)
        tied = {"cls.predictions.bias", "cls.predictions.decoder.weight"}
        assert not unexpected and set(missing) <= tied, (missing, unexpected)

    def linear(self, weight, bias):
        m = torch.nn.Linear(weight.shape[1], weight.shape[0])
        m.load_state_dict(dict(weight=weight, bias=bias))
        return m

    def pad(self, t, name, width):
        size = (t[name + ".ptr"][1:] - t[name + ".ptr"][:-1]).tolist()
        ids, types = (torch.nn.utils.rnn.pad_sequence(t[name + k].split(size), batch_first=True) for k in (".ids", ".types"))
        mask = torch.nn.utils.rnn.pad_sequence([torch.ones(n, dtype=torch.long) for n in size], batch_first=True)
        more = (0, max(0, width - ids.shape[1]))
        return dict(input_ids=F.pad(ids, more), attention_mask=F.pad(mask, more), token_type_ids=F.pad(types, more))

    def first(self, name):
        return self.lm.bert(**self.batch[name]).last_hidden_state[:, 0]

    def losses(self):
        return [self.lm(**self.batch["mlm"], labels=self.labels).loss, similarity(torch.tanh(self.simcse(self.first("simcse")))),
                F.cross_entropy(self.sop(self.first("sop")), self.target["sop"])]

    def task(self, name):
        return F.cross_entropy(self.classifier(**self.batch[name]).logits, self.target[name])

    def evaluate(self, on):
        self.classifier.train(not on)


class Sorted(Reference):
    """The same models on buckets of similar length."""

    FUSED = True

    def __init__(self, t, a):
        self.buckets = a.buckets
        super().__init__(t, a)
        self.all = [p for group in self.opt_theta.param_groups for p in group["params"]]

    def pad(self, t, name, width):
        """A list of pairs: which sequences, and their padded batch."""
        ptr = t[name + ".ptr"]
        out = []
        for which in torch.argsort(ptr[1:] - ptr[:-1], stable=True).chunk(self.buckets):
            token = torch.cat([torch.arange(ptr[s], ptr[s + 1]) for s in which])
            sizes = (ptr[1:] - ptr[:-1])[which]
            part = {name + ".ptr": torch.cat([ptr[:1] * 0, torch.cumsum(sizes, 0)]), **{name + k: t[name + k][token] for k in (".ids", ".types")}}
            out.append((which, super().pad(part, name, width)))
        return out

    def mask(self, row, column, target):
        self.masked, parts = [], []
        for which, _ in self.batch["mlm"]:
            place = torch.full((int(row.max()) + 1,), -1)
            place[which] = torch.arange(len(which))
            here = place[row] >= 0
            self.masked.append((place[row[here]], column[here]))
            parts.append(target[here])
        self.masked_target = torch.cat(parts)

    def ordered(self, name, f):
        """f of every bucket, a row per sequence in the order of the file."""
        which = torch.cat([w for w, _ in self.batch[name]])
        return torch.cat([f(b) for _, b in self.batch[name]])[torch.argsort(which)]

    def first(self, name):
        return self.ordered(name, lambda b: self.lm.bert(**b).last_hidden_state[:, 0])

    def losses(self):
        rows = torch.cat([self.lm.bert(**b).last_hidden_state[at] for (_, b), at in zip(self.batch["mlm"], self.masked)])
        yield F.cross_entropy(self.lm.cls(rows), self.masked_target)
        yield similarity(torch.tanh(self.simcse(self.first("simcse"))))
        yield F.cross_entropy(self.sop(self.first("sop")), self.target["sop"])

    def task(self, name):
        m = self.classifier
        return F.cross_entropy(m.classifier(m.dropout(self.ordered(name, lambda b: m.bert(**b).pooler_output))), self.target[name])

    def run_sorted(self):
        lam = torch.softmax(self.logits, 0)
        t0 = now()
        losses, kept = [], []
        self.opt_theta.zero_grad(set_to_none=True)
        for loss, weight in zip(self.losses(), lam.tolist()):
            grads = torch.autograd.grad(loss, self.all, allow_unused=True)
            add_gradients(self.all, grads, weight)
            of = dict(zip(map(id, self.all), grads))
            kept.append([of[id(p)] for p in self.theta])
            losses.append(loss.detach())
        self.opt_theta.step()
        t1 = now()
        ft = self.finetune()
        t2 = now()
        val, v = self.validation()
        t3 = now()
        h = [-2 * self.gamma * float(sum(torch.dot(a.reshape(-1), b.reshape(-1)) for a, b in zip(g, v) if a is not None)) for g in kept]
        self.finish(torch.tensor(h), lam)
        t4 = now()
        return dict(pretrain=t1 - t0, finetune=t2 - t1, validation=t3 - t2, hypergradient=t4 - t3), [l.item() for l in losses], ft, val, h


class Packed:
    """Sequences by length, one row per token; ranges of them are padded to their longest for attention only."""

    def __init__(self, t, name, buckets):
        ptr = t[name + ".ptr"]
        size = ptr[1:] - ptr[:-1]
        order = torch.argsort(size, stable=True)
        size = size[order]
        start = torch.cumsum(size, 0) - size
        place = torch.arange(int(size.max()))
        token = torch.cat([ptr[s] + place[:n] for s, n in zip(order, size)])
        self.ids, self.types, self.at = t[name + ".ids"][token], t[name + ".types"][token], torch.cat([place[:n] for n in size])
        self.first = torch.empty_like(start)  # row of each sequence's first token, in the order of the file
        self.first[order] = start
        self.row = torch.empty_like(token)  # row of each token of the file
        self.row[token] = torch.arange(len(token))
        self.buckets = []
        for part in torch.arange(len(size)).chunk(buckets):
            n, longest = size[part], int(size[part].max())
            real = place[:longest] < n[:, None]
            mask = None if real.all() else torch.zeros(real.shape).masked_fill_(~real, float("-inf"))[:, None, None]
            self.buckets.append((int(n.sum()), len(n), longest, real.reshape(-1).nonzero()[:, 0], mask))


class Network:
    """A BERT over packed rows. Word vectors are leaves of each pass: their gradients are rows of its tokens."""

    def __init__(self, t, prefix, a):
        _, self.width, self.layers, self.heads = dimensions(t)
        self.dropout = a.dropout
        self.p = {n[len(prefix) :]: v.requires_grad_() for n, v in t.items() if n.startswith(prefix)}
        self.word = self.p["encoder.embeddings.word.weight"]
        self.encoder = [v for n, v in self.p.items() if n.startswith("encoder.") and v is not self.word]
        self.optimizer = optimizer(a, self.p.values(), fused=True)

    def linear(self, x, name):
        return F.linear(x, self.p[name + ".weight"], self.p[name + ".bias"])

    def norm(self, x, name):
        return F.layer_norm(x, (self.width,), self.p[name + ".weight"], self.p[name + ".bias"], 1e-12)

    def attend(self, qkv, b, drop):
        out, sizes = [], [n for n, *_ in b.buckets]
        for x, (_, sequences, longest, real, mask) in zip(qkv.split(sizes), b.buckets):
            if mask is not None:
                x = x.new_zeros(sequences * longest, x.shape[1]).index_copy(0, real, x)
            q, k, v = x.view(sequences, longest, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
            y = F.scaled_dot_product_attention(q, k, v, mask, drop).transpose(1, 2).reshape(sequences * longest, -1)
            out.append(y if mask is None else y[real])
        return torch.cat(out)

    def forward(self, b, train=True):
        """Returns the rows of all tokens and the leaf with their word vectors."""
        drop = self.dropout if train else 0.0
        word = self.word.detach()[b.ids].requires_grad_()
        at = "encoder.embeddings"
        x = word + self.p[at + ".position.weight"][b.at] + self.p[at + ".type.weight"][b.types]
        x = F.dropout(self.norm(x, at + ".norm"), drop)
        for i in range(self.layers):
            at = f"encoder.layers.{i}"
            y = self.linear(self.attend(self.linear(x, at + ".attention.qkv"), b, drop), at + ".attention.out")
            x = self.norm(x + F.dropout(y, drop), at + ".attention.norm")
            y = self.linear(F.gelu(self.linear(x, at + ".mlp.up")), at + ".mlp.down")
            x = self.norm(x + F.dropout(y, drop), at + ".mlp.norm")
        return x, word


class Strong:
    def __init__(self, t, a):
        self.gamma, self.logits = a.gamma, torch.zeros(3)
        self.theta, self.omega = Network(t, "theta/", a), Network(t, "omega/", a)
        self.batch = {n: Packed(t, n, a.buckets) for n in OBJECTIVES + ["finetune", "validation"]}
        self.target = {n: t[n + ".target"].long() for n in ["mlm", "sop", "finetune", "validation"]}
        self.masked = self.batch["mlm"].row[t["mlm.at"]]
        self.v = torch.zeros_like(self.theta.word)  # zero but in the rows of the validation batch, and there too between iterations

    def objective(self, name):
        """Returns the loss, the leaf of word vectors, and the parameters outside the encoder that it depends on."""
        n, b = self.theta, self.batch[name]
        x, word = n.forward(b)
        own = [p for key, p in n.p.items() if key.startswith(f"heads.{name}.")]
        if name == "mlm":
            x = n.norm(F.gelu(n.linear(x[self.masked], "heads.mlm.layer")), "heads.mlm.norm")
            return F.cross_entropy(F.linear(x, n.word, n.p["heads.mlm.decoder.bias"]), self.target[name]), word, [n.word, *own]
        x = torch.tanh(n.linear(x[b.first], f"heads.{name}.dense"))
        if name == "simcse":
            return similarity(x), word, own
        return F.cross_entropy(n.linear(x, "heads.sop.out"), self.target[name]), word, own

    def pretrain(self, lam, apart):
        """One weighted step. Returns the losses and, if apart, each objective's gradients before weighting."""
        n = self.theta
        n.optimizer.zero_grad(set_to_none=True)
        losses, kept = [], []
        for name, weight in zip(OBJECTIVES, lam.tolist()):
            loss, word, own = self.objective(name)
            losses.append(loss.detach())
            if not apart:
                (loss * weight).backward()
                n.word.grad.index_add_(0, self.batch[name].ids, word.grad)
                continue
            g, *rest = torch.autograd.grad(loss, [word, *n.encoder, *own])
            add_gradients([*n.encoder, *own], rest, weight)
            n.word.grad.index_add_(0, self.batch[name].ids, g, alpha=weight)
            kept.append((g, rest[: len(n.encoder)], rest[len(n.encoder)] if name == "mlm" else None))
        n.optimizer.step()
        return losses, kept

    def task(self, name):
        n, b = self.omega, self.batch[name]
        train = name == "finetune"
        x, word = n.forward(b, train)
        x = F.dropout(torch.tanh(n.linear(x[b.first], "head.hidden")), n.dropout if train else 0.0)
        return F.cross_entropy(n.linear(x, "head.out"), self.target[name]), word

    def finetune(self):
        n = self.omega
        n.optimizer.zero_grad(set_to_none=True)
        mine, theirs = [n.word, *n.encoder], [self.theta.word, *self.theta.encoder]
        with torch.no_grad():
            proximal = torch._foreach_sub(mine, theirs)
            torch._foreach_mul_(proximal, 2 * self.gamma)
        for p, d in zip(mine, proximal):
            p.grad = d
        loss, word = self.task("finetune")
        loss.backward()
        n.word.grad.index_add_(0, self.batch["finetune"].ids, word.grad)
        n.optimizer.step()
        return loss.item()

    def run_plain(self):
        lam = torch.softmax(self.logits, 0)
        t0 = now()
        losses, _ = self.pretrain(lam, False)
        t1 = now()
        ft = self.finetune()
        return dict(pretrain=t1 - t0, finetune=now() - t1), [l.item() for l in losses], ft, None, None

    def run_strong(self):
        lam = torch.softmax(self.logits, 0)
        t0 = now()
        losses, kept = self.pretrain(lam, True)
        t1 = now()
        ft = self.finetune()
        t2 = now()
        val, word = self.task("validation")
        g, *v = torch.autograd.grad(val, [word, *self.omega.encoder])
        t3 = now()
        # The paper's form: h_i = -2 gamma <gradient of L_i, v>. Word vectors meet in the rows of the validation batch.
        ids = self.batch["validation"].ids
        self.v.index_add_(0, ids, g)
        h = torch.stack([sum(torch.dot(a.reshape(-1), b.reshape(-1)) for a, b in zip(rest, v)) + (rows * self.v[self.batch[name].ids]).sum()
                         + ((whole[ids] * g).sum() if whole is not None else 0) for name, (rows, rest, whole) in zip(OBJECTIVES, kept)])
        h *= -2 * self.gamma
        self.v[ids] = 0
        self.logits -= lam * (h - (lam * h).sum())
        h = h.tolist()
        t4 = now()
        return dict(pretrain=t1 - t0, finetune=t2 - t1, validation=t3 - t2, hypergradient=t4 - t3), [l.item() for l in losses], ft, val.item(), h


def optimizer(a, params, **how):
    if a.optimizer == "sgd":
        return torch.optim.SGD(params, lr=a.lr, momentum=0.9)
    return torch.optim.AdamW(params, lr=a.lr, weight_decay=a.weight_decay, **how)


def main():
    p = arguments(["reference", "sorted", "strong", "plain"])
    p.add_argument("--dropout", type=float, default=0.1)
    p.add_argument("--pad-to", type=int, default=0, help="reference: tokens of every sequence (0 = of the longest)")
    p.add_argument("--buckets", type=int, default=4, help="sorted, strong: into which a batch, or its attention, is divided")
    p.add_argument("--optimizer", choices=["adamw", "sgd"], default="adamw")
    p.add_argument("--lr", type=float, default=5e-5)
    p.add_argument("--weight-decay", type=float, default=0.01)
    a = parse(p)
    t = load(a.batch)
    it = {"reference": Reference, "sorted": Sorted}.get(a.variant, Strong)(t, a)
    del t
    report(a, OBJECTIVES, getattr(it, "run_" + a.variant))


main()
