"""Free memory that is misread makes batches that do not fit."""

from types import SimpleNamespace

import psutil
import pytest
import torch

from protbert_classify.cost.devices import free_memory
from tests.conftest import TINY_SHAPE
from tests.cost.test_flops import classifier

CUDA = torch.device("cuda", 0)


@pytest.fixture
def host(monkeypatch):
    """A host with 1,000,000 bytes free."""
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=1_000_000))


@pytest.fixture
def gpu(monkeypatch):
    """A GPU with 500,000 bytes free, of which torch's allocator holds 30,000 besides that nobody uses."""
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (500_000, 900_000))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 130_000)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: 100_000)


def test_a_cpu_has_the_memory_of_its_host_shared_between_its_processes(host):
    assert free_memory(torch.device("cpu")) == 1_000_000
    assert free_memory(torch.device("cpu"), processes=4) == 250_000


def test_a_gpu_has_its_own(host, gpu):
    assert free_memory(CUDA) == free_memory(CUDA, processes=4) == 530_000


def test_weights_that_are_there_already_are_part_of_what_the_training_has(host, gpu):
    model = classifier(TINY_SHAPE)
    weights = sum(4 * parameter.numel() for parameter in model.parameters())
    assert free_memory(torch.device("cpu"), model) == 1_000_000 + weights


def test_under_fsdp_the_gpu_is_read_though_the_model_still_lies_in_the_hosts_memory(host, gpu):
    assert free_memory(CUDA, classifier(TINY_SHAPE)) == 530_000
