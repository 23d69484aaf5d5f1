import numpy as np
import pytest
from datasets import ClassLabel, Dataset, Features, List, Value
from hypothesis import given
from hypothesis import strategies as st
from transformers import BertTokenizer, EsmTokenizer

from protbert_classify import load_deeploc
from protbert_classify.data import encoding
from protbert_classify.data.alphabet import LETTERS, space, unspace
from protbert_classify.data.encoder import ProteinEncoder
from protbert_classify.data.encoding import encode
from protbert_classify.data.records import protein_features
from protbert_classify.data.tokenizer import PROTBERT_VOCABULARY, protein_tokenizer
from protbert_classify.errors import DataError, InputError, ModelError, OptionError, SequenceError
from protbert_classify.model.tasks import Task
from protbert_classify.tasks.columns import infer_task

LOCATION = infer_task(Dataset.from_dict({"location": ["A", "B", "C"]}), "location")
residues = st.text(LETTERS, min_size=1, max_size=120)


def proteins(sequences, labels=None, names=("A", "B", "C")):
    return Dataset.from_dict(
        {
            "id": [f"P{i}" for i in range(len(sequences))],
            "sequence": list(sequences),
            "sequence_length": [len(unspace(sequence)) for sequence in sequences],
            "location": labels or [0] * len(sequences),
            "is_train": [True] * len(sequences),
        },
        features=protein_features({"location": ClassLabel(names=list(names))}),
    )


def location(*labels):
    return Task(name="location", problem_type="single_label_classification", labels=labels)


def ids(encoded):
    return [row.tolist() for row in encoded["input_ids"]]


# --- the byte table


def test_every_real_protein_has_the_ids_of_protberts_vocabulary(real_proteins, tokenizer):
    of = {letter: index for index, letter in enumerate(PROTBERT_VOCABULARY)}
    of |= dict.fromkeys("UZOBJ", of["X"])
    encoder = ProteinEncoder(tokenizer, max_length=None)
    for part in real_proteins.values():
        for sequence in part["sequence"][:]:
            assert list(encoder(sequence)) == [2, *map(of.__getitem__, unspace(sequence)), 3]


@pytest.mark.slow
def test_every_real_protein_has_the_ids_of_the_tokenizer(real_proteins, tokenizer):
    encoder = ProteinEncoder(tokenizer, max_length=None)
    for part in real_proteins.values():
        sequences = part["sequence"][:]
        for start in range(0, len(sequences), 500):
            batch = sequences[start : start + 500]
            assert [list(encoder(sequence)) for sequence in batch] == tokenizer(batch)["input_ids"]


@given(residues)
def test_any_sequence_has_the_ids_of_the_tokenizer(tokenizer, sequence):
    encoder = ProteinEncoder(tokenizer, max_length=None)
    expected = tokenizer(sequence)["input_ids"]
    for written in (sequence, space(sequence), sequence.lower(), sequence.encode(), f" {sequence}\r\n"):
        assert list(encoder(written)) == expected


def test_an_esm_vocabulary_has_its_own_ids(tmp_path):
    letters = "LAGVSERTIDPKQNFYMHWCXBUZO"
    (tmp_path / "vocab.txt").write_text("\n".join(["<cls>", "<pad>", "<eos>", "<unk>", *letters, "<mask>"]))
    tokenizer = protein_tokenizer(EsmTokenizer(str(tmp_path / "vocab.txt")), map_rare="")
    encoder = ProteinEncoder(tokenizer)
    assert list(encoder(letters + "J")) == [0, *range(4, 29), 24, 2] == tokenizer(letters + "J")["input_ids"]


@pytest.mark.parametrize(
    ("sequence", "message"),
    [
        ("M K ? T", "'\\?' at position 3 is not a residue"),
        ("MKıT", "'ı' at position 3 is not a residue"),
        ("MK*", r"not cleaned: a stop '\*' at the end"),
        ("", "no residues"),
        ("  ", "no residues"),
    ],
)
def test_what_is_no_residue_is_refused_by_name(tokenizer, sequence, message):
    with pytest.raises(SequenceError, match=message):
        ProteinEncoder(tokenizer)(sequence)


# --- cropping


def body(sequence, tokenizer, max_length, crop):
    """The residues that are left, and the special tokens around them."""
    encoded = list(ProteinEncoder(tokenizer, max_length, crop)(sequence))
    assert (encoded[0], encoded[-1]) == (2, 3)
    return "".join(tokenizer.convert_ids_to_tokens(encoded[1:-1]))


