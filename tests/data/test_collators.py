import math
from itertools import combinations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from protbert_classify.data.collators import (
    PackingCollator,
    PaddingCollator,
    collate_labels,
    split_batch,
    split_by_tokens,
)


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


@pytest.mark.parametrize(
    "length, multiple, max_length, width",
    [
        (30, 32, None, 32),
        (32, 32, None, 32),
        (33, 32, None, 64),
        (33, None, None, 33),
        (33, 32, 50, 50),
        (33, 32, 20, 33),
    ],
)
def test_lengths_are_rounded_up_to_a_multiple_but_never_beyond_the_positions_of_the_backbone(
    length, multiple, max_length, width
):
    batch = PaddingCollator(1, multiple, max_length)([{"input_ids": [5] * length}, {"input_ids": [5]}])
    assert batch["input_ids"].shape == batch["attention_mask"].shape == (2, width)
    assert batch["attention_mask"].sum(1).tolist() == [length, 1]
    assert (batch["input_ids"] == 1).sum(1).tolist() == [width - length, width - 1]


def test_a_thousand_lengths_make_few_kernels_on_a_cpu():
    collate = PaddingCollator(0, pad_to_multiple_of=32)
    assert len({collate([{"input_ids": [5] * length}])["input_ids"].shape for length in range(1, 1001)}) == 32


def test_the_packing_collator_lays_proteins_into_one_row_with_their_boundaries():
    proteins = [
        {"input_ids": np.array([2, 7, 3], np.uint8), "labels": np.int64(1)},
        {"input_ids": np.array([2, 250, 9, 11, 3], np.uint8), "labels": np.int64(0)},
        {"input_ids": [2, 3], "labels": 2},
    ]
    batch = PackingCollator()(proteins)
    assert batch["input_ids"].tolist() == [[2, 7, 3, 2, 250, 9, 11, 3, 2, 3]]
    assert batch["position_ids"].tolist() == [[0, 1, 2, 0, 1, 2, 3, 4, 0, 1]]
    assert batch["cu_seq_lens_q"].tolist() == [0, 3, 8, 10]
    assert batch["max_length_q"] == 5 and isinstance(batch["max_length_q"], int)
    assert batch["labels"].tolist() == [1, 0, 2]
    assert {batch[name].dtype for name in ("input_ids", "position_ids", "labels")} == {torch.int64}
    assert batch["cu_seq_lens_q"].dtype == torch.int32


def test_the_packing_collator_leaves_labels_out_where_there_are_none():
    batch = PackingCollator()([{"input_ids": [2, 5, 3]}])
    assert set(batch) == {"input_ids", "position_ids", "cu_seq_lens_q", "max_length_q"}


@settings(max_examples=100, deadline=None)
@given(st.lists(st.lists(st.integers(0, 255), min_size=1, max_size=60), min_size=1, max_size=20))
def test_packed_proteins_can_be_told_apart_again(proteins):
    batch = PackingCollator()([{"input_ids": np.array(protein, np.uint8)} for protein in proteins])
    ends = batch["cu_seq_lens_q"].tolist()
    cut = [slice(start, stop) for start, stop in zip(ends[:-1], ends[1:], strict=True)]
    assert [batch["input_ids"][0, place].tolist() for place in cut] == proteins
    assert [batch["position_ids"][0, place].tolist() for place in cut] == [list(range(len(p))) for p in proteins]
    assert batch["max_length_q"] == max(map(len, proteins))


@pytest.mark.parametrize("label", [np.int64(3), 3, np.uint8(3), torch.tensor(3)])
def test_a_class_is_an_integer_whatever_type_the_column_has(label):
    labels = collate_labels([{"labels": label}, {"labels": label}])
    assert set(labels) == {"labels"}
    assert labels["labels"].dtype == torch.int64 and labels["labels"].tolist() == [3, 3]


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.uint8, bool, list])
def test_several_labels_are_float_vectors_as_binary_cross_entropy_wants_them(dtype):
    vectors = [[1, 0, 1], [0, 0, 1]]
    given_vectors = vectors if dtype is list else [np.array(vector, dtype) for vector in vectors]
    labels = collate_labels([{"labels": vector} for vector in given_vectors])["labels"]
    assert labels.dtype == torch.float32 and labels.tolist() == vectors


