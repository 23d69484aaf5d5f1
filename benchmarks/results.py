"""How well are proteins classified, and can the numbers be believed? `python -m benchmarks.results`.

The demo's network, without pretrained weights and on a CPU, beside the baselines on the same proteins: of SCL2205, and
of DeepLoc if its file is given. Writes docs/results.md.
"""

import argparse
import csv
import tempfile
from collections.abc import Callable
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any, NamedTuple

from datasets import Dataset

from benchmarks.reporting import last_results, markdown_table, mean_and_spread, publish
from benchmarks.results_page import PAGE, write_page
from protbert_classify.commands import main as command
from protbert_classify.data.alphabet import unspace
from protbert_classify.data.deeploc import load_deeploc
from protbert_classify.data.scl2205 import read_scl2205, write_scl2205
from protbert_classify.data.test_neighbours import nearest_labels
from protbert_classify.evaluation.by_identity import metrics_by_identity
from protbert_classify.evaluation.decision import Decision
from protbert_classify.evaluation.intervals import task_intervals
from protbert_classify.evaluation.label_transfer import transfer_labels
from protbert_classify.evaluation.metrics import BEST_METRIC, NAMES, WATCHED, task_metrics
from protbert_classify.homology.neighbours import find_neighbours
from protbert_classify.model.tasks import SINGLE_LABEL
from protbert_classify.reporting.formatting import capitalised, with_interval
from protbert_classify.runs.files import METRICS, read_json
from protbert_classify.runs.finished_run import Run, read_run
from protbert_classify.training.load_data import load_data
from protbert_classify.training.options import parse_options
from protbert_classify.training.run import train
from protbert_classify.training.several_runs import train_several

TITLE = "The demo's network and the baselines"
NETWORK, ENSEMBLE = "the demo's network", "ensemble of {} such networks"
HELPED = "{} + nearest training protein"
BASELINES = {
    "majority": "always the most frequent class",
    "composition": "logistic regression on composition",
    "random_network": "logistic regression on a random network",
    "nearest_neighbour": "class of the nearest training protein",
}
TRUST = ("uncalibrated_ece", "ece", "nll", "sets_coverage", "sets_size", "sets_by_class_coverage")
TRUST_HEADER = ("ECE before", "ECE after calibration", "NLL", "coverage", "mean size", "coverage by class")


class Proteins(NamedTuple):
    """Some proteins to train on and to test with.

    Args:
        title: For people.
        seeds: How many networks are trained.
        write: Writes the files into a folder; returns the options of `train` that read them.
        network: What differs from the demo's options for the network.
    """

    title: str
    seeds: int
    write: Callable[[Path], list[str]]
    network: tuple[str, ...] = ()


def one_location(folder: Path) -> list[str]:
    fasta, validation = write_scl2205(folder)
    return ["--data", str(fasta), "--validation_data", str(validation), "--split", "identical"]


def several_locations(folder: Path) -> list[str]:
    fasta, validation = write_scl2205(folder, multi_label=True)
    data = ["--data", str(fasta), "--validation_data", str(validation), "--split", "identical"]
    return [*data, "--problem_type", "multi_label_classification"]


