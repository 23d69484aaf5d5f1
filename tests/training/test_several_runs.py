"""Several trainings in one folder: what each of them is, what their ensemble is, and what interrupts them."""

import csv
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from protbert_classify import ProteinEnsemble
from protbert_classify.commands import main
from protbert_classify.data.division import Division
from protbert_classify.errors import OptionError
from protbert_classify.evaluation.metrics import task_metrics
from protbert_classify.hub import describe_model
from protbert_classify.inference.evaluate import evaluate_classifier
from protbert_classify.inference.saved_classifier import load_classifier
from protbert_classify.reporting.card import Licences
from protbert_classify.reporting.evaluated_split import EvaluatedSplit
from protbert_classify.reporting.members import ensemble_sentences, member_table
from protbert_classify.reporting.terminal_summary import training_summary
from protbert_classify.runs.checkpoints import newest_complete_checkpoint
from protbert_classify.runs.finished_run import read_run
from protbert_classify.runs.predictions import read_predictions
from protbert_classify.training.options import parse_options
from protbert_classify.training.run import train
from protbert_classify.training.several_runs import load_folds
from tests.training.runs import (
    CPU_CONFIG,
    LABELS,
    ROOT,
    TINY,
    assert_same_weights,
    command,
    complaints,
    easy_records,
    environment,
    fasta,
    record,
    run,
    weights,
)

SPLIT = ("--split", "identical")  # no search


