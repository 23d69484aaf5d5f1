"""What is masked, what never is, and that a draw depends on the seed, the epoch and the protein alone."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from protbert_classify.data.alphabet import STANDARD
from protbert_classify.data.masking import MaskingCollator
from protbert_classify.data.tokenizer import protbert_tokenizer
from protbert_classify.errors import ModelError, OptionError

TOKENIZER = protbert_tokenizer()
PAD, MASK, CLS, SEP, X = (
    TOKENIZER.convert_tokens_to_ids(token) for token in ("[PAD]", "[MASK]", "[CLS]", "[SEP]", "X")
)
RESIDUES = set(TOKENIZER.convert_tokens_to_ids(list(STANDARD)))
PROTEINS = st.lists(st.text(STANDARD + "XBZU", min_size=1, max_size=60), min_size=1, max_size=5)


def encoded(*sequences):
    return [{"input_ids": np.array(TOKENIZER(sequence)["input_ids"], np.uint8)} for sequence in sequences]


def random_protein(length, seed=0):
    return "".join(np.random.default_rng(seed).choice(list(STANDARD), length))


def within_binomial(successes, trials, share):
    """Whether a count is no further from its mean than five standard deviations."""
    return abs(successes - trials * share) <= 5 * math.sqrt(trials * share * (1 - share))


def test_fifteen_percent_are_chosen_and_of_these_80_10_10_are_masked_replaced_and_kept():
    proteins = encoded(*(random_protein(400, seed) for seed in range(200)))
    batch = MaskingCollator(TOKENIZER, 512)(proteins)
    originals = torch.tensor(np.stack([protein["input_ids"] for protein in proteins]).astype(np.int64))
    chosen = batch["labels"] != -100
    assert chosen.sum(1).tolist() == [60] * 200
    now, before = batch["input_ids"][chosen], originals[chosen]
    total = len(now)
    assert within_binomial(int((now == MASK).sum()), total, 0.8)
    replaced = now[(now != MASK) & (now != before)]
    assert within_binomial(len(replaced), total, 0.1 * 19 / 20)  # one of 20 draws gives the same residue
    assert within_binomial(int((now == before).sum()), total, 0.1 + 0.1 / 20)
    counts = torch.bincount(replaced, minlength=30)
    assert set(torch.nonzero(counts).flatten().tolist()) == RESIDUES
    assert all(within_binomial(int(counts[residue]), len(replaced), 1 / 20) for residue in RESIDUES)
    # every place is as likely as any other
    where = chosen[:, 1:401].sum(0)
    assert where.min() > 0 and within_binomial(int(chosen[:, 1:201].sum()), total, 0.5)


@settings(max_examples=60, deadline=None)
@given(PROTEINS, st.integers(12, 40), st.integers(0, 5), st.floats(0.05, 1))
def test_of_any_proteins_only_known_residues_are_predicted_and_the_rest_stays(sequences, longest, epoch, share):
    collate = MaskingCollator(TOKENIZER, longest, share=share)
    collate.set_epoch(epoch)
    proteins = encoded(*sequences)
    batch = collate(proteins)
    ids, labels, there = batch["input_ids"], batch["labels"], batch["attention_mask"].bool()
    assert ids.shape == labels.shape == there.shape and {part.dtype for part in batch.values()} == {torch.int64}
    assert ids.shape[1] <= longest
    for row, protein in enumerate(proteins):
        whole = protein["input_ids"].tolist()
        width = min(len(whole), longest)
        assert there[row].tolist() == [True] * width + [False] * (ids.shape[1] - width)
        asked = labels[row] != -100
        restored = torch.where(asked, labels[row], ids[row])[:width].tolist()
        assert (restored[0], restored[-1]) == (CLS, SEP)
        inside = restored[1:-1]
        starts = [start for start in range(len(whole) - width + 1) if whole[1 + start : width - 1 + start] == inside]
        assert starts, "not a part of the protein"
        assert not asked[~there[row]].any() and ids[row][~there[row]].eq(PAD).all()
        known = sum(index != X for index in inside)
        assert int(asked.sum()) == min(known, max(1, round(share * known)))
        assert set(labels[row][asked].tolist()) <= RESIDUES
        assert set(ids[row][asked].tolist()) <= RESIDUES | {MASK}
        assert MASK not in ids[row][~asked]


def test_an_unknown_residue_is_never_asked_for_even_if_a_protein_has_no_other():
    batch = MaskingCollator(TOKENIZER, 20)(encoded("XXXX", "XXBX", "XXKX"))
    assert batch["labels"].ne(-100).sum(1).tolist() == [0, 0, 1]
    assert batch["labels"][2, 3] == TOKENIZER.convert_tokens_to_ids("K")


def test_a_draw_depends_on_seed_epoch_and_protein_not_on_the_batch():
    first, second, third = encoded(*(random_protein(50, seed) for seed in range(3)))
    collate = MaskingCollator(TOKENIZER, 64, seed=1)

    def drawn(*proteins, row=0):
        batch = collate(proteins)
        return batch["input_ids"][row].tolist(), batch["labels"][row].tolist()

    alone = drawn(first)
    assert drawn(first) == alone == drawn(second, first, row=1) == drawn(third, second, first, row=2)
    collate.set_epoch(1)
    other_epoch = drawn(first)
    assert other_epoch != alone
    collate.set_epoch(0)
    assert drawn(first) == alone
    collate = MaskingCollator(TOKENIZER, 64, seed=2)
    assert drawn(first) not in (alone, other_epoch)


def test_a_longer_protein_shows_another_part_in_each_epoch_and_its_ends_among_them():
    (protein,) = encoded("".join(STANDARD))  # each residue once, so that the part can be told
    collate = MaskingCollator(TOKENIZER, 17)
    order = TOKENIZER.convert_tokens_to_ids(list(STANDARD))
    starts = []
    for epoch in range(60):
        collate.set_epoch(epoch)
        batch = collate([protein])
        whole = torch.where(batch["labels"] != -100, batch["labels"], batch["input_ids"])[0].tolist()
        start = order.index(whole[1])
        assert whole == [CLS, *order[start : start + 15], SEP]
        starts.append(start)
    assert set(starts) == set(range(6))


@pytest.mark.parametrize("persistent", [False, True])
def test_the_processes_of_a_loader_see_the_epoch_change(persistent):
    proteins, collate = encoded(*(random_protein(40, seed) for seed in range(4))), MaskingCollator(TOKENIZER, 64)
    options = {"batch_size": 2, "collate_fn": collate, "num_workers": 1, "persistent_workers": persistent}
    loader = DataLoader(proteins, **options)
    for epoch in (0, 3):
        collate.set_epoch(epoch)
        found = [batch["input_ids"].tolist() for batch in loader]
        assert found == [collate(proteins[start : start + 2])["input_ids"].tolist() for start in (0, 2)]


def test_a_width_is_rounded_up_as_of_other_batches():
    batch = MaskingCollator(TOKENIZER, 50, pad_to_multiple_of=32)(encoded(random_protein(20), random_protein(90)))
    assert batch["labels"].shape == (2, 50)
    batch = MaskingCollator(TOKENIZER, 50, pad_to_multiple_of=32)(encoded(random_protein(20)))
    assert batch["labels"].shape == batch["input_ids"].shape == (1, 32)


def test_a_tokenizer_without_a_mask_and_too_short_a_length_are_refused():
    unmasked = protbert_tokenizer()
    unmasked.mask_token = None
    with pytest.raises(ModelError, match="no mask token; expected that of a model with a masked-language head"):
        MaskingCollator(unmasked, 64)
    with pytest.raises(OptionError, match="max_length=2: expected more than the 2 special tokens"):
        MaskingCollator(TOKENIZER, 2)
