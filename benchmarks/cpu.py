"""How fast a CPU trains and predicts, ours against the article's recipe: `python -m benchmarks.cpu`.

A ProtBERT-shaped network of one layer on 400 proteins of DeepLoc's lengths, 50 batches of the recipe: an epoch a
scheme, the schemes in turns, 7 times; medians and quartiles of real residues a second, special tokens and padding not
counted. All schemes give the same logits, which is checked before anything is timed. The share is of the rate of a
2,048 x 2,048 matrix product in the same precision in the same run, counting the FLOPs that the real tokens need and
no padding's.
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
    budget,
    deeploc_lengths,
    dynamic,
    forward_epoch,
    matmul_rate,
    network,
    ordered_logits,
    quartiles,
    random_proteins,
    recipe,
    stock_grouped,
    train_epoch,
)
from protbert_classify.cost.flops import forward_flops
from protbert_classify.inference.precision import has_native_bf16, set_precision
from protbert_classify.model import ProteinClassifier

SHAPE = {"hidden_size": 256, "num_hidden_layers": 1, "num_attention_heads": 4, "intermediate_size": 1024}
PROTEINS = 400  # 50 batches of the recipe
TOKENS = 4096  # of a batch; those of the recipe's at 512
CAPS = (512, 1536)
RECIPE = "the article's recipe, float32"
SCHEMES: dict[str, tuple[Any, str]] = {
    RECIPE: (recipe, "float32"),
    "Trainer, random batches, float32": (dynamic, "float32"),
    "Trainer, its group_by_length, float32": (stock_grouped, "float32"),
    "ours, token budget, padded, float32": (budget(TOKENS, packed=False), "float32"),
    "ours, token budget, packed, float32": (budget(TOKENS, packed=True), "float32"),
    "ours, token budget, padded, bfloat16": (budget(TOKENS, packed=False), "bfloat16"),
    "ours, token budget, packed, bfloat16": (budget(TOKENS, packed=True), "bfloat16"),
}
# what the commands do by themselves, or with --bf16 and --precision bfloat16
OURS = {"train": ("padded, float32", "padded, bfloat16"), "predict": ("padded, float32", "packed, bfloat16")}
TARGETS = {("train", 512, "float32"): 1.45, ("train", 1536, "float32"): 5.0}
TARGETS |= {("train", 512, "bfloat16"): 3.0, ("predict", 512, "bfloat16"): 3.5}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=7, help="of each epoch (default 7)")
    parser.add_argument("--proteins", type=int, default=PROTEINS, help=f"an epoch (default {PROTEINS})")
    parser.add_argument("--render", action="store_true", help="only write the table of the last results again")
    options = parser.parse_args()
    results = last_results("cpu") if options.render else measure(options.repeats, options.proteins)
    publish("cpu", "Training and predicting on a CPU", results, comparison(results))
    return 0


def measure(repeats: int, count: int) -> dict[str, Any]:
    rates = {name: matmul_rate(getattr(torch, name), 2048) for name in ("float32", "bfloat16")}
    schemes = {n: s for n, s in SCHEMES.items() if s[1] == "float32" or has_native_bf16("cpu")}
    results: dict[str, Any] = {"matmul_flops_per_second": rates, "threads": torch.get_num_threads(), "rows": []}
    for cap in CAPS:
        proteins = random_proteins(deeploc_lengths(count, cap))
        lengths = np.array([len(protein["input_ids"]) for protein in proteins])
        flops = forward_flops(network(cap, **SHAPE), lengths)
        for mode, timed, factor in (("train", _training, 3), ("predict", _predicting, 1)):
            runs = {name: timed(*scheme, proteins, cap) for name, scheme in schemes.items()}
            seconds = _in_turns(runs, repeats)
            for name, (scheme, precision) in schemes.items():
                batches = [batch for _, batch in scheme(proteins, cap, 0)]
                computed = sum(batch["input_ids"].numel() for batch in batches)
                row: dict[str, Any] = {
                    "cap": cap,
                    "mode": mode,
                    "scheme": name,
                    "precision": precision,
                    "seconds": seconds[name],
                }
                row["residues_per_second"] = [float((lengths - 2).sum()) / s for s in seconds[name]]
                row["ratios"] = [a / b for a, b in zip(seconds[RECIPE], seconds[name], strict=True)]
                row["share_of_matmul"] = [factor * flops / s / rates[precision] for s in seconds[name]]
                row["padding"] = 1 - float(lengths.sum()) / computed
                results["rows"].append(row)
                print(cap, mode, name, f"{quartiles(row['ratios'])[1]:.2f}", flush=True)
    return results


def _training(scheme: Any, precision: str, proteins: list[Any], cap: int) -> Callable[[], object]:
    model = _ready(scheme, precision, proteins, cap)
    batches = [batch for _, batch in scheme(proteins, cap, 0)]
    return lambda: train_epoch(model, batches, autocast(precision))


def _predicting(scheme: Any, precision: str, proteins: list[Any], cap: int) -> Callable[[], object]:
    model = _ready(scheme, "float32", proteins, cap)
    set_precision(model, precision)
    batches = [batch for _, batch in scheme(proteins, cap, 0)]
    return lambda: forward_epoch(model, batches)


def _ready(scheme: Any, precision: str, proteins: list[Any], cap: int) -> ProteinClassifier:
    """A network that gives what the recipe's gives, whatever the batches; or nothing is timed."""
    model = network(cap, **SHAPE)
    some = proteins[:16]
    expected = ordered_logits(model.eval(), recipe, some, cap)
    model.enable_packing()
    found = ordered_logits(model, scheme, some, cap, autocast=autocast(precision))
    furthest = float((found - expected).abs().max() / expected.abs().max())
    assert furthest < (1e-5 if precision == "float32" else 0.05), f"other logits than the recipe's, by {furthest}"
    return model


