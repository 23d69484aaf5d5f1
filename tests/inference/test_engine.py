import logging
import threading
import time
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from protbert_classify.commands.parsing import OneLineParser, add_compute_options
from protbert_classify.inference.engine import (
    CPU_TOKENS,
    DEVICE_TOKENS,
    batches_at_a_time,
    batches_by_length,
    count_batches,
    default_tokens,
    empty_cache,
    is_out_of_memory,
    run_batches,
)

from .conftest import build_classifier

CPU = torch.device("cpu")


def collate(rows):
    return {"rows": torch.tensor(rows), "count": len(rows)}


def compute(batch):
    assert not torch.is_grad_enabled()
    assert batch["count"] == len(batch["rows"])
    return batch["rows"].tolist()


@given(st.lists(st.integers(1, 60), max_size=40), st.integers(1, 200))
def test_every_protein_is_computed_once_the_longest_first_and_within_the_budget(lengths, tokens):
    found = list(run_batches(lengths, collate, compute, CPU, tokens))
    assert all(rows == result for rows, result in found)
    order = [row for rows, _ in found for row in rows]
    assert sorted(order) == list(range(len(lengths)))
    assert [lengths[row] for row in order] == sorted(lengths, reverse=True)
    for rows, _ in found:
        assert len(rows) == 1 or len(rows) * max(lengths[row] for row in rows) <= tokens
    assert count_batches(lengths, tokens) == len(found)


def test_batches_hold_their_tokens_and_a_longer_protein_goes_alone():
    lengths = [10, 300, 20, 90, 100, 20]
    assert list(batches_by_length(lengths, 200)) == [[1], [4, 3], [2, 5, 0]]
    assert list(batches_by_length([], 200)) == []


@given(st.lists(st.integers(1, 60), min_size=1, max_size=40), st.integers(1, 9), st.integers(20, 400))
def test_a_batch_that_does_not_fit_is_halved_and_every_protein_answered(lengths, room, tokens):
    def on_a_small_device(batch):
        if batch["count"] > room:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
        return compute(batch)

    told = []
    found = list(run_batches(lengths, collate, on_a_small_device, CPU, tokens, told.append))
    assert sorted(row for rows, _ in found for row in rows) == list(range(len(lengths)))
    assert all(rows == result for rows, result in found)
    assert told == [len(rows) for rows, _ in found]
    assert max(told) <= room


def test_halving_is_logged(caplog):
    caplog.set_level(logging.INFO, "protbert_classify")

    def on_a_tiny_device(batch):
        if batch["count"] > 1:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")

    list(run_batches([7, 7], collate, on_a_tiny_device, CPU, 100))
    assert [record.getMessage() for record in caplog.records] == [
        "out of memory with 2 proteins in a batch: computing them in halves"
    ]


def failing(error):
    def fail(batch):
        raise error

    return fail


def test_one_protein_that_does_not_fit_is_an_error():
    with pytest.raises(torch.OutOfMemoryError):
        list(run_batches([7], collate, failing(torch.OutOfMemoryError("CUDA out of memory.")), CPU, 100))


def test_another_failure_is_not_taken_for_a_lack_of_memory():
    sizes = []

    def fail(batch):
        sizes.append(batch["count"])
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="shapes"):
        list(run_batches([7, 7], collate, fail, CPU, 100))
    assert sizes == [2]