def all_classes(folder: Path) -> list[str]:
    """SCL2205's own 13 classes, some of them combinations of locations."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "scl2205.csv"
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "sequence", "location", "split"])
        for split, proteins in read_scl2205().items():
            writer.writerows([name, residues, label.replace(";", " + "), split] for name, residues, label in proteins)
    return ["--data", str(path), "--split", "identical"]


def deeploc(source: str) -> Callable[[Path], list[str]]:
    """DeepLoc's proteins, and for training those of SCL2205 that are unlike DeepLoc's test proteins."""

    def write(folder: Path) -> list[str]:
        fasta, validation = write_scl2205(folder)
        records = [entry for path in (fasta, validation) for entry in path.read_text(encoding="utf-8").split(">")[1:]]
        test = load_deeploc(source, validation=0)["test"]
        residues = ["".join(record.split("\n")[1:]) for record in records]
        near = set(find_neighbours(residues, [unspace(sequence) for sequence in test["sequence"][:]]).query.tolist())
        path = folder / "deeploc_and_scl2205.fasta"
        own = Path(source).read_text(encoding="utf-8")
        known = {line.split()[0] for line in own.split(">")[1:]}
        with open(path, "w", encoding="utf-8") as file:
            file.write(own if own.endswith("\n") else own + "\n")
            for row, record in enumerate(records):
                header = record.split("\n")[0].split()
                if row not in near and header[0] not in known:
                    file.write(f">{' '.join(header[:2])}\n{residues[row]}\n")  # none is a test protein here
        return ["--data", str(path), "--split", "homology"]

    return write


PROTEINS = {
    "one_location": Proteins("SCL2205, one of eight locations", 5, one_location),
    "all_classes": Proteins("SCL2205, its own 13 classes", 1, all_classes),
    "several_locations": Proteins("SCL2205, one or several locations", 1, several_locations, ("--class_weights", "0")),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--proteins", nargs="+", choices=[*PROTEINS, "deeploc"], help="default: all that are there")
    parser.add_argument("--deeploc", metavar="FASTA", help="DeepLoc's file, or a part of it")
    parser.add_argument("--folder", help="keeps the runs, and continues with those that are there")
    parser.add_argument("--render", action="store_true", help="only write the page of the last results again")
    options = parser.parse_args()
    known = dict(PROTEINS)
    if options.deeploc:
        known["deeploc"] = Proteins("DeepLoc's test proteins (a sample)", 1, deeploc(options.deeploc))
    elif "deeploc" in (options.proteins or ()):
        parser.error("--proteins deeploc needs --deeploc FASTA")
    measured_now = {}
    if not options.render:
        with tempfile.TemporaryDirectory() as temporary:
            for name in options.proteins or known:
                measured_now[name] = measure(known[name], Path(options.folder or temporary) / name)
    before = last_results("results") if PAGE.exists() else {}
    where = {"machine": before["machine"]} if options.render else {}
    every = {**before, **measured_now}
    results = {name: every[name] for name in (*PROTEINS, "deeploc") if name in every}
    publish("results", TITLE, where | results, tables(results))
    write_page()


def measure(proteins: Proteins, folder: Path) -> dict[str, Any]:
    """Train the networks and run the baselines, in a folder that may hold some of them."""
    data = [*proteins.write(folder / "data"), "--test_neighbours", "true"]
    network = folder / "network"
    seeds = ["--seeds", str(proteins.seeds)] if proteins.seeds > 1 else []
    with as_file(files("protbert_classify.commands") / "demo.yaml") as recipe:
        options = parse_options(
            [str(recipe), *data, *proteins.network, "--output_dir", str(network), "--resume", *seeds]
        )
        (train_several if seeds else train)(*options)
    for name in BASELINES:
        if not (folder / "baselines" / name / "run.json").exists():
            where = ["--output_dir", str(folder / "baselines"), "--baselines", name]
            assert command(["baselines", *data, *where]) == 0
    baselines = {text: read_run(folder / "baselines" / name) for name, text in BASELINES.items()}
    if not seeds:
        networks = [read_run(network)]
    else:
        networks = [read_run(network / f"seed-{number}") for number in range(proteins.seeds)]
    train_proteins = load_data(options[1])[0]["train"]
    rows = {text: told(run) for text, run in baselines.items()}
    rows[NETWORK] = of_seeds([told(run) for run in networks])
    rows[HELPED.format(NETWORK)] = of_seeds([with_neighbours(run, train_proteins) for run in networks])
    if seeds:
        together, ensemble = read_run(network), ENSEMBLE.format(proteins.seeds)
        rows |= {ensemble: told(together), HELPED.format(ensemble): with_neighbours(together, train_proteins)}
    return {"title": proteins.title, "problem_type": networks[0].task.problem_type, "rows": rows}


def of_seeds(networks: list[dict[str, Any]]) -> dict[str, Any]:
    """The first network, and all of them."""
    return networks[0] | {"seeds": networks}


def told(run: Run) -> dict[str, Any]:
    """What the tables need of a run."""
    assert run.predictions is not None
    metrics = read_json(f"{run.folder}/{METRICS}")
    trust = {name: metrics[f"test_{name}"] for name in TRUST if f"test_{name}" in metrics}
    return {**measured(run, run.predictions.decision), "trust": trust, "validation": metrics.get("validation_accuracy")}


def with_neighbours(run: Run, train_proteins: Dataset) -> dict[str, Any]:
    """A model with the labels of the nearest training proteins, as `predict --transfer_labels` weighs them in."""
    assert run.predictions is not None and run.nearest is not None
    decision = run.predictions.decision
    labels = nearest_labels(run.nearest, train_proteins, decision.task)
    return measured(run, transfer_labels(decision, labels, run.nearest.identity))


def measured(run: Run, decision: Decision) -> dict[str, Any]:
    """The metrics of answers for the test proteins of a run, with intervals over groups of related proteins."""
    assert run.predictions is not None and run.nearest is not None
    references, groups = run.predictions.references, run.nearest.group
    metrics = task_metrics(decision, references)
    intervals = task_intervals(decision, references, groups=groups)
    names = watched(decision.task.problem_type)
    return {
        "proteins": len(decision),
        "metrics": {name: metrics[name] for name in names},
        "intervals": {name: intervals[name] for name in names},
        "per_class": {label: [of["f1"], of["support"]] for label, of in metrics["per_class"].items()},
        "steps": metrics_by_identity(decision, references, run.nearest.identity, groups),
    }


def watched(problem_type: str) -> tuple[str, ...]:
    """The metrics of the tables."""
    more = ("balanced_accuracy",) if problem_type == SINGLE_LABEL else ()
    return (*WATCHED[problem_type][:4], *more)


def tables(results: dict[str, Any]) -> str:
    """A section for each of the proteins."""
    return "\n\n".join(section(name, part) for name, part in results.items())


def section(name: str, part: dict[str, Any]) -> str:
    """All tables of some proteins, each below a line that says what it shows."""
    rows, networks = part["rows"], part["rows"][NETWORK]["seeds"]
    several = len(networks) > 1
    spread = f" ± is the standard deviation over {len(networks)} seeds." if several else ""
    given = " --deeploc FASTA" if name == "deeploc" else ""
    parts = [
        f"### {part['title']}",
        f"`python -m benchmarks.results --proteins {name}{given}`",
        f"{networks[0]['proteins']:,} test proteins. In brackets: 95% intervals over groups of related test proteins."
        f"{spread} '+ nearest training protein': combined with its label (`predict --transfer_labels`).",
        metrics_table(rows, watched(part["problem_type"])),
        f"{capitalised(NAMES[step_metric(part['problem_type'])])} by the identity of the nearest training protein (in "
        "brackets, test proteins):",
        steps_table(rows, step_metric(part["problem_type"])),
    ]
    if several:
        parts += ["Validation and test accuracy of each seed:", validation_table(networks)]
        parts += ["F1 of each class:", class_table(rows)]
    if any(networks[0]["trust"]):
        parts += ["Calibration, and prediction sets at an error of 0.1:", trust_table(rows)]
    return "\n\n".join(parts)


def step_metric(problem_type: str) -> str:
    return "accuracy" if problem_type == SINGLE_LABEL else BEST_METRIC[problem_type]


def metrics_table(rows: dict[str, Any], names: tuple[str, ...]) -> str:
    """A row for each way to classify."""
    lines = []
    for text, row in rows.items():
        if len(row.get("seeds", ())) > 1:
            cells = [mean_and_spread([run["metrics"][name] for run in row["seeds"]]) for name in names]
        else:
            cells = [with_interval(row["metrics"][name], row["intervals"][name], ".3f") for name in names]
        lines.append([text, *cells])
    return markdown_table(["", *(NAMES[name] for name in names)], lines)


def steps_table(rows: dict[str, Any], metric: str) -> str:
    """The same for test proteins that are more and more like a training protein; of the networks, the first."""
    steps = next(iter(rows.values()))["steps"]
    lines = [
        [text, *(with_interval(step[metric], step[f"{metric}_interval"], ".3f") for step in row["steps"])]
        for text, row in rows.items()
    ]
    return markdown_table(["", *(f"{step['nearest']} ({step['proteins']:,})" for step in steps)], lines)


def validation_table(networks: list[dict[str, Any]]) -> str:
    """Whether the number that chose a checkpoint is the one that new proteins give."""
    test = [run["metrics"]["accuracy"] for run in networks]
    lines = [
        ["validation", *(f"{run['validation']:.3f}" for run in networks)],
        ["test", *(with_interval(run["metrics"]["accuracy"], run["intervals"]["accuracy"], ".3f") for run in networks)],
        ["difference", *(f"{run['validation'] - value:+.3f}" for run, value in zip(networks, test, strict=True))],
    ]
    return markdown_table(["", *(f"seed {number}" for number in range(len(networks)))], lines)


def class_table(rows: dict[str, Any]) -> str:
    """F1 by class: of the ensemble, and the lowest of the seeds."""
    networks = rows[NETWORK]["seeds"]
    together = rows[ENSEMBLE.format(len(networks))]["per_class"]
    lines = [
        [label, f"{support:,}", _number(f1), _number(min(run["per_class"][label][0] or 0.0 for run in networks))]
        for label, (f1, support) in together.items()
    ]
    return markdown_table(["class", "test proteins", "ensemble", "lowest of the seeds"], lines)


def trust_table(rows: dict[str, Any]) -> str:
    """Calibration and prediction sets."""
    networks = rows[NETWORK]["seeds"]
    named = {f"seed {number}": run["trust"] for number, run in enumerate(networks)}
    if len(networks) > 1:
        named["ensemble"] = rows[ENSEMBLE.format(len(networks))]["trust"]
    lines = [[name, *(_number(run.get(metric)) for metric in TRUST)] for name, run in named.items()]
    return markdown_table(["", *TRUST_HEADER], lines)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


if __name__ == "__main__":
    main()
