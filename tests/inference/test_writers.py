"""Tables of predictions: each format, in parts or whole, holds the same."""

import csv
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from protbert_classify.data.records import Place, Record
from protbert_classify.errors import OptionError
from protbert_classify.evaluation.decision import Decision, decide_task
from protbert_classify.inference import writers
from protbert_classify.inference.writers import FORMATS, Prediction, columns_for, predictions_of, table_for
from protbert_classify.model.tasks import MULTI_LABEL, REGRESSION, SINGLE_LABEL, Task

LABELS = ["Cytoplasm", "Lysosome/Vacuole"]
CALLS = [
    Prediction("P1", 'a "b",\tc', 10, ("Cytoplasm", 0.75, 0.75, 0.25), False),
    Prediction("P2", "", 20_000, ("Lysosome/Vacuole", 1.0, 0.0, 1.0), True),
    Prediction("P3", "é", 1, ("Cytoplasm", 2 / 3, 2 / 3, 1 / 3), False),
]


def task(problem_type=SINGLE_LABEL, name="location", labels=LABELS, **fields):
    return Task(name=name, problem_type=problem_type, labels=labels, **fields)


COLUMNS = columns_for([task()])


@pytest.fixture(params=list(FORMATS))
def ending(request):
    return request.param


def written(folder, ending, parts, columns=COLUMNS):
    table = table_for(f"predictions{ending}", columns)
    paths = []
    for number, predictions in enumerate(parts):
        paths.append(str(folder / f"part-{number}"))
        table.write_part(paths[-1], predictions)
    table.join(paths, str(folder / f"predictions{ending}"))
    return folder / f"predictions{ending}"


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
        assert row[:4] == [*call[:3], call.answers[0]] and row[-1] is call.truncated
        assert row[4:-1] == pytest.approx(call.answers[1:], abs=1e-6)


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
    monkeypatch.setattr(writers.ParquetTable, "row_group", 4)
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
    table = table_for("predictions.csv", columns_for([task(labels=["length", "Nucleus"])]))
    table.join([], str(tmp_path / "predictions.csv"))
    assert "length (class),Nucleus" in (tmp_path / "predictions.csv").read_text()


@pytest.mark.parametrize("output", ["predictions.xlsx", "calls", "predictions.csv.gz"])
def test_another_ending_is_refused(output):
    with pytest.raises(OptionError, match=f"{output}: expected a name that ends in .csv, .tsv, .jsonl, .parquet"):
        table_for(output, COLUMNS)


def test_an_ending_in_capitals_is_the_same():
    assert type(table_for("PREDICTIONS.CSV", COLUMNS)) is type(table_for("predictions.csv", COLUMNS))


RECORDS = [Record(Place("x", 1, "P1"), "one", "MKT"), Record(Place("x", 2, "P2"), "", "MKTAY")]
MEMBRANE = task(name="membrane", labels=["M", "S"])
CHARGE = task(REGRESSION, "charge", ["charge"], mean=[100.0], std=[50.0])
SHIFTS = task(REGRESSION, "shifts", ["pH 5", "pH 7"])


def logit(probability):
    return np.log(probability / (1 - np.asarray(probability)))


def lines_of(folder, logits, main, auxiliary=(), ending=".csv"):
    """The lines of a table of two proteins, from the logits of each task."""
    answers = decide_task(np.asarray(logits[0], dtype=np.float32), main)
    pairs = zip(logits[1:], auxiliary, strict=True)
    others = {other.name: decide_task(np.asarray(values, dtype=np.float32), other) for values, other in pairs}
    decision = Decision(main, answers.scores, answers.chosen, others)
    predictions = predictions_of(RECORDS, decision, [False, True])
    return written(folder, ending, [predictions], columns_for([main, *auxiliary])).read_text().splitlines()


def test_the_table_of_one_class_a_protein_is_what_it_always_was(tmp_path):
    lines = lines_of(tmp_path, [np.log([[0.8, 0.2], [0.3, 0.7]])], task())
    assert lines == [
        "id,description,length,location,score,Cytoplasm,Lysosome/Vacuole,truncated",
        "P1,one,3,Cytoplasm,0.800000,0.800000,0.200000,no",
        "P2,,5,Lysosome/Vacuole,0.700000,0.300000,0.700000,yes",
    ]


def test_several_labels_are_joined_best_first_and_the_score_is_that_of_the_first(tmp_path):
    main = task(MULTI_LABEL, "compartment", ["a", "b", "c"], thresholds=[0.2, 0.5, 0.95])
    lines = lines_of(tmp_path, [logit([[0.3, 0.6, 0.9], [0.15, 0.4, 0.6]])], main)
    assert lines == [
        "id,description,length,compartment,score,a,b,c,truncated",
        "P1,one,3,b;a,0.600000,0.300000,0.600000,0.900000,no",
        "P2,,5,a,0.150000,0.150000,0.400000,0.600000,yes",  # none reaches its threshold, a is nearest to it
    ]


def test_a_regression_has_its_numbers_in_the_units_of_the_data_and_no_score(tmp_path):
    main = task(REGRESSION, "stability", ["Tm", "half-life"], mean=[50.0, 0.0], std=[10.0, 1e-6])
    lines = lines_of(tmp_path, [[[1.25, 3.0], [-2.0, 1 / 3]]], main)
    assert lines == [
        "id,description,length,Tm,half-life,truncated",
        "P1,one,3,62.5,3e-06,no",
        "P2,,5,30,3.333333e-07,yes",
    ]


def test_auxiliary_tasks_stand_behind_the_classes(tmp_path):
    logits = [np.log([[0.8, 0.2], [0.3, 0.7]]), np.log([[0.9, 0.1], [0.4, 0.6]]), [[1], [0.5]], [[1, 2], [3, 4]]]
    lines = lines_of(tmp_path, logits, task(), [MEMBRANE, CHARGE, SHIFTS], ".jsonl")
    assert json.loads(lines[0]) == {
        **{"id": "P1", "description": "one", "length": 3, "location": "Cytoplasm", "score": 0.8},
        **{"Cytoplasm": 0.8, "Lysosome/Vacuole": 0.2, "membrane": "M", "membrane score": 0.9},
        **{"charge": 150.0, "shifts pH 5": 1.0, "shifts pH 7": 2.0, "truncated": False},
    }
    assert list(json.loads(lines[1]).values())[3:] == [LABELS[1], 0.7, 0.3, 0.7, "S", 0.6, 125.0, 3.0, 4.0, True]


def test_parquet_has_a_type_for_each_kind_of_answer(tmp_path):
    schema = writers.ParquetTable(columns_for([task(), MEMBRANE, CHARGE])).schema
    types = {name: str(schema.field(name).type) for name in ("location", "membrane", "membrane score", "charge")}
    assert types == {"location": "string", "membrane": "string", "membrane score": "float", "charge": "float"}


@pytest.mark.parametrize(
    ("tasks", "names"),
    [
        ([task(labels=["score", "location"])], ["location", "score", "score (class)", "location (class)"]),
        ([task(labels=["membrane", "x"]), MEMBRANE], ["location", "score", "membrane (class)", "x", "membrane"]),
        ([task(REGRESSION, "length", ["length"])], ["length (predicted)"]),
        ([task(name="id")], ["id (predicted)", "score", *LABELS]),
    ],
    ids=["classes", "a class and a task", "a number", "a task"],
)
def test_no_two_columns_have_one_name(tasks, names):
    found = [column.name for column in columns_for(tasks)]
    assert found[3 : 3 + len(names)] == names
    assert len(set(found)) == len(found)
