import gzip
import json

import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, Value

from protbert_classify.data.column_names import ColumnNames
from protbert_classify.data.loading import load_proteins, read_proteins
from protbert_classify.data.records import protein_features
from protbert_classify.data.sources import check_there
from protbert_classify.data.splitting import merge_splits, whole
from protbert_classify.errors import DataError, InputError, OptionError, ProteinClassifierError
from tests.data.tables import ROWS, lines, separated

HEADERS = [f">{row['id']} sp|{row['location']}| {row['split']}\n{row['sequence']}\n" for row in ROWS]
PATTERN = r"sp\|(?P<label>[^|]+)\| (?P<split>\w+)"
EXPECTED = {
    "train": [("P1", "M K T", 3, "NA", True), ("P2", "M K T A", 4, "Virus", True)],
    "validation": [("P4", "G G X", 3, "Virus", True)],
    "test": [("P3", "G G W", 3, "NA", False)],
}


def named(splits):
    """The rows with the names of their classes."""
    found = {}
    for split, part in splits.items():
        column = part.column_names[3]  # after the length
        location = part.features[column].int2str
        found[split] = [(*list(row.values())[:3], location(row[column]), row["is_train"]) for row in part]
    return found


@pytest.fixture
def source(write_bytes, tmp_path):
    """Write the four proteins in a format and return the path."""

    def write(name):
        plain = name.removesuffix(".gz")
        if plain.endswith(".parquet"):
            Dataset.from_list(ROWS).to_parquet(tmp_path / name)
            return str(tmp_path / name)
        ending = plain.rsplit(".", 1)[1]
        text = {
            "csv": separated(","),
            "tsv": separated("\t"),
            "jsonl": lines(),
            "json": json.dumps(ROWS),
            "fasta": "".join(HEADERS),
        }
        content = text[ending].encode()
        return write_bytes(gzip.compress(content, mtime=0) if name.endswith("gz") else content, name)

    return write


NAMES = ["t.csv", "t.tsv", "t.jsonl", "t.json", "t.parquet", "t.csv.gz", "t.tsv.gz", "t.jsonl.gz"]


@pytest.mark.parametrize("name", [*NAMES, "t[1] *.csv", "t[1].parquet", "t.fasta", "t.fasta.gz"])
def test_every_format_gives_the_same_columns_and_splits(source, name):
    splits = read_proteins(source(name), header_pattern=PATTERN if "fasta" in name else None)
    assert named(splits) == EXPECTED
    assert splits["train"].features == protein_features({"location": ClassLabel(names=["NA", "Virus"])})


def test_columns_of_any_name_will_do(write_bytes):
    rows = [dict(zip(["acc", "seq", "where", "part"], row.values())) for row in ROWS]
    columns = ColumnNames(id="acc", sequence="seq", label="where", split="part")
    assert named(read_proteins(write_bytes(separated(",", rows), "t.csv"), columns=columns)) == EXPECTED


def test_without_accessions_rows_are_numbered_and_without_splits_all_are_for_training(write_bytes):
    path = write_bytes("sequence,location\nMKT,a\nMKT,b\n", "t.csv")
    assert named(read_proteins(path)) == {
        "train": [("train_1", "M K T", 3, "a", True), ("train_2", "M K T", 3, "b", True)]
    }


def test_cells_of_a_csv_stay_as_written(write_bytes):
    path = write_bytes("id,sequence,location\n007,NA,01\nNA,MKT,1\nnull,MKT,1.0\n", "t.csv")
    part = read_proteins(path)["train"]
    assert part["id"][:] == ["007", "NA", "null"]
    assert part["sequence"][0] == "N A"
    assert part.features["location"].names == ["01", "1", "1.0"]


def test_labels_that_are_numbers_become_their_names(write_bytes):
    part = read_proteins(write_bytes(lines([{"sequence": "M", "location": n} for n in (2, 10)]), "t.jsonl"))["train"]
    assert part.features["location"].names == ["10", "2"] and part["location"][:] == [1, 0]


