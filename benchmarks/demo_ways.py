"""The demo's training in several ways, with several seeds each, compared on the same test proteins of SCL2205.

`rare_classes` and `regularisation` say what the ways are.
"""

import argparse
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

from benchmarks.paired import HEADING, differences, pairs_table
from benchmarks.reporting import last_results, markdown_table, mean_and_spread, publish
from benchmarks.results_page import write_page
from protbert_classify.data.scl2205 import write_scl2205
from protbert_classify.evaluation.metrics import NAMES
from protbert_classify.runs.files import METRICS, RECORD, read_json


@dataclass(frozen=True)
class DemoWays:
    """What is trained, and what the tables show.

    Args:
        name: Of the benchmark and of its results.
        about: Above the tables.
        ways: The first one is the usual one: the others are compared with it, or with what `against` says.
        train: Trains in a way, with the options of the demo: its configuration file first.
        columns: Split -> metrics of the table of runs.
        compared: Metrics of the table of differences.
        against: Way -> the one that it is compared with, where that is not the usual one.
    """

    name: str
    title: str
    about: str
    ways: Sequence[str]
    train: Callable[[str, list[str]], Any]
    columns: Mapping[str, Sequence[str]]
    compared: Sequence[str]
    against: Mapping[str, str] = field(default_factory=dict)

    def main(self, description: str | None, arguments: Sequence[str] | None = None) -> None:
        """Train what is asked for and is not there yet, and publish it beside what was published before."""
        parser = argparse.ArgumentParser(description=description)
        parser.add_argument(
            "--ways", nargs="+", choices=self.ways, default=self.ways, metavar="WAY", help="default: all"
        )
        parser.add_argument("--seeds", type=int, default=3, help="trainings of each way (default %(default)s)")
        parser.add_argument("--folder", help="keeps the runs, and leaves out those that are finished")
        options = parser.parse_args(arguments)
        with tempfile.TemporaryDirectory() as temporary:
            found = self.measure(options.ways, options.seeds, Path(options.folder or temporary))
        before = last_results(self.name)
        order = {"ways": self.ways, "differences": [self._title(way) for way in self.ways]}
        results = {}
        for part, titles in order.items():
            every = {**before.get(part, {}), **found[part]}
            results[part] = {title: every[title] for title in titles if title in every}
        publish(self.name, self.title, results, self.tables(results))
        write_page()

    def measure(self, ways: Sequence[str], seeds: int, folder: Path, *more: str) -> dict[str, Any]:
        """Train each way with each seed; `more` are options for all of them."""
        data = [str(path) for path in write_scl2205(folder / "data")]
        found = {way: [self.one_run(data, folder, way, seed, *more) for seed in range(seeds)] for way in ways}
        return {"ways": found, "differences": differences(self.pairs(folder, seeds))}

    def one_run(self, data: Sequence[str], folder: Path, way: str, seed: int, *more: str) -> dict[str, Any]:
        """The metrics of each split, of one training; one that is finished is not trained again."""
        output = self.run_folder(folder, way, seed)
        if not (output / RECORD).exists():  # written last
            where = ["--data", data[0], "--validation_data", data[1], "--output_dir", str(output), "--overwrite"]
            with as_file(files("protbert_classify.commands") / "demo.yaml") as demo:
                self.train(way, [str(demo), *where, "--test_neighbours", "false", "--seed", str(seed), *more])
        metrics = read_json(str(output / METRICS))
        return {split: {name: metrics[f"{split}_{name}"] for name in names} for split, names in self.columns.items()}

    def pairs(self, folder: Path, seeds: int) -> dict[str, list[tuple[Path, Path]]]:
        """Title of a pair -> for each seed, the folders of the two trainings, the usual one first."""
        return {
            self._title(way): [
                (self.run_folder(folder, self._other(way), seed), self.run_folder(folder, way, seed))
                for seed in range(seeds)
            ]
            for way in self.ways[1:]
        }

    def tables(self, results: dict[str, Any]) -> str:
        """The runs, then what each way changes on the same test proteins."""
        columns = [(split, name) for split, names in self.columns.items() for name in names]
        rows = [
            [way, str(len(runs)), *(mean_and_spread([run[split][name] for run in runs]) for split, name in columns)]
            for way, runs in results["ways"].items()
        ]
        runs = markdown_table(["", "seeds", *(f"{split} {NAMES[name]}" for split, name in columns)], rows)
        shown = {name: NAMES[name] for name in self.compared}
        return "\n\n".join([self.about, runs, HEADING, pairs_table(results["differences"], shown)])

    def run_folder(self, folder: Path, way: str, seed: int) -> Path:
        return folder / f"{way} seed {seed}".replace(",", "").replace(" ", "_")

    def _title(self, way: str) -> str:
        return f"{way} - {self._other(way)}"

    def _other(self, way: str) -> str:
        return self.against.get(way, self.ways[0])
