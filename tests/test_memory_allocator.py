import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from protbert_classify import memory_allocator
from protbert_classify.memory_allocator import KERNEL_SETTING, MOST, MOST_BEFORE, keep_few_kernels, keep_freed_memory

MEASURE = """
import resource, sys
import numpy as np
from protbert_classify.memory_allocator import keep_freed_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        np.empty(48 << 20, dtype=np.uint8).fill(1)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

print(faults(), keep_freed_memory(), faults(), faults())
"""
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="glibc's allocator is Linux's")


def measured(**environment):
    clean = {name: value for name, value in os.environ.items() if name not in memory_allocator.SETTINGS}
    done = subprocess.run(
        [sys.executable, "-c", MEASURE], capture_output=True, text=True, check=True, env=clean | environment
    )
    return done.stdout.split()


@LINUX
def test_large_temporaries_are_no_longer_faulted_in_again_and_again():
    before, kept, _, after = measured()
    assert kept == "True"
    largest_page = 2 << 20  # a system that gives huge pages faults less often
    assert int(before) >= 10 * (48 << 20) // largest_page
    assert int(after) < int(before) / 10


@LINUX
@pytest.mark.parametrize("name", ["MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES"])
def test_what_the_user_has_set_stands(name):
    assert measured(**{name: "131072" if name.startswith("MALLOC") else "glibc.malloc.check=0"})[1] == "False"


@pytest.fixture
def clean(monkeypatch):
    for name in memory_allocator.SETTINGS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "platform", "linux")


def test_other_systems_and_libraries_are_left_alone(clean, monkeypatch):
    monkeypatch.setattr(memory_allocator.ctypes, "CDLL", lambda name: SimpleNamespace())  # musl
    assert not keep_freed_memory()
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(memory_allocator.ctypes, "CDLL", lambda name: 1 / 0)
    assert not keep_freed_memory()


@pytest.mark.parametrize("largest", [MOST, MOST_BEFORE, 0])
def test_an_older_glibc_gets_the_threshold_that_it_takes(clean, monkeypatch, largest):
    given = {}

    def mallopt(parameter, value):
        if parameter == memory_allocator.M_MMAP_THRESHOLD and value > largest:
            return 0
        given[parameter] = value
        return 1

    library = SimpleNamespace(gnu_get_libc_version=str, mallopt=mallopt)
    monkeypatch.setattr(memory_allocator.ctypes, "CDLL", lambda name: library)
    assert keep_freed_memory() is bool(largest)
    assert given.get(memory_allocator.M_MMAP_THRESHOLD, 0) == largest


@pytest.mark.parametrize(("before", "after"), [(None, "32"), ("500", "500")])
def test_onednn_keeps_few_kernels_unless_the_user_says_how_many(monkeypatch, before, after):
    monkeypatch.setenv(KERNEL_SETTING, "a value to restore")
    if before is None:
        monkeypatch.delenv(KERNEL_SETTING)
    else:
        monkeypatch.setenv(KERNEL_SETTING, before)
    keep_few_kernels()
    assert os.environ[KERNEL_SETTING] == after
