"""Results of a benchmark: JSON for machines, a Markdown table for people, and the machine that gave them."""

import json
import os
import platform
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch

RESULTS = Path(__file__).parent / "results"
INTRODUCTION = """# Benchmarks

Written by the scripts themselves: `make bench` for the speed of training and predicting on a CPU, `make benchmarks` for
all of them; timings want an otherwise idle machine. The numbers behind each table are in `results/`.

`python -m benchmarks.gpu` and `python -m benchmarks.memory` are for a machine with a GPU. What `benchmarks.gpu`
compares before it times anything, packed and padded batches, `--check` compares on a CPU, too.
"""


def machine() -> dict[str, Any]:
    """What the figures depend on."""
    cpu = platform.processor() or platform.machine()
    if os.path.exists("/proc/cpuinfo"):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        cpu = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), cpu)
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "capability": torch.backends.cpu.get_cpu_capability(),
        "python": platform.python_version(),
        **{name: _version(name) for name in ("torch", "transformers", "datasets", "scikit-learn")},
    }


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:  # a bare GPU machine
        return "none"


def cpu_seconds() -> float:
    """What this process and those it waited for have computed so far, on all cores; other work does not count."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def mean_and_spread(values: Sequence[float]) -> str:
    """Mean ± standard deviation of a few runs."""
    return f"{np.mean(values):.3f} ± {np.std(values, ddof=1):.3f}"


def last_results(name: str) -> dict[str, Any]:
    """What a benchmark measured when it last ran; nothing if it never did."""
    path = RESULTS / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def publish(name: str, title: str, results: dict[str, Any], table: str) -> None:
    """Print the table, keep it and its numbers, and write the page of all tables again."""
    RESULTS.mkdir(exist_ok=True)
    record = {"machine": machine(), **results}  # results that are only written again keep their machine
    (RESULTS / f"{name}.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    line = ", ".join(f"{key} {value}" for key, value in record["machine"].items())
    section = f"## {title}\n\n`python -m benchmarks.{name}`\n\n{table}\n\nMachine: {line}.\n"
    (RESULTS / f"{name}.md").write_text(section, encoding="utf-8")
    sections = [path.read_text(encoding="utf-8") for path in sorted(RESULTS.glob("*.md"))]
    (RESULTS.parent / "README.md").write_text("\n".join([INTRODUCTION, *sections]), encoding="utf-8")
    print(table)
