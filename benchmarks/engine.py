"""The engine on a CPU against plain Hugging Face code, with ESM-2 8M's shape: `python -m benchmarks.engine`.

Predicting: 200 proteins of DeepLoc's lengths, up to 1,022 residues, in float32. The plain loop sorts the proteins by
length, pads batches of 4, 8 or 16, whichever is fastest, and calls transformers' `EsmModel` with a linear layer on the
mean over residues. Logits must agree to 1e-6 of the largest before anything is timed. Embedding: the same proteins, the
mean over residues; ours writes float16 to the disk.

Training: 200 proteins, one epoch of 8 proteins a step, then 100 validation proteins; from sequences to metrics, model
and tokenizer ready. The plain way is `Trainer` with the tokenizer's padding, and the same optimizer.

Each is timed in a process of its own, all in turns, and has the median; residues are real ones, without special tokens
and padding.

`--limit` instead compares predicting with its matrix products and attention alone, called on tensors of the same
shapes: no code around these kernels can be faster than they are.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import datasets
import numpy as np
import torch
from datasets import ClassLabel, Dataset
from torch.nn import functional
from transformers import AutoModel, DataCollatorWithPadding, Trainer, TrainingArguments, set_seed

from benchmarks.reporting import last_results, markdown_table, publish
from benchmarks.schemes import deeploc_lengths
from protbert_classify import ProteinClassifier, ProteinClassifierConfig, ProteinTrainer, ProteinTrainingArguments
from protbert_classify.data.collators import PaddingCollator
from protbert_classify.data.tokenizer import protbert_tokenizer
from protbert_classify.inference.logits import predict_logits
from protbert_classify.memory_allocator import keep_freed_memory
from protbert_classify.training.embedding_cache import embed

ESM2_8M: dict[str, Any] = {  # facebook/esm2_t6_8M_UR50D, with ProtBERT's vocabulary
    "model_type": "esm",
    "vocab_size": 30,
    "hidden_size": 320,
    "num_hidden_layers": 6,
    "num_attention_heads": 20,
    "intermediate_size": 1280,
    "max_position_embeddings": 1026,
    "position_embedding_type": "rotary",
    "token_dropout": True,
    "mask_token_id": 4,
    "pad_token_id": 0,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
}
LONGEST = 1024  # tokens
LABELS = [f"class {index}" for index in range(10)]
PLAIN_BATCHES = (4, 8, 16)
PREDICTED = 200  # proteins
TOLERANCE = 1e-6


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5, help="of each measurement (default 5)")
    parser.add_argument("--render", action="store_true", help="only write the table of the last results again")
    parser.add_argument("--time", choices=[*TRAININGS, *PREDICTIONS], help="only time this, and print its seconds")
    parser.add_argument("--limit", action="store_true", help="only compare predicting with its kernels alone")
    options = parser.parse_args()
    datasets.disable_progress_bars()
    if options.time is not None:
        print(time_training(options.time) if options.time in TRAININGS else time_prediction(options.time))
        return 0
    if options.limit:
        print(time_limit(options.repeats))
        return 0
    results = last_results("engine") if options.render else measure(options.repeats)
    publish("engine", "The engine against plain Hugging Face code, on a CPU", results, table(results))
    return 0


def measure(repeats: int) -> dict[str, Any]:
    encoded = encoded_proteins()
    ours = packed_network()
    expected, found = plain_logits(PlainClassifier(), encoded, 8), predict_logits(ours, encoded)
    furthest = float(np.abs(expected - found).max() / np.abs(expected).max())
    assert furthest < TOLERANCE, f"logits differ by {furthest:.1e} of the largest"
    return {
        "residues": count_residues(encoded),
        "furthest": furthest,
        "seconds": in_processes([*TRAININGS, *PREDICTIONS], repeats),
        "threads": torch.get_num_threads(),
    }


def encoded_proteins() -> list[np.ndarray]:
    proteins = proteins_of(PREDICTED, seed=0)
    return [np.array(ids) for ids in protbert_tokenizer()(proteins["sequence"][:])["input_ids"]]


def count_residues(encoded: list[np.ndarray]) -> int:
    return sum(map(len, encoded)) - 2 * len(encoded)


def time_limit(repeats: int) -> str:
    encoded, ours = encoded_proteins(), packed_network()
    residues = count_residues(encoded)
    keep_freed_memory()
    runs: dict[str, Callable[[], Any]] = {
        "predict": lambda: predict_logits(ours, encoded),
        "linear": lambda: linear_layers_alone(sum(map(len, encoded))),
        "attention": lambda: attention_alone(encoded),
    }
    seconds = in_turns(runs, repeats)
    kernels = seconds["linear"] + seconds["attention"]
    operations = 2 * sum(map(len, encoded)) * sum(n * m for n, m in LINEAR) * ESM2_8M["num_hidden_layers"]
    return (
        f"predicting: {seconds['predict']:.1f} s, {residues / seconds['predict']:,.0f} residues/s; its linear layers "
        f"alone: {seconds['linear']:.1f} s ({operations / seconds['linear'] / 1e9:.0f} GFLOP/s; a product of 4,096 x "
        f"4,096: {square_product_rate():.0f}); its attention alone: {seconds['attention']:.1f} s. Predicting reaches "
        f"{kernels / seconds['predict']:.0%} of the limit of these kernels."
    )


H, WIDE = ESM2_8M["hidden_size"], ESM2_8M["intermediate_size"]
LINEAR = ((H, H), (H, H), (H, H), (H, H), (H, WIDE), (WIDE, H))  # inputs and outputs of a layer's linear layers


@torch.inference_mode()
def linear_layers_alone(tokens: int, batch: int = 2048) -> None:
    weights = [(torch.randn(batch, n), torch.randn(m, n), torch.randn(m)) for n, m in LINEAR]
    for _ in range(round(tokens / batch) * ESM2_8M["num_hidden_layers"]):
        for features, weight, bias in weights:
            functional.linear(features, weight, bias)


@torch.inference_mode()
def attention_alone(encoded: list[np.ndarray]) -> None:
    heads = ESM2_8M["num_attention_heads"]
    for ids in encoded:
        query, key, value = torch.randn(3, 1, len(ids), heads, H // heads).transpose(2, 3)
        for _ in range(ESM2_8M["num_hidden_layers"]):
            functional.scaled_dot_product_attention(query, key, value)


def square_product_rate(size: int = 4096) -> float:
    """GFLOP/s of a large matrix product, the best of three."""
    matrix = torch.randn(size, size)
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        matrix @ matrix
        seconds.append(time.perf_counter() - start)
    return 2 * size**3 / min(seconds) / 1e9


def table(results: dict[str, Any]) -> str:
    residues, seconds = results["residues"], results["seconds"]
    best, kept = (min(names, key=seconds.__getitem__) for names in (PLAIN, PLAIN_KEPT))
    rows = [
        [name, f"{residues / seconds[run]:,.0f}", f"{seconds[best] / seconds[run]:.2f}"]
        for name, run in (
            (f"{best}, sorted", best),
            ("the best plain loop, with freed memory kept", kept),
            ("ours, predict", "predict"),
            ("ours, embed", "embed"),
        )
    ]
    ratio = seconds["Trainer"] / seconds["ProteinTrainer"]
    lines = [
        markdown_table(["", "residues/s", "times the plain loop"], rows),
        "",
        f"A training of 200 proteins as a whole: `Trainer` {seconds['Trainer']:.1f} s, `ProteinTrainer` "
        f"{seconds['ProteinTrainer']:.1f} s: {ratio:.2f} times as fast. Logits agree to {results['furthest']:.0e} of "
        "the largest.",
    ]
    return "\n".join(lines)


def network() -> ProteinClassifier:
    """The same random weights every time."""
    set_seed(0)
    config = ProteinClassifierConfig(dict(ESM2_8M), labels=LABELS, max_sequence_length=LONGEST, freeze_backbone=False)
    return ProteinClassifier(config).eval()


class PlainClassifier(torch.nn.Module):
    """The weights of [`network`] in transformers' own backbone, as one writes a classifier with it."""

    def __init__(self) -> None:
        super().__init__()
        ours = network()
        self.backbone = AutoModel.from_config(ours.config.backbone_config, add_pooling_layer=False).eval()
        self.backbone.load_state_dict(ours.backbone.state_dict())
        self.head = ours.head.eval()

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        hidden = self.backbone(input_ids, attention_mask=attention_mask).last_hidden_state
        residues = attention_mask.clone()  # without the first token and the last
        residues[:, 0] = 0
        residues.scatter_(1, attention_mask.sum(1, keepdim=True) - 1, 0)
        weights = residues[..., None].to(hidden.dtype)
        return self.head((hidden * weights).sum(1) / weights.sum(1))


