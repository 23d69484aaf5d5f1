"""What an adapter saves: `python -m benchmarks.tuning`.

Steps of AdamW on 1 and on 4 proteins of 256 residues, ProtBERT's shape, random weights, float32 on a CPU: all of the
model trained, LoRA of rank 8, and the same beside weights of 4 bits (QLoRA). The times are medians of steps taken in
turn. For its memory, each way has a process of its own: the largest resident set during the steps, without what the
libraries took. Once with freed memory kept for the next tensor, as training does on a CPU because it is faster, and
once with it given back, which is what the tensors need. A checkpoint is what `save_pretrained` writes.
"""

import gc
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.reporting import markdown_table, publish
from benchmarks.schemes import network, quartiles, random_proteins
from protbert_classify.data.collators import PaddingCollator
from protbert_classify.memory_allocator import keep_freed_memory

SHAPE = {"hidden_size": 1024, "num_hidden_layers": 30, "num_attention_heads": 16, "intermediate_size": 4096}
CAP, RESIDUES, RANK = 512, 256, 8
TIMED, FILLING = 7, 2  # steps that are timed, and those until memory use has reached its peak
WAYS = {"full": "full", "lora": f"LoRA, rank {RANK}", "qlora": "QLoRA, 4 bits"}
BATCHES = (1, 4)
TARGETS = {"seconds": 0.75, "tensors": 0.5, "kept": None, "trained": None, "checkpoint": 0.02}  # of full, at most
GIVEN_BACK = {"MALLOC_MMAP_THRESHOLD_": "65536"}  # bytes: larger tensors go back to the system when they are freed


def main() -> int:
    found: dict[str, dict[str, Any]] = {}
    for proteins in BATCHES:
        steps, found[str(proteins)] = _launch("time", proteins), {}
        for way in WAYS:
            kept, given_back = _launch(way, proteins), _launch(way, proteins, GIVEN_BACK)
            run = {**kept, "kept": kept["peak"], "tensors": given_back["peak"], "steps": steps[way]}
            found[str(proteins)][way] = {**run, "seconds": quartiles(steps[way])[1]}
            print(proteins, way, found[str(proteins)][way], flush=True)
    publish("tuning", "LoRA against full fine-tuning", {"batches": found}, _table(found))
    return 0


def _table(found: dict[str, dict[str, Any]]) -> str:
    shown = {
        "seconds": ("seconds of a training step", "{:.1f}", 1),
        "tensors": ("peak memory of the tensors", "{:.2f} GiB", 2**30),
        "kept": ("peak memory with freed memory kept", "{:.2f} GiB", 2**30),
        "trained": ("trained parameters", "{:,.0f}", 1),
        "checkpoint": ("checkpoint", "{:,.1f} MB", 1e6),
    }
    rows = []
    for name, (title, form, unit) in shown.items():
        of_a_batch = name in ("seconds", "tensors", "kept")
        for proteins, ways in found.items() if of_a_batch else list(found.items())[:1]:
            values = [ways[way][name] for way in WAYS]
            cells = [form.format(values[0] / unit)]
            cells += [f"{form.format(value / unit)} ({_ratio(value / values[0])})" for value in values[1:]]
            target = "" if TARGETS[name] is None else f"{TARGETS[name]:.2f}"
            batch = f", {proteins} protein{'s' * (proteins != '1')}" if of_a_batch else ""
            rows.append([f"{title}{batch}", *cells, target])
    ours = list(WAYS.values())[1:]
    return markdown_table(["", "full", *(f"{title} (ratio)" for title in ours), "target of LoRA"], rows)


def _ratio(value: float) -> str:
    return f"{value:.2f}" if value >= 0.1 else f"{value:.3f}"


def _launch(task: str, proteins: int, environment: dict[str, str] | None = None) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.tuning", task, str(proteins)],
        env={**os.environ, "OMP_NUM_THREADS": str(os.cpu_count()), **(environment or {})},
        cwd=Path(__file__).parent.parent,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


def worker(task: str, proteins: int) -> None:
    """Print the figures of a task as JSON: `time`, or a way whose memory is measured."""
    for package in ("peft", "bitsandbytes"):
        import_module(package)  # counted with the libraries
    keep_freed_memory()  # as training does on a CPU; `GIVEN_BACK` prevents it
    print(json.dumps(_times(proteins) if task == "time" else _memory(task, proteins)))


def _times(proteins: int) -> dict[str, list[float]]:
    """Way -> seconds of its steps. The ways take turns, so that a slow moment of the machine affects all of them."""
    ways = {way: _training(way, proteins) for way in WAYS}
    seconds: dict[str, list[float]] = {way: [] for way in WAYS}
    for turn in range(TIMED + 1):  # the first one allocates
        for way, (_, step) in ways.items():
            start = time.perf_counter()
            step()
            if turn:
                seconds[way].append(time.perf_counter() - start)
    return seconds


def _memory(way: str, proteins: int) -> dict[str, int]:
    """Bytes at the fullest moment of the steps and of a checkpoint, and the number of trained weights."""
    before = _resident("VmRSS")
    model, step = _training(way, proteins)
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # the peak is that of the steps, not of building the model
    for _ in range(FILLING):
        step()
    peak = _resident("VmHWM") - before
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        checkpoint = sum(path.stat().st_size for path in Path(folder).glob("*.safetensors"))
    trained = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    return {"peak": peak, "trained": trained, "checkpoint": checkpoint}


def _training(way: str, proteins: int) -> tuple[Any, Callable[[], None]]:
    """A model, and what trains it by a step."""
    model = network(CAP, **SHAPE)
    if way != "full":
        model.add_lora("Rostlab/prot_bert_bfd", rank=RANK, bits=4 if way == "qlora" else 32)
    model.train()
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-5, fused=True)
    batch = PaddingCollator(0)(random_proteins(np.full(proteins, RESIDUES + 2)))

    def step() -> None:
        loss = model(**batch).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        assert torch.isfinite(loss)

    return model, step


def _resident(name: str) -> int:
    """Bytes of this process: now (VmRSS), or at most (VmHWM)."""
    return int(Path("/proc/self/status").read_text().split(f"{name}:")[1].split()[0]) * 1024


if __name__ == "__main__":
    worker(sys.argv[1], int(sys.argv[2])) if sys.argv[1:] else sys.exit(main())
