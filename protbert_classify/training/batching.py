"""Batches of proteins: seeded, of similar length, each protein exactly once an epoch.

Token budgets and packing join here: another batch sampler, another collator.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch

POOL = 100  # batches among which proteins are sorted by length: larger is less padding and less shuffling


class LengthGroupedBatches:
    """A batch sampler over proteins of similar length, for all processes together.

    Each epoch has its own order, from `seed` and the epoch alone, so a resumed run continues as it would have gone on.
    Each protein comes exactly once an epoch; the number of batches is the same in every epoch and divides by the number
    of processes, so that dealing whole batches to them neither drops nor repeats one. Batches dealt at the same time
    have similar lengths, and the longest proteins come first: memory runs out in the first step or never.

    Args:
        lengths: (N,), tokens of each protein.
        batch_size: Proteins a batch, at most.
        world_size: Processes that share the batches.
        seed: Of the order.

    Raises:
        ValueError: Fewer proteins than processes.
    """

    # None: Accelerate then deals batches whole. With a number it silently drops those of another size.
    batch_size = None
    drop_last = False

    def __init__(
        self, lengths: Sequence[int] | np.ndarray, batch_size: int, world_size: int = 1, seed: int = 0
    ) -> None:
        if len(lengths) < world_size:
            raise ValueError(f"{len(lengths)} proteins cannot be dealt to {world_size} processes")
        self.lengths = np.asarray(lengths)
        self.seed = seed
        self.world_size = world_size
        self.epoch = 0
        rounds = -(-len(lengths) // (batch_size * world_size))
        self.count = rounds * world_size
        self.pool = POOL * batch_size * world_size

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[list[int]]:
        generator = np.random.default_rng((self.seed, self.epoch))
        shuffled = generator.permutation(len(self.lengths))
        pool = np.arange(len(shuffled)) // self.pool
        grouped = shuffled[np.lexsort((-self.lengths[shuffled], pool))]
        batches = np.array_split(grouped, self.count)  # sizes differ by one at most
        rounds = generator.permutation(self.count // self.world_size)
        longest = max(rounds, key=lambda r: self.lengths[batches[r * self.world_size]].max())
        for start in [longest, *(r for r in rounds if r != longest)]:
            for rank in range(self.world_size):
                yield batches[start * self.world_size + rank].tolist()


class PaddingCollator:
    """Pads encoded proteins to the longest of the batch.

    Args:
        pad_token_id: What fills up.
    """

    def __init__(self, pad_token_id: int) -> None:
        self.pad_token_id = pad_token_id

    def __call__(self, proteins: Sequence[Mapping[str, Any]]) -> dict[str, torch.Tensor]:
        """
        Args:
            proteins: Each with `input_ids` and, for training, `labels`.

        Returns:
            `input_ids` (B, T), `attention_mask` (B, T) and, if there, `labels` (B,), all int64.
        """
        lengths = [len(protein["input_ids"]) for protein in proteins]
        ids = np.full((len(proteins), max(lengths)), self.pad_token_id, dtype=np.int64)
        mask = np.zeros(ids.shape, dtype=np.int64)
        for row, (protein, length) in enumerate(zip(proteins, lengths, strict=True)):
            ids[row, :length] = protein["input_ids"]
            mask[row, :length] = 1
        batch = {"input_ids": torch.from_numpy(ids), "attention_mask": torch.from_numpy(mask)}
        if "labels" in proteins[0]:
            batch["labels"] = torch.tensor([int(protein["labels"]) for protein in proteins])
        return batch