def packed_network() -> ProteinClassifier:
    model = network()
    model.enable_packing()
    return model


def proteins_of(count: int, seed: int) -> Dataset:
    generator = np.random.default_rng(seed)
    lengths = deeploc_lengths(count, LONGEST) - 2
    letters = np.array(list("ACDEFGHIKLMNPQRSTVWY"))
    sequences = [" ".join(generator.choice(letters, length)) for length in generator.permutation(lengths)]
    labels = generator.integers(0, len(LABELS), count).tolist()
    table = {"id": [f"P{index}" for index in range(count)], "sequence": sequences, "location": labels}
    return Dataset.from_dict(table).cast_column("location", ClassLabel(names=LABELS))


@torch.inference_mode()
def plain_logits(model: PlainClassifier, encoded: list[np.ndarray], size: int) -> np.ndarray:
    """A loop over sorted proteins, as one writes it with transformers."""
    order = np.argsort([-len(ids) for ids in encoded], kind="stable")
    collate = PaddingCollator(0)
    logits = np.empty((len(encoded), len(LABELS)), dtype=np.float32)
    for start in range(0, len(order), size):
        rows = order[start : start + size]
        logits[rows] = model(**collate([{"input_ids": encoded[row]} for row in rows])).numpy()
    return logits


def embedded(model: ProteinClassifier, encoded: list[np.ndarray]) -> Dataset:
    model.config.freeze_backbone = True
    proteins = Dataset.from_dict({"input_ids": encoded, "length": [len(ids) for ids in encoded]}).with_format("numpy")
    with tempfile.TemporaryDirectory() as folder:
        found = embed(model, proteins, cache_root=folder)
    model.config.freeze_backbone = False
    return found


