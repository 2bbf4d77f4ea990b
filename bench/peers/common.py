"""What the PyTorch halves of molecules.py and text.py share: reading exported batches, the three levels, timing, output."""
import argparse
import json
import math
import resource
import struct
import time

import numpy as np
import torch


def now():
    """Seconds, after what was queued on a GPU is done."""
    if torch.get_default_device().type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def peak():
    """The most bytes in use so far, of the GPU or of the process."""
    if torch.get_default_device().type == "cuda":
        return torch.cuda.max_memory_allocated()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def load(path):
    """Reads a safetensors file of F32 and I32 tensors, one at a time so that the peak of memory is not that of reading."""
    out = {}
    with open(path, "rb") as f:
        n = struct.unpack("<Q", f.read(8))[0]
        head = json.loads(f.read(n))
        head.pop("__metadata__", None)
        for name, t in head.items():
            f.seek(8 + n + t["data_offsets"][0])
            a = np.fromfile(f, dtype={"F32": np.float32, "I32": np.int32}[t["dtype"]], count=math.prod(t["shape"])).reshape(t["shape"])
            out[name] = torch.from_numpy(a.astype(np.int64) if t["dtype"] == "I32" else a).to(torch.get_default_device())
    return out


class Levels:
    """The three levels as users write them. A subclass has names of objectives, the parameters theta and omega of both encoders, opt_theta,
    opt_omega, gamma, losses() of the objectives, task(batch) of finetuning and validation, and evaluate(on) around the latter."""

    def prox(self, theta):
        return self.gamma * sum((a - b).pow(2).sum() for a, b in zip(self.omega, theta))

    def weighted(self, losses, lam):
        self.opt_theta.zero_grad(set_to_none=True)
        sum(l * w for l, w in zip(losses, lam)).backward()
        self.opt_theta.step()

    def finetune(self):
        self.opt_omega.zero_grad(set_to_none=True)
        loss = self.task("finetune")
        (loss + self.prox([p.detach() for p in self.theta])).backward()
        self.opt_omega.step()
        return loss.item()

    def validation(self):
        self.evaluate(True)
        loss = self.task("validation")
        v = torch.autograd.grad(loss, self.omega)
        self.evaluate(False)
        return loss.item(), v

    def finish(self, h, lam):
        self.logits -= 1.0 * lam * (h - (lam * h).sum())

    def run_plain(self):
        lam = torch.softmax(self.logits, 0)
        start = now()
        losses = self.losses()
        self.weighted(losses, lam)
        mid = now()
        ft = self.finetune()
        return dict(pretrain=mid - start, finetune=now() - mid), [l.item() for l in losses], ft, None, None

    def run_reference(self):
        lam = torch.softmax(self.logits, 0)
        t0 = now()
        losses = self.losses()
        self.weighted(losses, lam)
        losses = [l.item() for l in losses]
        t1 = now()
        ft = self.finetune()
        t2 = now()
        val, v = self.validation()
        t3 = now()
        # Pair one: gradient with respect to theta of the finetuning loss at omega +- eps v.
        omega, theta = self.omega, self.theta
        eps = 0.01 / torch.cat([x.reshape(-1) for x in v]).norm()
        grads = []
        for side in (1, -2):
            with torch.no_grad():
                for p, d in zip(omega, v):
                    p.add_(d, alpha=float(eps) * side)
            loss = self.task("finetune") + self.prox(theta)
            grads.append(torch.autograd.grad(loss, theta))
        with torch.no_grad():
            for p, d in zip(omega, v):
                p.add_(d, alpha=float(eps))
        u = [-(a - b) / (2 * eps) for a, b in zip(*grads)]
        # Pair two: gradient with respect to the logits of the weighted loss at theta +- eps u.
        eps = 0.01 / torch.cat([x.reshape(-1) for x in u]).norm()
        sides = []
        for side in (1, -2):
            with torch.no_grad():
                for p, d in zip(theta, u):
                    p.add_(d, alpha=float(eps) * side)
            a = self.logits.clone().requires_grad_()
            total = (torch.stack(self.losses()) * torch.softmax(a, 0)).sum()
            sides.append(torch.autograd.grad(total, a)[0])
        with torch.no_grad():
            for p, d in zip(theta, u):
                p.add_(d, alpha=float(eps))
        h = -(sides[0] - sides[1]) / (2 * eps)
        self.logits -= h
        t4 = now()
        return dict(pretrain=t1 - t0, finetune=t2 - t1, validation=t3 - t2, hypergradient=t4 - t3), losses, ft, val, h.tolist()


def add_gradients(params, grads, weight):
    """Adds weighted gradients to those of the parameters; None is zero."""
    for p, d in zip(params, grads):
        if d is not None:
            p.grad = d * weight if p.grad is None else p.grad.add_(d, alpha=float(weight))


def arguments(variants):
    p = argparse.ArgumentParser()
    p.add_argument("batch")
    p.add_argument("--variant", choices=variants, required=True)
    p.add_argument("--rounds", type=int, default=1)
    p.add_argument("--warmup", type=int, default=1, help="rounds before those")
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    p.add_argument("--gamma", type=float, default=1e-3)
    return p


def parse(p):
    a = p.parse_args()
    torch.set_num_threads(a.threads)
    torch.set_default_device(a.device)
    torch.manual_seed(0)
    return a


def report(a, names, iterate):
    """Runs the rounds and prints a JSON object for each. iterate returns seconds by part, losses of the objectives, of finetuning and of
    validation, and the hypergradient."""
    for r in range(a.warmup + a.rounds):
        ms, losses, ft, val, h = iterate()
        ms = {k: 1000 * v for k, v in ms.items()}
        ms["total"] = sum(ms.values())
        out = dict(variant=a.variant, round=r, warmup=r < a.warmup, ms=ms, losses=dict(zip(names, losses), finetune=ft, validation=val), h=h,
                   peak_bytes=peak(), torch=torch.__version__, threads=a.threads)
        print(json.dumps(out), flush=True)
