"""The proteins of a pretraining: from any source, each once, without neighbours of those kept for later."""

import gzip

import pytest

from protbert_classify.errors import DataError, OptionError, SequenceError
from protbert_classify.homology import mmseqs
from protbert_classify.pretraining.proteins import check_standard_input, load_unlabelled, read_unlabelled
from tests.homology.mutants import mutants, random_proteins
from tests.training.runs import fasta

PROTEINS = random_proteins(40, 120, seed=0)


def write(folder, name, proteins, prefix="P"):
    text = fasta([(f"{prefix}{number}", residues) for number, residues in enumerate(proteins)])
    path = folder / name
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    return str(path)


def ids(splits):
    return sorted(name for part in splits.values() for name in part["id"][:])


def test_several_sources_give_each_protein_once_in_their_order(tmp_path):
    first = write(tmp_path, "a.fasta.gz", [*PROTEINS[:3], PROTEINS[0].lower()])
    table = tmp_path / "b.csv"
    table.write_text(f"name,seq\nQ1,{PROTEINS[2]}\nQ2,{' '.join(PROTEINS[3])}\n")
    columns = {"id_column": "name", "sequence_column": "seq"}
    splits = load_unlabelled([first, str(table)], validation=0, **columns)
    assert splits["train"]["id"][:] == ["P0", "P1", "P2", "Q2"]
    assert splits["train"]["sequence"][3] == " ".join(PROTEINS[3])
    assert splits["train"]["sequence_length"][:] == [120] * 4
    assert splits.notes == {"copies": 2, "rejected": 0, "excluded": 0, "neighbours_by": mmseqs.NAME}


def test_bad_records_are_left_out_with_a_count_or_refused_with_strict(tmp_path, log):
    path = write(tmp_path, "bad.fasta", [PROTEINS[0], "MK1", PROTEINS[1], ""])
    found = read_unlabelled([path])
    assert found.ids == ["P0", "P2"]
    assert [tuple(record) for record in found.rejected] == [
        ("bad.fasta", 2, "P1", "'1' at position 3 is not a residue; expected letters A-Z"),
        ("bad.fasta", 4, "P3", "no residues"),
    ]
    assert "2 records rejected; the first: bad.fasta, record 2 (P1): '1' at position 3 is not a residue" in log.text
    with pytest.raises(SequenceError, match=r"bad.fasta, record 2 \(P1\): '1' at position 3"):
        load_unlabelled([path], strict=True)
    with pytest.raises(SequenceError, match=r"bad.fasta, record 2 \(P1\)"):
        load_unlabelled([write(tmp_path, "good.fasta", PROTEINS)], exclude=[path])  # its neighbours would come in


@pytest.mark.parametrize("program", [True, False], ids=["MMseqs2", "k-mers"])
def test_neighbours_of_excluded_proteins_are_left_out_and_counted(tmp_path, monkeypatch, log, program):
    if not program:
        monkeypatch.setattr(mmseqs, "find_binary", lambda: None)
    data = write(tmp_path, "data.fasta", PROTEINS)
    near = write(tmp_path, "test.fasta", [*mutants(PROTEINS[:5], 0.7, seed=1), PROTEINS[7]], "T")
    splits = load_unlabelled([data], validation=0.1, exclude=[near])
    left_out = {"P0", "P1", "P2", "P3", "P4", "P7"}
    assert ids(splits) == sorted({f"P{number}" for number in range(40)} - left_out)
    assert splits.notes["excluded"] == 6
    assert "6 proteins left out: neighbours of 6 proteins of exclude: at least 30% identity" in log.text
    splits = load_unlabelled([data], validation=0.1, exclude=[near], exclude_identity=0.95)
    assert ids(splits) == sorted({f"P{number}" for number in range(40)} - {"P7"})


def test_no_validation_protein_has_a_neighbour_in_training(tmp_path):
    families = [member for part in range(4) for member in mutants(PROTEINS[:10], 0.8, seed=part)]
    splits = load_unlabelled([write(tmp_path, "data.fasta", families)], validation=0.2)
    family = {f"P{number}": number % 10 for number in range(40)}
    trained, validated = ({family[name] for name in splits[split]["id"][:]} for split in ("train", "validation"))
    assert validated and not trained & validated
    assert 4 <= len(splits["validation"]) <= 12
    again = load_unlabelled([write(tmp_path, "data.fasta", families)], validation=0.2)
    assert again["validation"]["id"][:] == splits["validation"]["id"][:]


def test_a_random_validation_split_searches_for_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(mmseqs, "search", None)
    splits = load_unlabelled([write(tmp_path, "data.fasta", PROTEINS)], validation=0.1, split="random")
    assert {name: len(part) for name, part in splits.items()} == {"train": 36, "validation": 4}
    assert splits.notes["neighbours_by"] is None


def test_what_cannot_be_trained_on_is_one_line(tmp_path):
    data = write(tmp_path, "data.fasta", PROTEINS[:6])
    with pytest.raises(DataError, match="data.fasta: all of 6 proteins are neighbours of excluded ones"):
        load_unlabelled([data], exclude=[write(tmp_path, "all.fasta", mutants(PROTEINS, 0.8, seed=2))])
    (tmp_path / "empty.fasta").write_text("")
    with pytest.raises(DataError, match="empty.fasta: no records"):
        load_unlabelled([data, str(tmp_path / "empty.fasta")])
    with pytest.raises(DataError, match="one.fasta: 1 protein to train on; expected 2 or more different ones"):
        load_unlabelled([write(tmp_path, "one.fasta", [PROTEINS[0]] * 3)])
    with pytest.raises(DataError, match="bad.fasta: no record can be read as a protein; the first: no residues"):
        load_unlabelled([write(tmp_path, "bad.fasta", ["", "M*K"])])
    with pytest.raises(OptionError, match="exclude_identity=2: expected a share"):
        load_unlabelled([data], exclude=[data], exclude_identity=2)
    with pytest.raises(OptionError, match="standard input can be read once, by one process; expected a file"):
        check_standard_input(["-", "a.fasta"], world_size=2)
    check_standard_input(["-", "a.fasta"], world_size=1)
