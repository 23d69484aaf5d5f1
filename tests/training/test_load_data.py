import csv
import json
import warnings

import pytest
from datasets import ClassLabel, Dataset, DatasetDict

from protbert_classify.commands import main
from protbert_classify.homology.neighbours import find_neighbours
from protbert_classify.model.tasks import Task
from protbert_classify.reporting.run_description import summary
from protbert_classify.runs.finished_run import read_run
from protbert_classify.training.load_data import load_data, load_splits, report_splits
from protbert_classify.training.options import parse_options
from tests.homology.mutants import mutants, random_proteins
from tests.training.conftest import fresh_logging  # noqa: F401  a fixture
from tests.training.runs import TINY, complaints


def splits(**columns):
    table = {"id": ["P1", "P2", "P3"], "sequence": ["M K", "M R", "M T"], **columns}
    return DatasetDict(train=Dataset.from_dict(table), test=Dataset.from_dict(table))


@pytest.mark.parametrize(
    ("labels", "line"),
    [
        (["tm"], "proteins: train 3, test 3; tm in train: minimum 37, median 42.5, maximum 1200"),
        (
            ["tm", "ph"],
            "proteins: train 3, test 3; values in train: tm minimum 37, median 42.5, maximum 1200; "
            "ph minimum 5, median 6, maximum 7",
        ),
        (
            ["tm", "kd"],
            "proteins: train 3, test 3; values in train: tm minimum 37, median 42.5, maximum 1200; kd no known number",
        ),
    ],
)
def test_numbers_are_introduced_by_their_range(log, labels, line):
    task = Task(name=labels[0] if len(labels) == 1 else "values", problem_type="regression", labels=labels)
    numbers = {"tm": [1200.0, 37.0, 42.5], "ph": [7.0, None, 5.0], "kd": [float("nan")] * 3}
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # numpy warns of quantiles of nothing
        report_splits(splits(**numbers), task)
    assert log.messages == [line]


def test_classes_are_introduced_by_their_counts(log):
    proteins = splits(fold=[0, 1, 1]).cast_column("fold", ClassLabel(names=["alpha", "beta"]))
    report_splits(proteins, Task(name="fold", problem_type="single_label_classification", labels=["alpha", "beta"]))
    assert log.messages == ["proteins: train 3, test 3; fold in train: alpha 1, beta 2"]


# --- related proteins


@pytest.fixture
def related(write_fasta):
    """Forty families of two; ten test proteins: a copy of one, a relative of three, and six others."""
    parents = [residues[: 60 + row] for row, residues in enumerate(random_proteins(40, 100, seed=0))]
    test = [parents[0], *mutants(parents[1:4], 0.7, seed=2), *random_proteins(6, 80, seed=3)]
    records = [(f"P{row:02d}", residues, "") for row, residues in enumerate([*parents, *mutants(parents, 0.7, seed=1)])]
    records += [(f"T{row}", residues, " test") for row, residues in enumerate(test)]
    labels = ("Nucleus", "Cytoplasm")
    return write_fasta([(f"{name} {labels[int(name[1:]) % 2]}-S{mark}", s) for name, s, mark in records])


def residues_of(part):
    return [sequence.replace(" ", "") for sequence in part["sequence"][:]]


def test_by_default_no_validation_protein_is_related_to_a_training_protein(related, tmp_path):
    def splits_of(*options):
        return load_splits(parse_options(["--data", related, "--output_dir", str(tmp_path), *options])[1])

    splits = splits_of()
    assert len(find_neighbours(residues_of(splits["validation"]), residues_of(splits["train"]))) == 0
    assert 7 <= len(splits["validation"]) <= 9
    torn = splits_of("--split", "random")
    assert len(find_neighbours(residues_of(torn["validation"]), residues_of(torn["train"]))) > 3
    assert torn.notes["test_copies"] == 1


