import numpy as np
import pytest
import torch
from accelerate.data_loader import prepare_data_loader
from hypothesis import given, settings
from hypothesis import strategies as st

from protbert_classify.errors import InputError
from protbert_classify.training.batching import LengthGroupedBatches, PaddingCollator

LENGTHS = st.lists(st.integers(3, 2000), min_size=1, max_size=200)


@st.composite
def batches_of_proteins(draw):
    lengths = draw(LENGTHS)
    world_size = draw(st.integers(1, min(4, len(lengths))))
    return LengthGroupedBatches(lengths, draw(st.integers(1, 40)), world_size, draw(st.integers(0, 9)))


@settings(max_examples=150, deadline=None)
@given(batches_of_proteins(), st.integers(0, 5))
def test_each_protein_comes_exactly_once_an_epoch_whatever_the_world_size(batches, epoch):
    batches.set_epoch(epoch)
    assert sorted(index for batch in batches for index in batch) == list(range(len(batches.lengths)))


@settings(max_examples=100, deadline=None)
@given(LENGTHS, st.integers(1, 40), st.data())
def test_batches_are_never_larger_than_asked_nor_empty_and_are_as_many_in_every_epoch(lengths, batch_size, data):
    world_size = data.draw(st.integers(1, min(4, len(lengths))))
    batches = LengthGroupedBatches(lengths, batch_size, world_size)
    assert len(batches) % world_size == 0
    for epoch in range(3):
        batches.set_epoch(epoch)
        sizes = [len(batch) for batch in batches]
        assert len(sizes) == len(batches)
        assert 1 <= min(sizes) and max(sizes) <= max(batch_size, 2 if len(lengths) % world_size else 1)
        assert max(sizes) - min(sizes) <= 1


def test_batches_of_one_that_do_not_deal_evenly_pair_the_shortest_proteins():
    lengths = np.arange(10, 110, 10)
    batches = LengthGroupedBatches(lengths, batch_size=1, world_size=4)
    assert len(batches) == 8
    assert sorted(index for batch in batches if len(batch) == 2 for index in batch) == [0, 1, 2, 3]


@settings(max_examples=50, deadline=None)
@given(batches_of_proteins(), st.integers(0, 5))
def test_the_longest_proteins_come_first_so_that_memory_runs_out_at_once_or_never(batches, epoch):
    batches.set_epoch(epoch)
    first_round = [index for batch in list(batches)[: batches.world_size] for index in batch]
    assert batches.lengths[first_round].max() == batches.lengths.max()


@pytest.mark.parametrize("world_size", [1, 2, 3])
def test_the_longest_proteins_come_first_in_large_data_too(world_size):
    lengths = np.random.default_rng(0).permutation(5000)
    batches = LengthGroupedBatches(lengths, 4, world_size)
    for epoch in range(20):
        batches.set_epoch(epoch)
        first_round = [index for _, batch in zip(range(world_size), batches) for index in batch]
        assert lengths[first_round].max() == 4999


def test_the_order_follows_from_seed_and_epoch_alone_so_that_a_resumed_run_repeats_it():
    lengths = np.random.default_rng(0).integers(10, 500, 300)
    first, again = LengthGroupedBatches(lengths, 8, seed=5), LengthGroupedBatches(lengths, 8, seed=5)
    list(first)  # a former epoch leaves no trace
    np.random.seed(1)
    torch.manual_seed(1)
    for batches in (first, again):
        batches.set_epoch(3)
    assert list(first) == list(again)


@pytest.mark.parametrize("change", ["epoch", "seed"])
def test_another_epoch_or_seed_is_another_order(change):
    lengths = np.random.default_rng(0).integers(10, 500, 300)
    batches = LengthGroupedBatches(lengths, 8, seed=5)
    other = LengthGroupedBatches(lengths, 8, seed=6 if change == "seed" else 5)
    other.set_epoch(1 if change == "epoch" else 0)
    assert list(batches) != list(other)
    # not the same batches in another order either: neighbours change, too
    assert {frozenset(batch) for batch in batches} != {frozenset(batch) for batch in other}


@pytest.mark.parametrize("batch_size", [8, 32])
@pytest.mark.parametrize("cap", [512, 1536])
def test_padding_wastes_little_on_real_proteins(scl2205, cap, batch_size):
    from protbert_classify.data.deeploc import read_deeploc

    residues = np.asarray(read_deeploc(scl2205[0])["train"]["sequence_length"])
    lengths = np.minimum(residues + 2, cap)
    for world_size in (1, 2):
        batches = LengthGroupedBatches(lengths, batch_size, world_size)
        padded = sum(len(batch) * lengths[batch].max() for batch in batches)
        assert 1 - lengths.sum() / padded <= 0.015


def test_batches_dealt_at_the_same_time_have_similar_lengths_so_that_no_process_waits():
    lengths = np.random.default_rng(0).integers(10, 1000, 4000)
    longest = [lengths[batch].max() for batch in LengthGroupedBatches(lengths, 8, 2)]
    apart = np.abs(np.array(longest[::2]) - np.array(longest[1::2]))
    assert apart.mean() < 20


def test_fewer_proteins_than_processes_are_refused_in_words():
    with pytest.raises(InputError, match="1 proteins? cannot be dealt to 2 processes"):
        LengthGroupedBatches([10], 8, world_size=2)


@pytest.mark.parametrize("count", [16, 17, 37, 64, 65])
@pytest.mark.parametrize("world_size", [1, 2, 3])
def test_accelerate_deals_every_protein_to_one_process_and_only_once(count, world_size):
    lengths = np.random.default_rng(count).integers(5, 100, count)
    seen, steps = [], set()
    for rank in range(world_size):
        loader = torch.utils.data.DataLoader(range(count), batch_sampler=LengthGroupedBatches(lengths, 4, world_size))
        shard = prepare_data_loader(loader, num_processes=world_size, process_index=rank, put_on_device=False)
        batches = [batch.tolist() for batch in shard]
        assert len(batches) == len(shard)
        steps.add(len(batches))
        seen += [index for batch in batches for index in batch]
    assert sorted(seen) == list(range(count))
    assert len(steps) == 1  # else one process would wait for the others for ever


def test_the_collator_pads_on_the_right_and_masks_what_it_padded():
    proteins = [
        {"input_ids": np.array([2, 7, 3], np.uint8), "labels": np.int64(1)},
        {"input_ids": np.array([2, 250, 9, 11, 3], np.uint8), "labels": np.int64(0)},
    ]
    batch = PaddingCollator(1)(proteins)
    assert batch["input_ids"].tolist() == [[2, 7, 3, 1, 1], [2, 250, 9, 11, 3]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]]
    assert batch["labels"].tolist() == [1, 0]
    assert {tensor.dtype for tensor in batch.values()} == {torch.int64}


def test_the_collator_leaves_labels_out_where_there_are_none():
    assert set(PaddingCollator(0)([{"input_ids": [2, 5, 3]}])) == {"input_ids", "attention_mask"}
