from unittest.mock import patch

import numpy as np
import pytest
import torch
from accelerate.data_loader import prepare_data_loader
from hypothesis import given, settings
from hypothesis import strategies as st

from protbert_classify.errors import InputError, OptionError
from protbert_classify.training import batching
from protbert_classify.training.batching import LengthGroupedBatches, TokenBudgetBatches

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


def real_lengths(scl2205, cap):
    from protbert_classify.data.deeploc import read_deeploc

    return np.minimum(np.asarray(read_deeploc(scl2205[0])["train"]["sequence_length"]) + 2, cap)


@pytest.mark.parametrize("batch_size", [8, 32])
@pytest.mark.parametrize("cap", [512, 1536])
def test_padding_wastes_little_on_real_proteins(scl2205, cap, batch_size):
    lengths = real_lengths(scl2205, cap)
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


# so many tokens a batch


@st.composite
def batches_of_tokens(draw, packed=None, pools=(1, 2, 128)):
    lengths = draw(LENGTHS)
    world_size = draw(st.integers(1, min(8, len(lengths))))
    tokens = max(lengths) + draw(st.one_of(st.just(0), st.integers(0, 8000)))
    packed = draw(st.booleans()) if packed is None else packed
    with patch.object(batching, "POOL", draw(st.sampled_from(pools))):  # small: several pools in little data
        return TokenBudgetBatches(lengths, tokens, world_size, draw(st.integers(0, 9)), packed)


@st.composite
def batches_of_one(draw):
    # a budget that holds no two proteins
    lengths = draw(st.lists(st.integers(90, 100), min_size=1, max_size=60))
    world_size = draw(st.integers(1, min(8, len(lengths))))
    with patch.object(batching, "POOL", draw(st.sampled_from([1, 2, 8, 128]))):
        return TokenBudgetBatches(lengths, draw(st.integers(100, 180)), world_size, 0, draw(st.booleans()))


def tokens_of(batches, batch):
    return batches.lengths[batch].sum() if batches.packed else len(batch) * batches.lengths[batch].max()


def fewest_padded_batches(batches):
    """Of proteins sorted by length, each batch as full as can be."""
    count = room = 0
    for length in np.sort(batches.lengths)[::-1]:
        if not room:
            count, room = count + 1, batches.tokens // length
        room -= 1
    return count


def several_epochs(batches, epochs=3):
    for epoch in range(epochs):
        batches.set_epoch(epoch)
        yield list(batches)


either_way = pytest.mark.parametrize("packed", [False, True], ids=["padded", "packed"])


@settings(max_examples=150, deadline=None)
@given(batches_of_tokens())
def test_with_a_budget_each_protein_comes_exactly_once_an_epoch_whatever_the_world_size(batches):
    for dealt in several_epochs(batches):
        assert sorted(index for batch in dealt for index in batch) == list(range(len(batches.lengths)))


@settings(max_examples=150, deadline=None)
@given(st.one_of(batches_of_tokens(), batches_of_one()))
def test_with_a_budget_batches_are_as_many_in_every_epoch_go_round_and_are_not_empty(batches):
    for dealt in several_epochs(batches):
        assert len(dealt) == len(batches)
        assert len(dealt) % batches.world_size == 0
        assert all(dealt)


def test_with_a_budget_single_proteins_of_several_pools_go_round_too():
    batches = TokenBudgetBatches([100] * 1000, 100, world_size=3)
    assert len(batches) % 3 == 0


@pytest.mark.parametrize(
    ("lengths", "world_size"),
    [
        ([3, 3, 3, 3, 3, 3, 4, 4, 7], 3),
        ([3, 3, 504, 504, 506], 4),
        ([3] * 8 + [448] * 3 + [1316, 1306, 1308, 1308, 1308, 1308], 3),
    ],
)
def test_several_pools_are_one_where_their_batches_would_be_above_the_budget(monkeypatch, lengths, world_size):
    monkeypatch.setattr(batching, "POOL", 1)
    batches = TokenBudgetBatches(lengths, max(lengths), world_size)
    for dealt in several_epochs(batches):
        assert max(tokens_of(batches, batch) for batch in dealt) <= batches.tokens


@settings(max_examples=200, deadline=None)
@given(st.one_of(batches_of_tokens(), batches_of_one()))
def test_no_batch_is_above_the_budget_unless_there_are_too_few_proteins_to_go_round(batches):
    count, world_size = len(batches.lengths), batches.world_size
    most = count // world_size * world_size
    for dealt in several_epochs(batches):
        if max(tokens_of(batches, batch) for batch in dealt) > batches.tokens:
            assert count % world_size and len(dealt) == most
            assert batches.packed or fewest_padded_batches(batches) > most


@settings(max_examples=200, deadline=None)
@given(st.one_of(batches_of_tokens(), batches_of_one()))
def test_a_batch_above_the_budget_is_a_pair(batches):
    for dealt in several_epochs(batches):
        assert all(len(batch) == 2 for batch in dealt if tokens_of(batches, batch) > batches.tokens)


@either_way
def test_proteins_that_do_not_go_round_go_in_pairs_and_not_all_into_one_batch(packed):
    batches = TokenBudgetBatches([100] * 15, 100, world_size=8, packed=packed)
    assert sorted(map(len, batches)) == [1, 2, 2, 2, 2, 2, 2, 2]