def test_copies_of_test_proteins_are_not_trained_on_and_relatives_are_counted(related, tmp_path, capsys):
    run = tmp_path / "run"
    options = ["--output_dir", str(run), "--num_train_epochs", "1", "--validation", "0", *TINY]
    assert main(["train", "--data", related, *options]) == 0
    output, lines = capsys.readouterr()
    assert "\n1 training protein with the sequence of a test protein left out\n" in lines
    assert "\n4 of 10 test proteins (40.0%) have a neighbour in training: at least 30% identity over 80% of" in lines
    record = json.loads((run / "run.json").read_text())
    notes = record["split_notes"]
    assert (notes["test_copies"], notes["test_neighbours"], notes["neighbours_by"]) == (1, 4, "MMseqs2")
    with open(run / "test_neighbours.csv", newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["id", "nearest", "nearest_identity", "group"]
    near = {row[0]: (row[1], float(row[2] or 0)) for row in rows}
    # the copy of P00 is not trained on, but P40 is made from the same parent as T0 is
    assert {name: nearest for name, (nearest, identity) in near.items() if identity >= 0.3} == {
        "T0": "P40", "T1": "P01", "T2": "P02", "T3": "P03"
    }  # fmt: skip
    assert all(0.6 < near[name][1] < 0.8 for name in ("T0", "T1", "T2", "T3"))
    assert [row[3] for row in rows] == [str(number) for number in range(10)]  # none is related to another
    metrics = json.loads((run / "metrics.json").read_text())
    steps = metrics["test_by_identity"]
    assert sum(step["proteins"] for step in steps) == 10 and steps[3]["proteins"] == 4
    assert notes["train_proteins"] == metrics["train_proteins"] == 79
    assert f"accuracy {metrics['test_transferred_accuracy']:.3f}, MCC" in transferred_line(output)
    assert metrics["test_transferred_accuracy"] == expected_transferred_accuracy(run, near)
    assert summary(read_run(str(run)), "of 2 classes", [])[1:3] == [
        "Left out of the training: 1 training protein with the sequence of a test protein.",
        "40.0% of the test proteins have a neighbour in training (at least 30% identity over 80% of the shorter "
        "protein).",
    ]


def transferred_line(output):
    """What the summary of a training says about label transfer."""
    start = "test, combined with the nearest training protein's label (predict --transfer_labels): "
    (line,) = (line for line in output.splitlines() if line.startswith(start))
    return line


def expected_transferred_accuracy(run, near):
    """By hand, from the predictions of a run: proteins with even numbers are nuclear, as `related` names them."""
    with open(run / "test_predictions.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    right = 0
    for row in rows:
        nearest, identity = near[row["id"]]
        scores = {label: (1 - identity) * float(row[label]) for label in ("Cytoplasm", "Nucleus")}
        if nearest:
            scores["Cytoplasm" if int(nearest[1:]) % 2 else "Nucleus"] += identity
        right += max(scores, key=scores.get) == row["location"]
    return right / len(rows)


@pytest.mark.parametrize(
    ("options", "searched"),
    [
        ([], True),
        (["--split", "identical"], False),  # quick
        (["--split", "identical", "--test_neighbours", "true"], True),
        (["--test_neighbours", "false"], False),
    ],
)
def test_neighbours_of_test_proteins_are_looked_for_where_it_is_asked_for(related, tmp_path, options, searched):
    given = ["--data", related, "--output_dir", str(tmp_path), "--validation", "0", *options]
    splits, _ = load_data(parse_options(given)[1])
    assert splits.notes["test_neighbours"] == (4 if searched else None)
    assert (splits.nearest is not None) is searched


def test_a_sample_of_the_training_proteins_is_all_that_is_near(related, tmp_path):
    options = ["--data", related, "--output_dir", str(tmp_path), "--max_train_samples", "4", "--validation", "0"]
    splits, _ = load_data(parse_options(options)[1])
    assert set(splits.nearest.nearest) <= {"", *splits["train"]["id"]}


def test_resuming_may_look_for_neighbours_that_the_run_did_not_look_for(related, tmp_path):
    run = tmp_path / "run"
    command = ["train", "--data", related, "--output_dir", str(run), "--split", "identical", *TINY]
    assert main([*command, "--num_train_epochs", "1"]) == 0
    assert not (run / "test_neighbours.csv").exists()
    assert main([*command, "--num_train_epochs", "2", "--resume", "--test_neighbours", "true"]) == 0
    assert len((run / "test_neighbours.csv").read_text().splitlines()) == 11


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--split", "best"], "split='best': expected one of homology, identical, random"),
        (["--split_identity", "30"], "split_identity=30.0: expected more than 0 and less than 1 (0.3 for 30%)"),
        (["--split_coverage", "0"], "split_coverage=0.0: expected more than 0 and less than 1 (0.3 for 30%)"),
    ],
)
def test_a_split_that_cannot_be_made_is_refused_before_anything_is_read(related, tmp_path, capsys, options, reason):
    assert main(["train", "--data", related, "--output_dir", str(tmp_path / "run"), *TINY, *options]) == 2
    assert reason in complaints(capsys.readouterr().err)[0]


def test_a_run_from_before_there_were_other_splits_resumes_with_its_own(related, tmp_path, capsys):
    run = tmp_path / "run"
    command = ["train", "--data", related, "--output_dir", str(run), "--num_train_epochs", "1", *TINY]
    assert main([*command, "--split", "identical"]) == 0
    settings = json.loads((run / "settings.json").read_text())
    for name in ("split", "split_identity", "split_coverage"):
        del settings[name]
    (run / "settings.json").write_text(json.dumps(settings))
    assert main([*command, "--resume"]) == 2
    assert "split was identical when the run in" in complaints(capsys.readouterr().err)[0]
    assert main([*command, "--resume", "--split", "identical"]) == 0


@pytest.mark.parametrize("former", [False, True])
def test_a_model_knows_what_it_was_trained_on(related, tmp_path, former):
    from protbert_classify.data.loading import read_proteins
    from protbert_classify.training.seen_proteins import count_seen

    run = tmp_path / "run"
    options = ["--split", "identical", "--validation", "0.3"] if former else ["--max_train_samples", "20"]
    assert main(["train", "--data", related, "--output_dir", str(run), "--num_train_epochs", "1", *TINY, *options]) == 0
    record = json.loads((run / "run.json").read_text())
    splits, task = read_proteins(related), Task(**record["tasks"][0])
    if former:  # it left no protein out
        del record["split_notes"]
        (run / "run.json").write_text(json.dumps(record))
        copies = set(splits["test"]["sequence"])
        splits["train"] = splits["train"].filter(lambda row: row["sequence"] not in copies)
    trained = json.loads((run / "metrics.json").read_text())["train_proteins"]
    assert count_seen(str(run), splits, task) == trained
    splits["train"] = splits["train"].select(range(30))
    assert count_seen(str(run), splits, task) == 0
