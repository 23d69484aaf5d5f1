"""What a model says of sequences unlike its proteins: the sequences are what they are called, and the table counts."""

from collections import Counter

import numpy as np
import pytest

from benchmarks import unlike
from protbert_classify.commands import main
from protbert_classify.evaluation.decision import Decision
from protbert_classify.model.tasks import SINGLE_LABEL, Task
from protbert_classify.runs.finished_run import read_run
from tests.training.runs import TINY, easy_records, fasta


def test_sequences_are_what_they_are_called():
    proteins = ["MKT" * 40, "ACDEFGHIKL" * 5 + "W", "MK"]
    found = unlike.kinds(proteins, np.random.default_rng(0))
    assert found["test proteins"] == proteins
    fragments = found["fragments of 50 residues"]
    assert [len(part) for part in fragments] == [50, 50]  # the last protein is too short
    assert fragments[0] in proteins[0] and fragments[1] in proteins[1]
    shuffled = found["shuffled test proteins"]
    assert [Counter(sequence) for sequence in shuffled] == [Counter(protein) for protein in proteins]
    assert shuffled[0] != proteins[0]
    for name, letters in (("random residues", "ACDEFGHIKLMNPQRSTVWY"), ("random DNA", "ACGT")):
        assert [len(sequence) for sequence in found[name]] == [120, 51, 2]
        assert set("".join(found[name])) == set(letters)


def test_a_row_counts_what_the_model_is_sure_of_and_what_is_like_a_training_protein():
    task = Task(name="place", problem_type=SINGLE_LABEL, labels=["a", "b", "c"])
    best = np.array([0.9, 0.5, 0.4, 0.8])  # 0.5 is answered
    scores = np.stack([best, (1 - best) / 2, (1 - best) / 2], axis=1)
    decision = Decision(task, scores, np.eye(3, dtype=bool)[np.zeros(4, dtype=int)])
    known = ["".join(row) for row in np.random.default_rng(0).choice(list("ACDEFGHIKLMNPQRSTVWY"), (2, 90))]
    found = unlike.measured("test proteins", [known[0], "ACGT" * 20, known[1], "W" * 80], decision, known)
    assert found["median_score"] == pytest.approx(0.65)
    assert (found["sure"], found["near"], found["both"]) == (0.75, 0.5, 0.25)
    assert unlike.table_row(found) == ["test proteins", "4", "0.65", "75%", "50%", "25%"]


@pytest.fixture
def run_folder(tmp_path):
    (tmp_path / "easy.fasta").write_text(fasta(easy_records()))
    options = ["--data", str(tmp_path / "easy.fasta"), "--output_dir", str(tmp_path / "run"), "--num_train_epochs", "1"]
    assert main(["train", *options, *TINY]) == 0
    return str(tmp_path / "run")


def test_a_run_is_measured_on_its_own_test_proteins(run_folder, capsys, monkeypatch):
    expected = [residues for header, residues in easy_records() if header.endswith(" test")]
    others = [residues for header, residues in easy_records() if not header.endswith(" test")]
    test, train = unlike.proteins_of(read_run(run_folder))
    assert sorted(test) == sorted(expected) and sorted(train) == sorted(others)
    monkeypatch.setattr("sys.argv", ["unlike", "--run", run_folder])
    capsys.readouterr()
    assert unlike.main() == 0
    header, _, *rows = capsys.readouterr().out.splitlines()
    assert header == f"| {' | '.join(unlike.HEADER)} |"
    assert [row.split(" | ")[0] for row in rows] == [
        "| test proteins",
        "| fragments of 50 residues",
        "| shuffled test proteins",
        "| random residues",
        "| random DNA",
    ]
    assert rows[0].split(" | ")[1] == "15"
