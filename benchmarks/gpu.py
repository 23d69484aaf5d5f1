"""How fast a GPU trains and predicts ProtBERT's shape: `python -m benchmarks.gpu`, on a machine with one.

30 layers of 1,024, random weights, proteins of DeepLoc's lengths in bfloat16 (float32 master weights, autocast),
packed through torch's varlen attention, against the padded recipe. First the results are compared, logits and
gradients, packed bfloat16 against padded bfloat16 and float32; then schemes take turns. `--check` only compares, on a
CPU too. Needs torch, transformers and numpy.
"""

import argparse
import contextlib
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from benchmarks.reporting import last_results, markdown_table, publish
from benchmarks.schemes import (
    Batch,
    budget,
    deeploc_lengths,
    forward_epoch,
    matmul_rate,
    network,
    quartiles,
    random_proteins,
    recipe,
    synchronize,
    to,
    train_epoch,
)
from protbert_classify.cost.flops import forward_flops
from protbert_classify.data.collators import PackingCollator, PaddingCollator
from protbert_classify.model import ProteinClassifier

PROTBERT = {"hidden_size": 1024, "num_hidden_layers": 30, "num_attention_heads": 16, "intermediate_size": 4096}
SMALL = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 128}
DEEPLOC = 13_858  # proteins of its ten locations
TOKENS = 16_384


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--check", action="store_true", help="only compare results; runs on a CPU, too, with a small net"
    )
    parser.add_argument("--repeats", type=int, default=5, help="of each scheme (default 5)")
    parser.add_argument("--batches", type=int, default=16, help="of each scheme (default 16)")
    parser.add_argument("--compile", action="store_true", help="torch.compile the backbone")
    parser.add_argument("--render", action="store_true", help="only write the table of the last results again")
    options = parser.parse_args()
    if options.render:
        publish("gpu", "Training and predicting on a GPU", last_results("gpu"), table(last_results("gpu")))
        return 0
    if not options.check and not torch.cuda.is_available():
        print("benchmarks.gpu: no GPU here; expected one, or --check", file=sys.stderr)
        return 2
    device = "cuda" if torch.cuda.is_available() else "cpu"
    differences = compare(device)
    print(differences, flush=True)
    if not options.check:
        results = {"gpu": torch.cuda.get_device_name(), "compiled": options.compile, "differences": differences}
        results.update(measure(options.repeats, options.batches, options.compile))
        publish("gpu", "Training and predicting on a GPU", results, table(results))
    return 0


def compare(device: str) -> dict[str, float]:
    """Furthest logits and gradients, relative to the largest: packed and padded bfloat16 against padded float32."""
    shape = PROTBERT | {"num_hidden_layers": 4} if device == "cuda" else SMALL
    model = network(1536, **shape).to(device)
    proteins = random_proteins(np.array([40, 702, 15, 257, 1502, 3, 92]))
    padded, packed = (to(device, collate(proteins)) for collate in (PaddingCollator(0), PackingCollator()))
    exact = _logits_and_gradients(model, padded, contextlib.nullcontext)
    pairs = {"padded bfloat16": _logits_and_gradients(model, padded, _autocast(device))}
    _pack(model)
    pairs["packed bfloat16"] = _logits_and_gradients(model, packed, _autocast(device))
    if device == "cpu":  # a GPU packs in half precision only
        pairs["packed float32"] = _logits_and_gradients(model, packed, contextlib.nullcontext)
    found = {
        f"{name}, {what}": _furthest(one, other)
        for name, result in pairs.items()
        for what, one, other in zip(("logits", "gradients"), result, exact)
    }
    for name, difference in found.items():
        assert difference < (1e-4 if "float32" in name else 0.1), f"{name} differ by {difference}"
    for what in ("logits", "gradients"):  # packing adds nothing to what bfloat16 rounds
        assert found[f"packed bfloat16, {what}"] < 2 * found[f"padded bfloat16, {what}"] + 1e-3, found
    return found


def _pack(model: ProteinClassifier) -> None:
    reason = model.enable_packing(autocast=torch.bfloat16, training=True)
    assert reason is None, reason


def _logits_and_gradients(model: ProteinClassifier, batch: Batch, autocast: Any) -> list[list[torch.Tensor]]:
    model.zero_grad()
    with autocast():
        output = model(**batch)
    output.loss.backward()
    gradients = [parameter.grad.clone() for parameter in model.parameters() if parameter.grad is not None]
    model.zero_grad()
    return [[output.logits.detach().float()], gradients]


