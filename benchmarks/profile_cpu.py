"""Where the time of training on a CPU goes: `python -m benchmarks.profile_cpu`.

The network of `benchmarks.cpu` and 80 proteins of such lengths, an epoch each under torch's profiler, warmed up by
another. The time of an operation is its own, without what it calls; the rate is that of the matrix products of linear
layers alone, the limit that of a 2,048 x 2,048 product in the same precision in the same run.
"""

import sys
from typing import Any

import numpy as np
import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks.cpu import CAPS, RECIPE, SCHEMES, SHAPE, autocast
from benchmarks.reporting import markdown_table, publish
from benchmarks.schemes import deeploc_lengths, matmul_rate, network, random_proteins, train_epoch

PROTEINS = 80  # torch takes long to read a longer recording
SHOWN = (
    RECIPE,
    "ours, token budget, padded, float32",
    "ours, token budget, packed, float32",
    "ours, token budget, padded, bfloat16",
)
# by the name of the operation; a plain attention is products of batches (bmm) and a softmax
PARTS = {
    "linear layers": ("aten::mm", "aten::addmm"),
    "attention": ("aten::_scaled_dot_product", "aten::bmm", "aten::_softmax", "aten::masked_fill"),
    "activation": ("aten::gelu",),
    "norms": ("aten::native_layer_norm",),
}


def main() -> int:
    rates = {name: matmul_rate(getattr(torch, name), 2048) for name in ("float32", "bfloat16")}
    results: dict[str, Any] = {"matmul_flops_per_second": rates, "rows": []}
    for cap in CAPS:
        proteins = random_proteins(deeploc_lengths(PROTEINS, cap))
        for name in SHOWN:
            results["rows"].append({"cap": cap, "scheme": name, **measure(name, proteins, cap)})
            print(results["rows"][-1], flush=True)
    rows = [_row(row, rates) for row in results["rows"]]
    header = ["longest", "scheme", "seconds an epoch", *PARTS, "the rest", "linear layers, share of matmul"]
    publish("profile_cpu", "Where the time of training goes", results, markdown_table(header, rows))
    return 0


def measure(name: str, proteins: list[Any], cap: int) -> dict[str, Any]:
    """Seconds of an epoch by part, and the FLOPs of its linear layers, padding included."""
    scheme, precision = SCHEMES[name]
    model = network(cap, **SHAPE)
    model.enable_packing()
    batches = [batch for _, batch in scheme(proteins, cap, 0)]
    train_epoch(model, batches, autocast(precision))
    with profile(activities=[ProfilerActivity.CPU]) as recorded:
        train_epoch(model, batches, autocast(precision))
    seconds = dict.fromkeys((*PARTS, "the rest"), 0.0)
    for event in recorded.key_averages():
        part = next((part for part, names in PARTS.items() if event.key.startswith(names)), "the rest")
        seconds[part] += event.self_cpu_time_total / 1e6
    tokens = sum(batch["input_ids"].numel() for batch in batches)
    weights = sum(m.weight.numel() for m in model.backbone.encoder.modules() if isinstance(m, torch.nn.Linear))
    return {"precision": precision, "seconds": seconds, "linear_flops": 6 * weights * tokens}


def _row(row: dict[str, Any], rates: dict[str, float]) -> list[str]:
    seconds = row["seconds"]
    total = float(np.sum(list(seconds.values())))
    share = row["linear_flops"] / seconds["linear layers"] / rates[row["precision"]]
    shares = [f"{value / total:.0%}" for value in seconds.values()]
    return [f"{row['cap']:,}", row["scheme"], f"{total:.1f}", *shares, f"{share:.0%}"]


if __name__ == "__main__":
    sys.exit(main())
