import numpy as np
import pytest
from datasets import ClassLabel, Dataset, Features, Value
from datasets import List as ListOf
from hypothesis import given
from hypothesis import strategies as st

from protbert_classify.data.loading import load_proteins
from protbert_classify.data.records import protein_features
from protbert_classify.errors import DataError, InputError, OptionError
from protbert_classify.tasks.columns import infer_task
from protbert_classify.tasks.targets import auxiliary_targets
from tests.data.tables import lines, separated

SINGLE, MULTI, NUMBERS = "single_label_classification", "multi_label_classification", "regression"
SEVERAL = [
    {"id": "P1", "sequence": "MKT", "where": "b;a", "membrane": "M", "tm": "55.5"},
    {"id": "P2", "sequence": "MKV", "where": "b", "membrane": "U", "tm": "-3"},
    {"id": "P3", "sequence": "MKW", "where": "c; b", "membrane": "", "tm": ""},
]


def cells(part, column):
    """The answers of a column by the names of their classes."""
    feature = part.features[column]
    names = getattr(feature, "feature", feature)

    def named_cell(cell):
        if isinstance(cell, list):
            return [named_cell(label) for label in cell]
        return names.int2str(cell) if isinstance(names, ClassLabel) and cell is not None else cell

    return [named_cell(cell) for cell in part[column][:]]


def as_lists(rows):
    return [{**row, "where": [name.strip() for name in row["where"].split(";")]} for row in rows]


@pytest.fixture
def several(write_bytes, tmp_path):
    """Write proteins with several labels in a format; the path and the options that read them."""

    def write(name):
        if name == "p.fasta":
            text = "".join(f">{r['id']} loc={r['where'].replace(' ', '')}\n{r['sequence']}\n" for r in SEVERAL)
            pattern = r"loc=(?P<label>\S+)"
            return write_bytes(text, name), {"header_pattern": pattern, "problem_type": MULTI}
        if name == "t.parquet":
            names = Features({"where": ListOf(ClassLabel(names=["c", "b", "a", "nobody"]))})
            rows = [{**row, "where": names["where"].feature.str2int(row["where"])} for row in as_lists(SEVERAL)]
            table = Dataset.from_list(rows).cast_column("where", names["where"])
            table.to_parquet(tmp_path / name)
            return str(tmp_path / name), {}
        if name == "t.jsonl":
            return write_bytes(lines(as_lists(SEVERAL)), name), {}
        return write_bytes(separated("," if name == "t.csv" else "\t", SEVERAL), name), {"problem_type": MULTI}

    return write


@pytest.mark.parametrize("name", ["t.csv", "t.tsv", "t.jsonl", "t.parquet", "p.fasta"])
def test_several_labels_are_read_from_every_format(several, name):
    path, options = several(name)
    part = load_proteins(path, label_column="where", validation=0, **options)["train"]
    assert part.column_names == ["id", "sequence", "sequence_length", "where", "is_train"]
    assert part.features["where"] == ListOf(ClassLabel(names=["a", "b", "c"]))
    assert cells(part, "where") == [["b", "a"], ["b"], ["c", "b"]]


def test_without_being_asked_for_a_semicolon_joins_nothing(several, log):
    path, _ = several("t.csv")
    part = load_proteins(path, label_column="where", validation=0)["train"]
    assert cells(part, "where") == ["b;a", "b", "c; b"]
    assert f"{path}: 'b;a' is one class; problem_type=multi_label_classification reads it as several" in log.messages


def test_a_column_of_0_and_1_for_each_class_stays_a_column_each(write_bytes):
    path = write_bytes("id,sequence,Nucleus,Golgi app.\nP1,MKT,1,0\nP2,MKV,0.0,1\nP3,MKW,false,True\n", "t.csv")
    part = load_proteins(path, label_column=["Nucleus", "Golgi app."], validation=0)["train"]
    assert part.features == protein_features({"Nucleus": Value("int8"), "Golgi app.": Value("int8")})
    assert part["Nucleus"][:] == [1, 0, 0] and part["Golgi app."][:] == [0, 1, 1]
    task = infer_task(part, ["Nucleus", "Golgi app."])
    assert (task.problem_type, task.labels) == (MULTI, ("Nucleus", "Golgi app."))