def _furthest(found: list[torch.Tensor], expected: list[torch.Tensor]) -> float:
    largest = max(tensor.abs().max() for tensor in expected)
    return float(max((a - b).abs().max() for a, b in zip(found, expected, strict=True)) / largest)


def measure(repeats: int, count: int, compiled: bool) -> dict[str, Any]:
    rate = matmul_rate(torch.bfloat16, 8192, "cuda")
    results: dict[str, Any] = {"matmul_flops_per_second": rate, "rows": []}
    for cap in (512, 1536):
        proteins = random_proteins(deeploc_lengths(count * TOKENS // 400, cap))
        schemes: dict[str, Any] = {"the recipe, padded, float32": (recipe, contextlib.nullcontext)}
        schemes |= {"the recipe, padded, bfloat16": (recipe, _autocast("cuda"))}
        schemes |= {"ours, packed, bfloat16": (budget(TOKENS, packed=True), _autocast("cuda"))}
        for mode in ("train", "predict"):
            runs = {name: Run(mode, scheme, proteins, cap, count, compiled) for name, scheme in schemes.items()}
            for repeat in range(repeats + 1):
                for run in runs.values():
                    run(keep=repeat > 0)
            rows = [{"cap": cap, "mode": mode, "scheme": n, **run.row(rate)} for n, run in runs.items()]
            print(*rows, sep="\n", flush=True)
            results["rows"] += rows
            del runs
            torch.cuda.empty_cache()
    return results


class Run:
    """One scheme: so many of its batches, timed again and again."""

    def __init__(
        self, mode: str, way: tuple[Any, Any], proteins: list[Batch], cap: int, count: int, compiled: bool
    ) -> None:
        scheme, autocast = way
        model = network(cap, **PROTBERT).cuda()
        _pack(model)
        if compiled:
            model.backbone.compile(dynamic=True)
        pairs = list(scheme(proteins, cap, 0))[:count]
        batches = [to("cuda", batch) for _, batch in pairs]
        self.lengths = np.array([len(proteins[row]["input_ids"]) for rows, _ in pairs for row in rows])
        self.factor = 3 if mode == "train" else 1
        self.flops = self.factor * forward_flops(model, self.lengths)
        epoch: Callable[..., object] = train_epoch if mode == "train" else forward_epoch
        self.work = lambda: epoch(model, batches, autocast)
        self.seconds: list[float] = []
        self.memory = 0

    def __call__(self, keep: bool) -> None:
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        start = time.perf_counter()
        self.work()
        synchronize()
        if keep:
            self.seconds.append(time.perf_counter() - start)
            self.memory = torch.cuda.max_memory_allocated() - before

    def row(self, rate: float) -> dict[str, Any]:
        residues = float((self.lengths - 2).sum())
        return {
            "residues_per_second": [residues / s for s in self.seconds],
            "share_of_matmul": [self.flops / s / rate for s in self.seconds],
            "deeploc_seconds": [s * DEEPLOC / len(self.lengths) for s in self.seconds],
            "bytes_above_weights": self.memory,
        }


def _autocast(device: str) -> Any:
    return lambda: torch.autocast(device, dtype=torch.bfloat16)


def table(results: dict[str, Any]) -> str:
    header = ["cap", "", "scheme", "residues/s", "share of matmul", f"{DEEPLOC:,} proteins", "memory above the weights"]
    rows = [
        [
            f"{row['cap']:,}",
            row["mode"],
            row["scheme"],
            f"{quartiles(row['residues_per_second'])[1]:,.0f}",
            f"{quartiles(row['share_of_matmul'])[1]:.0%}",
            f"{quartiles(row['deeploc_seconds'])[1]:.1f} s",
            f"{row['bytes_above_weights'] / 2**30:.1f} GiB",
        ]
        for row in results["rows"]
    ]
    rate, runs = results["matmul_flops_per_second"] / 1e12, len(results["rows"][0]["residues_per_second"])
    note = f"{results['gpu']}, {rate:,.0f} TFLOP/s for bfloat16 matrices; medians of {runs} runs."
    return f"{markdown_table(header, rows)}\n\n{note}"


if __name__ == "__main__":
    sys.exit(main())
