import csv
import json

import numpy as np
import pytest

from protbert_classify.commands import main
from protbert_classify.data import division
from protbert_classify.data.loading import read_proteins
from protbert_classify.homology import mmseqs
from protbert_classify.homology.neighbours import find_neighbours
from tests.homology.mutants import mutants, random_proteins
from tests.training.runs import TINY, complaints

PARENTS = [residues[: 100 + row] for row, residues in enumerate(random_proteins(60, 160, seed=0))]
LABELS = ("Cytoplasm", "Nucleus")
# sixty families of two; both have the same label
PROTEINS = [
    (f"P{row:03d}", residues, LABELS[row % 2])
    for row, residues in enumerate([*PARENTS, *mutants(PARENTS, 0.7, seed=1)])
]


@pytest.fixture(autouse=True)
def without_mmseqs(monkeypatch):
    """Its start takes a second; what it finds is tested elsewhere."""
    monkeypatch.setattr(mmseqs, "find_binary", lambda: None)


def write_csv(path, rows, header=("id", "sequence", "location")):
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return str(path)


@pytest.fixture
def table(tmp_path):
    return write_csv(tmp_path / "proteins.csv", PROTEINS)


@pytest.fixture
def deeploc(write_fasta):
    return write_fasta([(f"{name} {label}-S{' test' * (row < 9)}", s) for row, (name, s, label) in enumerate(PROTEINS)])