@pytest.mark.parametrize("options", [{}, {"problem_type": NUMBERS}])
def test_numbers_are_read_as_numbers(write_bytes, options):
    rows = [{"id": "P1", "sequence": "M", "tm": 55.5, "ph": 7}, {"id": "P2", "sequence": "K", "tm": -3.0, "ph": 6.5}]
    for name, content in (("t.csv", separated(",", rows)), ("t.jsonl", lines(rows))):
        part = load_proteins(write_bytes(content, name), label_column="tm", validation=0, **options)["train"]
        assert part.features["tm"] == Value("float64") and part["tm"][:] == [55.5, -3.0]
        part = load_proteins(write_bytes(content, name), label_column=["tm", "ph"], validation=0, **options)["train"]
        assert part.column_names[3:5] == ["tm", "ph"] and part["ph"][:] == [7.0, 6.5]


def test_whole_numbers_are_classes_unless_a_regression_is_asked_for(write_bytes):
    path = write_bytes("id,sequence,n\nP1,M,3\nP2,K,10\n", "t.csv")
    assert cells(load_proteins(path, label_column="n", validation=0)["train"], "n") == ["3", "10"]
    numbers = load_proteins(path, label_column="n", validation=0, problem_type=NUMBERS)["train"]
    assert numbers["n"][:] == [3.0, 10.0]


def test_all_missing_columns_are_named_at_once_with_those_that_are_there(write_bytes):
    path = write_bytes("name,residues,fold\nP1,MKT,alpha\n", "t.csv")
    with pytest.raises(DataError) as raised:
        load_proteins(path, auxiliary_tasks=["membrane"])
    assert str(raised.value).endswith(
        "t.csv: no columns 'sequence', 'location', 'membrane'; found name, residues, fold: name them with "
        "sequence_column, label_column, auxiliary_tasks"
    )
    with pytest.raises(DataError, match="no columns 'location', 'membrane'; found name, residues, fold: name them"):
        load_proteins(path, sequence_column="residues", auxiliary_tasks=["membrane"])


@pytest.mark.parametrize(
    ("values", "options", "warned"),
    [
        ([*range(37, 48)], {}, True),
        ([*range(37, 47)], {}, False),  # ten: classes, by their number
        ([*range(37, 47), "high"], {}, False),
        ([*range(37, 48)], {"problem_type": SINGLE}, False),
        ([*range(37, 48)], {"problem_type": NUMBERS}, False),
    ],
)
def test_many_whole_numbers_that_become_classes_are_warned_of(write_bytes, log, values, options, warned):
    rows = "".join(f"P{number},M{'K' * number},{value}\n" for number, value in enumerate(values))
    load_proteins(write_bytes(f"id,sequence,tm\n{rows}", "t.csv"), label_column="tm", validation=0, **options)
    hints = [record.getMessage() for record in log.records if "are read as" in record.getMessage()]
    words = "t.csv: the numbers in column 'tm' are read as 11 classes; --problem_type regression (in Python, problem_ty"
    assert len(hints) == warned and all(words in hint for hint in hints)


def test_auxiliary_columns_may_be_empty_and_have_types_of_their_own(write_bytes):
    path = write_bytes(separated(",", SEVERAL), "t.csv")
    columns = ["membrane", "tm"]
    splits = load_proteins(path, label_column="where", auxiliary_tasks=columns, validation=0, problem_type=MULTI)
    part = splits["train"]
    assert part.column_names == ["id", "sequence", "sequence_length", "where", "membrane", "tm", "is_train"]
    assert cells(part, "membrane") == ["M", "U", None] and part["tm"][:] == [55.5, -3.0, None]
    tasks = [infer_task(splits, column) for column in columns]
    assert [(task.labels, task.unknown) for task in tasks] == [(("M",), ("U",)), (("tm",), ())]
    found = auxiliary_targets(part, tasks)
    np.testing.assert_array_equal(found, [[0, 55.5], [np.nan, -3], [np.nan, np.nan]])