def test_class_labels_keep_their_names(tmp_path):
    features = Features({"sequence": Value("string"), "location": ClassLabel(names=["soluble", "membrane"])})
    table = Dataset.from_dict({"sequence": ["M", "K"], "location": [0, 1]}, features=features)
    table.to_parquet(tmp_path / "t.parquet")
    assert [row[3] for row in named(read_proteins(tmp_path / "t.parquet"))["train"]] == ["soluble", "membrane"]


def test_a_folder_is_read_as_the_hub_would_read_it(tmp_path):
    for split in ("train", "validation", "test"):
        name = {"validation": "dev"}.get(split, split)
        rows = [{key: row[key] for key in ("id", "sequence", "location")} for row in ROWS if row["split"] == name]
        (tmp_path / f"{split}.jsonl").write_text(lines(rows))
    assert named(read_proteins(tmp_path)) == EXPECTED


def test_headers_of_deeploc_need_no_pattern_and_others_only_a_label(write_bytes):
    path = write_bytes(">P1 Nucleus-M test\nMKT\n>P2 Cytoplasm-U\nMKT\n")
    assert named(read_proteins(path))["test"] == [("P1", "M K T", 3, "Nucleus", False)]
    assert [row[3] for row in named(read_proteins(path, header_pattern=r"-(?P<label>\w)"))["train"]] == ["M", "U"]


def test_ambiguous_proteins_are_treated_as_asked(write_bytes):
    path = write_bytes(">P1 Cytoplasm-Nucleus-U\nMKT\n>P2 Nucleus-U\nMKT\n")
    assert {how: len(read_proteins(path, ambiguous=how)["train"]) for how in ("drop", "keep")} == {"drop": 1, "keep": 2}


def test_the_real_proteins_are_the_same_from_a_table(real_proteins, tmp_path):
    part = real_proteins["test"]
    part.to_parquet(tmp_path / "t.parquet")
    table = read_proteins(tmp_path / "t.parquet", columns=ColumnNames(split="is_train"))
    assert list(table) == ["test"]
    assert table["test"]["sequence"][:] == part["sequence"][:]
    assert [row[3] for row in named(table)["test"]] == [row[3] for row in named({"test": part})["test"]]


def test_validation_is_taken_only_where_the_data_has_none(source, write_bytes):
    assert named(load_proteins(source("t.csv"), validation=0.5)) == EXPECTED
    rows = "".join(f"P{i},{'A' * (i + 1)},{'ab'[i % 2]}\n" for i in range(40))
    splits = load_proteins(write_bytes("id,sequence,location\n" + rows, "u.csv"), validation=0.2)
    assert {name: len(part) for name, part in splits.items()} == {"train": 32, "validation": 8}
    assert sorted(splits["validation"]["location"][:]) == [0] * 4 + [1] * 4


def test_an_identical_row_is_dropped_and_a_conflicting_one_refused(write_bytes):
    path = write_bytes("id,sequence,location\nP1,MKT,a\nP1,m k t,a\n", "same.csv")
    assert len(read_proteins(path)["train"]) == 1
    path = write_bytes("id,sequence,location\nP1,MKT,a\nP1,MKT,b\n", "other.csv")
    with pytest.raises(DataError, match=r"other\.csv, record 2 \(P1\): the accession stands in other\.csv, record 1"):
        read_proteins(path)


# --- bad input


