"""A saved classifier as a run leaves it, and proteins longer and shorter than it reads."""

import pytest
import torch

from protbert_classify import ProteinClassifier, ProteinClassifierConfig
from protbert_classify.data.tokenizer import protbert_tokenizer
from tests.conftest import TINY_SHAPE

LABELS = ["Cytoplasm", "Mitochondrion", "Nucleus"]
MAX_LENGTH = 22  # tokens: 20 residues
VALIDATION_SCORES = [[0.05 * place for place in range(1, 20)], [0.3, 0.4, 0.6, 0.9], [0.35, 0.4, 0.5, 0.6, 0.7]]
LONG = "MKTAYIAKQRQISFVKSHFSRQLEERLGLIEVQ"  # 33 residues


def build_classifier(shape=None, **fields):
    torch.manual_seed(0)
    config = ProteinClassifierConfig(
        TINY_SHAPE | {"initializer_range": 0.3} | (shape or {}),  # large enough for proteins to differ
        id2label=dict(enumerate(LABELS)),
        label2id={label: index for index, label in enumerate(LABELS)},
        max_sequence_length=MAX_LENGTH,
        **fields,
    )
    return ProteinClassifier(config).eval()


@pytest.fixture
def torch_threads():
    """Sets the number of torch's threads for a test."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.fixture
def classifier():
    return build_classifier()


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory):
    """The output_dir of a run: `model/` with weights, configuration and tokenizer."""
    folder = tmp_path_factory.mktemp("run")
    build_classifier().save_pretrained(folder / "model")
    protbert_tokenizer().save_pretrained(folder / "model")
    return folder


@pytest.fixture
def diverged_folder(tmp_path):
    """The output_dir of a run whose weights became NaN."""
    model = build_classifier()
    torch.nn.init.constant_(model.head[1].weight, float("nan"))
    model.save_pretrained(tmp_path / "diverged" / "model")
    protbert_tokenizer().save_pretrained(tmp_path / "diverged" / "model")
    return tmp_path / "diverged"


@pytest.fixture
def own_folder(run_folder, tmp_path):
    """A copy of the model's folder, to be damaged."""
    import shutil

    return shutil.copytree(run_folder / "model", tmp_path / "own")


@pytest.fixture
def expected_scores(classifier, tokenizer):
    """Probabilities by the plain way: one protein, cropped by hand, through the tokenizer and the model."""

    def scores(residues):
        if len(residues) > 20:
            residues = residues[:10] + residues[-10:]
        with torch.no_grad():
            return classifier(**tokenizer(residues, return_tensors="pt")).logits.softmax(-1)[0].tolist()

    return scores
