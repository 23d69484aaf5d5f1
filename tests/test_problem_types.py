"""Each problem type on real proteins, the whole way: trained, killed, resumed, predicted in three ways, reported."""

import csv
import json
import re
import signal
import subprocess
import time
from typing import Any

import pytest

from protbert_classify.data.fasta import read_fasta
from protbert_classify.data.scl2205 import write_scl2205

from .conftest import DEEPLOC_SAMPLE, ROOT
from .serving.servers import running
from .training.runs import assert_same_weights, call, command, environment

pytestmark = pytest.mark.slow

NETWORK = {
    "model_type": "bert",
    "hidden_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "max_position_embeddings": 258,
    "hidden_dropout_prob": 0.1,
    "attention_probs_dropout_prob": 0.0,
}
OPTIONS = [
    *("--backbone_config", json.dumps(NETWORK), "--max_length", "258", "--learning_rate", "3e-3"),
    *("--per_device_train_batch_size", "16", "--num_train_epochs", "6", "--seed", "1", "--disable_tqdm", "true"),
]
# Kyte and Doolittle 1982, doi:10.1016/0022-2836(82)90515-0, table 2
HYDROPATHY = dict(
    zip("ARNDCQEGHILKMFPSTWYV", (1.8, -4.5, -3.5, -3.5, 2.5, -3.5, -3.5, -0.4, -3.2, 4.5, 3.8, -3.9, 1.9, 2.8, -1.6,
        -0.8, -0.7, -0.9, -1.3, 4.2))
)  # fmt: skip


def thinned(path, folder, every):
    """Some of the records of a FASTA file, of every class."""
    with open(path, encoding="utf-8") as file:
        records = file.read().split("\n>")
    thin = folder / "some.fasta"
    thin.write_text("\n>".join([records[0], *records[every::every]]) + "\n")
    return str(thin)


def single(folder):
    return ["--data", thinned(write_scl2205(folder)[0], folder, 10), "--pooling", "light_attention"]


def several(folder):
    proteins = write_scl2205(folder, multi_label=True)[0]
    options = ["--problem_type", "multi_label_classification", "--pooling", "light_attention"]
    return ["--data", thinned(proteins, folder, 10), *options]


def auxiliary(folder):
    if not DEEPLOC_SAMPLE.is_file():
        pytest.skip("the DeepLoc sample is not beside the project")
    data = thinned(DEEPLOC_SAMPLE, folder, 2)
    return ["--data", data, "--auxiliary_tasks", "membrane", "--pooling", "light_attention"]