HEAD = "id,sequence,location,split\n"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.csv", "id,seq,location\nP1,MKT,a\n", "'sequence'; found id, seq, location: name it with sequence_column"),
        ("t.csv", "id,sequence,label\nP1,MKT,a\n", "'location'; found id, sequence, label: name it with label_"),
        ("t.csv", "id;sequence;location\nP1;MKT;a\n", "is it separated by ';'? expected commas (.csv) or tabs (.tsv)"),
        ("t.csv", "id\tsequence\nP1\tMKT\n", "is it separated by tabs? expected commas"),
        ("t.tsv", "id,sequence\nP1,MKT\n", "is it separated by commas? expected commas (.csv)"),
        ("t.csv", HEAD + "P1,MKT,a,train\nP2,MKT,,train\n", "t.csv, record 2 (P2): no label in column 'location'"),
        ("t.jsonl", '{"id":"P1","sequence":"M","location":null}\n', "t.jsonl, record 1 (P1): no label in column"),
        ("t.csv", HEAD + "P1,MKT,a,holdout\n", "t.csv, record 1 (P1): unknown split 'holdout'; expected train, valid"),
        ("t.csv", HEAD + "P1,,a,train\n", "t.csv, record 1 (P1): no residues"),
        ("t.csv", HEAD + "P1,MK1,a,train\n", "t.csv, record 1 (P1): '1' at position 3 is not a residue"),
        ("t.jsonl", '{"id":"P1","sequence":null,"location":"a"}\n', "t.jsonl, record 1 (P1): no residues"),
        ("t.csv", HEAD, "/t.csv: no proteins"),
        ("t.csv", "", "/t.csv: cannot be read as a table: No columns"),
        ("t.jsonl", "", "/t.jsonl: cannot be read as a table: it is empty"),
        ("t.jsonl", "[" * 100_000, "/t.jsonl, line 1: not valid JSON"),
        ("t.json", "[" * 100_000, "/t.json: cannot be read as a table: "),
        ("t.jsonl", "{no json\n", "/t.jsonl, line 1: not valid JSON"),
        ("t.parquet", "no parquet", "/t.parquet: cannot be read as a table: Parquet"),
        ("t.csv", HEAD + "P1,MKT,a,train\nP2,MKT,a,b,c,d,e\n", "/t.csv, line 3: found 7 fields, expected 4"),
        ("t.csv", bytes(range(128, 256)), "/t.csv: no text in UTF-8 (found the byte 0x80); save it as UTF-8"),
        ("t.xlsx", b"PK\x03\x04", "/t.xlsx: a spreadsheet; export it as CSV"),
        # mtime: the bytes are part of the test's name
        ("t.csv.gz", gzip.compress(b"P1,MKT,a\n" * 999, mtime=0)[:-20], "/t.csv.gz: cannot be read as a table: Compr"),
        (
            "t.jsonl.gz",
            gzip.compress(lines().encode() * 999, mtime=0)[:-20],
            "/t.jsonl.gz: cannot be read as a table: ",
        ),
    ],
)
def test_a_bad_table_is_one_line_with_file_record_and_accession(write_bytes, name, content, message):
    path = write_bytes(content, name)
    with pytest.raises(InputError) as caught:
        read_proteins(path)
    assert message in str(caught.value) and str(caught.value).startswith((name, path))
    assert "\n" not in str(caught.value) and caught.value.exit_code == 2


@pytest.mark.parametrize("values", [("a", 1), (["a"], "b")])
def test_values_of_several_types_in_a_column_are_one_line(write_bytes, values):
    path = write_bytes(lines([{"sequence": "MKT", "location": value} for value in values]), "t.jsonl")
    with pytest.raises(DataError, match=f"{path}: column location has values of several types"):
        read_proteins(path)


def test_a_line_of_json_may_lack_an_auxiliary_answer_but_not_a_label(write_bytes):
    rows = [{"sequence": "MKT", "x": "a"}, {"sequence": "MKV", "x": "b", "y": 1.5}]
    options = {"label_column": "x", "auxiliary_tasks": ["y"], "validation": 0}
    assert load_proteins(write_bytes(lines(rows), "t.jsonl"), **options)["train"]["y"][:] == [None, 1.5]
    with pytest.raises(DataError, match=r"t.jsonl, record 2 \(train_2\): no label in column 'x'"):
        load_proteins(write_bytes(lines([rows[0], {"sequence": "MKV", "y": 2.5}]), "t.jsonl"), **options)