@pytest.mark.parametrize(
    ("crop", "max_length", "kept"),
    [
        ("head", 6, "ACDE"),
        ("tail", 6, "PQRS"),
        ("ends", 6, "ACRS"),
        ("ends", 7, "ACDRS"),  # the odd one is N-terminal
        ("ends", 3, "A"),
        ("tail", 3, "S"),
        ("ends", 17, "ACDEFGHIKLMNPQRS"[:8] + "LMNPQRS"),
        ("ends", 18, "ACDEFGHIKLMNPQRS"),
        ("head", 99, "ACDEFGHIKLMNPQRS"),
    ],
)
def test_a_long_protein_keeps_the_residues_of_its_end_or_ends(tokenizer, crop, max_length, kept):
    assert body("ACDEFGHIKLMNPQRS", tokenizer, max_length, crop) == kept


@given(st.text("ACDEFGHIKL", min_size=1, max_size=60), st.integers(3, 40), st.sampled_from(["ends", "head", "tail"]))
def test_cropping_keeps_as_much_as_fits_and_the_right_part(tokenizer, sequence, max_length, crop):
    kept = body(sequence, tokenizer, max_length, crop)
    room = max_length - 2
    front = {"head": room, "tail": 0, "ends": (room + 1) // 2}[crop]
    expected = sequence if len(sequence) <= room else sequence[:front] + sequence[len(sequence) - (room - front) :]
    assert kept == expected
    assert ProteinEncoder(tokenizer, max_length, crop).is_cropped(len(sequence)) == (len(sequence) > room)


def test_by_default_512_tokens_of_both_ends(tokenizer):
    encoder = ProteinEncoder(tokenizer)
    sequence = "A" * 300 + "W" * 300
    assert list(encoder(sequence)) == [2, *[6] * 255, *[24] * 255, 3]
    assert (encoder.is_cropped(510), encoder.is_cropped(511)) == (False, True)


def test_without_a_limit_the_longest_protein_is_whole(tokenizer):
    encoder = ProteinEncoder(tokenizer, max_length=None)
    assert len(encoder("A" * 13_100)) == 13_102 and not encoder.is_cropped(13_100)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_length": 2}, "max_length=2: expected more than the 2 special tokens"),
        ({"max_length": 0}, "max_length=0: expected more than"),
        ({"max_length": -5}, "max_length=-5: expected more than"),
        ({"crop": "middle"}, "crop='middle': expected one of ends, head, tail"),
    ],
)
def test_options_that_cannot_work_are_refused(tokenizer, options, message):
    with pytest.raises(OptionError) as caught:
        ProteinEncoder(tokenizer, **options)
    assert str(caught.value).startswith(message) and isinstance(caught.value, InputError)


def test_a_vocabulary_of_words_is_no_protein_models():
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *(f"w{i}" for i in range(300)), *LETTERS]
    words = BertTokenizer(vocab={token: i for i, token in enumerate(tokens)}, do_lower_case=False)
    with pytest.raises(ModelError, match="the vocabulary has the residue id 328; expected ids below 255"):
        ProteinEncoder(protein_tokenizer(words))


# --- a whole dataset


def test_a_dataset_becomes_ids_lengths_and_labels_in_its_own_order(tokenizer):
    encoded = encode(proteins(["M K T", "M", "A C D E F"], [2, 0, 1]), tokenizer, max_length=6, tasks=[LOCATION])
    assert encoded.features == Features(
        {"input_ids": List(Value("uint8")), "length": Value("int32"), "labels": Value("int64")}
    )
    assert ids(encoded) == [[2, 21, 12, 15, 3], [2, 21, 3], [2, 6, 23, 9, 19, 3]]
    assert list(encoded["length"]) == [5, 3, 6]
    assert list(encoded["labels"]) == [2, 0, 1]
    assert isinstance(encoded[0]["input_ids"], np.ndarray)


def test_every_real_protein_is_encoded_with_its_label(real_proteins, tokenizer):
    part = real_proteins["test"]
    encoded = encode(part, tokenizer, max_length=None, tasks=[infer_task(part, "location")])
    expected = map(ProteinEncoder(tokenizer, max_length=None), part["sequence"][:])
    assert [row.astype("uint8").tobytes() for row in encoded["input_ids"][:]] == list(expected)
    assert encoded["labels"][:].tolist() == part["location"][:]
    assert encoded["length"][:].tolist() == [length + 2 for length in part["sequence_length"][:]]


def test_a_shuffled_selection_is_encoded_as_it_stands(tokenizer):
    dataset = proteins(["M", "M K", "M K T", "M K T A"], [0, 1, 2, 0]).select([3, 0, 2])
    encoded = encode(dataset, tokenizer, tasks=[LOCATION])
    assert list(encoded["length"]) == [6, 3, 5] and list(encoded["labels"]) == [0, 0, 2]


def test_unlabelled_proteins_are_encoded_without_labels(tokenizer):
    encoded = encode(Dataset.from_dict({"sequence": ["M K T"]}), tokenizer, tasks=[LOCATION])
    assert encoded.column_names == ["input_ids", "length"] and ids(encoded) == [[2, 21, 12, 15, 3]]


