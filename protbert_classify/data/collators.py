"""Encoded proteins to a batch: padded, or packed into a single row; and a batch to its halves."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch


class PaddingCollator:
    """Pads encoded proteins on the right to the longest of the batch.

    Args:
        pad_token_id: The id that fills up.
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
            proteins: Each with `input_ids` and, for training, `labels`.

        Returns:
            `input_ids` (B, T), `attention_mask` (B, T) and, if there, `labels` (B,), all int64.
        """
        lengths = [len(protein["input_ids"]) for protein in proteins]
        width = padded_length(max(lengths), self.pad_to_multiple_of, self.max_length)
        ids = np.full((len(proteins), width), self.pad_token_id, dtype=np.int64)
        mask = np.zeros(ids.shape, dtype=np.int64)
        for row, (protein, length) in enumerate(zip(proteins, lengths, strict=True)):
            ids[row, :length] = protein["input_ids"]
            mask[row, :length] = 1
        batch = {"input_ids": torch.from_numpy(ids), "attention_mask": torch.from_numpy(mask)}
        if "labels" in proteins[0]:
            batch["labels"] = torch.tensor([int(protein["labels"]) for protein in proteins])
        return batch


class PackingCollator:
    """Lays encoded proteins one after the other into a single row, with their boundaries."""

    def __call__(self, proteins: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """
        Args:
            proteins: N, each with `input_ids` and, for training, `labels`; T tokens together.

        Returns:
            `input_ids` (1, T) and `position_ids` (1, T), from 0 in each protein, int64; `cu_seq_lens_q` (N + 1,),
            int32; `max_length_q`; and, if there, `labels` (N,).
        """
        lengths = np.array([len(protein["input_ids"]) for protein in proteins])
        ends = np.cumsum(lengths)
        ids = np.concatenate([np.asarray(protein["input_ids"]) for protein in proteins]).astype(np.int64)
        positions = np.arange(ends[-1]) - np.repeat(ends - lengths, lengths)
        batch: dict[str, Any] = {
            "input_ids": torch.from_numpy(ids)[None],
            "position_ids": torch.from_numpy(positions)[None],
            "cu_seq_lens_q": torch.from_numpy(np.concatenate([[0], ends]).astype(np.int32)),
            "max_length_q": int(lengths.max()),
        }
        if "labels" in proteins[0]:
            batch["labels"] = torch.tensor([int(protein["labels"]) for protein in proteins])
        return batch


def padded_length(longest: int, multiple: int | None = None, most: int | None = None) -> int:
    """Tokens that the proteins of a batch are padded to: those of the longest, rounded up to a multiple below `most`."""
    rounded = -(-longest // (multiple or 1)) * (multiple or 1)
    return rounded if most is None else max(longest, min(rounded, most))


def halves(batch: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A batch, padded or packed, as two of half its proteins; the one it is if it has a single protein."""
    if "cu_seq_lens_q" in batch:
        return _packed_halves(batch)
    count = next(len(value) for value in batch.values() if isinstance(value, torch.Tensor))
    if count < 2:
        return [dict(batch)]
    return [
        {name: value[part] for name, value in batch.items()} for part in (slice(count // 2), slice(count // 2, None))
    ]


def _packed_halves(batch: Mapping[str, Any]) -> list[dict[str, Any]]:
    borders = batch["cu_seq_lens_q"]
    count = len(borders) - 1
    if count < 2:
        return [dict(batch)]
    parts = []
    for first, last in ((0, count // 2), (count // 2, count)):
        tokens = slice(int(borders[first]), int(borders[last]))
        own = borders[first : last + 1] - borders[first]
        part = {name: batch[name][:, tokens] for name in ("input_ids", "position_ids")}
        part.update(cu_seq_lens_q=own, max_length_q=int(own.diff().max()))
        if "labels" in batch:
            part["labels"] = batch["labels"][first:last]
        parts.append(part)
    return parts