@pytest.mark.parametrize("content", [json.dumps(ROWS), lines()])
def test_a_json_file_may_begin_with_a_byte_order_mark(write_bytes, content):
    assert named(read_proteins(write_bytes(b"\xef\xbb\xbf" + content.encode(), "t.json"))) == EXPECTED


def test_a_parquet_file_that_is_damaged_in_its_middle_is_one_line(tmp_path):
    path = tmp_path / "t.parquet"
    rows = [{"id": f"P{row}", "sequence": "MKT" * 50, "location": "ab"[row % 2]} for row in range(5000)]
    Dataset.from_list(rows).to_parquet(path)
    content = bytearray(path.read_bytes())
    content[100:2000] = bytes(1900)
    path.write_bytes(content)
    with pytest.raises(DataError, match="t.parquet: cannot be read as a table: "):
        read_proteins(str(path))


def test_a_pattern_for_headers_is_refused_with_a_table(source):
    with pytest.raises(OptionError, match="header_pattern: .*t.csv is a table, which has columns; expected label_col"):
        read_proteins(source("t.csv"), header_pattern=PATTERN)
    with pytest.raises(OptionError, match="ambiguous='typo': expected one of drop, keep, first"):
        read_proteins(source("t.csv"), ambiguous="typo")


def test_a_json_file_of_an_object_a_line_is_read_too(write_bytes):
    assert named(read_proteins(write_bytes(lines(), "t.json"))) == EXPECTED


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "p.fa: no records"),
        ("MKT\n", "p.fa: no FASTA file"),
        (">P1\nMKT\n", "p.fa, record 1 (P1): found ''; expected a header that 'sp\\|(?P<label>[^|]+)\\| (?P<sp"),
        (">P1 sp|NA| train\nMKT\n>P2 other\nM\n", "p.fa, record 2 (P2): found 'other'; expected a header that"),
        (">P1 sp|NA| holdout\nMKT\n", "p.fa, record 1 (P1): unknown split 'holdout'"),
        (">P1 sp|NA| train\nM-T\n", "p.fa, record 1 (P1): '-' at position 2"),
        (gzip.compress("".join(HEADERS).encode() * 99, mtime=0)[:-12], "p.fa: not a text file, or damaged"),
    ],
)
def test_bad_fasta_with_a_pattern_is_one_line(write_bytes, content, message):
    with pytest.raises(InputError) as caught:
        read_proteins(write_bytes(content, "p.fa"), header_pattern=PATTERN)
    assert str(caught.value).startswith(message) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("pattern", "message"),
    [("(", "is not a valid regular expression: missing"), (r"(\w+)", r"'\(\\w\+\)' has no group 'label'; exp")],
)
def test_a_pattern_that_cannot_work_is_refused(source, pattern, message):
    with pytest.raises(OptionError, match=message):
        read_proteins(source("t.fasta"), header_pattern=pattern)


@pytest.mark.parametrize(("name", "pattern"), [("t.csv", None), ("t.fasta", None), ("t.fasta", PATTERN), ("t", None)])
def test_a_missing_file_is_named(tmp_path, name, pattern):
    with pytest.raises(DataError) as caught:
        read_proteins(tmp_path / name, header_pattern=pattern)
    assert str(caught.value).startswith(f"{tmp_path / name}: no such file")


@pytest.mark.parametrize("name", [None, "notes.txt", "proteins.csv", "test_predictions.csv"])
@pytest.mark.parametrize("ending", ["", ".fasta", ".csv"])
def test_a_folder_that_is_no_dataset_is_refused_and_not_read_at_random(tmp_path, name, ending):
    folder = tmp_path / f"proteins{ending}"
    folder.mkdir()
    if name:
        (folder / name).write_text("id,sequence,location\nP1,MKT,a\n")
    for read in (read_proteins, check_there):
        with pytest.raises(DataError) as caught:
            read(str(folder))
        assert str(caught.value).startswith(f"{folder}: is a folder; expected a file of proteins")