def test_one_number_a_protein_stays_a_number_and_is_not_cut_to_a_class():
    labels = collate_labels([{"labels": 0.25}, {"labels": 1.0}])["labels"]
    assert labels.dtype == torch.float32 and labels.tolist() == [0.25, 1.0]


@pytest.mark.parametrize("unknown", [float("nan"), None])
def test_unknown_auxiliary_labels_stay_unknown(unknown):
    proteins = [{"labels": 1, "auxiliary_labels": [1.0, unknown]}, {"labels": 0, "auxiliary_labels": [0.0, 0.5]}]
    labels = collate_labels(proteins)
    assert labels["auxiliary_labels"].dtype == torch.float32
    assert torch.equal(labels["auxiliary_labels"].isnan(), torch.tensor([[False, True], [False, False]]))
    assert labels["auxiliary_labels"].nan_to_num().tolist() == [[1.0, 0.0], [0.0, 0.5]]
    assert labels["labels"].tolist() == [1, 0]


@pytest.mark.parametrize("collate", [PaddingCollator(0), PackingCollator()])
def test_both_collators_carry_every_kind_of_label(collate):
    proteins = [{"input_ids": [2, 3], "labels": [1.0, 0.0], "auxiliary_labels": [0.5]}] * 2
    batch = collate(proteins)
    assert batch["labels"].tolist() == [[1.0, 0.0]] * 2
    assert batch["auxiliary_labels"].tolist() == [[0.5]] * 2


# a batch to smaller ones


KINDS = ("padded", "packed", "embeddings")
MULTIPLE = 8


def made_of(lengths, kind, multiple=None):
    """A batch of such proteins, each with ids and labels of its own."""
    proteins = [
        {"input_ids": 100 * row + np.arange(length), "labels": [row, 1.0], "auxiliary_labels": [row / 2]}
        for row, length in enumerate(lengths)
    ]
    if kind == "packed":
        return PackingCollator()(proteins)
    batch = PaddingCollator(0, multiple)(proteins)
    if kind == "embeddings":
        batch["last_hidden_state"] = torch.stack([batch["input_ids"], -batch.pop("input_ids")], -1).float()
    return batch


def proteins_of(batch):
    """(tokens, label, auxiliary label) of each protein."""
    if "cu_seq_lens_q" in batch:
        ends = batch["cu_seq_lens_q"].tolist()
        places = [(0, slice(*pair)) for pair in zip(ends[:-1], ends[1:], strict=True)]
    else:
        places = [(row, slice(int(mask.sum()))) for row, mask in enumerate(batch["attention_mask"])]
    tokens = batch["input_ids"] if "input_ids" in batch else batch["last_hidden_state"]
    labels = zip(places, batch["labels"].tolist(), batch["auxiliary_labels"].tolist(), strict=True)
    return [(tokens[place].tolist(), label, auxiliary) for place, label, auxiliary in labels]


def tokens_in(batch):
    return (batch["input_ids"] if "input_ids" in batch else batch["attention_mask"]).numel()


def tokens_in_parts(lengths, borders, kind, multiple):
    pieces = np.split(np.array(lengths), borders)
    if kind == "packed":
        return [int(piece.sum()) for piece in pieces]
    widest = math.ceil(max(lengths) / multiple) * multiple
    return [len(piece) * min(math.ceil(piece.max() / multiple) * multiple, widest) for piece in pieces]


def ways_to_cut(lengths, count):
    return map(list, combinations(range(1, len(lengths)), count - 1))


@st.composite
def batches(draw, most=12):
    lengths = draw(st.lists(st.integers(1, 60), min_size=1, max_size=most))
    kind, multiple = draw(st.sampled_from(KINDS)), draw(st.sampled_from([None, MULTIPLE]))
    return lengths, kind, None if kind == "packed" else multiple


