"""The card of proteins says how many there are of each class, and where they come from only if that is known."""

from datasets import ClassLabel, Dataset, DatasetDict
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
