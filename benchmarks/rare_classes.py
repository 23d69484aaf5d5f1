"""What finds rare classes? `python -m benchmarks.rare_classes`.

The demo's network on SCL2205 with several losses, class weights and samplings, three seeds each: about five minutes a
training on two CPU cores. The weights and the sampling give a class its number of proteins to the power of minus the
number shown.
"""

import argparse
import tempfile
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.paired import HEADING, differences, pairs_table
from benchmarks.reporting import RESULTS, last_results, markdown_table, publish
from benchmarks.results_page import write_page
from protbert_classify.data.scl2205 import write_scl2205
from protbert_classify.evaluation.metrics import NAMES
from protbert_classify.training.options import parse_options
from protbert_classify.training.run import train

NAME = "rare_classes"
METRICS = ("macro_f1", "balanced_accuracy", "mcc", "accuracy")
ABOUT = (
    "The demo's network on SCL2205's eight locations with other losses; mean ± standard deviation over {} seeds. The "
    "number is the value of `--class_weights` or `--class_sampling`."
)
NONE = ("--class_weights", "0")
USUAL = "cross-entropy"
WAYS = {
    USUAL: NONE,
    "class weights 0.3 (the demo)": ("--class_weights", "0.3"),
    "class sampling 0.3": (*NONE, "--class_sampling", "0.3"),
    "focal, class weights 0.3": ("--class_weights", "0.3", "--loss", "focal"),
    "logit adjustment 0.3": ("--class_weights", "0.3", "--loss", "logit_adjusted"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ways", nargs="+", choices=list(WAYS), default=list(WAYS), metavar="WAY", help="default: all")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--folder", help="keeps the runs, and continues with those that are there")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(options.folder or temporary)
        data = [str(path) for path in write_scl2205(folder / "data")]
        found = {way: [_run(data, folder, way, seed) for seed in range(options.seeds)] for way in options.ways}
        compared = differences(pairs(folder, options.seeds))
    before = last_results(NAME) if (RESULTS / f"{NAME}.json").exists() else {}
    every = {**before.get("ways", {}), **found}
    different = {**before.get("differences", {}), **compared}
    results = {
        "ways": {way: every[way] for way in WAYS if way in every},
        "differences": {title: different[title] for title in map(_title, WAYS) if title in different},
    }
    publish(NAME, "Rare classes", results, tables(results, options.seeds))
    write_page()


def pairs(folder: Path, seeds: int) -> dict[str, list[tuple[Path, Path]]]:
    """Title of a pair -> for each seed, the folders of cross-entropy and of the other way."""
    return {
        _title(way): [(_folder(folder, USUAL, seed), _folder(folder, way, seed)) for seed in range(seeds)]
        for way in WAYS
        if way != USUAL
    }


def tables(results: dict[str, Any], seeds: int) -> str:
    """The runs, then what each way changes on the same test proteins."""
    shown = {name: NAMES[name] for name in ("macro_f1", "mcc")}
    return "\n\n".join(
        [ABOUT.format(seeds), _table(results["ways"]), HEADING, pairs_table(results["differences"], shown)]
    )


def _title(way: str) -> str:
    return f"{way} - {USUAL}"


def _folder(folder: Path, way: str, seed: int) -> Path:
    return folder / f"{way}, seed {seed}".replace(" ", "_").replace(",", "")


def _run(data: list[str], folder: Path, way: str, seed: int) -> dict[str, Any]:
    """The metrics of one training."""
    output = _folder(folder, way, seed)
    with as_file(files("protbert_classify.commands") / "demo.yaml") as demo:
        where = ["--data", data[0], "--validation_data", data[1], "--output_dir", str(output), "--resume"]
        options = [*where, "--test_neighbours", "false", "--seed", str(seed), *WAYS[way]]
        metrics = train(*parse_options([str(demo), *options]))
    splits = ("validation", "test")
    return {split: {name: metrics[f"{split}_{name}"] for name in METRICS} for split in splits}


def _table(ways: dict[str, list[dict[str, Any]]]) -> str:
    lines = []
    for way, runs in ways.items():
        chosen = np.mean([run["validation"]["macro_f1"] for run in runs])
        cells = [[run["test"][name] for run in runs] for name in METRICS]
        lines.append(
            [way, f"{chosen:.3f}", *(f"{np.mean(values):.3f} ± {np.std(values, ddof=1):.3f}" for values in cells)]
        )
    header = [
        "",
        "validation macro F1",
        *(f"test {NAMES[name]}" for name in METRICS),
    ]
    return markdown_table(header, lines)


if __name__ == "__main__":
    main()
