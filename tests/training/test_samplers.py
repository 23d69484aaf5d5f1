from itertools import combinations, pairwise

import numpy as np
import pytest
import torch
from accelerate.data_loader import prepare_data_loader
from hypothesis import given, settings
from hypothesis import strategies as st

from protbert_classify.errors import InputError
from protbert_classify.training.samplers import LengthGroupedBatches

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
        assert min(sizes) >= 1 and max(sizes) <= max(batch_size, 2 if len(lengths) % world_size else 1)
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


@settings(max_examples=100, deadline=None)
@given(LENGTHS, st.integers(1, 40), st.data())
def test_with_draws_each_protein_comes_about_as_often_as_wanted_and_an_epoch_is_as_long(lengths, batch_size, data):
    wanted = data.draw(st.lists(st.floats(0.05, 20), min_size=len(lengths), max_size=len(lengths)))
    draws = np.array(wanted) / np.mean(wanted)
    world_size = data.draw(st.integers(1, min(4, len(lengths))))
    batches = LengthGroupedBatches(lengths, batch_size, world_size, draws=draws)
    assert len(batches) == len(LengthGroupedBatches(lengths, batch_size, world_size))
    for epoch in range(3):
        batches.set_epoch(epoch)
        drawn = [index for batch in batches for index in batch]
        assert len(drawn) == len(lengths)
        often = np.bincount(drawn, minlength=len(lengths))
        assert (np.abs(often - draws) < 1 + 1e-9).all()


def test_over_the_epochs_a_protein_comes_as_often_as_its_draws_say():
    lengths, draws = np.full(50, 100), np.repeat([0.25, 1.75], 25)
    batches = LengthGroupedBatches(lengths, 10, draws=draws)
    often = sum(np.bincount(np.concatenate(epoch), minlength=50) for epoch in several_epochs(batches, 400)) / 400
    np.testing.assert_allclose(often, draws, atol=0.1)  # 4.6 standard deviations of a fair coin's mean
    assert len({tuple(sorted(np.concatenate(epoch))) for epoch in several_epochs(batches, 5)}) == 5


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


@pytest.fixture(scope="module")
def real_lengths(scl2205):
    """Tokens of 12,679 proteins."""
    from protbert_classify.data.deeploc import read_deeploc

    return np.asarray(read_deeploc(scl2205[0])["train"]["sequence_length"]) + 2


def several_epochs(batches, count=3):
    for epoch in range(count):
        batches.set_epoch(epoch)
        yield list(batches)


def padding(lengths, batches):
    return 1 - lengths.sum() / sum(len(batch) * lengths[batch].max() for batch in batches)


def pairs_that_meet_again(epoch, following):
    """Share of the pairs in an epoch's batches that share a batch in the following epoch, too."""
    home = {protein: place for place, batch in enumerate(following) for protein in batch}
    pairs = [[home[first] == home[second] for first, second in combinations(batch, 2)] for batch in epoch]
    return np.mean(np.concatenate(pairs))


# the table of LengthGroupedBatches' docstring, and longer proteins
@pytest.mark.parametrize(
    "cap, proteins, batch_size, most_padding, most_again",
    [
        (512, 12679, 8, 0.0025, 0.07),
        (512, 12679, 32, 0.011, 0.08),
        (512, 12679, 64, 0.022, 0.08),
        (512, 1500, 8, 0.019, 0.075),
        (512, 1500, 32, 0.053, 0.15),
        (512, 1500, 64, 0.063, 0.27),
        (1536, 12679, 8, 0.008, 0.08),
        (1536, 12679, 32, 0.032, 0.09),
        (1536, 12679, 64, 0.063, 0.09),
        (1536, 1500, 32, 0.09, 0.26),
    ],
)
def test_pairs_of_real_proteins_hardly_meet_again_in_the_next_epoch_at_little_padding(
    real_lengths, cap, proteins, batch_size, most_padding, most_again
):
    lengths = np.minimum(np.random.default_rng(0).permutation(real_lengths)[:proteins], cap)
    epochs = list(several_epochs(LengthGroupedBatches(lengths, batch_size)))
    assert np.mean([pairs_that_meet_again(*following) for following in pairwise(epochs)]) <= most_again
    assert np.mean([padding(lengths, epoch) for epoch in epochs]) <= most_padding


def test_the_longest_proteins_of_uncropped_data_do_not_widen_the_noise_of_the_others(real_lengths):
    assert padding(real_lengths, LengthGroupedBatches(real_lengths, 32)) <= 0.05


def test_proteins_of_equal_length_have_other_neighbours_in_each_epoch():
    first, second = several_epochs(LengthGroupedBatches([100] * 1000, 8), 2)
    assert pairs_that_meet_again(first, second) <= 0.03


def test_several_processes_shuffle_among_as_many_steps_as_one():
    lengths = np.random.default_rng(0).integers(10, 1000, 8000)
    one, four = LengthGroupedBatches(lengths, 32), LengthGroupedBatches(lengths, 8, world_size=4)
    assert one.noise == four.noise > 1


@settings(max_examples=50, deadline=None)
@given(batches_of_proteins(), st.integers(0, 5))
def test_the_longest_of_a_batch_come_first_so_that_its_parts_need_little_padding(batches, epoch):
    batches.set_epoch(epoch)
    for batch in batches:
        assert (np.diff(batches.lengths[batch]) <= 0).all()


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