@pytest.mark.parametrize(
    "error, expected",
    [
        (torch.OutOfMemoryError("HIP out of memory. Tried to allocate 2 GiB"), True),
        (RuntimeError("MPS backend out of memory (MPS allocated: 8 GB)"), True),
        (RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory: 9 bytes"), True),
        (RuntimeError("could not create a primitive"), True),  # oneDNN
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_NOT_SUPPORTED. This error may appear if"), True),
        (RuntimeError("expected scalar type Float but found Half"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_what_backends_say_when_memory_runs_out_is_known(error, expected):
    assert is_out_of_memory(error) is expected


def test_the_cache_of_the_device_itself_is_emptied(monkeypatch):
    emptied = []
    monkeypatch.setattr(torch, "mps", SimpleNamespace(empty_cache=lambda: emptied.append("mps")))
    empty_cache(torch.device("mps"))
    empty_cache(CPU)  # has none
    assert emptied == ["mps"]


def counting(calls):
    def count(batch):
        calls.append(batch["rows"].tolist())
        return compute(batch)

    return count


@pytest.mark.parametrize("rounds", [3, 5])
def test_a_process_computes_as_often_as_the_others_and_answers_each_protein_once(rounds):
    calls = []
    lengths = [10, 300, 20, 90, 100, 20]
    found = list(run_batches(lengths, collate, counting(calls), CPU, 200, rounds=rounds))
    assert [rows for rows, _ in found] == [[1], [4, 3], [2, 5, 0]]
    assert calls == [[1], [4, 3], [2, 5, 0]] + (rounds - 3) * [[2, 5, 0]]


@pytest.mark.parametrize("lengths, rounds", [([10, 300, 20], 1), ([], 1)])
def test_rounds_that_cannot_do_are_refused_before_other_processes_wait(lengths, rounds):
    calls = []
    with pytest.raises(ValueError, match=f"rounds={rounds}: expected at least"):
        list(run_batches(lengths, collate, counting(calls), CPU, 200, rounds=rounds))
    assert not calls


def test_no_batch_is_halved_where_processes_compute_together():
    sizes = []

    def fail(batch):
        sizes.append(batch["count"])
        raise torch.OutOfMemoryError("CUDA out of memory.")

    with pytest.raises(torch.OutOfMemoryError):
        list(run_batches([7, 7], collate, fail, CPU, 200, rounds=1))
    assert sizes == [2]


def test_gradients_are_left_alone_between_batches():
    with torch.enable_grad():
        for _ in run_batches([5, 6], collate, compute, CPU, 6):
            assert torch.is_grad_enabled() and not torch.is_inference_mode_enabled()


@pytest.mark.parametrize(("widest", "tokens"), [(64, 16_384), (256, 10_240), (1280, 2048), (4096, 2048)])
def test_batches_of_a_narrow_network_are_larger_on_a_cpu(widest, tokens):
    network = torch.nn.Sequential(torch.nn.Linear(32, widest), torch.nn.Linear(widest, 32))
    assert default_tokens(network) == tokens
    assert default_tokens(network.to("meta")) == DEVICE_TOKENS


def test_the_help_tells_the_size_of_batches_that_a_device_gets():
    parser = OneLineParser()
    add_compute_options(parser)
    assert parser.parse_args([]).tokens_per_batch is None
    help = " ".join(parser.format_help().split())
    assert f"default: {CPU_TOKENS[0]} to {CPU_TOKENS[1]} on a CPU, {DEVICE_TOKENS} on a GPU)" in help


@given(st.lists(st.integers(1, 60), max_size=60), st.integers(1, 100), st.integers(2, 4), st.integers(1, 9))
@settings(deadline=None)  # threads wait for a busy machine
def test_several_batches_at_a_time_answer_every_protein_once(lengths, tokens, at_a_time, room):
    def on_a_small_device(batch):
        if batch["count"] > room:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
        return compute(batch)

    told = []
    found = list(run_batches(lengths, collate, on_a_small_device, CPU, tokens, told.append, at_a_time=at_a_time))
    assert sorted(row for rows, _ in found for row in rows) == list(range(len(lengths)))
    assert all(rows == result for rows, result in found)
    assert told == [len(rows) for rows, _ in found]


def test_threads_compute_batches_at_the_same_time_and_share_the_cores(torch_threads):
    torch_threads(4)
    at_once = threading.Barrier(2, timeout=30)
    caller, seen, collated = threading.current_thread(), {}, set()

    def collate_here(rows):
        collated.add(threading.current_thread())
        return collate(rows)

    def wait_for_the_other(batch):
        at_once.wait()
        seen[threading.current_thread().name] = torch.get_num_threads()
        return compute(batch)

    found = list(run_batches([9] * 8, collate_here, wait_for_the_other, CPU, 9, at_a_time=2))
    assert [rows for rows, _ in found] == [[row] for row in range(8)]
    assert (seen, collated) == ({"batch_0": 2, "batch_1": 2}, {caller})
    assert torch.get_num_threads() == threads_of_a_new_thread() == 4


def test_a_protein_longer_than_a_batch_has_every_core_to_itself(torch_threads):
    torch_threads(2)
    lengths, seen = [9] * 20 + [40, 30], {}

    def note(batch):
        row = batch["rows"][0].item()
        time.sleep(0.1 if row >= 20 else 0)  # time for others to begin
        seen[row] = torch.get_num_threads()
        return compute(batch)

    list(run_batches(lengths, collate, note, CPU, 10, at_a_time=2))
    assert list(seen)[:2] == [20, 21]
    assert {row for row, threads in seen.items() if threads == 2} == {20, 21}


def test_few_batches_are_computed_one_after_the_other():
    threads = set()

    def note(batch):
        threads.add(threading.current_thread())
        return compute(batch)

    list(run_batches([9] * 7, collate, note, CPU, 9, at_a_time=2))
    assert threads == {threading.current_thread()}


def test_nothing_is_computed_after_an_error_or_an_interrupt(torch_threads):
    torch_threads(2)
    computed = []

    def fail_at_the_third(batch):
        time.sleep(0.01)
        computed.append(batch["rows"].tolist())
        if batch["rows"].tolist() == [2]:
            raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")
        return compute(batch)

    with pytest.raises(RuntimeError, match="shapes"):
        list(run_batches([9] * 100, collate, fail_at_the_third, CPU, 9, at_a_time=2))
    assert no_thread_computes() and len(computed) < 10
    assert torch.get_num_threads() == threads_of_a_new_thread() == 2

    def interrupt(count):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(run_batches([9] * 100, collate, counting(computed), CPU, 9, interrupt, at_a_time=2))
    assert no_thread_computes() and len(computed) < 20


def no_thread_computes():
    return not [thread for thread in threading.enumerate() if thread.name.startswith("batch_")]


def threads_of_a_new_thread():
    found = []
    thread = threading.Thread(target=lambda: found.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    return found[0]


@pytest.mark.parametrize("threads, expected", [(1, 1), (2, 2), (16, 4)])
def test_packed_batches_of_a_small_model_are_computed_several_at_a_time_on_a_cpu(threads, expected, torch_threads):
    torch_threads(threads)
    classifier = build_classifier()
    assert batches_at_a_time(classifier) == 1  # padded: transformers' older rotary embeddings keep the last length
    assert classifier.enable_packing() is None
    assert batches_at_a_time(classifier) == expected
    assert batches_at_a_time(classifier.to("meta")) == 1


def test_a_wide_model_computes_one_batch_at_a_time(torch_threads):
    torch_threads(2)
    classifier = build_classifier()
    classifier.enable_packing()
    classifier.backbone.extra = torch.nn.Linear(1, 4096, device="meta")  # as ProtBERT's intermediate layers
    assert batches_at_a_time(classifier) == 1
