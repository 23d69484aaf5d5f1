"""Tables of calls: each format, in parts or whole, holds the same."""

import csv
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from protbert_classify.errors import OptionError
from protbert_classify.inference import tables
from protbert_classify.inference.tables import FORMATS, Call, table_for

LABELS = ["Cytoplasm", "Lysosome/Vacuole"]
CALLS = [
    Call("P1", 'a "b",\tc', 10, "Cytoplasm", 0.75, [0.75, 0.25], False),
    Call("P2", "", 20_000, "Lysosome/Vacuole", 1.0, [0.0, 1.0], True),
    Call("P3", "é", 1, "Cytoplasm", 2 / 3, [2 / 3, 1 / 3], False),
]


@pytest.fixture(params=list(FORMATS))
def ending(request):
    return request.param


def written(folder, ending, parts):
    table = table_for(f"calls{ending}", LABELS)
    paths = []
    for number, calls in enumerate(parts):
        paths.append(str(folder / f"part-{number}"))
        table.write_part(paths[-1], calls)
    table.join(paths, str(folder / f"calls{ending}"))
    return folder / f"calls{ending}"


def rows(path):
    """As (id, description, length, location, score, scores..., truncated) with Python's types."""
    if path.suffix == ".parquet":
        return [list(row.values()) for row in pq.read_table(path).to_pylist()]
    if path.suffix == ".jsonl":
        return [list(json.loads(line).values()) for line in path.read_text(encoding="utf-8").splitlines()]
    with open(path, newline="", encoding="utf-8") as file:
        found = list(csv.reader(file, delimiter="\t" if path.suffix == ".tsv" else ","))[1:]
    return [[*r[:2], int(r[2]), r[3], *map(float, r[4:-1]), {"yes": True, "no": False}[r[-1]]] for r in found]


def test_every_format_holds_every_call(tmp_path, ending):
    found = rows(written(tmp_path, ending, [CALLS]))
    for row, call in zip(found, CALLS, strict=True):
        assert row[:4] == list(call[:4]) and row[-1] is call.truncated
        assert row[4:-1] == pytest.approx([call.score, *call.scores], abs=1e-6)


def test_parts_make_the_same_table_as_one(tmp_path, ending):
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    in_two = written(tmp_path / "two", ending, [CALLS[:1], CALLS[1:]])
    assert rows(in_two) == rows(written(tmp_path / "one", ending, [CALLS]))


def test_a_table_without_calls_still_has_its_columns(tmp_path, ending):
    path = written(tmp_path, ending, [])
    assert rows(path) == []
    if ending in (".csv", ".tsv"):
        separator = "\t" if ending == ".tsv" else ","
        assert path.read_text() == f"id,description,length,location,score,{LABELS[0]},{LABELS[1]},truncated\n".replace(
            ",", separator
        )


def test_parquet_is_typed_and_has_large_row_groups(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "ROW_GROUP", 4)
    path = written(tmp_path, ".parquet", [CALLS] * 3)
    schema = pq.read_schema(path)
    assert [schema.field(name).type for name in ("length", "score", "Cytoplasm", "truncated")] == [
        pa.int32(),
        pa.float32(),
        pa.float32(),
        pa.bool_(),
    ]
    assert [pq.ParquetFile(path).metadata.row_group(i).num_rows for i in range(2)] == [6, 3]


def test_a_class_of_a_columns_name_is_told_apart(tmp_path):
    table = table_for("calls.csv", ["length", "Nucleus"])
    table.join([], str(tmp_path / "calls.csv"))
    assert "length (class),Nucleus" in (tmp_path / "calls.csv").read_text()


@pytest.mark.parametrize("output", ["calls.xlsx", "calls", "calls.csv.gz"])
def test_another_ending_is_refused(output):
    with pytest.raises(OptionError, match=f"{output}: expected a name that ends in .csv, .tsv, .jsonl, .parquet"):
        table_for(output, LABELS)


def test_an_ending_in_capitals_is_the_same():
    assert type(table_for("CALLS.CSV", LABELS)) is type(table_for("calls.csv", LABELS))
