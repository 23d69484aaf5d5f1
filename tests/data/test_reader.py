"""Proteins to classify from anywhere: each source gives the same records, in order, unchecked."""

import gzip
import io
import json
import sys

import pandas as pd
import pytest

from protbert_classify.data import reader, tables
from protbert_classify.data.column_names import ColumnNames
from protbert_classify.data.reader import count_records, read_labelled_records, read_records
from protbert_classify.errors import DataError

RECORDS = [("P1", "Serum albumin", "MKTAY"), ("NA", "", "mk t*"), ("01", 'a "b", c', "MK1"), ("P4", "nothing", "")]
FASTA = "".join(f">{name} {text}\n{sequence}\n" for name, text, sequence in RECORDS).encode()


class Stdin(io.TextIOWrapper):
    """Standard input that holds some bytes."""

    def __init__(self, content):
        super().__init__(io.BufferedReader(io.BytesIO(content)))


def write(folder, kind):
    """The same records in a file of some kind."""
    path = folder / f"proteins{kind}"
    table = pd.DataFrame([dict(zip(("id", "description", "sequence"), record)) for record in RECORDS])
    plain = kind.removesuffix(".gz")
    content = {
        ".fasta": FASTA,
        ".csv": table.to_csv(index=False).encode(),
        ".tsv": table.to_csv(index=False, sep="\t").encode(),
        ".jsonl": table.to_json(orient="records", lines=True).encode(),
    }
    if kind == ".parquet":
        table.to_parquet(path)
    else:
        path.write_bytes(gzip.compress(content[plain], mtime=0) if kind.endswith(".gz") else content[plain])
    return str(path)


def triples(records):
    return [(record.place.accession, record.description, record.residues) for record in records]


KINDS = [".fasta", ".fasta.gz", ".csv", ".csv.gz", ".tsv", ".jsonl", ".jsonl.gz", ".parquet"]


@pytest.mark.parametrize("kind", KINDS)
def test_every_source_gives_the_records_as_they_stand(tmp_path, kind):
    found = list(read_records(write(tmp_path, kind)))
    expected = [(a, d, "".join(s.split()) if "fasta" in kind else s) for a, d, s in RECORDS]
    assert triples(found) == expected
    assert [record.place.number for record in found] == [1, 2, 3, 4]
    assert {record.place.file for record in found} == {f"proteins{kind}"}


@pytest.mark.parametrize("kind", KINDS)
def test_the_bar_knows_how_many_records_there_are(tmp_path, kind):
    assert count_records(write(tmp_path, kind)) == 4


def test_records_are_counted_across_the_blocks_of_a_large_file(tmp_path, monkeypatch):
    (tmp_path / "p.fasta").write_bytes(FASTA * 10)
    for size in range(1, 40):
        monkeypatch.setattr(reader, "BLOCK", size)
        assert count_records(str(tmp_path / "p.fasta")) == 40, size


@pytest.mark.parametrize("source", ["-", "owner/name", "nowhere.fasta"])
def test_what_only_reading_would_tell_is_not_counted(source):
    assert count_records(source) is None


@pytest.mark.parametrize("content", [FASTA, gzip.compress(FASTA, mtime=0)], ids=["plain", "gzip"])
def test_standard_input_is_fasta_plain_or_compressed(monkeypatch, content):
    monkeypatch.setattr(sys, "stdin", Stdin(content))
    found = list(read_records("-"))
    assert triples(found)[0] == ("P1", "Serum albumin", "MKTAY") and len(found) == 4
    assert found[0].place.file == "standard input"


def test_columns_of_other_names_and_rows_without_an_accession(tmp_path):
    pd.DataFrame({"seq": ["MKT", "GG"], "acc": ["A", ""]}).to_csv(tmp_path / "t.csv", index=False)
    found = read_records(str(tmp_path / "t.csv"), ColumnNames(id="acc", sequence="seq"))
    assert triples(found) == [("A", "", "MKT"), ("row_2", "", "GG")]


def test_a_null_is_an_empty_sequence_and_not_the_protein_none(tmp_path):
    (tmp_path / "t.jsonl").write_text('{"id": 7, "sequence": null}\n')
    assert triples(read_records(str(tmp_path / "t.jsonl"))) == [("7", "", "")]


