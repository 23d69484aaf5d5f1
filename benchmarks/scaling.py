"""One process with two threads against two processes with one: `python -m benchmarks.scaling`.

The same proteins, an epoch in steps of about 4,096 tokens, DistributedDataParallel over gloo; both in
turns, 7 epochs each time. The gradients of the same proteins are compared first.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch
from torch import distributed
from torch.nn.parallel import DistributedDataParallel

from benchmarks.cpu import SHAPE
from benchmarks.reporting import markdown_table, publish
from benchmarks.schemes import deeploc_lengths, network, quartiles, random_proteins, train_epoch
from protbert_classify.data.collators import PaddingCollator
from protbert_classify.training.samplers import LengthGroupedBatches

EPOCHS, TURNS, PROTEINS, TOKENS, CAP = 7, 3, 400, 4096, 512
WAYS = {"1 process, 2 threads": 1, "2 processes, 1 thread each": 2}


def main() -> int:
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in WAYS}
    for _ in range(TURNS):
        for name, processes in WAYS.items():
            runs[name].append(_launch(processes))
    norms = [run["gradient_norm"] for found in runs.values() for run in found]
    assert max(norms) - min(norms) < 1e-5 * max(norms), f"the gradients differ: {norms}"
    seconds = {name: [s for run in found for s in run["seconds"]] for name, found in runs.items()}
    residues = float((deeploc_lengths(PROTEINS, CAP) - 2).sum())
    first = quartiles(seconds["1 process, 2 threads"])[1]
    rows = []
    for name, values in seconds.items():
        low, middle, high = quartiles([residues / value for value in values])
        ratio = first / quartiles(values)[1]
        rows.append([name, f"{middle:,.0f} ({low:,.0f} to {high:,.0f})", f"{ratio:.2f}"])
    results = {"seconds": seconds, "gradient_norms": norms}
    publish("scaling", "Two processes", results, markdown_table(["", "residues/s, median (quartiles)", "ratio"], rows))
    return 0


def _launch(processes: int) -> dict[str, Any]:
    code = ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"]
    done = subprocess.run(
        [sys.executable, *code, "--no-python", sys.executable, "-m", "benchmarks.scaling", "worker"],
        env={**os.environ, "OMP_NUM_THREADS": str(2 // processes)},
        cwd=Path(__file__).parent.parent,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


def worker() -> None:
    """One process: its share of the batches, timed; the first one tells."""
    distributed.init_process_group("gloo")
    rank, world = distributed.get_rank(), distributed.get_world_size()
    lengths = deeploc_lengths(PROTEINS, CAP)
    proteins = random_proteins(lengths)
    model = DistributedDataParallel(network(CAP, **SHAPE))
    norm = _gradient_norm(model, proteins[rank:32:world], 32 // world)
    order = list(LengthGroupedBatches(lengths, int(TOKENS // lengths.mean()) // world, world))
    batches = [PaddingCollator(0)([proteins[row] for row in rows]) for rows in order[rank::world]]
    seconds = []
    for epoch in range(EPOCHS + 1):
        distributed.barrier()
        start = time.perf_counter()
        train_epoch(model, batches, torch.enable_grad)
        distributed.barrier()
        if epoch:
            seconds.append(time.perf_counter() - start)
    if rank == 0:
        print(json.dumps({"seconds": seconds, "gradient_norm": norm}))
    distributed.destroy_process_group()


def _gradient_norm(model: Any, proteins: list[Any], count: int) -> float:
    """Of the mean loss over the proteins of all processes."""
    assert len(proteins) == count
    model(**PaddingCollator(0)(proteins)).loss.backward()
    norm = torch.nn.utils.get_total_norm([p.grad for p in model.parameters() if p.grad is not None])
    model.zero_grad()
    return float(norm)


if __name__ == "__main__":
    worker() if sys.argv[1:] == ["worker"] else sys.exit(main())
