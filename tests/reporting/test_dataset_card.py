"""The card of proteins says how many there are of each class, and where they come from only if that is known."""

from datasets import ClassLabel, Dataset, DatasetDict, Value
from datasets import List as ListOf
from huggingface_hub import DatasetCard

from protbert_classify.data.deeploc import URL
from protbert_classify.data.records import protein_features
from protbert_classify.reporting.dataset_card import dataset_card

LABELS = ["In|Out", "<b>", "nobody"]
FEATURES = {"location": ClassLabel(names=LABELS), "membrane": ClassLabel(names=["M", "S", "U"])}


def proteins(sequences, labels):
    columns = {
        "id": [f"P{index}" for index in range(len(labels))],
        "sequence": sequences,
        "sequence_length": [len(sequence.replace(" ", "")) for sequence in sequences],
        "location": labels,
        "membrane": len(labels) * [2],
        "is_train": len(labels) * [True],
    }
    return Dataset.from_dict(columns, features=protein_features(FEATURES))


SPLITS = DatasetDict(train=proteins(["M K", "M K T", "M"], [0, 0, 1]), test=proteins(["M K T A"], [1]))
FINGERPRINTS = {"train": "ab" * 32, "test": "cd" * 32}


def test_the_card_has_splits_classes_and_fingerprints_and_survives_names_with_markup():
    card = DatasetCard(dataset_card(SPLITS, "me/proteins", "/home/somebody/mine.fasta", FINGERPRINTS, "mit"))
    assert (card.data.license, card.data.size_categories) == ("mit", ["n<1K"])
    assert "| train | 3 | 1 | 2 | 3 |" in card.text and "| test | 1 | 4 | 4 | 4 |" in card.text
    assert all(f"- {split}: `{fingerprint}`" in card.text for split, fingerprint in FINGERPRINTS.items())
    assert "| In\\|Out | 2 | 0 |" in card.text and "| &lt;b&gt; | 1 | 1 |" in card.text
    assert "nobody" not in card.text and "somebody" not in card.text
    assert "mine.fasta" in card.text and "DeepLoc" not in card.text
    assert 'load_dataset("me/proteins")' in card.text


def test_deeploc_is_linked_and_cited_and_an_unknown_licence_is_said_to_be_unknown():
    card = DatasetCard(dataset_card(SPLITS, "me/deeploc", URL, FINGERPRINTS))
    assert f"[DeepLoc 1.0]({URL})" in card.text and "10.1093/bioinformatics/btx431" in card.text
    assert card.data.license is None and "Not stated" in card.text


def test_what_datasets_wrote_about_columns_and_files_is_kept():
    generated = {"configs": [{"config_name": "default", "data_files": "data/*"}]}
    card = DatasetCard(dataset_card(SPLITS, "me/x", None, FINGERPRINTS, None, generated))
    assert card.data.to_dict()["configs"] == generated["configs"]


def test_answers_of_any_kind_are_counted_in_tables_of_their_own():
    features = {
        "compartment": ListOf(ClassLabel(names=["a", "b", "c"])),
        "membrane": ClassLabel(names=["M", "S", "U"]),
        "tm": Value("float64"),
        "binds_dna": Value("int8"),
        "empty": Value("float64"),
    }
    columns = {
        "id": ["P1", "P2", "P3"],
        "sequence": ["M K", "M", "K"],
        "sequence_length": [2, 1, 1],
        "compartment": [[0, 1], [1], []],
        "membrane": [0, None, 0],
        "tm": [10.0, 30.0, None],
        "binds_dna": [1, 0, None],
        "empty": [None, None, None],
        "is_train": [True] * 3,
    }
    part = Dataset.from_dict(columns, features=protein_features(features))
    card = dataset_card({"train": part}, "me/x", None, {"train": "ab"}, label_columns=["compartment", "binds dna"])
    assert "## Classes of compartment\n\n| class | train |\n|---|---:|\n| a | 1 |\n| b | 2 |\n" in card
    assert "## Classes of membrane\n\n| class | train |\n|---|---:|\n| M | 2 |\n" in card
    assert "## Classes\n\n| class | train |\n|---|---:|\n| binds\\_dna | 1 |\n" in card
    assert "| tm | train | 2 | 10 | 20 | 10 | 30 |\n| empty | train | 0 |\n" in card
    assert "| `compartment` | the classes, one or several |" in card
    assert "| `membrane` | M membrane-bound, S soluble, U unknown |" in card and "| `tm` | a number |" in card
    assert "| `binds_dna` | 1 for proteins of this class, 0 for others |" in card
    assert "train --data me/x --label_column compartment 'binds dna' --output_dir" in card
    assert "Proteins labelled with compartment and binds dna." in card


def test_deeplocs_label_needs_no_option_and_numbers_alone_are_no_text_classification():
    assert "train --data me/deeploc --output_dir" in dataset_card(SPLITS, "me/deeploc", URL, FINGERPRINTS)
    columns = {"id": ["P1"], "sequence": ["M"], "sequence_length": [1], "tm": [1.5], "is_train": [True]}
    numbers = Dataset.from_dict(columns, features=protein_features({"tm": Value("float64")}))
    card = DatasetCard(dataset_card({"train": numbers}, "me/x", None, {"train": "ab"}))
    assert card.data.task_categories is None and "--label_column tm" in card.text and "## Classes" not in card.text