def rows(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def families_of(names):
    return {int(name[1:]) % 60 for name in names}


@pytest.mark.parametrize("ending", [".csv", ".tsv", ".jsonl", ".parquet"])
def test_train_reads_the_table_as_it_was_divided(table, tmp_path, ending, capsys):
    output = tmp_path / "new" / f"divided{ending}"
    assert main(["split", "--data", table, "--output", str(output)]) == 0
    splits = read_proteins(output)
    assert {name: len(part) for name, part in splits.items()} == {"train": 84, "validation": 12, "test": 24}
    names = {name: families_of(part["id"]) for name, part in splits.items()}
    assert not names["train"] & names["test"] and not names["validation"] & (names["train"] | names["test"])
    known = {name: (residues, label) for name, residues, label in PROTEINS}
    for part in splits.values():
        for row in part:
            label = part.features["location"].names[row["location"]]
            assert (row["sequence"].replace(" ", ""), label) == known[row["id"]]
    out = capsys.readouterr().out
    lines = [line.split() for line in out.splitlines()]
    assert ["proteins", "84", "12", "24"] in lines and ["Cytoplasm", "42", "6", "12"] in lines
    assert "60 groups of neighbours, the largest of 2 proteins; 0 proteins have a neighbour in another part" in out


def test_deeploc_fasta_becomes_a_file_for_each_part(deeploc, tmp_path):
    output = tmp_path / "divided"
    assert main(["split", "--data", deeploc, "--output", str(output), "--test", "0.1"]) == 0
    assert sorted(path.name for path in output.iterdir()) == ["test.fasta", "train.fasta", "validation.fasta"]
    parts = {path.stem: read_proteins(path)["train"] for path in output.iterdir()}  # no mark of the former test set
    assert {name: len(part) for name, part in parts.items()} == {"train": 96, "validation": 12, "test": 12}
    assert sorted(name for part in parts.values() for name in part["id"]) == [name for name, *_ in PROTEINS]
    assert set(parts["test"]["membrane"]) == {1}
    near = find_neighbours(*([s.replace(" ", "") for s in parts[name]["sequence"]] for name in ("test", "train")))
    assert len(near) == 0


def test_train_reads_a_folder_of_tables(table, tmp_path, capsys):
    output = tmp_path / "divided"
    assert main(["split", "--data", table, "--output", str(output)]) == 0
    options = ["--data", str(output), "--num_train_epochs", "1", "--output_dir", str(tmp_path / "run")]
    assert main(["train", *options, *TINY]) == 0
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert [metrics[f"{name}_proteins"] for name in ("train", "validation", "test")] == [84, 12, 24]


def test_folds_are_numbers_and_hold_families_together(table, tmp_path):
    output = tmp_path / "folds.csv"
    assert main(["split", "--data", table, "--output", str(output), "--folds", "5"]) == 0
    folds = {}
    for row in rows(output):
        folds.setdefault(row["fold"], []).append((row["id"], row["location"]))
    assert sorted(folds) == ["1", "2", "3", "4", "5"]
    for members in folds.values():
        assert len(members) == 24 and {label for _, label in members} == set(LABELS)
        own, others = families_of(name for name, _ in members), set()
        for other in folds.values():
            others |= families_of(name for name, _ in other) if other is not members else set()
        assert not own & others


def test_a_column_of_the_data_is_not_replaced_by_the_new_one(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(division, "Division", None)  # it is told before the search
    table = write_csv(tmp_path / "proteins.csv", PROTEINS, ("id", "sequence", "fold"))  # folds of structure
    command = ["split", "--data", table, "--output", str(tmp_path / "new.csv"), "--label_column", "fold"]
    assert main([*command, "--folds", "5"]) == 2
    (line,) = complaints(capsys.readouterr().err)
    assert "the data has a column 'fold' already, which the new one would replace" in line
    assert not (tmp_path / "new.csv").exists()


def test_a_folder_of_folds_has_the_training_and_test_proteins_of_each(deeploc, table, tmp_path):
    for data, ending in ((deeploc, "fasta"), (table, "csv")):
        output = tmp_path / ending
        assert main(["split", "--data", data, "--output", str(output), "--folds", "3"]) == 0
        tested = []
        for fold in ("fold-1", "fold-2", "fold-3"):
            parts = [read_proteins(output / fold / f"{name}.{ending}")["train"]["id"][:] for name in ("train", "test")]
            assert len(parts[0]) + len(parts[1]) == 120 and not families_of(parts[0]) & families_of(parts[1])
            tested += parts[1]
        assert sorted(tested) == [name for name, *_ in PROTEINS]


def test_the_seed_and_the_way_decide(table, tmp_path):
    def divided(*options):
        assert main(["split", "--data", table, "--output", str(tmp_path / "d.csv"), "--overwrite", *options]) == 0
        return [row["split"] for row in rows(tmp_path / "d.csv")]

    assert divided() == divided() != divided("--split_seed", "1")
    torn = np.array(divided("--split", "random")).reshape(2, 60)
    assert (torn[0] != torn[1]).sum() > 10
    assert divided("--validation", "0").count("validation") == 0


def test_columns_keep_their_names_and_several_labels_and_numbers_their_values(tmp_path):
    several = [(name, residues, "A;B" if row % 2 else "B") for row, (name, residues, _) in enumerate(PROTEINS)]
    data = write_csv(tmp_path / "p.csv", several, ("acc", "seq", "where"))
    names = ["--id_column", "acc", "--sequence_column", "seq", "--label_column", "where", "--split_column", "part"]
    options = ["split", "--data", data, "--output", str(tmp_path / "d.csv"), *names]
    assert main([*options, "--problem_type", "multi_label_classification"]) == 0
    assert {(row["acc"], row["seq"], row["where"]) for row in rows(tmp_path / "d.csv")} == set(several)
    assert {row["part"] for row in rows(tmp_path / "d.csv")} == {"train", "validation", "test"}
    numbers = [(name, residues, str(row + 0.5)) for row, (name, residues, _) in enumerate(PROTEINS)]
    data = write_csv(tmp_path / "n.csv", numbers, ("acc", "seq", "where"))
    assert main(["split", "--data", data, "--output", str(tmp_path / "e.csv"), *names]) == 0
    assert {(row["acc"], row["seq"], row["where"]) for row in rows(tmp_path / "e.csv")} == set(numbers)


def test_proteins_of_three_residues_are_divided_by_their_sequence(tmp_path, monkeypatch):
    monkeypatch.undo()  # with MMseqs2
    letters = "ACDEFGHIKLMN"
    short = [(f"P{row}", f"M{letters[row // 2]}K", LABELS[row % 4 // 2]) for row in range(24)]
    data = write_csv(tmp_path / "p.csv", short)
    assert main(["split", "--data", data, "--output", str(tmp_path / "d.csv")]) == 0
    sides = {}
    for row in rows(tmp_path / "d.csv"):
        sides.setdefault(row["sequence"], set()).add(row["split"])
    assert len(sides) == 12 and all(len(side) == 1 for side in sides.values())


# --- bad input


def refused(capsys, *arguments):
    assert main(["split", *map(str, arguments)]) == 2
    (line,) = complaints(capsys.readouterr().err)
    return line.removeprefix("protbert-classify split: ")


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--split_identity", "30"], "split_identity=30.0: expected more than 0 and less than 1 (0.3 for 30%)"),
        (["--split_identity", "0"], "split_identity=0.0: expected more than 0 and less than 1 (0.3 for 30%)"),
        (["--split_coverage", "-1"], "split_coverage=-1.0: expected more than 0 and less than 1 (0.3 for 30%)"),
        (["--test", "1.5"], "test=1.5: expected a share of the proteins, 0 up to 1 (0.1)"),
        (["--validation", "-0.1"], "validation=-0.1: expected a share of the proteins, 0 up to 1 (0.1)"),
        (
            ["--test", "0.6", "--validation", "0.4"],
            "validation=0.4 and test=0.6: expected less than 1 together",
        ),
        (["--folds", "1"], "folds=1: expected 2 or more"),
        (["--folds", "3", "--test", "0.1"], "folds: every protein is tested in one of them; leave --validation and"),
        (["--folds", "100"], "folds=100: found 60 groups of neighbours, expected as many or more"),
        (["--split_seed", "-1"], "split_seed=-1: expected 0 to 4294967295"),
        (["--split", "best"], "argument --split: invalid choice: 'best' (choose from"),
    ],
)
def test_options_that_cannot_work_are_one_line(table, tmp_path, capsys, options, reason):
    assert refused(capsys, "--data", table, "--output", tmp_path / "d.csv", *options).startswith(reason)
    assert not (tmp_path / "d.csv").exists()


def test_a_class_of_one_protein_is_refused_with_its_name(tmp_path, capsys):
    data = write_csv(tmp_path / "p.csv", [*PROTEINS, ("P999", "MKTAYIAKQR", "Plastid")])
    reason = refused(capsys, "--data", data, "--output", tmp_path / "d.csv")
    assert reason.startswith(
        "class 'Plastid' has one protein, P999; expected two or more, for training and for testing"
    )


def test_a_class_of_one_family_is_refused(tmp_path, capsys):
    family = [(f"Q{row}", residues, "Plastid") for row, residues in enumerate(mutants(PARENTS[:1] * 9, 0.8, seed=5))]
    data = write_csv(tmp_path / "p.csv", [*PROTEINS[2:60], *family])
    reason = refused(capsys, "--data", data, "--output", tmp_path / "d.csv")
    assert reason.startswith(
        "all 9 proteins of class 'Plastid' are in one of the groups of neighbours; expected two or"
    )
    advice = "a higher split_identity makes smaller groups, and split=identical does not keep neighbours together"
    assert reason.endswith(advice)
    assert main(["split", "--data", data, "--output", str(tmp_path / "d.csv"), "--split", "identical"]) == 0


def test_a_fold_or_test_set_without_a_class_is_refused(tmp_path, capsys):
    few = [(f"Q{row}", residues, "Plastid") for row, residues in enumerate(random_proteins(3, 120, seed=9))]
    data = write_csv(tmp_path / "p.csv", [*PROTEINS, *few])
    reason = refused(capsys, "--data", data, "--output", tmp_path / "d.csv", "--folds", "5")
    assert "would have none of the 3 proteins of class 'Plastid', which are in 3 groups of neighbours" in reason
    assert main(["split", "--data", data, "--output", str(tmp_path / "d.csv"), "--folds", "3"]) == 0
    assert main(["split", "--data", data, "--output", str(tmp_path / "e.csv")]) == 0
    assert [row["split"] for row in rows(tmp_path / "e.csv") if row["location"] == "Plastid"].count("test") == 1


def test_the_output_is_a_table_or_a_new_folder_and_not_the_input(table, tmp_path, capsys):
    assert "expected a table (.csv, .tsv, .jsonl, .parquet), or a folder" in refused(
        capsys, "--data", table, "--output", tmp_path / "d.fasta"
    )
    assert "d.xlsx: expected a table" in refused(capsys, "--data", table, "--output", tmp_path / "d.xlsx")
    assert "the folder has files in it; expected a new or an empty one" in refused(
        capsys, "--data", table, "--output", tmp_path
    )
    assert "is the input; expected another name" in refused(capsys, "--data", table, "--output", table)
    (tmp_path / "old.csv").write_text("mine")
    reason = refused(capsys, "--data", table, "--output", tmp_path / "old.csv")
    assert "old.csv exists already; set another output, or overwrite" in reason
    assert (tmp_path / "old.csv").read_text() == "mine"
    assert "nowhere.csv: no such file" in refused(capsys, "--data", "nowhere.csv", "--output", tmp_path / "d.csv")


def test_without_mmseqs2_it_says_what_finds_neighbours(table, tmp_path, capsys):
    assert main(["split", "--data", table, "--output", str(tmp_path / "d.csv")]) == 0
    assert "found by shared 5-mers, which find only neighbours above about 50% identity" in capsys.readouterr().out
