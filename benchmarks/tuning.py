"""What an adapter saves: `python -m benchmarks.tuning`.

Steps of AdamW on 1 and on 4 proteins of 256 residues, ProtBERT's shape, random weights, float32 on a CPU: all of the
model trained, LoRA of rank 8, and the same beside weights of 4 bits (QLoRA). Each way in a process of its own. The peak
memory is the largest resident set of the process during the steps, without what its libraries took: once with freed
memory kept for the next tensor, as training does on a CPU because it is faster, and once with it given back, which is
what the tensors need. A checkpoint is what `save_pretrained` writes.
"""

import gc
import json
import os
import subprocess
import sys
import tempfile
import time
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
CAP, RESIDUES, RANK, STEPS = 512, 256, 8, 5
WAYS = {"full": "full", "lora": f"LoRA, rank {RANK}", "qlora": "QLoRA, 4 bits"}
BATCHES = (1, 4)
TARGETS = {"seconds": 0.75, "tensors": 0.5, "kept": None, "trained": None, "checkpoint": 0.02}  # of full, at most
GIVEN_BACK = {"MALLOC_MMAP_THRESHOLD_": "65536"}  # bytes: larger tensors go back to the system when they are freed


def main() -> int:
    found: dict[str, dict[str, Any]] = {}
    for proteins in BATCHES:
        found[str(proteins)] = {}
        for way in WAYS:
            kept, given_back = _launch(way, proteins), _launch(way, proteins, GIVEN_BACK)
            run = {**kept, "kept": kept["peak"], "tensors": given_back["peak"], "steps": kept["seconds"]}
            found[str(proteins)][way] = {**run, "seconds": quartiles(kept["seconds"])[1]}
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


def _launch(way: str, proteins: int, environment: dict[str, str] | None = None) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.tuning", way, str(proteins)],
        env={**os.environ, "OMP_NUM_THREADS": str(os.cpu_count()), **(environment or {})},
        cwd=Path(__file__).parent.parent,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


def worker(way: str, proteins: int) -> None:
    """One way: print its figures as JSON."""
    for package in ("peft", "bitsandbytes"):
        import_module(package)  # counted with the libraries
    keep_freed_memory()  # as training does on a CPU; `GIVEN_BACK` prevents it
    before = _resident("VmRSS")
    model = network(CAP, **SHAPE)
    if way != "full":
        model.add_lora("Rostlab/prot_bert_bfd", rank=RANK, bits=4 if way == "qlora" else 32)
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # the peak is that of the steps, not of building the model
    model.train()
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-5, fused=True)
    batch = PaddingCollator(0)(random_proteins(np.full(proteins, RESIDUES + 2)))
    seconds = []
    for step in range(STEPS + 1):  # the first one allocates
        start = time.perf_counter()
        loss = model(**batch).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        assert torch.isfinite(loss)
        if step:
            seconds.append(time.perf_counter() - start)
        del loss
    peak = _resident("VmHWM") - before
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        checkpoint = sum(path.stat().st_size for path in Path(folder).glob("*.safetensors"))
    count = sum(parameter.numel() for parameter in trained)
    print(json.dumps({"seconds": seconds, "peak": peak, "trained": count, "checkpoint": checkpoint}))


def _resident(name: str) -> int:
    """Bytes of this process: now (VmRSS), or at most (VmHWM)."""
    return int(Path("/proc/self/status").read_text().split(f"{name}:")[1].split()[0]) * 1024


if __name__ == "__main__":
    worker(sys.argv[1], int(sys.argv[2])) if sys.argv[1:] else sys.exit(main())
