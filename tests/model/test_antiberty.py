"""A real protein language model through our door: AntiBERTy (MIT), 26 million parameters, an old .bin of 2021."""

import importlib.util
from pathlib import Path

import pytest
import torch

from protbert_classify import ProteinClassifier

pytestmark = pytest.mark.slow

# the heavy chain's variable domain of trastuzumab, a therapeutic antibody
TRASTUZUMAB = (
    "EVQLVESGGGLVQPGGSLRLSCAASGFNIKDTYIHWVRQAPGKGLEWVARIYPTNGYTRYADSVKGRFTISADTS"
    "KNTAYLQMNSLRAEDTAVYYCSRWGGDGFYAMDYWGQGTLVTVSS"
)
LABELS = ["heavy", "light"]


@pytest.fixture(scope="module")
def folder():
    package = importlib.util.find_spec("antiberty")  # finds it without running it
    return Path(package.submodule_search_locations[0]) / "trained_models"


@pytest.fixture(scope="module")
def file(folder):
    path = folder / "AntiBERTy_md_smooth" / "pytorch_model.bin"
    return torch.load(path, weights_only=True, map_location="cpu")


@pytest.fixture(scope="module")
def model(folder):
    return ProteinClassifier.from_pretrained(folder / "AntiBERTy_md_smooth", labels=LABELS, pooling="pooler")


@pytest.fixture(scope="module")
def tokenizer(folder):
    from transformers import BertTokenizer

    from protbert_classify.data.tokenizer import protein_tokenizer

    tokens = (folder / "vocab.txt").read_text().split()
    vocabulary = {token: index for index, token in enumerate(tokens)}
    return protein_tokenizer(BertTokenizer(vocab=vocabulary, do_lower_case=False))


def test_every_tensor_of_the_encoder_is_the_files(model, file):
    stored = {name.removeprefix("bert."): tensor for name, tensor in file.items() if name.startswith("bert.")}
    del stored["embeddings.position_ids"]  # 0, 1, 2, ...: no weight
    loaded = model.backbone.state_dict()
    assert loaded.keys() == stored.keys()
    assert sum(tensor.numel() for tensor in loaded.values()) > 25_000_000
    for name, tensor in stored.items():
        assert torch.equal(loaded[name], tensor), name


def test_its_hidden_states_recover_masked_residues_of_an_antibody(model, folder, tokenizer):
    from transformers import BertForMaskedLM

    language_model = BertForMaskedLM.from_pretrained(folder / "AntiBERTy_md_smooth")
    ids = tokenizer(TRASTUZUMAB, return_tensors="pt")["input_ids"]
    masked = ids.clone()
    positions = torch.arange(5, 121, 11)
    masked[0, positions] = tokenizer.mask_token_id
    with torch.no_grad():
        hidden = model(masked, output_hidden_states=True).hidden_states[-1]
        scores = language_model.cls(hidden)
        assert torch.allclose(scores, language_model(masked).logits, atol=1e-4)
        called = scores[0, positions].argmax(-1)
    recovered = int((called == ids[0, positions]).sum())
    assert len(positions) == 11  # 9 came back when this was written, from random encoders 1 to 3
    assert recovered >= 8, tokenizer.convert_ids_to_tokens(called)


def test_a_classifier_on_it_survives_a_save(model, tokenizer, tmp_path):
    batch = tokenizer([TRASTUZUMAB, TRASTUZUMAB[:60].lower()], padding=True, return_tensors="pt")
    model.save_pretrained(tmp_path)
    with torch.no_grad():
        before = model(**batch).logits
        after = ProteinClassifier.from_pretrained(tmp_path)(**batch).logits
    assert before.isfinite().all()
    assert before.shape == (2, 2)
    assert torch.equal(before, after)
