"""What an adapter saves: `python -m benchmarks.tuning`.

Steps of AdamW on 4 proteins of 256 residues, ProtBERT's shape, random weights, float32 on a CPU: all of the model
trained, and LoRA of rank 8. Each way in a process of its own, both in turns. The peak memory is the largest resident
set of the process, without what its libraries took before the model was built: once with freed memory kept for the next
tensor, as training does on a CPU because it is faster, and once with it given back, which is what the tensors need. A
checkpoint is what `save_pretrained` writes.
"""

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
CAP, PROTEINS, RESIDUES, RANK = 512, 4, 256, 8
WAYS, TURNS, STEPS = ("full", "lora"), 1, 5
TARGETS = {"seconds": 0.75, "tensors": 0.5, "kept": None, "trained": None, "checkpoint": 0.02}  # of full, at most
GIVEN_BACK = {"MALLOC_MMAP_THRESHOLD_": "65536"}  # bytes: larger tensors go back to the system when they are freed


def main() -> int:
    runs: dict[str, list[dict[str, Any]]] = {way: [] for way in WAYS}
    for _ in range(TURNS):
        for way in WAYS:
            kept, given_back = _launch(way), _launch(way, GIVEN_BACK)
            runs[way].append({**kept, "kept": kept["peak"], "tensors": given_back["peak"]})
            print(way, runs[way][-1], flush=True)
    found = {way: _middle(runs[way]) for way in WAYS}
    publish("tuning", "LoRA against full fine-tuning", {"runs": runs, "medians": found}, _table(found))
    return 0


def _middle(runs: list[dict[str, Any]]) -> dict[str, float]:
    """Medians over the steps of all turns, and over the turns."""
    seconds = [value for run in runs for value in run["seconds"]]
    others = {name: quartiles([run[name] for run in runs])[1] for name in TARGETS if name != "seconds"}
    return {"seconds": quartiles(seconds)[1], **others}


def _table(found: dict[str, dict[str, float]]) -> str:
    shown = {
        "seconds": ("seconds of a training step", "{:.1f}", 1),
        "tensors": ("peak memory of the tensors", "{:.2f} GiB", 2**30),
        "kept": ("peak memory with freed memory kept", "{:.2f} GiB", 2**30),
        "trained": ("trained parameters", "{:,.0f}", 1),
        "checkpoint": ("checkpoint", "{:,.1f} MB", 1e6),
    }
    rows = []
    for name, (title, form, unit) in shown.items():
        full, lora = (found[way][name] for way in WAYS)
        ratio = f"{lora / full:.2f}" if lora / full >= 0.1 else f"{lora / full:.3f}"
        target = "" if TARGETS[name] is None else f"{TARGETS[name]:.2f}"
        rows.append([title, form.format(full / unit), form.format(lora / unit), ratio, target])
    return markdown_table(["", "full", f"LoRA, rank {RANK}", "ratio", "target"], rows)


def _launch(way: str, environment: dict[str, str] | None = None) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.tuning", way],
        env={**os.environ, "OMP_NUM_THREADS": str(os.cpu_count()), **(environment or {})},
        cwd=Path(__file__).parent.parent,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


def worker(way: str) -> None:
    """One way: print its figures as JSON."""
    import_module("peft")  # counted with the libraries
    keep_freed_memory()  # as training does on a CPU; `GIVEN_BACK` prevents it
    before = _resident("VmRSS")
    model = network(CAP, **SHAPE)
    if way == "lora":
        model.add_lora("Rostlab/prot_bert_bfd", rank=RANK)
    model.train()
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-5, fused=True)
    batch = PaddingCollator(0)(random_proteins(np.full(PROTEINS, RESIDUES + 2)))
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
    worker(sys.argv[1]) if sys.argv[1:] else sys.exit(main())