def test_labels_are_the_models_classes_in_the_models_order(tokenizer):
    dataset = proteins(["M", "M", "M"], [0, 2, 0])
    assert list(encode(dataset, tokenizer, tasks=[location("C", "Z", "A")])["labels"]) == [2, 0, 2]
    assert encode(dataset, tokenizer).column_names == ["input_ids", "length"]


def test_a_location_that_the_model_does_not_know_is_refused(tokenizer):
    with pytest.raises(DataError, match="P1: location 'B' is not a class of the model; expected one of C, A"):
        encode(proteins(["M", "M"], [0, 1]), tokenizer, tasks=[location("C", "A")])


def test_all_tasks_of_a_model_are_encoded_side_by_side(tokenizer):
    table = Dataset.from_dict(
        {
            "sequence": ["M K", "M", "A"],
            "where": [["b", "a"], ["a"], ["b"]],
            "membrane": ["M", "U", "S"],
            "tm": [1.5, None, 2.5],
        }
    ).select([2, 0, 1])
    tasks = [infer_task(table, name) for name in ("where", "membrane", "tm")]
    encoded = encode(table, tokenizer, tasks=tasks)
    assert encoded.features["labels"] == List(Value("float32"), length=2)
    assert encoded.features["auxiliary_labels"] == List(Value("float32"), length=2)
    assert np.asarray(encoded["labels"]).tolist() == [[0, 1], [1, 1], [1, 0]]
    np.testing.assert_array_equal(encoded["auxiliary_labels"], [[1, 2.5], [0, 1.5], [np.nan, np.nan]])
    alone = encode(table.remove_columns("where"), tokenizer, tasks=tasks)
    assert alone.column_names == ["input_ids", "length", "auxiliary_labels"]
    assert encode(table, tokenizer, tasks=tasks[:1]).column_names == ["input_ids", "length", "labels"]


# --- the cache


@pytest.fixture
def kept(deeploc_like, tokenizer):
    """Encode proteins that lie in a cache, and tell the file that the result is read from."""

    def file(tokenizer=tokenizer, **options):
        (cached,) = encode(deeploc_like, tokenizer, **options).cache_files
        return cached["filename"]

    return file


@pytest.fixture
def deeploc_like(write_bytes):
    return load_deeploc(write_bytes(">P1 Nucleus-U\nMKT\n>P2 Plastid-U\nMKTU\n"), validation=0)["train"]


def test_the_same_question_is_answered_from_the_cache(kept):
    assert kept() == kept()


@pytest.mark.parametrize("version", ["ENCODING_VERSION", "PARSER_VERSION", "__version__"])
def test_an_upgrade_does_not_serve_ids_of_the_version_before(deeploc_like, tokenizer, monkeypatch, version):
    assert [row.tolist() for row in encode(deeploc_like, tokenizer)["input_ids"]] == [
        [2, 21, 12, 15, 3],
        [2, 21, 12, 15, 25, 3],
    ]
    monkeypatch.setattr(encoding.ProteinEncoder, "__call__", lambda self, sequence: b"\x02\x05\x03")
    monkeypatch.setattr(encoding, version, "of tomorrow")
    assert [row.tolist() for row in encode(deeploc_like, tokenizer)["input_ids"]] == [[2, 5, 3], [2, 5, 3]]


def test_other_options_are_not_answered_from_the_cache(kept, tokenizer):
    esm_like = protein_tokenizer(tokenizer, map_rare="")
    tasks = [Task(name="location", problem_type="single_label_classification", labels=["Nucleus", "Plastid"])]
    turned = [Task(name="location", problem_type="single_label_classification", labels=["Plastid", "Nucleus"])]
    answers = [
        kept(),
        kept(max_length=4),
        kept(max_length=4, crop="tail"),
        kept(tokenizer=esm_like),
        kept(tasks=tasks),
        kept(tasks=turned),
    ]
    assert len(set(answers)) == len(answers)


def test_what_is_no_residue_is_refused_with_row_and_accession(tokenizer):
    dataset = proteins(["M K"] * 1500 + ["M K 1"] + ["M K"])
    with pytest.raises(SequenceError) as caught:
        encode(dataset, tokenizer)
    assert str(caught.value).startswith("row 1501 (P1500): '1' at position 3 is not a residue")
    with pytest.raises(SequenceError, match=r"row 1 \(no accession\): '1' at position 2"):
        encode(Dataset.from_dict({"sequence": ["M 1"]}), tokenizer)


def test_nothing_is_encoded_as_nothing(tokenizer):
    encoded = encode(proteins(["M"]).select([]), tokenizer, tasks=[LOCATION])
    assert len(encoded) == 0 and encoded.column_names == ["input_ids", "length", "labels"]