def rows(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def scores(path):
    return np.array([[float(row[label]) for label in LABELS] for row in rows(path)])


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "easy.fasta"
    path.write_text(fasta(easy_records(90, 30)))
    return path


@pytest.fixture(scope="module")
def seeds(data, tmp_path_factory):
    """A run of three seeds: its folder, and what `train` returned."""
    folder = tmp_path_factory.mktemp("seeds") / "run"
    return folder, run(folder, data, *SPLIT, "--seeds", "3")


@pytest.fixture(scope="module")
def folds(data, tmp_path_factory):
    """A cross-validation with three folds, with an auxiliary task."""
    folder = tmp_path_factory.mktemp("folds") / "run"
    return folder, run(folder, data, *SPLIT, "--folds", "3")


def test_each_member_is_the_run_that_its_seed_alone_would_give(seeds, data, tmp_path):
    folder, _ = seeds
    for number, seed in enumerate(("42", "43", "44")):
        assert record(folder / f"seed-{number}")["training_arguments"]["seed"] == int(seed)
    run(tmp_path / "alone", data, *SPLIT, "--seed", "43")
    assert_same_weights(tmp_path / "alone" / "model", folder / "seed-1" / "model")
    alone, member = (read_run(path).metrics for path in (tmp_path / "alone", folder / "seed-1"))
    assert alone["test_mcc"] == member["test_mcc"]


def test_the_ensemble_predicts_the_means_of_its_members(seeds):
    folder, metrics = seeds
    each = [scores(folder / f"seed-{number}" / "test_predictions.csv") for number in range(3)]
    assert np.abs(each[0] - each[1]).max() > 0.01
    np.testing.assert_allclose(scores(folder / "test_predictions.csv"), np.mean(each, axis=0), atol=2e-6)
    assert isinstance(load_classifier(folder, "cpu")[0], ProteinEnsemble)
    right = [row["location"] == row["predicted"] for row in rows(folder / "test_predictions.csv")]
    assert metrics["test_accuracy"] == pytest.approx(np.mean(right))


def test_an_ensemble_of_seeds_is_calibrated_and_gives_sets_from_the_validation_proteins_that_its_members_share(
    tmp_path,
):
    (tmp_path / "data.fasta").write_text(fasta(easy_records(200, 30)))
    options = ("--seeds", "2", "--validation", "0.4", "--num_train_epochs", "1", "--learning_rate", "1e-5")
    metrics = run(tmp_path / "run", tmp_path / "data.fasta", *SPLIT, *options)
    model = load_classifier(tmp_path / "run", "cpu")[0]
    config, record = model.config, metrics["calibration"]["location"]
    assert config.calibration_temperature == record["temperature"] != 1
    assert (record["proteins"], record["held_out"]) == (metrics["validation_proteins"], False)
    assert (
        sum(map(len, config.validation_scores))
        == metrics["prediction_sets"]["location"]["proteins"]
        == record["proteins"]
    )
    alone = [load_classifier(tmp_path / "run" / f"seed-{number}", "cpu")[0] for number in range(2)]
    for member, own in zip(alone, model.members, strict=True):  # each keeps its own
        assert own.config.calibration_temperature == member.config.calibration_temperature
        assert own.config.validation_scores == member.config.validation_scores
    mean = np.mean(
        [scores(tmp_path / "run" / f"seed-{number}" / "test_predictions.csv") for number in range(2)], axis=0
    )
    sharper = mean ** (1 / record["temperature"])
    expected = sharper / sharper.sum(1, keepdims=True)
    np.testing.assert_allclose(scores(tmp_path / "run" / "test_predictions.csv"), expected, atol=1e-5)


def test_metrics_have_mean_and_standard_deviation_over_members(seeds):
    folder, metrics = seeds
    each = [json.loads((folder / f"seed-{number}" / "metrics.json").read_text()) for number in range(3)]
    members = metrics["members"]
    assert members["names"] == ["seed-0", "seed-1", "seed-2"]
    for name in ("test_mcc", "test_nll", "validation_accuracy", "validation_ece"):
        values = [found[name] for found in each]
        assert members["values"][name] == values
        assert members["mean"][name] == pytest.approx(np.mean(values))
        assert members["std"][name] == pytest.approx(np.std(values, ddof=1))
    assert members["std"]["test_nll"] > 0
    assert json.loads((folder / "metrics.json").read_text()) == metrics


def test_the_folder_is_a_run_for_every_command_that_reads_one(seeds, data, tmp_path, capsys):
    folder, metrics = seeds
    found = read_run(folder)
    assert found.record["members"] == ["seed-0", "seed-1", "seed-2"]
    assert found.record["model_arguments"]["seeds"] == 3
    assert main(["report", "--run", str(folder), "--output", str(tmp_path / "report.html")]) == 0
    page = (tmp_path / "report.html").read_text()
    members = metrics["members"]
    shown = f"{members['mean']['test_mcc']:.3f} ± {members['std']['test_mcc']:.3f}"
    assert "It is an ensemble of 3 models, trained with different seeds." in page
    assert shown in page
    card, _ = describe_model(str(folder / "model"), found, "me/three", Licences(), str(tmp_path))
    assert "It is an **ensemble** of 3 such models." in card
    assert "\n- ensemble\n" in card
    assert f"| mean ± standard deviation | {members['mean']['test_accuracy']:.3f} ±" in card
    assert shown in card
    assert shown in training_summary(metrics, str(folder))
    assert main(["compare", "--runs", str(folder), str(folder / "seed-0")]) == 0
    output = tmp_path / "predictions.csv"
    assert main(["predict", "--model", str(folder), "--input", str(data), "--output", str(output)]) == 0
    tested = {row["id"]: row for row in rows(folder / "test_predictions.csv")}
    again = {row["id"]: row for row in rows(output)}
    for name, row in tested.items():
        expected = [float(row[label]) for label in LABELS]
        assert [float(again[name][label]) for label in LABELS] == pytest.approx(expected, abs=2e-6)
    capsys.readouterr()
    assert main(["evaluate", "--model", str(folder), "--data", str(data)]) == 0
    assert "Nucleus" in capsys.readouterr().out


def test_each_protein_is_validated_once_and_by_a_member_that_did_not_train_on_it(folds, data):
    folder, metrics = folds
    proteins = [header.split()[0] for header, _ in easy_records(90, 30) if not header.endswith("test")]
    found = rows(folder / "out_of_fold_predictions.csv")
    assert sorted(row["id"] for row in found) == proteins
    assert metrics["validation_proteins"] == 60
    assert not [name for name in metrics if name.startswith("validation_sets")]  # each fold has scores of its own
    calls = [row["location"] == row["predicted"] for row in found]
    assert metrics["validation_accuracy"] == pytest.approx(np.mean(calls))
    splits, _, numbers = load_folds(options(data, "--folds", "3")[1])
    expected = {}
    for number in (1, 2, 3):
        part = splits["train"].select(np.flatnonzero(numbers == number))
        member = folder / f"fold-{number}"
        assert record(member)["data_fingerprint"]["validation"] != record(member)["data_fingerprint"]["train"]
        expected[number] = evaluate_classifier(str(member), part, device="cpu")
        assert expected[number]["mcc"] == pytest.approx(metrics["members"]["values"]["validation_mcc"][number - 1])
    right = sum(result["proteins"] * result["accuracy"] for result in expected.values())
    assert metrics["validation_accuracy"] == pytest.approx(right / 60)
    each = [scores(folder / f"fold-{number}" / "test_predictions.csv") for number in (1, 2, 3)]
    np.testing.assert_allclose(scores(folder / "test_predictions.csv"), np.mean(each, axis=0), atol=2e-6)


def test_out_of_fold_numbers_are_not_called_those_of_the_ensemble(folds, tmp_path):
    folder, metrics = folds
    found = read_run(folder)
    validated = EvaluatedSplit(
        "validation", found.task, {name: metrics[f"validation_{name}"] for name in ("accuracy", "mcc", "macro_f1")}
    )
    header, table = member_table(found, validated)
    assert header == ["", "accuracy", "MCC", "macro F1"]
    assert [row[0] for row in table] == ["fold-1", "fold-2", "fold-3", "mean ± standard deviation", "out of fold"]
    assert table[-1][1] == f"{metrics['validation_accuracy']:.3f}"
    tested = EvaluatedSplit("test", found.task, {name: metrics[f"test_{name}"] for name in ("accuracy", "mcc")})
    assert member_table(found, tested)[1][-1][0] == "ensemble"
    assert ensemble_sentences(found)[0].startswith("It is an ensemble of 3 models, trained on different folds.")


def options(data, *more):
    return parse_options(["--data", str(data), *TINY, *SPLIT, *more])


@pytest.fixture
def tables(tmp_path):
    """Tables of easy proteins: several labels, and a number, each with an auxiliary class."""
    answers = {
        "Cytoplasm": ("Cytoplasm", 1.5),
        "Mitochondrion": ("Cytoplasm;Mitochondrion", -2.5),
        "Nucleus": ("Nucleus", 40),
    }
    paths = {}
    for place, kind in enumerate(("several", "number")):
        paths[kind] = tmp_path / f"{kind}.csv"
        lines = [f"id,sequence,{kind},kingdom,split"]
        for index, (header, residues) in enumerate(easy_records(90, 30)):
            name, location = header.split()[:2]
            answer = answers[location.removesuffix("-U")][place]
            split = "test" if header.endswith("test") else "train"
            lines.append(f"{name},{residues},{answer},{'AB'[index % 2]},{split}")
        paths[kind].write_text("\n".join(lines) + "\n")
    return paths


@pytest.mark.parametrize("kind", ["several", "number"])
def test_folds_of_several_labels_and_of_numbers_with_an_auxiliary_task(tables, tmp_path, kind):
    problem = ["--problem_type", "multi_label_classification"] if kind == "several" else []
    more = [*SPLIT, "--label_column", kind, "--auxiliary_tasks", "kingdom", *problem, "--folds", "2"]
    metrics = run(tmp_path / "run", tables[kind], *more)
    names = ["Cytoplasm", "Mitochondrion", "Nucleus"] if kind == "several" else [f"predicted {kind}"]
    columns = [*names, "kingdom A", "kingdom B"]
    test = [rows(tmp_path / "run" / member / "test_predictions.csv") for member in ("", "fold-1", "fold-2")]
    values, *each = (np.array([[float(row[name]) for name in columns] for row in found]) for found in test)
    assert np.abs(each[0] - each[1]).max() > 1e-3
    np.testing.assert_allclose(values, np.mean(each, axis=0), atol=2e-6, rtol=1e-5)
    found = read_run(tmp_path / "run")
    assert found.metrics["validation_proteins"] == 60
    assert {"validation_kingdom_mcc", "test_kingdom_mcc"} <= metrics["members"]["mean"].keys() & metrics.keys()
    out_of_fold = read_predictions(str(tmp_path / "run" / "out_of_fold_predictions.csv"), found.tasks, 60)
    again = task_metrics(out_of_fold.decision, out_of_fold.references)
    name = "mae" if kind == "number" else "micro_f1"
    assert metrics[f"validation_{name}"] == pytest.approx(again[name], rel=1e-4)


def test_neighbours_are_in_one_fold(tmp_path):
    generator = np.random.default_rng(0)
    records = []
    for family in range(12):
        residues = "".join(generator.choice(list("ACDEFGHIKLMNPQRSTVWY"), 80))
        for member in range(3):
            residues = residues[:70] + "".join(generator.choice(list("DEKR"), 10))
            records.append((f"F{family}M{member} {LABELS[family % 3]}-U", residues))
    path = tmp_path / "families.fasta"
    path.write_text(fasta(records))
    _, data_args, _ = parse_options(["--data", str(path), *TINY, "--folds", "3"])
    splits, tasks, numbers = load_folds(data_args)
    by_family = {}
    for name, number in zip(splits["train"]["id"], numbers, strict=True):
        by_family.setdefault(name.split("M")[0], set()).add(int(number))
    assert len(by_family) == 12
    assert all(len(found) == 1 for found in by_family.values())
    assert set().union(*by_family.values()) == {1, 2, 3}
    division = Division(splits["train"], tasks[0], "homology", 0.3, 0.8)
    assert "0 proteins have a neighbour in another part" in division.describe(numbers)


def test_validation_proteins_are_divided_with_those_of_training(data, tmp_path):
    other = tmp_path / "validation.fasta"
    other.write_text(fasta([(f"V{header}", sequence) for header, sequence in easy_records(12, 0, seed=5)]))
    splits, _, numbers = load_folds(options(data, "--validation_data", str(other), "--folds", "3")[1])
    assert set(splits) == {"train", "test"}
    assert len(numbers) == len(splits["train"]) == 60 + 12
    assert {number for name, number in zip(splits["train"]["id"], numbers) if name.startswith("V")} == {1, 2, 3}
    assert not {name for name in splits["test"]["id"] if name.startswith("V")}


def test_folds_of_the_command_split_are_kept(data, tmp_path):
    table = tmp_path / "folds.csv"
    arguments = ["split", "--data", str(data), "--output", str(table), "--folds", "4", "--split_seed", "7"]
    assert main([*arguments, *SPLIT]) == 0
    given = {row["id"]: int(row["fold"]) for row in rows(table)}
    splits, _, numbers = load_folds(options(table, "--folds", "4")[1])
    assert {name: int(n) for name, n in zip(splits["train"]["id"], numbers, strict=True)} == given
    with pytest.raises(OptionError, match="folds=3: the column fold of .* has the folds 1, 2, 3, 4; expected 1 to 3"):
        load_folds(options(table, "--folds", "3")[1])


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--seeds", "1"], "seeds=1: expected 2 or more"),
        (["--folds", "1"], "folds=1: expected 2 or more"),
        (["--seeds", "2", "--folds", "2"], "seeds and folds exclude each other"),
    ],
)
def test_options_that_cannot_work_are_refused_in_one_line(more, message, capsys):
    assert main(["train", "--data", "x.fasta", *more]) == 2
    assert message in complaints(capsys.readouterr().err)[-1]