@settings(max_examples=150, deadline=None)
@given(batches_of_tokens(packed=True))
def test_packed_batches_are_alike_so_that_no_process_waits(batches):
    ranked = np.sort(batches.lengths)[::-1]
    strata = [ranked[start : start + len(batches)] for start in range(0, len(ranked), len(batches))]
    strata[-1] = np.append(strata[-1], [0] * (len(strata) * len(batches) - len(ranked)))
    widest = max(stratum.max() - stratum.min() for stratum in strata)
    for dealt in several_epochs(batches):
        proteins, tokens = [len(batch) for batch in dealt], [batches.lengths[batch].sum() for batch in dealt]
        assert max(proteins) - min(proteins) <= 1
        assert max(tokens) - min(tokens) <= widest


@settings(max_examples=100, deadline=None)
@given(batches_of_tokens(packed=False, pools=[128]))
def test_with_a_budget_the_longest_protein_comes_first(batches):
    for dealt in several_epochs(batches):
        first_round = [index for batch in dealt[: batches.world_size] for index in batch]
        assert batches.lengths[first_round].max() == batches.lengths.max()


@pytest.mark.parametrize("world_size", [1, 2, 3])
def test_with_a_budget_the_longest_protein_comes_first_in_large_data_too(world_size):
    batches = TokenBudgetBatches(1 + np.random.default_rng(0).permutation(5000), 20_000, world_size)
    for dealt in several_epochs(batches, 20):
        first_round = [index for batch in dealt[:world_size] for index in batch]
        assert batches.lengths[first_round].max() == 5000


@either_way
def test_with_a_budget_the_order_follows_from_seed_and_epoch_alone(packed):
    lengths = np.random.default_rng(0).integers(10, 500, 300)
    first, again = (TokenBudgetBatches(lengths, 2048, seed=5, packed=packed) for _ in range(2))
    list(first)  # a former epoch leaves no trace
    np.random.seed(1)
    torch.manual_seed(1)
    for batches in (first, again):
        batches.set_epoch(3)
    assert list(first) == list(again)


@pytest.mark.parametrize("change", ["epoch", "seed"])
@either_way
def test_with_a_budget_another_epoch_or_seed_is_another_order_and_has_other_neighbours(packed, change):
    lengths = np.random.default_rng(0).integers(10, 500, 5000)
    batches = TokenBudgetBatches(lengths, 2048, seed=5, packed=packed)
    other = TokenBudgetBatches(lengths, 2048, seed=6 if change == "seed" else 5, packed=packed)
    other.set_epoch(1 if change == "epoch" else 0)
    kept = {frozenset(batch) for batch in batches} & {frozenset(batch) for batch in other}
    assert len(kept) < 0.1 * len(batches)


@either_way
def test_a_budget_below_the_longest_protein_is_refused_in_words(packed):
    with pytest.raises(OptionError, match="tokens_per_batch=99: the longest protein has 100 tokens"):
        TokenBudgetBatches([10, 100], 99, packed=packed)


@either_way
def test_with_a_budget_fewer_proteins_than_processes_are_refused_in_words(packed):
    with pytest.raises(InputError, match="1 proteins? cannot be dealt to 2 processes"):
        TokenBudgetBatches([10], 100, world_size=2, packed=packed)


@pytest.mark.parametrize("world_size", [1, 2, 8])
@pytest.mark.parametrize("cap", [512, 1536])
def test_padding_to_a_budget_wastes_little_on_real_proteins(scl2205, cap, world_size):
    lengths = real_lengths(scl2205, cap)
    batches = TokenBudgetBatches(lengths, 4096, world_size)
    assert 1 - lengths.sum() / sum(tokens_of(batches, batch) for batch in batches) <= 0.015


@pytest.mark.parametrize("world_size", [1, 2, 8])
@pytest.mark.parametrize("cap", [512, 1536])
def test_packed_batches_of_real_proteins_nearly_fill_the_budget_and_never_pass_it(scl2205, cap, world_size):
    lengths = real_lengths(scl2205, cap)
    batches = TokenBudgetBatches(lengths, 4096, world_size, packed=True)
    tokens = np.array([tokens_of(batches, batch) for batch in batches])
    assert tokens.max() <= 4096
    assert tokens.mean() >= (0.95 if cap == 512 else 0.8) * 4096


@pytest.mark.parametrize("count", [16, 17, 37, 64, 65])
@pytest.mark.parametrize("world_size", [1, 2, 3])
@either_way
def test_accelerate_deals_every_protein_of_a_budget_to_one_process_and_only_once(packed, world_size, count):
    lengths = np.random.default_rng(count).integers(5, 100, count)
    batches = [TokenBudgetBatches(lengths, 300, world_size, packed=packed) for _ in range(world_size)]
    seen, steps = [], set()
    for rank in range(world_size):
        loader = torch.utils.data.DataLoader(range(count), batch_sampler=batches[rank])
        shard = prepare_data_loader(loader, num_processes=world_size, process_index=rank, put_on_device=False)
        dealt = [batch.tolist() for batch in shard]
        assert len(dealt) == len(shard)
        steps.add(len(dealt))
        seen += [index for batch in dealt for index in batch]
    assert sorted(seen) == list(range(count))
    assert len(steps) == 1  # else one process would wait for the others for ever
