"""How well are proteins of SCL2205 classified, and can the numbers be believed? `python -m benchmarks.results`.

The demo's network with several seeds, their ensemble, and the baselines, on the same proteins, on a CPU and without
pretrained weights. Writes docs/results.md.
"""

import argparse
import tempfile
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.reporting import markdown_table, publish
from protbert_classify.commands import main as command
from protbert_classify.data.scl2205 import write_scl2205
from protbert_classify.evaluation.intervals import task_intervals
from protbert_classify.reporting.formatting import with_interval
from protbert_classify.runs.files import METRICS, read_json
from protbert_classify.runs.finished_run import read_run
from protbert_classify.training.options import parse_options
from protbert_classify.training.run import train

TITLE = "SCL2205: the demo's network, its ensemble and the baselines"
WATCHED = ("accuracy", "mcc", "macro_f1", "balanced_accuracy")
BASELINES = {
    "majority": "always the most frequent class",
    "composition": "logistic regression on composition",
    "random_network": "logistic regression on a random network",
    "nearest_neighbour": "class of the nearest training protein",
}
PAGE = Path(__file__).parent.parent / "docs" / "results.md"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5, help="networks to train (default 5)")
    parser.add_argument("--folder", help="keeps the runs, and continues with those that are there")
    parser.add_argument("--render", action="store_true", help="only write the page of the last results again")
    options = parser.parse_args()
    if options.render:
        return write_page()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(options.folder or temporary)
        results = measure(folder, options.seeds)
    publish("results", TITLE, results, tables(results))
    write_page()


def measure(folder: Path, seeds: int) -> dict[str, Any]:
    """Train the networks and run the baselines, in a folder that may hold some of them."""
    fasta, validation = write_scl2205(folder / "data")
    data = ["--data", str(fasta), "--validation_data", str(validation)]
    with as_file(files("protbert_classify.commands") / "demo.yaml") as recipe:
        run = ["--output_dir", str(folder / "seeds"), "--seeds", str(seeds), "--resume"]
        train(*parse_options([str(recipe), *data, *run]))
    for name in BASELINES:
        if not (folder / "baselines" / name / "run.json").exists():
            where = ["--split", "identical", "--output_dir", str(folder / "baselines"), "--baselines", name]
            assert command(["baselines", *data, *where]) == 0
    return {
        "ensemble": told(folder / "seeds"),
        "seeds": [told(folder / "seeds" / f"seed-{number}") for number in range(seeds)],
        "baselines": {name: told(folder / "baselines" / name) for name in BASELINES},
    }


def told(folder: Path) -> dict[str, Any]:
    """What the tables need of a run: its numbers, and their intervals over the test proteins."""
    metrics = read_json(str(folder / METRICS))
    predictions = read_run(str(folder)).predictions
    assert predictions is not None
    intervals = task_intervals(predictions.decision, predictions.references)
    more = ("ece", "uncalibrated_ece", "nll", "sets_coverage", "sets_size", "sets_by_class_coverage")
    return {
        "proteins": metrics["test_proteins"],
        "validation_accuracy": metrics["validation_accuracy"],
        **{name: metrics[f"test_{name}"] for name in WATCHED},
        **{name: metrics[f"test_{name}"] for name in more if f"test_{name}" in metrics},
        "intervals": {name: intervals[name] for name in WATCHED},
        "per_class": metrics["test_per_class"],
        "class_intervals": dict(zip(metrics["test_per_class"], intervals["f1"], strict=False)),
    }


def tables(results: dict[str, Any]) -> str:
    """All tables, each below a line that says what it shows."""
    seeds = results["seeds"]
    parts = [
        f"Test proteins: {seeds[0]['proteins']:,}. In brackets: 95% intervals over the test proteins. ± is the "
        f"standard deviation over {len(seeds)} seeds.",
        accuracy_table(results),
        "Validation and test accuracy of each seed:",
        validation_table(seeds),
        "F1 of each class:",
        class_table(results),
        "Scores and prediction sets on the test proteins, sets at an error of 0.1:",
        trust_table(results),
    ]
    return "\n\n".join(parts)