def autocast(precision: str) -> Any:
    if precision == "float32":
        return contextlib.nullcontext
    return lambda: torch.autocast("cpu", dtype=torch.bfloat16)


def _in_turns(runs: dict[str, Callable[[], object]], repeats: int) -> dict[str, list[float]]:
    """Seconds of each, one after the other, so that a slow minute of the machine hits them all."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for repeat in range(repeats + 1):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            if repeat:  # the first warms up
                seconds[name].append(time.perf_counter() - start)
    return seconds


def comparison(results: dict[str, Any]) -> str:
    """The recipe and ours for the README, then every scheme."""
    rows = results["rows"]
    few = [row for row in rows if row["scheme"] == RECIPE or _is_ours(row)]
    short = [[*_start(row), f"{_middle(row['residues_per_second']):,.0f}", *_ratio(row)] for row in few]
    full = [[*_start(row), _spread(row), *_ratio(row), _share(row), f"{row['padding']:.1%}"] for row in rows]
    limits = " and ".join(f"{_flops_saved(cap):.2f} at {cap:,}" for cap in CAPS)
    start, ratio = ["longest", "", "scheme"], ["times the recipe", "target"]
    return "\n\n".join(
        [
            markdown_table([*start, "residues/s", *ratio], short),
            f"Times fewer FLOPs without the recipe's padding, attention included: {limits}.",
            "All schemes:",
            markdown_table([*start, "residues/s (quartiles)", *ratio, "share of matmul", "padding"], full),
        ]
    )


def _flops_saved(cap: int) -> float:
    """FLOPs of proteins padded to the cap, over those of the proteins alone."""
    model, lengths = network(cap, **SHAPE), deeploc_lengths(PROTEINS, cap)
    return forward_flops(model, np.full(len(lengths), cap)) / forward_flops(model, lengths)


def _is_ours(row: dict[str, Any]) -> bool:
    return row["scheme"].endswith(OURS[row["mode"]])


def _start(row: dict[str, Any]) -> list[str]:
    return [f"{row['cap']:,}", row["mode"], row["scheme"]]


def _middle(values: list[float]) -> float:
    return quartiles(values)[1]


def _spread(row: dict[str, Any]) -> str:
    low, middle, high = quartiles(row["residues_per_second"])
    return f"{middle:,.0f} ({low:,.0f} to {high:,.0f})"


def _ratio(row: dict[str, Any]) -> list[str]:
    target = TARGETS.get((row["mode"], row["cap"], row["precision"])) if _is_ours(row) else None
    return [f"{_middle(row['ratios']):.2f}", f"{target:.2f}" if target else ""]


def _share(row: dict[str, Any]) -> str:
    return f"{_middle(row['share_of_matmul']):.0%}"


if __name__ == "__main__":
    sys.exit(main())
