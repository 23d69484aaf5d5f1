"""How fast proteins become token ids: `python -m benchmarks.encoding`.

SCL2205's proteins, one thread. The FASTA reader of `datasets` alone is the limit of the way from FASTA. Each row is the
median of several runs; the ids of the byte table are checked against the tokenizer's first.
"""

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import datasets
import numpy as np

from benchmarks.reporting import markdown_table, publish
from protbert_classify.data.deeploc import DeepLoc
from protbert_classify.data.encoder import ProteinEncoder
from protbert_classify.data.encoding import encode
from protbert_classify.data.scl2205 import write_scl2205
from protbert_classify.data.tokenizer import protbert_tokenizer

REPEATS = 7
SAMPLE = 500  # proteins for the tokenizer, which is slow


def main() -> None:
    datasets.disable_progress_bars()
    with tempfile.TemporaryDirectory() as folder:
        fasta, _ = write_scl2205(folder)
        counter = iter(range(10**6))

        def prepared() -> datasets.Dataset:
            builder = DeepLoc(
                data_files=str(fasta), cache_dir=f"{folder}/cache{next(counter)}"
            )  # never a cached answer
            builder.download_and_prepare()
            return builder.as_dataset(split="train+test")

        def read() -> None:
            builder = datasets.load_dataset_builder(
                "fasta",
                data_files=str(fasta),
                columns=["id", "description", "sequence"],
                cache_dir=f"{folder}/r{next(counter)}",
            )
            builder.download_and_prepare()

        proteins = prepared()
        residues = int(np.sum(proteins["sequence_length"]))
        everything = int(sum(len(line) for line in Path(fasta).read_text().splitlines() if line[0] != ">"))
        tokenizer = protbert_tokenizer()
        encoder = ProteinEncoder(tokenizer, max_length=None)
        spaced = [sequence.encode() for sequence in proteins["sequence"]]
        few = proteins["sequence"][:SAMPLE]
        assert [list(encoder(sequence)) for sequence in few] == tokenizer(list(few))["input_ids"], "the ids differ"

        def table_only() -> None:
            for sequence in spaced:
                encoder(sequence)

        lengths = iter(range(100_000, 200_000))  # a new limit each time, so that no cached answer is taken

        rows = [
            ("FASTA reader of `datasets` alone", everything, _median(read)),
            ("FASTA to checked, spaced Arrow (`DeepLoc`)", everything, _median(prepared)),
            (
                "FASTA to encoded Arrow, end to end",
                everything,
                _median(lambda: encode(prepared(), tokenizer, max_length=next(lengths))),
            ),
            (
                "Arrow to encoded Arrow (`encode`)",
                residues,
                _median(lambda: encode(proteins, tokenizer, max_length=next(lengths))),
            ),
            ("byte table alone (`ProteinEncoder`)", residues, _median(table_only)),
            ("fast tokenizer", sum(len(s) // 2 + 1 for s in few), _median(lambda: tokenizer(list(few)))),
        ]
    results = {
        name: {"residues": count, "seconds": seconds, "residues_per_second": count / seconds}
        for name, count, seconds in rows
    }
    table = markdown_table(
        ["step", "million residues", "seconds", "million residues a second"],
        [
            [name, f"{count / 1e6:.2f}", f"{seconds:.3f}", f"{count / seconds / 1e6:.1f}"]
            for name, count, seconds in rows
        ],
    )
    publish("encoding", "Proteins to token ids", results, table)


def _median(work: Callable[[], object]) -> float:
    """Seconds, the median of several runs."""
    work()
    seconds = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


if __name__ == "__main__":
    main()