def test_a_header_pattern_may_name_further_columns(write_bytes):
    path = write_bytes(">P1 a tm=5.5 test\nMKT\n>P2 b\nMKV\n>P3 a tm=6\nMKW\n")
    pattern = r"^(?P<label>\w)( tm=(?P<tm>\S+))?( (?P<split>test))?"
    options = {"label_column": "where", "auxiliary_tasks": ["tm"], "validation": 0}
    splits = load_proteins(path, header_pattern=pattern, **options)
    assert cells(splits["train"], "where") == ["b", "a"] and splits["train"]["tm"][:] == [None, 6.0]
    assert splits["test"]["tm"][:] == [5.5]
    numbers = load_proteins(
        write_bytes(">P1 tm=5.5 ph=7\nMKT\n>P2 tm=1 ph=6\nM\n"),
        header_pattern=r"tm=(?P<tm>\S+) ph=(?P<ph>\S+)",
        label_column=["tm", "ph"],
        validation=0,
    )
    assert numbers["train"]["tm"][:] == [5.5, 1.0] and numbers["train"]["ph"][:] == [7.0, 6.0]
    with pytest.raises(OptionError, match=r"has no group 'membrane'; expected \(\?P<membrane>\.\.\.\)"):
        load_proteins(path, header_pattern=pattern, auxiliary_tasks=["membrane"])


def test_deeplocs_headers_give_several_labels_and_the_membrane_task(write_bytes):
    path = write_bytes(">P1 Cytoplasm;Nucleus-M\nMKT\n>P2 Cytoplasm-Nucleus-U test\nMKV\n>P3 Plastid-S\nMKW\n")
    splits = load_proteins(path, problem_type=MULTI, auxiliary_tasks=["membrane"], validation=0)
    assert cells(splits["train"], "location") == [["Cytoplasm", "Nucleus"], ["Plastid"]]
    assert cells(splits["test"], "location") == [["Cytoplasm", "Nucleus"]]
    assert cells(splits["train"], "membrane") == ["M", "S"]


def test_deeplocs_location_can_have_the_name_of_a_tables_column(write_bytes):
    path = write_bytes(">P1 Nucleus-M\nMKT\n>P2 Plastid-U test\nMKV\n")
    splits = load_proteins(path, label_column="where", validation=0)
    assert splits["train"].column_names == ["id", "sequence", "sequence_length", "where", "membrane", "is_train"]
    assert cells(splits["test"], "where") == ["Plastid"]