def test_trainings_that_are_there_are_not_overwritten_or_mixed(seeds, data, tmp_path):
    folder, _ = seeds
    with pytest.raises(OptionError, match="holds a finished run; set another output_dir, overwrite or resume"):
        run(folder, data, *SPLIT, "--seeds", "3")
    with pytest.raises(OptionError, match="seeds was 3 when the run in .* began and is 2"):
        run(folder, data, *SPLIT, "--seeds", "2", "--resume")
    with pytest.raises(OptionError, match="learning_rate was 0.01 when the run in .* began and is 0.02"):
        run(folder, data, *SPLIT, "--seeds", "3", "--resume", "--learning_rate", "0.02")
    with pytest.raises(OptionError, match=r"several models \(seed-0, seed-1, seed-2\); resume them with the"):
        run(folder, data, *SPLIT, "--resume")
    run(tmp_path / "single", data, *SPLIT)
    with pytest.raises(OptionError, match="holds a single training; expected another output_dir"):
        run(tmp_path / "single", data, *SPLIT, "--seeds", "2", "--resume")
    run(tmp_path / "single", data, *SPLIT, "--seeds", "2", "--overwrite")
    assert newest_complete_checkpoint(str(tmp_path / "single")) is None
    assert record(tmp_path / "single")["members"] == ["seed-0", "seed-1"]
    (tmp_path / "single" / "run.json").unlink()
    with pytest.raises(OptionError, match=r"trainings of several models \(seed-0, seed-1\); set resume to continue"):
        run(tmp_path / "single", data, *SPLIT)