def test_reading_begins_at_once_and_holds_some_rows_only(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "ROWS", 2)
    records = read_records(write(tmp_path, ".csv"))
    assert next(records).place.accession == "P1"
    assert [record.place.number for record in records] == [2, 3, 4]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("t.csv", "id,location\nP1,Nucleus\n", "t.csv, row 1: no column 'sequence'; found id, location"),
        ("t.csv", "id;sequence\nP1;MKT\n", "t.csv, row 1: no column 'sequence', but one called 'id;sequence': is it"),
        ("t.csv", "id,sequence\nP1,MKT\nP2,MKT\nP3,MKT,x\n", "t.csv, line 4: found 3 fields, expected 2"),
        ("t.xls", "", "t.xls: a spreadsheet; export it as CSV"),
        ("t.csv", "", "t.csv: cannot be read as a table"),
        ("t.csv", "id,sequence\n", "t.csv: no records"),
        ("t.csv", "id,sequence\nP1,MKT,more,and more\n", "t.csv: a row has more cells than the header"),
        ("t.jsonl", '{"sequence": "MKT"}\nno json\n', "t.jsonl, line 2: not valid JSON"),
        ("t.jsonl", "[1, 2]\n", "t.jsonl, line 1: found list; expected an object a line"),
        ("t.parquet", "no parquet", "t.parquet: cannot be read as a table"),
        ("t.json", "[]", "t.json: a .json file cannot be read a protein at a time; expected .jsonl"),
        ("t.fasta", "no fasta", "t.fasta: no FASTA file: it begins with 'no fasta'"),
        ("t.fasta", "", "t.fasta: no records"),
        ("t.csv.gz", "not compressed, whatever its name\nx", "no column 'sequence'; found not compressed"),
    ],
)
def test_what_cannot_be_read_is_one_line(tmp_path, name, content, words):
    (tmp_path / name).write_text(content)
    with pytest.raises(DataError) as raised:
        list(read_records(str(tmp_path / name)))
    assert words in str(raised.value) and "\n" not in str(raised.value)


def test_a_damaged_gzip_file_is_one_line_whoever_reads_it_first(tmp_path):
    (tmp_path / "p.fasta.gz").write_bytes(gzip.compress(FASTA * 100, mtime=0)[:-20])
    for read in (read_records, count_records):
        with pytest.raises(DataError, match="p.fasta.gz: not a text file, or damaged; expected FASTA"):
            list(read(str(tmp_path / "p.fasta.gz")))


def test_a_table_of_bytes_is_one_line(tmp_path):
    (tmp_path / "t.csv").write_bytes(bytes(range(128, 256)))
    advice = r"t.csv: no text in UTF-8 .found the byte 0x\w\w.; save it as UTF-8, in Excel as 'CSV UTF-8'"
    with pytest.raises(DataError, match=advice):
        list(read_records(str(tmp_path / "t.csv")))


@pytest.mark.parametrize("name", ["folder", "folder.fasta", "folder.csv"])
def test_a_folder_is_called_one(tmp_path, name):
    (tmp_path / name).mkdir()
    with pytest.raises(DataError, match=f"{name}: is a folder; expected a file of proteins"):
        read_records(str(tmp_path / name))


@pytest.mark.parametrize("source", ["nowhere.fasta", "some/where/proteins.fasta"])
def test_what_is_not_there_is_refused(tmp_path, monkeypatch, source):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=f"{source}: no such file"):
        read_records(source)


def test_a_saved_dataset_of_ours_can_be_classified(tmp_path, write_fasta):
    """Its sequences are spaced."""
    from protbert_classify import load_deeploc

    data = load_deeploc(write_fasta([("P1 Nucleus-U", "MKT")]), validation=0)["train"]
    data.to_parquet(str(tmp_path / "d.parquet"))
    assert triples(read_records(str(tmp_path / "d.parquet"))) == [("P1", "", "M K T")]
    assert json.loads(data.to_pandas().to_json(orient="records"))[0]["sequence"] == "M K T"


def test_a_folder_laid_out_as_a_dataset_is_read_like_one_of_the_hub(tmp_path):
    for split, residues in (("train", "MKT"), ("test", "GGW")):
        (tmp_path / f"{split}.jsonl").write_text(json.dumps({"id": split, "sequence": residues}) + "\n")
    assert triples(read_records(str(tmp_path))) == [("train", "", "MKT"), ("test", "", "GGW")]


@pytest.mark.parametrize("kind", [".csv", ".tsv", ".jsonl", ".parquet"])
def test_labelled_and_unlabelled_records_are_the_same(tmp_path, kind):
    path = write(tmp_path, kind)
    unlabelled = [record.place.accession for record in read_records(path)][:2]
    columns = ColumnNames(label="description")
    labelled = read_labelled_records(path, columns)
    found = [next(labelled), next(labelled)]
    assert [record.place.accession for record in found] == unlabelled == ["P1", "NA"]
    assert [(record.residues, record.answers["description"], record.split) for record in found] == [
        ("MKTAY", "Serum albumin", "train"),
        ("MKT", "", "train"),
    ]
