"""Batches of proteins: seeded, each protein exactly once an epoch."""

from collections.abc import Iterator, Sequence

import numpy as np

from ..errors import DataError, OptionError

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


class TokenBudgetBatches:
    """A batch sampler of at most so many tokens a batch, for all processes together; a user thinks in memory.

    As in [`LengthGroupedBatches`], an epoch's order follows from `seed` and the epoch alone, each protein comes exactly
    once, and the number of batches is the same in every epoch and divides by the number of processes.

    Padded batches have proteins of similar length. The proteins, sorted by length, are cut into strata of as many as
    there are pools; each epoch deals the proteins of a stratum to the pools at random. So the pools look alike, and one
    plan of where to cut them into batches, made for the longest protein of each stratum, fits them all in every epoch.

    Packed batches need no similar lengths: each takes one protein of every stratum, and the proteins of a stratum are
    dealt longest to the batch that is emptiest so far. The batches differ by at most the widest stratum in tokens and
    by one in proteins: every step, on every process, costs about the same.

    Args:
        lengths: (N,), tokens of each protein.
        tokens: Of a batch, at most; padding counts.
        world_size: Processes that share the batches.
        seed: Of the order.
        packed: Batches without padding.

    Raises:
        OptionError: A protein is longer than `tokens`.
        DataError: Fewer proteins than processes.
    """

    batch_size = None  # as above
    drop_last = False

    def __init__(
        self,
        lengths: Sequence[int] | np.ndarray,
        tokens: int,
        world_size: int = 1,
        seed: int = 0,
        packed: bool = False,
    ) -> None:
        self.lengths = np.asarray(lengths)
        if len(self.lengths) < world_size:
            raise DataError(f"{len(self.lengths)} proteins cannot be dealt to {world_size} processes")
        if self.lengths.max() > tokens:
            raise OptionError(
                f"tokens_per_batch={tokens}: the longest protein has {self.lengths.max()} tokens; "
                "expected at least as many"
            )
        self.tokens = tokens
        self.world_size = world_size
        self.seed = seed
        self.packed = packed
        self.epoch = 0
        self.sorted = np.sort(self.lengths)[::-1]
        self.strata_width, self.cuts = self._packed_plan() if packed else self._padded_plan()

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return self.strata_width if self.packed else self.strata_width * (len(self.cuts) + 1)

    def __iter__(self) -> Iterator[list[int]]:
        generator = np.random.default_rng((self.seed, self.epoch))
        shuffled = generator.permutation(len(self.lengths))
        ranked = shuffled[np.argsort(-self.lengths[shuffled], kind="stable")]  # equal lengths in random order
        batches = self._pack(ranked, generator) if self.packed else self._cut(ranked, generator)
        size = self.world_size
        rounds = [batches[start : start + size] for start in range(0, len(batches), size)]
        longest = int(np.argmax([max(self.lengths[batch].max() for batch in dealt) for dealt in rounds]))
        order = generator.permutation(len(rounds))
        for index in [longest, *order[order != longest]]:  # attention needs the most for the longest proteins
            yield from (batch.tolist() for batch in rounds[index])

    def _packed_plan(self) -> tuple[int, np.ndarray]:
        """The fewest batches within the budget: how full they get follows from the lengths, whatever the shuffle."""
        most = len(self.lengths) // self.world_size * self.world_size
        batches, fullest = 0, int(self.lengths.sum())
        while batches < most and (not batches or fullest > self.tokens):
            wanted = max(batches + 1, -(-int(self.lengths.sum()) // self.tokens))
            batches = min(-(-wanted // self.world_size) * self.world_size, most)
            load = np.zeros(batches, dtype=np.int64)
            for start in range(0, len(self.sorted), batches):
                stratum = self.sorted[start : start + batches]
                load = np.sort(load)
                load[: len(stratum)] += stratum
            fullest = int(load.max())
        return batches, np.array([], dtype=int)

    def _pack(self, ranked: np.ndarray, generator: np.random.Generator) -> list[np.ndarray]:
        batches = len(self)
        load = np.zeros(batches, dtype=np.int64)
        home = np.empty(len(ranked), dtype=np.int64)
        tie = generator.permutation(batches)
        for start in range(0, len(ranked), batches):
            stratum = slice(start, min(start + batches, len(ranked)))
            emptiest = np.lexsort((tie, load))[: stratum.stop - stratum.start]
            home[stratum] = emptiest
            load[emptiest] += self.lengths[ranked[stratum]]
        order = np.argsort(home, kind="stable")
        return np.split(ranked[order], np.cumsum(np.bincount(home, minlength=batches))[:-1])

    def _padded_plan(self) -> tuple[int, np.ndarray]:
        """How many pools, and where each, its proteins sorted, is cut into batches."""
        pools = round(int(self.lengths.sum()) / (self.tokens * POOL))
        for width in (max(1, pools), 1):
            cuts = self._cuts(width)
            # a last stratum that does not go round must not be a batch of its own: some pools would have none
            lonely = len(self.lengths) % width and cuts[-1:] == [-(-len(self.lengths) // width) - 1]
            goes_round = not lonely and width * (len(cuts) + 1) % self.world_size == 0
            if goes_round and self._fits(width, cuts):  # one pool needs no pairs where several would
                break
        return width, np.array(cuts, dtype=int)

    def _fits(self, width: int, cuts: list[int]) -> bool:
        """Whether every batch of a plan is within the budget."""
        longest = self.sorted[::width]
        borders = np.array([0, *cuts, len(longest)])
        return bool((np.diff(borders) * longest[borders[:-1]] <= self.tokens).all())

    def _cuts(self, width: int) -> list[int]:
        longest = self.sorted[::width]  # of each stratum
        borders = [0]
        for place in range(len(longest)):
            if (place + 1 - borders[-1]) * longest[borders[-1]] > self.tokens:
                borders.append(place)
        borders.append(len(longest))
        while width * (len(borders) - 1) % self.world_size:  # halve the batches of most proteins
            sizes = np.diff(borders)
            if sizes.max() == 1:  # one by one they do not go round: so many of the shortest go in pairs
                count = len(borders) - 1
                pairs = count % self.world_size
                return [place for place in range(1, count) if place <= count - 2 * pairs or (count - place) % 2 == 0]
            widest = int(sizes.argmax())
            borders.insert(widest + 1, borders[widest] + int(sizes[widest]) // 2)
        return borders[1:-1]

    def _cut(self, ranked: np.ndarray, generator: np.random.Generator) -> list[np.ndarray]:
        """Batches in the order of the plan, those of the same length side by side."""
        width = self.strata_width
        pools: list[list[int]] = [[] for _ in range(width)]
        for start in range(0, len(ranked), width):
            stratum = ranked[start : start + width]
            for pool, protein in zip(generator.permutation(width), generator.permutation(stratum)):
                pools[pool].append(protein)
        pieces = [np.split(np.array(pool), self.cuts) for pool in pools]
        return [pieces[pool][place] for place in range(len(self.cuts) + 1) for pool in range(width)]
