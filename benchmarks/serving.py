"""How many requests a server answers, one client against many: `python -m benchmarks.serving`.

A small ProtBERT-shaped network on proteins of DeepLoc's lengths, float32 on the CPU; server and clients are processes
of their own on loopback and share its cores. One protein a request. Answers of the crowd are compared with those of one
client before anything is reported.
"""

import signal
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.reporting import markdown_table, publish
from benchmarks.schemes import deeploc_lengths, network
from protbert_classify.data.alphabet import STANDARD
from protbert_classify.data.tokenizer import protbert_tokenizer
from tests.serving.clients import finished, start_clients
from tests.serving.servers import Server, running

SHAPE = {"hidden_size": 256, "num_hidden_layers": 1, "num_attention_heads": 4, "intermediate_size": 1024}
CAP = 512
PROTEINS = 500
REQUESTS = {1: 500, 8: 2000, 64: 10_000}  # of so many clients; under two minutes on two idle cores


def main() -> int:
    generator = np.random.default_rng(0)
    lengths = deeploc_lengths(PROTEINS, CAP)
    proteins = ["".join(generator.choice(list(STANDARD), int(length) - 2)) for length in lengths]
    with tempfile.TemporaryDirectory() as folder:
        model = network(CAP, **SHAPE)
        model.config.max_sequence_length = CAP
        model.save_pretrained(f"{folder}/model")
        protbert_tokenizer().save_pretrained(f"{folder}/model")
        with running(folder, Path(folder) / "server", threads="2") as server:
            results = {str(count): measure(server, proteins, count) for count in REQUESTS}
            assert server.stop(signal.SIGTERM) == 0
    expected = results["1"].pop("answers")
    for row in results.values():
        for protein, answer in row.pop("answers", {}).items():
            furthest = max(abs(score - expected[protein][label]) for label, score in answer.items())
            assert furthest < 1e-5, f"another answer than alone, by {furthest}"
    publish("serving", "A server and its clients", {"shape": SHAPE, "clients": results}, comparison(results))
    return 0


def measure(server: Server, proteins: list[str], clients: int) -> dict[str, Any]:
    """Requests a second, milliseconds of a request, and proteins of a forward pass."""
    passes = server.metric("protbert_classify_forward_passes_total")
    crowd = finished(start_clients(Path(server.folder), server.port, proteins, REQUESTS[clients], clients))
    assert all(result["status"] == 200 for result in crowd["results"])
    passes = server.metric("protbert_classify_forward_passes_total") - passes
    seconds = [result["seconds"] for result in crowd["results"]]
    return {
        "requests": len(seconds),
        "seconds": crowd["seconds"],
        "requests_per_second": len(seconds) / crowd["seconds"],
        "median_ms": 1000 * statistics.median(seconds),
        "p99_ms": 1000 * statistics.quantiles(seconds, n=100)[98],
        "forward_passes": passes,
        "answers": {r["protein"]: {c["label"]: c["score"] for c in r["answer"]} for r in crowd["results"]},
    }


def comparison(results: dict[str, Any]) -> str:
    """A line a number of clients."""
    alone = results["1"]["requests_per_second"]
    rows = [
        [
            clients,
            f"{row['requests']:,}",
            f"{row['requests_per_second']:,.0f}",
            f"{row['requests_per_second'] / alone:.2f}",
            f"{row['median_ms']:.1f}",
            f"{row['p99_ms']:.1f}",
            f"{row['requests'] / row['forward_passes']:.1f}",
        ]
        for clients, row in results.items()
    ]
    header = ["clients", "requests", "requests/s", "times one client", "median ms", "p99 ms", "proteins a forward pass"]
    return markdown_table(header, rows)


if __name__ == "__main__":
    sys.exit(main())