def assert_well_formed(part, multiple):
    """What the collator would have made of the same proteins."""
    rows = len(part["labels"])
    if "cu_seq_lens_q" in part:
        lengths = part["cu_seq_lens_q"].diff()
        assert part["cu_seq_lens_q"][0] == 0 and part["cu_seq_lens_q"].dtype == torch.int32
        assert part["max_length_q"] == int(lengths.max()) and isinstance(part["max_length_q"], int)
        assert part["position_ids"].tolist() == [[place for length in lengths for place in range(length)]]
        assert part["input_ids"].shape == (1, int(lengths.sum())) and len(lengths) == rows
    else:
        longest = int(part["attention_mask"].sum(1).max())
        assert part["attention_mask"].shape == (rows, math.ceil(longest / (multiple or 1)) * (multiple or 1))


@settings(max_examples=200, deadline=None)
@given(batches(), st.integers(1, 400))
def test_parts_put_together_are_the_whole_and_none_has_more_tokens_than_asked(made, tokens):
    lengths, kind, multiple = made
    batch = made_of(lengths, kind, multiple)
    parts = split_by_tokens(batch, tokens, multiple)
    assert [protein for part in parts for protein in proteins_of(part)] == proteins_of(batch)
    for part in parts:
        assert_well_formed(part, multiple)
        assert tokens_in(part) <= tokens or len(part["labels"]) == 1


@settings(max_examples=100, deadline=None)
@given(batches(most=8), st.integers(1, 300))
def test_parts_are_as_few_as_the_tokens_allow_and_the_fullest_is_as_small_as_it_can_be(made, tokens):
    lengths, kind, multiple = made
    parts = split_by_tokens(made_of(lengths, kind, multiple), tokens, multiple)

    def is_allowed(borders):
        costs = tokens_in_parts(lengths, borders, kind, multiple or 1)
        sizes = np.diff([0, *borders, len(lengths)])
        return all(cost <= tokens or size == 1 for cost, size in zip(costs, sizes, strict=True))

    fewest = next(n for n in range(1, 9) if any(is_allowed(borders) for borders in ways_to_cut(lengths, n)))
    assert len(parts) == fewest
    assert_fullest_is_smallest(parts, lengths, kind, multiple)


def assert_fullest_is_smallest(parts, lengths, kind, multiple):
    """Smallest among all ways to cut the batch into as many parts; single proteins cannot be smaller."""

    def fullest(borders):
        costs = tokens_in_parts(lengths, borders, kind, multiple or 1)
        sizes = np.diff([0, *borders, len(lengths)])
        return max((cost for cost, size in zip(costs, sizes, strict=True) if size > 1), default=0)

    found = np.cumsum([len(part["labels"]) for part in parts])[:-1].tolist()
    assert fullest(found) == min(fullest(borders) for borders in ways_to_cut(lengths, len(parts)))


@settings(max_examples=150, deadline=None)
@given(batches(most=8), st.integers(1, 10))
def test_a_batch_is_split_into_exactly_so_many_parts_so_that_no_process_waits_for_another(made, count):
    lengths, kind, multiple = made
    batch = made_of(lengths, kind, multiple)
    parts = split_batch(batch, count, multiple)
    assert len(parts) == min(count, len(lengths))
    assert [protein for part in parts for protein in proteins_of(part)] == proteins_of(batch)
    for part in parts:
        assert_well_formed(part, multiple)
    assert_fullest_is_smallest(parts, lengths, kind, multiple)