@pytest.mark.parametrize("name", ["data/train-00000-of-00001.parquet", "train/0.parquet", "x/my_train_0.parquet"])
def test_a_folder_laid_out_as_the_hubs_is_read(tmp_path, name):
    (tmp_path / name).parent.mkdir()
    Dataset.from_list(ROWS).to_parquet(tmp_path / name)
    assert named(read_proteins(tmp_path)) == EXPECTED


def test_what_is_not_utf8_is_no_accession_and_no_class(tmp_path):
    path = tmp_path / "p.fasta"
    path.write_bytes(b">P1 loc=Noyau\xe9\nMKT\n>P2 loc=Noyau\xe8\nMKV\n")
    with pytest.raises(DataError, match=r"record 1 \(P1\): its class .* is not UTF-8"):
        read_proteins(path, header_pattern=r"loc=(?P<label>\S+)")
    path.write_bytes(b">P\xe9 loc=a\nMKT\n")
    with pytest.raises(DataError, match="the accession is not UTF-8"):
        read_proteins(path, header_pattern=r"loc=(?P<label>\S+)")


def test_classes_that_differ_in_case_or_blanks_are_warned_of_in_one_line(write_bytes, log):
    rows = "P1,MKT,Nucleus\nP2,MKT,nucleus\nP3,MKT, Golgi\nP4,MKT,Golgi\nP5,MKT,ER\n"
    path = write_bytes("id,sequence,location\n" + rows, "t.csv")
    assert read_proteins(path)["train"].features["location"].names == [" Golgi", "ER", "Golgi", "Nucleus", "nucleus"]
    (line,) = [record.message for record in log.records if "differ in case" in record.message]
    assert line == (
        f"{path}: classes that differ in case or blanks only, kept apart: ' Golgi', 'Golgi'; 'Nucleus', 'nucleus'"
    )


def test_classes_that_differ_are_not_warned_of(source, log):
    read_proteins(source("t.csv"))
    assert not [record for record in log.records if "differ" in record.message]


def test_a_dataset_of_the_hub_without_a_network_is_no_fault_of_the_input():
    with pytest.raises(ProteinClassifierError, match="someone/proteins: could not be downloaded") as caught:
        read_proteins("someone/proteins")
    assert caught.value.exit_code == 1


# --- joining


def test_a_file_that_is_one_split_is_taken_whole(source):
    proteins = whole(read_proteins(source("t.csv")))
    assert sorted(proteins["id"][:]) == ["P1", "P2", "P3", "P4"]


def test_a_split_with_other_classes_keeps_every_proteins_label(write_bytes):
    first = read_proteins(write_bytes("id,sequence,location\nP1,MKT,b\nP2,MKT,d\n", "one.csv"))
    other = read_proteins(write_bytes("id,sequence,location\nP3,MKT,a\nP4,MKT,d\n", "two.csv"))["train"]
    merged = merge_splits(first, "test", other)
    assert isinstance(merged, DatasetDict) and list(merged) == ["train", "test"]
    assert {part.features["location"].names == ["a", "b", "d"] for part in merged.values()} == {True}
    labels = {row[0]: row[3] for part in named(merged).values() for row in part}
    assert labels == {"P1": "b", "P2": "d", "P3": "a", "P4": "d"}


def test_a_split_with_the_same_classes_is_joined_as_it_is(source):
    splits = read_proteins(source("t.csv"))
    merged = merge_splits(splits, "test", splits["validation"])
    assert merged["train"] is splits["train"] and merged["test"] is splits["validation"]


def test_an_empty_cell_is_no_value_and_the_number_0_is_one(tmp_path):
    path = tmp_path / "proteins.csv"
    path.write_text("id,sequence,location,split\n0,MKT,Nucleus,\n,MKV,Nucleus,test\n")
    splits = read_proteins(path)
    assert splits["train"]["id"][:] == ["0"]
    assert splits["test"]["id"][:] == ["train_2"]
