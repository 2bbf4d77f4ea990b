"""Writes folders of weights as torch.save and safetensors write them, under weights/.
usage: python make_weights.py (torch 2.15.0, safetensors 0.8.0)"""
import collections
import json
import os
import shutil

import torch
from safetensors.torch import save_file

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "weights")
shutil.rmtree(HERE, ignore_errors=True)


def folder(name):
    path = os.path.join(HERE, name)
    os.makedirs(path)
    return lambda file: os.path.join(path, file)


shared = torch.arange(24, dtype=torch.float32) / 8 - 1
state = collections.OrderedDict(
    single=torch.tensor([[0.0, 0.25, 0.5], [0.75, 1.0, -1e-30]]),
    double=torch.tensor([3.141592653589793, -1e300], dtype=torch.float64),
    # 1/3, the largest, the smallest subnormal, infinity, -0
    half=torch.tensor([1 / 3, 65504, 2**-24, float("inf"), -0.0], dtype=torch.float16),
    bfloat=torch.tensor([1 / 3, 3e38, -1e-40], dtype=torch.bfloat16),
    scalar=torch.tensor(2.5),
    empty=torch.zeros(0, 4),
    tail=shared[16:].view(2, 4),  # a part of a larger storage
    transposed=shared.view(2, 3, 4).permute(2, 0, 1),
    every=shared[1::5],
    parameter=torch.nn.Parameter(torch.tensor([7.0, 8.0])),
    ids=torch.tensor([1, -(2**40)]),
)
state._metadata = collections.OrderedDict({"": {"version": 1}})

torch.save(state, folder("zip")("pytorch_model.bin"))
torch.save(state, folder("legacy")("pytorch_model.bin"), _use_new_zipfile_serialization=False)
dense = {k: v.detach().clone().contiguous() for k, v in state.items()}
save_file(dense, folder("single")("model.safetensors"), metadata={"format": "pt"})
shards = [list(dense)[:5], list(dense)[5:]]
at = folder("sharded")
torch_at = folder("sharded-zip")
index, torch_index = {}, {}
for i, names in enumerate(shards):
    part = f"{i + 1:05d}-of-{len(shards):05d}"
    save_file({k: dense[k] for k in names}, at(f"model-{part}.safetensors"), metadata={"format": "pt"})
    torch.save({k: state[k] for k in names}, torch_at(f"pytorch_model-{part}.bin"))
    index.update({k: f"model-{part}.safetensors" for k in names})
    torch_index.update({k: f"pytorch_model-{part}.bin" for k in names})
for path, m in [(at("model.safetensors.index.json"), index), (torch_at("pytorch_model.bin.index.json"), torch_index)]:
    with open(path, "w") as f:
        json.dump({"metadata": {"total_size": 0}, "weight_map": m}, f)


class Evil:
    def __reduce__(self):
        return (os.system, ("touch /tmp/a-pickle-was-run",))


torch.save({"a": Evil()}, folder("evil")("pytorch_model.bin"))
torch.save({"epoch": 3, "state_dict": {"a": torch.zeros(1)}}, folder("nested")("pytorch_model.bin"))
