import csv

import pytest

from protbert_classify.commands import main
from tests.homology.mutants import mutants, random_proteins
from tests.training.runs import complaints

TRAIN = random_proteins(12, 200, seed=0)
# four near proteins, one of them with another label, a copy, and three that are like none
NEAR, FAR = mutants(TRAIN[:4], 0.6, seed=1), random_proteins(3, 200, seed=2)


@pytest.fixture
def files(write_fasta):
    def name(prefix, row, label, mark=""):
        return f"{prefix}{row} {label}-S{mark}"

    train = [(name("T", row, ("Nucleus", "Cytoplasm")[row % 2]), residues) for row, residues in enumerate(TRAIN)]
    labels = ["Nucleus", "Cytoplasm", "Nucleus", "Nucleus", "Nucleus", "Nucleus", "Cytoplasm", "Nucleus"]
    proteins = [*NEAR, TRAIN[4], *FAR]
    test = [
        (name("Q", row, label), residues) for row, (label, residues) in enumerate(zip(labels, proteins, strict=True))
    ]
    both = train + [(f"{header} test", residues) for header, residues in test]
    return write_fasta(train, "train.fasta"), write_fasta(test, "test.fasta"), write_fasta(both, "both.fasta")


def test_the_table_has_each_pair_and_the_summary_counts_them(files, tmp_path, capsys):
    output = tmp_path / "new" / "neighbours.csv"
    assert main(["leakage", "--train", files[0], "--test", files[1], "--output", str(output)]) == 0
    with open(output, newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["test"], row["train"]) for row in rows] == [(f"Q{row}", f"T{row}") for row in range(5)]
    assert [row["same_label"] for row in rows] == ["True", "True", "True", "False", "True"]
    assert all(0.5 < float(row["identity"]) < 0.7 and float(row["evalue"]) < 1e-10 for row in rows[:4])
    assert float(rows[4]["identity"]) == float(rows[4]["coverage"]) == 1
    out = capsys.readouterr().out
    assert out.startswith("8 test proteins against 12 training proteins, by MMseqs2\n")
    lines = [line.split() for line in out.splitlines()]
    assert ["no", "neighbour", "3", "37.5%", "-"] in lines
    assert ["50%", "to", "90%", "4", "50.0%", "75%"] in lines
    assert ["100%", "1", "12.5%", "100%"] in lines
    assert "\n5 test proteins (62.5%) have a neighbour in training: at least 30% identity" in out


def test_one_file_with_a_test_split_gives_the_same(files, capsys):
    assert main(["leakage", "--train", files[0], "--test", files[1]]) == 0
    two = capsys.readouterr().out
    assert main(["leakage", "--train", files[2]]) == 0
    assert capsys.readouterr().out == two


@pytest.mark.parametrize(("options", "code"), [([], 0), (["--fail_above", "0.6"], 3), (["--fail_above", "0.7"], 0)])
def test_the_exit_code_is_for_scripts(files, options, code):
    assert main(["leakage", "--train", files[2], *options]) == code


def test_identity_is_a_limit_of_pairs_and_not_of_the_summary(files, capsys):
    assert main(["leakage", "--train", files[2], "--identity", "0.9", "--fail_above", "0.1"]) == 3
    out = capsys.readouterr().out
    assert "1 test protein (12.5%) has a neighbour" in out and "50% to 90%" in out


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--identity", "30"], "identity=30.0: expected a share, 0 to 1 (0.3 for 30%)"),
        (["--coverage", "-1"], "coverage=-1.0: expected a share above 0, up to 1 (0.8 for 80%)"),
        (["--coverage", "0"], "coverage=0.0: expected a share above 0, up to 1 (0.8 for 80%)"),
        (["--fail_above", "5"], "fail_above=5.0: expected a share, 0 to 1 (0.3 for 30%)"),
    ],
)
def test_shares_are_shares(files, options, reason, capsys):
    assert main(["leakage", "--train", files[2], *options]) == 2
    (line,) = complaints(capsys.readouterr().err)
    assert line == f"protbert-classify leakage: {reason}"


def test_a_file_without_a_test_split_needs_another(files, capsys):
    assert main(["leakage", "--train", files[0]]) == 2
    (line,) = complaints(capsys.readouterr().err)
    assert line.endswith("train.fasta: found train; expected train and test, or --test")


def test_the_output_is_not_the_input(files, capsys):
    assert main(["leakage", "--train", files[0], "--test", files[1], "--output", files[1]]) == 2
    assert "is the input; expected another name" in capsys.readouterr().err


def test_with_a_test_file_only_the_training_split_counts_as_training(files, capsys):
    assert main(["leakage", "--train", files[2], "--test", files[1]]) == 0  # the first has the test proteins, too
    assert "8 test proteins against 12 training proteins" in capsys.readouterr().out


def test_proteins_without_a_label_are_not_of_the_same_label(tmp_path, capsys):
    """Of several label columns, all may be 0."""
    answers = ["1,0", "0,1", "0,0", "1,0"]
    train = [f"T{row},{TRAIN[row]},train,{answer}\n" for row, answer in enumerate(answers)]
    test = [f"Q{row},{TRAIN[row]},test,{answer}\n" for row, answer in enumerate(["1,0", "1,0", "0,0", "0,0"])]
    path = tmp_path / "proteins.csv"
    path.write_text("id,sequence,split,membrane,signal\n" + "".join(train + test))
    output = tmp_path / "neighbours.csv"
    labels = ["--label_column", "membrane", "signal"]
    assert main(["leakage", "--train", str(path), "--output", str(output), *labels]) == 0
    with open(output, newline="") as file:
        assert [row["same_label"] for row in csv.DictReader(file)] == ["True", "False", "", ""]
    assert ["100%", "4", "100.0%", "50%"] in [line.split() for line in capsys.readouterr().out.splitlines()]
