"""An adapter under FSDP: frozen weights are sharded with the trained ones; a checkpoint has the trained alone."""

import pytest
import torch
import torch.distributed as dist
from safetensors.torch import load_file
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.multiprocessing import spawn

from .test_adapter import BATCH, adapted, base, logits

assert base  # a fixture
LABELS = torch.tensor([0, 1])


def step(model, rows=slice(None)):
    """A step of SGD on some proteins, without dropout."""
    model.eval()
    optimizer = torch.optim.SGD([weight for weight in model.parameters() if weight.requires_grad], lr=0.1)
    model(**{name: value[rows] for name, value in BATCH.items()}, labels=LABELS[rows]).loss.backward()
    optimizer.step()


def sharded(rank, base, folder):
    """What one of two processes does: its own protein, half of each weight, and as a whole the file."""
    dist.init_process_group("gloo", store=dist.FileStore(f"{folder}/store", 2), rank=rank, world_size=2)
    mesh = init_device_mesh("cpu", (2,))
    model = adapted(base)
    for part in (*model.backbone.encoder.layer, model):
        fully_shard(part, mesh=mesh)
    query = model.backbone.encoder.layer[0].attention.self.query
    assert query.base_layer.weight.to_local().shape[0] * 2 == query.base_layer.weight.shape[0]
    step(model, slice(rank, rank + 1))
    weights = get_model_state_dict(model, options=StateDictOptions(full_state_dict=True, cpu_offload=True))
    if rank == 0:
        model.save_pretrained(f"{folder}/two", state_dict=weights)
    dist.destroy_process_group()


@pytest.mark.slow
def test_two_processes_take_the_step_of_one_and_save_only_what_was_trained(base, tmp_path):
    model = adapted(base)
    before = logits(model)
    step(model)
    assert not torch.allclose(logits(model), before, atol=1e-3)
    model.save_pretrained(tmp_path / "one")
    spawn(sharded, args=(base, str(tmp_path)), nprocs=2)
    one, two = (load_file(tmp_path / name / "model.safetensors") for name in ("one", "two"))
    assert one.keys() == two.keys() and not any("base_layer" in name for name in one)
    for name, weight in one.items():
        torch.testing.assert_close(two[name], weight, atol=1e-5, rtol=0)
    loaded = type(model).from_pretrained(tmp_path / "two")
    torch.testing.assert_close(logits(loaded), logits(model), atol=1e-5, rtol=0)