def test_an_ensemble_is_not_trained_further(seeds, data):
    with pytest.raises(OptionError, match="an ensemble is not trained further: train its members"):
        train(*parse_options(["--data", str(data), *SPLIT, "--model_name_or_path", str(seeds[0])]))


def test_a_finished_run_with_resume_changes_nothing_and_with_more_epochs_trains_every_member_further(data, tmp_path):
    first = run(tmp_path / "run", data, *SPLIT, "--seeds", "2")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "run").rglob("*") if path.is_file()}
    assert run(tmp_path / "run", data, *SPLIT, "--seeds", "2", "--resume") == first
    assert {path: path.stat().st_mtime_ns for path in before} == before
    run(tmp_path / "run", data, *SPLIT, "--seeds", "2", "--resume", "--num_train_epochs", "2")
    for member in ("seed-0", "seed-1"):
        assert record(tmp_path / "run" / member)["training_arguments"]["num_train_epochs"] == 2


@pytest.mark.slow
def test_killed_in_the_second_member_and_resumed_it_ends_with_the_same_weights(data, tmp_path):
    more = [*SPLIT, "--seeds", "3", "--num_train_epochs", "30", "--early_stopping_patience", "0"]
    arguments = ["train", "--data", data, *TINY, "--disable_tqdm", "true", *more, "--output_dir", tmp_path / "run"]
    process = subprocess.Popen(
        command(*arguments), env=environment(), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    end = time.monotonic() + 120
    second = str(tmp_path / "run" / "seed-1")
    while newest_complete_checkpoint(second) is None and process.poll() is None and time.monotonic() < end:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert newest_complete_checkpoint(second) is not None
    assert not os.path.exists(os.path.join(second, "run.json"))
    finished = (tmp_path / "run" / "seed-0" / "run.json").stat().st_mtime_ns
    run(tmp_path / "run", data, *more, "--resume")
    assert (tmp_path / "run" / "seed-0" / "run.json").stat().st_mtime_ns == finished
    run(tmp_path / "undisturbed", data, *more)
    assert_same_weights(tmp_path / "run" / "model", tmp_path / "undisturbed" / "model")
    assert scores(tmp_path / "run" / "test_predictions.csv").tolist() == (
        scores(tmp_path / "undisturbed" / "test_predictions.csv").tolist()
    )


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["seeds", "folds"])
def test_two_processes_train_each_member_together(data, tmp_path, kind):
    more = ["--num_train_epochs", "1", "--disable_tqdm", "true", *SPLIT, f"--{kind}", "2"]
    script = ["-m", "protbert_classify", "train"] if kind == "seeds" else [str(ROOT / "examples" / "train.py")]
    done = subprocess.run(
        [
            *(sys.executable, "-m", "accelerate.commands.launch", "--config_file", CPU_CONFIG),
            *("--main_process_port", "0", *script, "--data", str(data), *TINY, *more),
            *("--output_dir", str(tmp_path / "run")),
        ],
        capture_output=True,
        text=True,
        timeout=180,
        env=environment(),
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    names = record(tmp_path / "run")["members"]
    assert [record(tmp_path / "run" / name)["world_size"] for name in names] == [2, 2]
    each = [scores(tmp_path / "run" / name / "test_predictions.csv") for name in names]
    np.testing.assert_allclose(scores(tmp_path / "run" / "test_predictions.csv"), np.mean(each, axis=0), atol=2e-6)
    assert weights(tmp_path / "run" / "model").keys() >= {"members.0.head.1.weight", "members.1.head.1.weight"}


# --- the nearest training proteins of the test proteins


def test_a_test_protein_may_be_near_to_a_validation_protein_that_the_folds_train_on(tmp_path):
    records = easy_records(90, 30)
    copied = records[-1][1][:-1]  # all but its last residue, or it were left out as a copy
    (tmp_path / "train.fasta").write_text(fasta(records))
    others = [(header.replace("P", "V"), residues) for header, residues in easy_records(12, 0, seed=5)]
    (tmp_path / "validation.fasta").write_text(fasta([*others, ("V99 Nucleus-U", copied)]))
    files = ["--data", str(tmp_path / "train.fasta"), "--validation_data", str(tmp_path / "validation.fasta")]
    options = ["--folds", "3", "--output_dir", str(tmp_path / "run"), *SPLIT]
    splits, _, folds = load_folds(parse_options([*files, *options, "--test_neighbours", "true"])[1])
    assert len(splits["train"]) == len(folds) == 73
    assert splits.nearest.nearest[-1] == "V99" and splits.nearest.identity[-1] == 1
    assert splits.notes["test_neighbours"] == splits.nearest.count(0.3) >= 1


def test_an_ensemble_of_folds_has_the_nearest_proteins_and_its_members_which_train_on_fewer_have_not(data, tmp_path):
    folder = tmp_path / "run"
    metrics = run(folder, data, *SPLIT, "--folds", "2", "--test_neighbours", "true")
    assert len(rows(folder / "test_neighbours.csv")) == 30
    assert sum(step["proteins"] for step in metrics["test_by_identity"]) == 30
    assert not (folder / "fold-1" / "test_neighbours.csv").exists()
    assert "test_by_identity" not in json.loads((folder / "fold-1" / "metrics.json").read_text())