def test_to_learn_the_membrane_proteins_whose_flag_is_unknown_are_left_out(write_bytes, log):
    path = write_bytes(">P1 Nucleus-M\nMKT\n>P2 Plastid-U\nMKV\n>P3 Plastid-S test\nMKV\n>P4 Plastid-U test\nMKA\n")
    splits = load_proteins(path, label_column="membrane", validation=0)
    assert {name: part["id"][:] for name, part in splits.items()} == {"train": ["P1"], "test": ["P3"]}
    assert "1 proteins of train with unknown membrane (U) left out" in log.messages
    with pytest.raises(DataError, match="no protein whose membrane is known; found U only"):
        load_proteins(write_bytes(">P1 Nucleus-U\nMKT\n"), label_column="membrane")


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        ("P1,MKT,5.5\nP2,MKV,high\n", {"problem_type": NUMBERS}, "t.csv, record 2 (P2): column 'x': found 'high'; exp"),
        ("P1,MKT,5.5\nP2,MKV,inf\n", {"problem_type": NUMBERS}, "t.csv, record 2 (P2): column 'x': found 'inf'; expe"),
        ("P1,MKT,5.5\nP2,MKV,\n", {"problem_type": NUMBERS}, "t.csv, record 2 (P2): no label in column 'x'; expected "),
        ("P1,MKT,a\nP2,MKV,;\n", {"problem_type": MULTI}, "t.csv, record 2 (P2): column 'x': found ';'; expected cl"),
        ("P1,MKT,a\n", {"problem_type": "two classes"}, "problem_type='two classes': expected one of single_label_"),
        ("P1,MKT,a\n", {"label_column": ["x", "id"]}, "label_column='id': every dataset has a column 'id' that is no"),
        ("P1,MKT,a\n", {"label_column": ["x", "x"]}, "label_column='x': given twice; expected each column once"),
        ("P1,MKT,a\n", {"auxiliary_tasks": ["id"]}, "auxiliary_tasks='id': every dataset has a column 'id' that is no"),
        ("P1,MKT,a\n", {"auxiliary_tasks": ["y", "y"]}, "auxiliary_tasks='y': given twice; expected each column once"),
        ("P1,MKT,a\n", {"label_column": []}, "label_column: found none; expected the name of a column, or several"),
        (
            "P1,MKT,a\n",
            {"auxiliary_tasks": ["y"]},
            "t.csv: no column 'y'; found id, sequence, x: name it with auxiliary_tasks",
        ),
        ("P1,MKT,a\n", {"label_column": ["x", "z"], "problem_type": SINGLE}, "label columns x, z: problem_type="),
    ],
)
def test_an_answer_that_cannot_be_read_is_one_line_with_its_place(write_bytes, content, options, message):
    path = write_bytes("id,sequence,x\n" + content, "t.csv")
    with pytest.raises(InputError) as caught:
        load_proteins(path, **{"label_column": "x", **options})
    assert str(caught.value).startswith(message) and "\n" not in str(caught.value)


def test_an_empty_auxiliary_column_and_a_flag_of_2_are_refused(write_bytes):
    path = write_bytes("id,sequence,x,y,z\nP1,MKT,a,,0\nP2,MKV,b,,2\n", "t.csv")
    with pytest.raises(DataError, match="t.csv: column 'y' is empty; expected"):
        load_proteins(path, label_column="x", auxiliary_tasks=["y"])
    path = write_bytes("id,sequence,z,w\nP1,MKT,0,1\nP2,MKV,2,1\n", "t.csv")
    with pytest.raises(DataError, match=r"t\.csv, record 2 \(P2\): column 'z': found '2'; expected 0 or 1"):
        load_proteins(path, label_column=["z", "w"], problem_type=MULTI)


@pytest.mark.parametrize(
    ("options", "asked"),
    [
        ({"problem_type": NUMBERS}, "problem_type='regression'"),
        ({"auxiliary_tasks": ["tm"]}, "columns location, tm"),
        ({"label_column": ["a", "b"]}, "columns a, b"),
    ],
)
def test_what_deeplocs_headers_do_not_have_is_refused(write_bytes, options, asked):
    path = write_bytes(">P1 Nucleus-M\nMKT\n")
    with pytest.raises(OptionError) as caught:
        load_proteins(path, **options)
    assert str(caught.value).startswith(f"{path}: {asked}: DeepLoc's headers have location and membrane")


def test_what_is_published_or_saved_is_read_back(several, tmp_path):
    path, options = several("t.jsonl")
    part = load_proteins(path, label_column="where", auxiliary_tasks=["membrane"], validation=0)["train"]
    part.to_parquet(tmp_path / "again.parquet")
    again = load_proteins(tmp_path / "again.parquet", label_column="where", auxiliary_tasks=["membrane"], validation=0)[
        "train"
    ]
    assert again.features == part.features and again[:] == part[:]


labels = st.text("abcXY. /-", min_size=1, max_size=6).map(str.strip).filter(bool)


@given(st.lists(st.lists(labels, min_size=1, max_size=3, unique=True), min_size=1, max_size=8))
def test_what_is_joined_by_semicolons_is_read_back(tmp_path_factory, written):
    path = tmp_path_factory.mktemp("several") / "t.csv"
    rows = [{"id": f"P{i}", "sequence": "MKT", "where": ";".join(names)} for i, names in enumerate(written)]
    path.write_text(separated(",", rows))
    part = load_proteins(path, label_column="where", problem_type=MULTI, validation=0)["train"]
    assert cells(part, "where") == written
