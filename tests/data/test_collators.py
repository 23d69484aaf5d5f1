import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from protbert_classify.data.collators import PackingCollator, PaddingCollator, halves


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


@pytest.mark.parametrize("collate", [PaddingCollator(0), PackingCollator()])
def test_halves_are_the_proteins_of_a_batch_in_their_order(collate):
    proteins = [{"input_ids": np.arange(2, 2 + n), "labels": n} for n in (5, 3, 4)]
    first, second = halves(collate(proteins))
    assert first["labels"].tolist() == [5]
    assert second["labels"].tolist() == [3, 4]
    if "cu_seq_lens_q" in second:
        assert second["cu_seq_lens_q"].tolist() == [0, 3, 7]
        assert second["input_ids"].tolist() == [[2, 3, 4, 2, 3, 4, 5]]
        assert second["position_ids"].tolist() == [[0, 1, 2, 0, 1, 2, 3]]
        assert (first["max_length_q"], second["max_length_q"]) == (5, 4)
    assert len(halves(first)) == 1