ARGUMENTS: dict[str, Any] = {
    "num_train_epochs": 1,
    "per_device_train_batch_size": 8,
    "learning_rate": 1e-4,
    "use_cpu": True,
    "disable_tqdm": True,
    "report_to": "none",
    "save_strategy": "no",
    "eval_strategy": "epoch",
    "logging_steps": 1000,
}


def train_plainly() -> None:
    tokenizer = protbert_tokenizer()

    def tokenized(rows: Any) -> Any:
        return {**tokenizer(rows["sequence"], truncation=True, max_length=LONGEST), "labels": rows["location"]}

    parts = [
        proteins_of(count, seed).map(
            tokenized,
            batched=True,
            remove_columns=["id", "sequence", "location"],
            new_fingerprint=f"{time.time()}-{seed}",  # nothing of a former run
        )
        for count, seed in ((200, 1), (100, 2))
    ]
    with tempfile.TemporaryDirectory() as folder:
        Trainer(
            network(),
            TrainingArguments(output_dir=folder, **ARGUMENTS),
            train_dataset=parts[0],
            eval_dataset=parts[1],
            data_collator=DataCollatorWithPadding(tokenizer),
        ).train()


def train_ours() -> None:
    with tempfile.TemporaryDirectory() as folder:
        arguments = ProteinTrainingArguments(output_dir=folder, load_best_model_at_end=False, **ARGUMENTS)
        train, validation = proteins_of(200, 1), proteins_of(100, 2)
        ProteinTrainer(
            network(),
            arguments,
            train_dataset=train,
            eval_dataset=validation,
            processing_class=protbert_tokenizer(),  # of a network that comes from nowhere
        ).train()


TRAININGS: dict[str, Callable[[], None]] = {"Trainer": train_plainly, "ProteinTrainer": train_ours}


def time_training(name: str) -> float:
    """Seconds of a training, without imports."""
    start = time.perf_counter()
    TRAININGS[name]()
    return time.perf_counter() - start


def plain_run(size: int) -> Callable[[list[np.ndarray]], Any]:
    return partial(plain_logits, PlainClassifier(), size=size)


def predict_run() -> Callable[[list[np.ndarray]], Any]:
    return partial(predict_logits, packed_network())


def embed_run() -> Callable[[list[np.ndarray]], Any]:
    return partial(embedded, packed_network())


KEPT = ", freed memory kept"
PLAIN = {f"plain loop, batches of {size}": partial(plain_run, size) for size in PLAIN_BATCHES}
PLAIN_KEPT = {name + KEPT: run for name, run in PLAIN.items()}
# name -> what loads a model and returns what is timed
PREDICTIONS: dict[str, Callable[[], Callable[[list[np.ndarray]], Any]]] = {
    **PLAIN,
    **PLAIN_KEPT,
    "predict": predict_run,
    "embed": embed_run,
}


def time_prediction(name: str) -> float:
    """Seconds for all proteins; a tenth of them come before, for warmth."""
    if name not in PLAIN:
        keep_freed_memory()
    encoded, run = encoded_proteins(), PREDICTIONS[name]()
    run(encoded[::10])
    start = time.perf_counter()
    run(encoded)
    return time.perf_counter() - start


def in_processes(names: list[str], repeats: int) -> dict[str, float]:
    """Median seconds of each, in turns, so that all meet the same machine, each in a process of its own."""
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(repeats):
        for name in names:
            command = [sys.executable, "-m", "benchmarks.engine", "--time", name]
            child = subprocess.run(command, check=True, capture_output=True, text=True)
            seconds[name].append(float(child.stdout.splitlines()[-1]))
    return {name: float(np.median(values)) for name, values in seconds.items()}


def in_turns(runs: dict[str, Callable[[], Any]], repeats: int) -> dict[str, float]:
    """Median seconds of each, in turns, so that all meet the same machine; the first time is for warmth."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(repeats + 1):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - start)
    return {name: float(np.median(values[1:])) for name, values in seconds.items()}


if __name__ == "__main__":
    raise SystemExit(main())