@settings(max_examples=100, deadline=None)
@given(batches(), st.integers(1, 400), st.integers(0, 5))
def test_more_parts_than_the_tokens_ask_for_have_no_more_tokens_each(made, tokens, more):
    lengths, kind, multiple = made
    batch = made_of(lengths, kind, multiple)
    for part in split_batch(batch, len(split_by_tokens(batch, tokens, multiple)) + more, multiple):
        assert tokens_in(part) <= tokens or len(part["labels"]) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_halves_have_about_equal_tokens_and_a_single_protein_stays_whole(kind):
    first, second = split_batch(made_of((5, 3, 4), kind), 2)
    assert first["labels"].tolist() == [[0, 1]]
    assert second["labels"].tolist() == [[1, 1], [2, 1]]
    assert second["auxiliary_labels"].tolist() == [[0.5], [1.0]]
    if kind == "packed":
        assert second["cu_seq_lens_q"].tolist() == [0, 3, 7]
        assert second["input_ids"].tolist() == [[100, 101, 102, 200, 201, 202, 203]]
        assert second["position_ids"].tolist() == [[0, 1, 2, 0, 1, 2, 3]]
        assert (first["max_length_q"], second["max_length_q"]) == (5, 4)
    else:
        assert second["attention_mask"].tolist() == [[1, 1, 1, 0], [1, 1, 1, 1]]
    assert len(split_batch(first, 2)) == 1


def test_parts_share_the_tokens_instead_of_leaving_a_tiny_rest():
    parts = split_by_tokens(made_of([10] * 9, "packed"), 80)
    assert [len(part["labels"]) for part in parts] == [5, 4]


def test_a_long_protein_goes_alone_and_does_not_pad_its_neighbours():
    parts = split_by_tokens(made_of([4, 4, 50, 4, 4], "padded"), 16)
    assert [tuple(part["input_ids"].shape) for part in parts] == [(2, 4), (1, 50), (2, 4)]


def test_padding_that_stops_at_the_last_position_is_counted_as_it_is():
    batch = PaddingCollator(0, 32, max_length=50)([{"input_ids": [5] * 45}, {"input_ids": [5] * 40}])
    (part,) = split_by_tokens(batch, 100, 32)
    assert part["input_ids"].shape == (2, 50)


def test_labels_as_wide_as_the_tokens_are_not_cut_with_the_padding():
    proteins = [{"input_ids": [2, 3], "labels": [1.0, 0.0, 1.0, 0.0]}, {"input_ids": [2, 5, 6, 3], "labels": [0.0] * 4}]
    first, _ = split_batch(PaddingCollator(0)(proteins), 2)
    assert first["input_ids"].shape == (1, 2)
    assert first["labels"].tolist() == [[1.0, 0.0, 1.0, 0.0]]


def test_a_batch_padded_on_the_left_by_another_collator_keeps_its_tokens():
    ids = torch.tensor([[0, 0, 2, 3], [2, 5, 6, 3]])
    first, second = split_batch({"input_ids": ids, "attention_mask": ids.ne(0).long()}, 2)
    assert first["input_ids"].tolist() == [[0, 0, 2, 3]] and second["input_ids"].tolist() == [[2, 5, 6, 3]]


def test_a_batch_without_a_mask_is_split_whole():
    first, second = split_batch({"input_ids": torch.arange(12).reshape(3, 4), "labels": torch.arange(3)}, 2)
    assert [len(first["labels"]), len(second["labels"])] in ([1, 2], [2, 1])
    assert torch.cat([first["input_ids"], second["input_ids"]]).flatten().tolist() == list(range(12))


def test_the_parts_of_a_batch_have_the_labels_of_their_tokens_and_those_of_their_proteins():
    ids = torch.tensor([[2, 7, 8, 9, 3], [2, 7, 3, 0, 0]])
    batch = {"input_ids": ids, "attention_mask": (ids > 0).long()}
    of_tokens = torch.where(ids == 7, ids, -100)
    first, second = split_by_tokens({**batch, "labels": of_tokens}, 5)
    assert (first["labels"].tolist(), second["labels"].tolist()) == (of_tokens[:1].tolist(), of_tokens[1:, :3].tolist())
    several = torch.tensor([[0.0, 1, 0, 1, 0], [1, 1, 0, 0, 0]])  # as many classes as tokens
    _, second = split_by_tokens({**batch, "labels": several}, 5)
    assert second["labels"].tolist() == several[1:].tolist()
