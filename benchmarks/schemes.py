"""What is compared: ways to make batches of the same proteins for the same network, and a training or a forward epoch.

Needs torch, transformers and numpy only, so that a bare GPU machine can run it.
"""

import contextlib
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch.nn import functional
from transformers.trainer_pt_utils import LengthGroupedSampler

from protbert_classify.data.collators import PackingCollator, PaddingCollator, split_by_tokens
from protbert_classify.model import ProteinClassifier, ProteinClassifierConfig
from protbert_classify.training.samplers import LengthGroupedBatches

CLASSES = 10
ROWS = 8  # the recipe's batch
# Lengths of DeepLoc 1.0's proteins at 0, 2.5, ..., 100% of them, from 3,062 of its 14,004 records
QUANTILES = (
    40,
    69,
    88,
    113,
    137,
    154,
    172,
    194,
    214,
    231,
    248,
    267,
    284,
    301,
    321,
    339,
    352,
    367,
    382,
    404,
    422,
    437,
    459,
    475,
    492,
    512,
    532,
    556,
    585,
    613,
    648,
    686,
    735,
    791,
    856,
    929,
    1016,
    1148,
    1353,
    1705,
    13100,
)

Batch = dict[str, Any]


def deeploc_lengths(count: int, cap: int) -> np.ndarray:
    """Tokens of `count` proteins spread evenly over DeepLoc's lengths, cropped to `cap`, in a fixed random order."""
    place = (np.arange(count) + 0.5) / count
    residues = np.interp(place, np.linspace(0, 1, len(QUANTILES)), QUANTILES).astype(int)
    return np.random.default_rng(0).permutation(np.minimum(residues + 2, cap))


def random_proteins(lengths: np.ndarray) -> list[Batch]:
    """Proteins of such lengths: ids of the 20 residues between the special tokens, and a class."""
    generator = np.random.default_rng(1)
    return [
        {"input_ids": np.concatenate([[2], generator.integers(5, 25, n - 2), [3]]), "labels": int(index % CLASSES)}
        for index, n in enumerate(lengths)
    ]


def network(cap: int, **shape: int) -> ProteinClassifier:
    """A ProtBERT-shaped classifier with random weights and no dropout."""
    torch.manual_seed(0)
    backbone = {"model_type": "bert", "vocab_size": 30, "max_position_embeddings": cap, "pad_token_id": 0, **shape}
    dropout = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    return ProteinClassifier(
        ProteinClassifierConfig({**backbone, **dropout}, classifier_dropout=0.0, num_labels=CLASSES)
    )


def recipe(proteins: list[Batch], cap: int, seed: int) -> Iterator[tuple[list[int], Batch]]:
    """The article's: 8 proteins in random order, all padded to the cap."""
    for rows in _shuffled_rows(proteins, seed):
        batch = PaddingCollator(0)([proteins[row] for row in rows])
        missing = cap - batch["input_ids"].shape[1]
        padded = {name: functional.pad(batch[name], (0, missing)) for name in ("input_ids", "attention_mask")}
        yield rows, {**batch, **padded}


def dynamic(proteins: list[Batch], cap: int, seed: int) -> Iterator[tuple[list[int], Batch]]:
    """Trainer's default: 8 in random order, padded to the longest of the batch."""
    for rows in _shuffled_rows(proteins, seed):
        yield rows, PaddingCollator(0)([proteins[row] for row in rows])


def stock_grouped(proteins: list[Batch], cap: int, seed: int) -> Iterator[tuple[list[int], Batch]]:
    """Trainer's group_by_length: 8 of similar length."""
    lengths = [len(protein["input_ids"]) for protein in proteins]
    order = list(LengthGroupedSampler(ROWS, lengths=lengths, generator=torch.Generator().manual_seed(seed)))
    for start in range(0, len(order), ROWS):
        rows = order[start : start + ROWS]
        yield rows, PaddingCollator(0)([proteins[row] for row in rows])


def budget(tokens: int, packed: bool) -> Callable[[list[Batch], int, int], Iterator[tuple[list[int], Batch]]]:
    """Ours: about so many tokens a step, in batches of at most so many, padded or packed."""

    def batches(proteins: list[Batch], cap: int, seed: int) -> Iterator[tuple[list[int], Batch]]:
        lengths = np.array([len(protein["input_ids"]) for protein in proteins])
        collate = PackingCollator() if packed else PaddingCollator(0)
        for rows in LengthGroupedBatches(lengths, max(1, int(tokens // lengths.mean())), seed=seed):
            for part in split_by_tokens(collate([proteins[row] for row in rows]), tokens):
                count = len(part["labels"])
                yield rows[:count], part
                rows = rows[count:]

    return batches


def _shuffled_rows(proteins: list[Batch], seed: int) -> Iterator[list[int]]:
    order = np.random.default_rng(seed).permutation(len(proteins)).tolist()
    for start in range(0, len(order), ROWS):
        yield order[start : start + ROWS]


def train_epoch(model: torch.nn.Module, batches: list[Batch], autocast: Any) -> None:
    """Forward, backward and a step of AdamW for each batch."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-6, fused=True)
    model.train()
    for batch in batches:
        with autocast():
            loss = model(**batch).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    synchronize()


def forward_epoch(
    model: ProteinClassifier, batches: list[Batch], autocast: Any = contextlib.nullcontext
) -> torch.Tensor:
    """Logits, (N, C), in the order of the batches."""
    model.eval()
    with torch.inference_mode(), autocast():
        logits = [model(**batch).logits.float() for batch in batches]
    synchronize()
    return torch.cat(logits).cpu()


def ordered_logits(
    model: ProteinClassifier, scheme: Any, proteins: list[Batch], cap: int, **options: Any
) -> torch.Tensor:
    """(N, C), in the order of the proteins, whatever the scheme made of it."""
    pairs = list(scheme(proteins, cap, 0))
    logits = forward_epoch(model, [to(model.device, batch) for _, batch in pairs], **options)
    rows = [row for rows, _ in pairs for row in rows]
    assert sorted(rows) == list(range(len(proteins))), "a scheme lost or repeated a protein"
    return logits[np.argsort(rows)]


def to(device: torch.device | str, batch: Batch) -> Batch:
    return {name: value.to(device) if torch.is_tensor(value) else value for name, value in batch.items()}


def matmul_rate(dtype: torch.dtype, size: int, device: str = "cpu", repeats: int = 9) -> float:
    """FLOP/s of this machine in a square matrix product: the limit that shares are of."""
    first, second = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    first @ second
    seconds = []
    for _ in range(repeats):
        synchronize()
        start = time.perf_counter()
        first @ second
        synchronize()
        seconds.append(time.perf_counter() - start)
    return 2 * size**3 / statistics.median(seconds)


def synchronize() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def quartiles(values: list[float]) -> tuple[float, float, float]:
    low, middle, high = np.percentile(values, [25, 50, 75])
    return float(low), float(middle), float(high)