def accuracy_table(results: dict[str, Any]) -> str:
    """A row for each way to classify."""
    rows = [[text, *_with_intervals(results["baselines"][name])] for name, text in BASELINES.items()]
    seeds = results["seeds"]
    rows.append(["the demo's network", *(_spread([run[name] for run in seeds]) for name in WATCHED)])
    rows.append([f"ensemble of {len(seeds)} such networks", *_with_intervals(results["ensemble"])])
    return markdown_table(["", "accuracy", "MCC", "macro F1", "balanced accuracy"], rows)


def validation_table(seeds: list[dict[str, Any]]) -> str:
    """Whether the number that chose a checkpoint is the one that new proteins give."""
    differences = [run["validation_accuracy"] - run["accuracy"] for run in seeds]
    rows = [
        ["validation", *(f"{run['validation_accuracy']:.3f}" for run in seeds)],
        ["test", *(with_interval(run["accuracy"], run["intervals"]["accuracy"], ".3f") for run in seeds)],
        ["difference", *(f"{difference:+.3f}" for difference in differences)],
    ]
    return markdown_table(["", *(f"seed {number}" for number in range(len(seeds)))], rows)


def class_table(results: dict[str, Any]) -> str:
    """F1 by class: of the ensemble, and the lowest of the seeds."""
    rows = []
    for label, of_ensemble in results["ensemble"]["per_class"].items():
        lowest = min((run["per_class"][label]["f1"] or 0.0) for run in results["seeds"])
        interval = results["ensemble"]["class_intervals"][label]
        cell = with_interval(of_ensemble["f1"], interval, ".2f")
        rows.append([label, f"{of_ensemble['support']:,}", cell, f"{lowest:.2f}"])
    return markdown_table(["class", "test proteins", "ensemble", "lowest of the seeds"], rows)


def trust_table(results: dict[str, Any]) -> str:
    """Calibration and prediction sets."""
    named = {f"seed {number}": run for number, run in enumerate(results["seeds"])}
    named["ensemble"] = results["ensemble"]
    rows = [
        [
            name,
            f"{run['uncalibrated_ece']:.3f}",
            f"{run['ece']:.3f}",
            f"{run['nll']:.3f}",
            f"{run['sets_coverage']:.3f}",
            f"{run['sets_size']:.2f}",
            f"{run['sets_by_class_coverage']:.3f}",
        ]
        for name, run in named.items()
    ]
    columns = ["ECE before", "ECE after calibration", "NLL", "coverage", "mean size", "coverage by class"]
    return markdown_table(["", *columns], rows)


def _with_intervals(run: dict[str, Any]) -> list[str]:
    return [with_interval(run[name], run["intervals"][name], ".3f") for name in WATCHED]


def _spread(values: list[float]) -> str:
    return f"{np.mean(values):.3f} ± {np.std(values, ddof=1):.3f}"


def write_page() -> None:
    """Put the printed tables on the page of the documentation."""
    printed = (Path(__file__).parent / "results" / "results.md").read_text(encoding="utf-8")
    body = printed.split("\n", 2)[2]  # without its heading
    PAGE.write_text(INTRODUCTION + body, encoding="utf-8")


INTRODUCTION = """# Results

What to expect without pretrained weights and without a GPU: small networks that learn from SCL2205 alone (UniProt
proteins with one of eight locations, as [`protbert-classify demo`](first_run_command_line.md) uses them), beside simple
baselines on the same proteins. The networks have residue embeddings, two convolutional layers and light attention
(`protbert_classify/commands/demo.yaml`). Validation and test proteins are those of SCL2205.

- **Is a network better than no network?** Compare with the baselines: the class of the nearest training protein found
  by MMseqs2 is what biologists use without machine learning.
- **Can the validation number be believed?** It should be near the test number: a validation part with relatives of the
  training proteins is far too optimistic ([how proteins are split](evaluation.md)).
- **Are scores probabilities?** The calibration error (ECE) says how far they are from it.
- **Do prediction sets keep their promise?** At an error of 0.1, nine in ten should contain the true class.

[Benchmarks](benchmarks.md) has speed and memory.

"""


if __name__ == "__main__":
    main()
