"""Encoded proteins to a batch, padded or packed into a single row, and a batch to smaller ones.

Shapes: B proteins, T tokens of the longest, or of all together in a packed batch, C classes or numbers of the main
task, A auxiliary labels.
"""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

# what has a column for each token; everything else, but labels of tokens, has a row for each protein
PER_TOKEN = ("input_ids", "attention_mask", "token_type_ids", "position_ids", "inputs_embeds", "last_hidden_state")


class PaddingCollator:
    """Pads encoded proteins on the right to the longest of the batch.

    Args:
        pad_token_id: The id of the padding.
        pad_to_multiple_of: Lengths are rounded up to a multiple of it. On a CPU every new length makes new kernels,
            which stay in memory: 32 keeps them few.
        max_length: Rounding up stops here; the backbone has no position for more tokens.
    """

    def __init__(self, pad_token_id: int, pad_to_multiple_of: int | None = None, max_length: int | None = None) -> None:
        self.pad_token_id = pad_token_id
        self.pad_to_multiple_of = pad_to_multiple_of
        self.max_length = max_length

    def __call__(self, proteins: Sequence[Mapping[str, Any]]) -> dict[str, torch.Tensor]:
        """
        Args:
            proteins: Each with `input_ids` and, for training, what [`collate_labels`] reads.

        Returns:
            `input_ids` (B, T) and `attention_mask` (B, T), int64, and the labels.
        """
        lengths = [len(protein["input_ids"]) for protein in proteins]
        width = padded_length(max(lengths), self.pad_to_multiple_of, self.max_length)
        ids = np.full((len(proteins), width), self.pad_token_id, dtype=np.int64)
        mask = np.zeros(ids.shape, dtype=np.int64)
        for row, (protein, length) in enumerate(zip(proteins, lengths, strict=True)):
            ids[row, :length] = protein["input_ids"]
            mask[row, :length] = 1
        batch = {"input_ids": torch.from_numpy(ids), "attention_mask": torch.from_numpy(mask)}
        return {**batch, **collate_labels(proteins)}


