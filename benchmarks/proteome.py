"""Memory and speed of predicting and embedding more and more proteins: `python -m benchmarks.proteome`.

Synthetic proteins of 20 to 120 residues and a tiny network, so that reading, writing and joining are seen and not the
model; each in a process of its own, whose largest resident set is read while it lives.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.reporting import markdown_table, publish
from benchmarks.schemes import network
from protbert_classify.data.tokenizer import protbert_tokenizer

COUNTS = (10_000, 100_000, 1_000_000)
SHAPE = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
COMMANDS = {"predict": "calls.csv", "embed": "vectors.parquet"}  # and the name of the output
RESIDUES = np.frombuffer(b"ACDEFGHIKLMNPQRSTVWY", dtype=np.uint8)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--proteins", type=int, nargs="+", default=COUNTS, help="how many; only the default is published"
    )
    counts = tuple(parser.parse_args().proteins)
    results: dict[str, Any] = {"rows": []}
    with tempfile.TemporaryDirectory() as folder:
        network(512, **SHAPE).save_pretrained(f"{folder}/model")
        protbert_tokenizer().save_pretrained(f"{folder}/model")
        for count in counts:
            write_proteins(f"{folder}/proteins.fasta", count)
            for command, output in COMMANDS.items():
                row = {"command": command, "proteins": count, **measure(command, folder, output)}
                results["rows"].append(row)
                print(row, flush=True)
    if counts != COUNTS:
        return 0
    rows = [
        [
            f"`{r['command']}`",
            f"{r['proteins']:,}",
            f"{r['seconds']:.0f}",
            f"{r['proteins'] / r['seconds']:,.0f}",
            f"{r['peak'] / 1e6:,.0f}",
        ]
        for command in COMMANDS
        for r in results["rows"]
        if r["command"] == command
    ]
    header = ["command", "proteins", "seconds, start included", "proteins/s", "peak memory, MB"]
    publish("proteome", "Predicting and embedding many proteins", results, markdown_table(header, rows))
    return 0


def write_proteins(path: str, count: int) -> None:
    generator = np.random.default_rng(0)
    with open(path, "wb") as file:
        for number in range(count):
            residues = RESIDUES[generator.integers(0, 20, generator.integers(20, 121))]
            file.write(b">S%d synthetic\n%s\n" % (number, residues.tobytes()))


def measure(command: str, folder: str, output: str) -> dict[str, float]:
    """Seconds and bytes of a command; what it wrote for fewer proteins is replaced."""
    arguments = ["--model", f"{folder}/model", "--input", f"{folder}/proteins.fasta", "--output", f"{folder}/{output}"]
    start = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "protbert_classify", command, *arguments, "--device", "cpu"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)},
    )
    peak = 0
    while process.poll() is None:
        peak = max(peak, _resident(process.pid))
        time.sleep(0.02)
    assert process.returncode == 0
    return {"seconds": time.perf_counter() - start, "peak": peak}


def _resident(pid: int) -> int:
    """Bytes; 0 once the process is ending."""
    status = Path(f"/proc/{pid}/status").read_text() if os.path.exists(f"/proc/{pid}/status") else ""
    return int(status.split("VmHWM:")[1].split()[0]) * 1024 if "VmHWM:" in status else 0


if __name__ == "__main__":
    sys.exit(main())