def numbers(folder):
    """A number with a known answer: the mean hydropathy of a protein, which its composition tells."""
    records = list(read_fasta(thinned(write_scl2205(folder)[0], folder, 10)))
    path = folder / "hydropathy.csv"
    with open(path, "w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["id", "sequence", "split", "hydropathy"])
        for place, description, residues in records:
            values = [HYDROPATHY.get(residue, 0.0) for residue in residues[:256]]
            split = "test" if description.endswith("test") else "train"
            rows.writerow([place.accession, residues[:256], split, f"{sum(values) / len(values):.4f}"])
    return ["--data", str(path), "--label_column", "hydropathy"]


# how the data is made, the first of its metrics, what it must reach on proteins that were kept aside
KINDS: dict[str, Any] = {
    "single": (single, "test_accuracy", 0.35),
    "several": (several, "test_micro_f1", 0.4),
    "auxiliary": (auxiliary, "test_membrane_mcc", 0.1),
    "numbers": (numbers, "test_spearman", 0.9),
}


@pytest.fixture(scope="module", params=KINDS)
def kind(request, tmp_path_factory):
    """A training that nobody disturbed: its folder, its options, and what it is about."""
    folder = tmp_path_factory.mktemp(request.param)
    make, metric, least = KINDS[request.param]
    options = [*make(folder), *OPTIONS]
    done = call("train", *options, "--output_dir", folder / "run", timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder, options, metric, least


def test_it_learns_what_can_be_known(kind):
    folder, _, metric, least = kind
    assert json.loads((folder / "run" / "metrics.json").read_text())[metric] > least


def test_killed_and_resumed_it_ends_with_the_same_weights(kind):
    folder, options, *_ = kind
    often = ["--save_strategy", "steps", "--save_steps", "7", "--eval_strategy", "steps", "--eval_steps", "7"]
    line = command("train", *options, "--output_dir", folder / "killed", *often)
    whole = [*line]
    whole[whole.index(str(folder / "killed"))] = str(folder / "whole")
    done = subprocess.run(whole, env=environment(), cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    process = subprocess.Popen(line, env=environment(), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until = time.monotonic() + 300
    while not (folder / "killed" / "checkpoint-14" / "complete.json").is_file():
        assert process.poll() is None and time.monotonic() < until
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    resumed = subprocess.run(
        [*line, "--resume"], env=environment(), cwd=ROOT, capture_output=True, text=True, timeout=600
    )
    assert resumed.returncode == 0, resumed.stderr[-3000:]
    assert "resuming from" in resumed.stderr
    assert_same_weights(folder / "killed" / "model", folder / "whole" / "model")
    names = ("metrics.json", "test_predictions.csv")
    found, expected = ([(folder / run / name).read_text() for name in names] for run in ("killed", "whole"))
    assert found[1] == expected[1]
    configs = [(folder / run / "model" / "config.json").read_text() for run in ("killed", "whole")]
    assert configs[0] == configs[1]


def test_the_command_the_pipeline_and_the_server_give_the_same_scores(kind):
    from protbert_classify import ProteinClassificationPipeline
    from protbert_classify.inference.saved_classifier import load_classifier

    folder, *_ = kind
    records = list(read_fasta(str(folder / "some.fasta")))[:40]
    proteins = folder / "ask.fasta"
    proteins.write_text("".join(f">{place.accession}\n{residues}\n" for place, _, residues in records))
    output = folder / "answers.csv"
    options = ["--precision", "float32", "--output", str(output)]
    done = call("predict", "--model", folder / "run", "--input", proteins, *options)
    assert done.returncode == 0, done.stderr[-3000:]
    with open(output, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    model, tokenizer = load_classifier(str(folder / "run"), "cpu")
    pipe = ProteinClassificationPipeline(model=model, tokenizer=tokenizer, device="cpu")
    piped = pipe([residues for _, _, residues in records], top_k=None)
    with running(folder / "run", folder / "server", "--precision", "float32") as server:
        asked = {"inputs": [residues for _, _, residues in records], "parameters": {"top_k": None}}
        served = server.invoke(asked).json
        table = server.invoke(proteins.read_bytes(), "text/x-fasta", accept="text/csv").body.decode()
    labels = model.config.labels
    for row, from_pipe, from_server in zip(rows, piped, served, strict=True):
        expected = {label: float(row[label]) for label in labels}
        for answers in (from_pipe, from_server):
            listed = answers if isinstance(answers, list) else [answers]
            assert {answer["label"]: answer["score"] for answer in listed} == pytest.approx(expected, abs=2e-5)
    for row, line in zip(rows, csv.DictReader(table.splitlines()), strict=True):
        assert set(row) == set(line)
        assert [float(row[label]) for label in labels] == pytest.approx(
            [float(line[label]) for label in labels], abs=2e-5
        )


def test_evaluate_measures_what_the_training_measured(kind):
    folder, options, metric, _ = kind
    name = metric.removeprefix("test_")
    columns = ["--auxiliary_tasks", "membrane"] if "membrane" in metric else []
    data = options[options.index("--data") + 1]
    found = folder / "evaluated.json"
    done = call("evaluate", "--model", folder / "run", "--data", data, *columns, "--precision", "float32",
                "--output", found)  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    metrics = json.loads((folder / "run" / "metrics.json").read_text())
    assert json.loads(found.read_text())[name] == pytest.approx(metrics[metric], abs=1e-6)


def test_the_report_has_its_page_and_the_card_its_code(kind):
    folder, _, metric, _ = kind
    done = call("report", "--run", folder / "run")
    assert done.returncode == 0, done.stderr[-3000:]
    page = (folder / "run" / "report.html").read_text()
    value = json.loads((folder / "run" / "metrics.json").read_text())[metric]
    assert f"{value:.3f}" in page
    assert len(re.findall("<img ", page)) >= 5
    done = call("push", "--model", folder / "run", "--repo_id", "me/mine", "--dry_run")
    assert done.returncode == 0, done.stderr[-3000:]
    assert "me/mine" in done.stdout