class PackingCollator:
    """Lays encoded proteins one after the other into a single row, with their boundaries.

    Args:
        pad_to_multiple_of: `max_length_q`, to which the hidden states of each protein are padded for the pooling, is
            rounded up to a multiple of it; see [`PaddingCollator`].
        max_length: Rounding up stops here.
    """

    def __init__(self, pad_to_multiple_of: int | None = None, max_length: int | None = None) -> None:
        self.pad_to_multiple_of = pad_to_multiple_of
        self.max_length = max_length

    def __call__(self, proteins: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """
        Args:
            proteins: Each with `input_ids` and, for training, what [`collate_labels`] reads.

        Returns:
            `input_ids` (1, T) and `position_ids` (1, T), from 0 in each protein, int64; `cu_seq_lens_q` (B + 1,),
            int32; `max_length_q`; and the labels.
        """
        lengths = np.array([len(protein["input_ids"]) for protein in proteins])
        ends = np.cumsum(lengths)
        ids = np.concatenate([np.asarray(protein["input_ids"]) for protein in proteins]).astype(np.int64)
        positions = np.arange(ends[-1]) - np.repeat(ends - lengths, lengths)
        batch = {
            "input_ids": torch.from_numpy(ids)[None],
            "position_ids": torch.from_numpy(positions)[None],
            "cu_seq_lens_q": torch.from_numpy(np.concatenate([[0], ends]).astype(np.int32)),
            "max_length_q": padded_length(int(lengths.max()), self.pad_to_multiple_of, self.max_length),
        }
        return {**batch, **collate_labels(proteins)}


def collate_labels(proteins: Sequence[Mapping[str, Any]]) -> dict[str, torch.Tensor]:
    """The labels of proteins as tensors.

    Args:
        proteins: Each with, if there are any, `labels`: an integer, the class, or a vector (C,), one number for each
            class or target; and `auxiliary_labels`: a vector (A,), NaN where unknown.

    Returns:
        `labels`, (B,) int64 for classes or (B, C) float32 for vectors, and `auxiliary_labels`, (B, A) float32; only
        those that the proteins have.
    """
    labels = {}
    if "labels" in proteins[0]:
        values = np.array([protein["labels"] for protein in proteins])
        is_class = values.ndim == 1 and values.dtype.kind in "iub"
        labels["labels"] = torch.from_numpy(values.astype(np.int64 if is_class else np.float32))
    if "auxiliary_labels" in proteins[0]:
        values = np.array([protein["auxiliary_labels"] for protein in proteins], dtype=np.float32)  # None becomes NaN
        labels["auxiliary_labels"] = torch.from_numpy(values)
    return labels


def padded_length(longest: int, multiple: int | None = None, most: int | None = None) -> int:
    """Tokens of a padded batch: those of its longest protein, rounded up to a multiple, but not beyond `most`."""
    rounded = -(-longest // (multiple or 1)) * (multiple or 1)
    return rounded if most is None else max(longest, min(rounded, most))


def split_by_tokens(
    batch: Mapping[str, Any], tokens: int, pad_to_multiple_of: int | None = None
) -> list[dict[str, Any]]:
    """Split a batch into as few parts as hold at most so many tokens each, with about the same number in each.

    Args:
        batch: Padded, packed, or of embeddings, as the collators make them.
        tokens: Tokens of a part, at most, padding included. A protein with more is a part of its own.
        pad_to_multiple_of: As that of the collator.

    Returns:
        Batches of the same kind, with consecutive proteins in the same order. The padding of each is cut to its longest
        protein.
    """
    lengths = _protein_tokens(batch, pad_to_multiple_of)
    return _split(batch, lengths, len(_fill(lengths, tokens, _is_packed(batch))))


def split_batch(batch: Mapping[str, Any], count: int, pad_to_multiple_of: int | None = None) -> list[dict[str, Any]]:
    """Split a batch into so many parts with about the same number of tokens: the fullest has as few as possible.

    Args:
        batch: Padded, packed, or of embeddings, as the collators make them.
        count: Number of parts; fewer if there are fewer proteins.
        pad_to_multiple_of: As that of the collator.

    Returns:
        Batches as [`split_by_tokens`] gives them. With at least as many parts as it makes for some number of tokens,
        none has more tokens than that, except a single longer protein.
    """
    lengths = _protein_tokens(batch, pad_to_multiple_of)
    return _split(batch, lengths, min(count, len(lengths)))


def _split(batch: Mapping[str, Any], lengths: list[int], count: int) -> list[dict[str, Any]]:
    packed = _is_packed(batch)

    def fits(tokens: int) -> bool:
        return len(_fill(lengths, tokens, packed, count)) <= count

    fewest = 1 + bisect_left(range(1, len(lengths) * max(lengths)), True, key=fits)
    part = _packed_part if packed else _padded_part
    return [part(batch, proteins, lengths) for proteins in _fill(lengths, fewest, packed, count)]


def _is_packed(batch: Mapping[str, Any]) -> bool:
    return "cu_seq_lens_q" in batch


def _protein_tokens(batch: Mapping[str, Any], multiple: int | None) -> list[int]:
    """Tokens that each protein takes, with the padding it would have in a batch of its own."""
    if _is_packed(batch):
        return batch["cu_seq_lens_q"].diff().tolist()
    rows, width = next(batch[name].shape[:2] for name in PER_TOKEN if name in batch)
    if "attention_mask" not in batch:
        return [width] * rows
    mask = batch["attention_mask"]
    ends = (mask.ne(0) * torch.arange(1, width + 1, device=mask.device)).amax(1)  # padded on the left: all columns
    return [padded_length(max(end, 1), multiple, width) for end in ends.tolist()]


def _fill(lengths: list[int], tokens: int, packed: bool, at_least: int = 1) -> list[slice]:
    """Consecutive proteins in at least so many parts, each with as many proteins as the tokens allow."""
    parts: list[slice] = []
    start = longest = total = 0
    for place, length in enumerate(lengths):
        longest, total = max(longest, length), total + length
        filled = total if packed else (place + 1 - start) * longest
        owed, left = at_least - len(parts) - 1, len(lengths) - place - 1  # parts and proteins after this one
        if place > start and (filled > tokens or left < owed):
            parts.append(slice(start, place))
            start, longest, total = place, length, length
    return [*parts, slice(start, len(lengths))]


def _padded_part(batch: Mapping[str, Any], proteins: slice, lengths: list[int]) -> dict[str, Any]:
    columns = slice(max(lengths[proteins]))
    return {
        name: (value[proteins, columns] if _has_tokens(name, value) else value[proteins])
        if torch.is_tensor(value)
        else value
        for name, value in batch.items()
    }


def _has_tokens(name: str, value: torch.Tensor) -> bool:
    """Whether a tensor of a padded batch has a column for each token; labels have if they are those of tokens."""
    # several labels, or numbers, of a protein are float32
    return name in PER_TOKEN or (name == "labels" and value.dim() == 2 and value.dtype == torch.int64)


def _packed_part(batch: Mapping[str, Any], proteins: slice, lengths: list[int]) -> dict[str, Any]:
    first, last = sum(lengths[: proteins.start]), sum(lengths[: proteins.stop])
    part = {
        name: (value[:, first:last] if name in PER_TOKEN else value[proteins]) if torch.is_tensor(value) else value
        for name, value in batch.items()
    }
    borders = batch["cu_seq_lens_q"][proteins.start : proteins.stop + 1] - first
    return {**part, "cu_seq_lens_q": borders, "max_length_q": max(lengths[proteins])}
