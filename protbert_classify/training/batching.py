"""Batches of proteins: seeded, of similar length, each protein exactly once an epoch.

Token budgets and packing join here: another batch sampler, another collator.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from ..errors import DataError

POOL = 128  # batches among which proteins are sorted by length: larger is less padding and less shuffling


class LengthGroupedBatches:
    """A batch sampler over proteins of similar length, for all processes together.

    Each epoch has its own order, from `seed` and the epoch alone, so a resumed run continues as it would have gone on.
    Each protein comes exactly once an epoch; the number of batches is the same in every epoch and divides by the number
    of processes, so that dealing whole batches to them neither drops nor repeats one. Batches dealt at the same time
    have similar lengths, and the longest proteins come first: memory runs out in the first step or never.

    Args:
        lengths: (N,), tokens of each protein.
        batch_size: Proteins a batch, at most; with 1, a few short ones may go in pairs to deal all of them.
        world_size: Processes that share the batches.
        seed: Of the order.

    Raises:
        DataError: Fewer proteins than processes.
    """

    # None: Accelerate then deals batches whole. With a number it silently drops those of another size.
    batch_size = None
    drop_last = False

    def __init__(
        self, lengths: Sequence[int] | np.ndarray, batch_size: int, world_size: int = 1, seed: int = 0
    ) -> None:
        if len(lengths) < world_size:
            raise DataError(f"{len(lengths)} proteins cannot be dealt to {world_size} processes")
        self.lengths = np.asarray(lengths)
        self.seed = seed
        self.world_size = world_size
        self.epoch = 0
        rounds = min(-(-len(lengths) // (batch_size * world_size)), len(lengths) // world_size)  # no batch is empty
        self.count = rounds * world_size
        self.pool = POOL * batch_size * world_size

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[list[int]]:
        generator = np.random.default_rng((self.seed, self.epoch))
        shuffled = generator.permutation(len(self.lengths))
        lengths = self.lengths[shuffled]
        pool = np.arange(len(shuffled)) // self.pool
        # up and down in turns: a batch across the border of two pools has similar lengths, too
        grouped = shuffled[np.lexsort((np.where(pool % 2, -lengths, lengths), pool))]
        batches = np.array_split(grouped, self.count)  # sizes differ by one at most; the first, short ones are larger
        size = self.world_size  # batches a round, which are dealt at the same time
        rounds = [batches[size * index : size * (index + 1)] for index in generator.permutation(self.count // size)]
        longest = int(np.argmax([max(self.lengths[batch].max() for batch in dealt) for dealt in rounds]))
        for dealt in [rounds.pop(longest), *rounds]:
            yield from (batch.tolist() for batch in dealt)


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
