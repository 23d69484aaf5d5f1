import json
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer, BertConfig, BertTokenizer, EsmConfig, EsmTokenizer, T5Config, T5Tokenizer

from protbert_classify import load_deeploc
from protbert_classify.data.alphabet import LETTERS, unspace
from protbert_classify.data.tokenizer import (
    PROTBERT_VOCABULARY,
    load_tokenizer,
    protbert_tokenizer,
    protein_tokenizer,
)
from protbert_classify.errors import ModelError

TO_X = str.maketrans("UZOB", "XXXX")
ESM_VOCABULARY = ["<cls>", "<pad>", "<eos>", "<unk>", *"LAGVSERTIDPKQNFYMHWCXBUZO", ".", "-", "<null_1>", "<mask>"]


@pytest.fixture(scope="module")
def bert():
    return BertTokenizer(vocab={token: i for i, token in enumerate(PROTBERT_VOCABULARY)}, do_lower_case=False)


@pytest.fixture(scope="module")
def esm(tmp_path_factory):
    path = tmp_path_factory.mktemp("esm") / "vocab.txt"
    path.write_text("\n".join(ESM_VOCABULARY))
    return EsmTokenizer(str(path))


@pytest.fixture(scope="module")
def t5():
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
    pieces += [("▁" + letter, -float(i)) for i, letter in enumerate("ALGVSREDTIPKFQNYMHWCXBOUZ", 3)]
    return T5Tokenizer(vocab=pieces, extra_ids=2)


def as_protbert_wants(residues):
    return " ".join(residues.upper().translate(TO_X).replace("J", "X"))


def assert_ids_of_bert(proteins, tokenizer, bert):
    """For raw, spaced and lower-case input."""
    for start in range(0, len(proteins), 200):
        spaced = proteins[start : start + 200]
        raw = [unspace(sequence) for sequence in spaced]
        expected = bert([as_protbert_wants(residues) for residues in raw])["input_ids"]
        assert tokenizer(raw)["input_ids"] == expected
        assert tokenizer(spaced)["input_ids"] == expected
        assert tokenizer([residues.lower() for residues in raw])["input_ids"] == expected


# --- ProtBERT


def test_protberts_ids_are_those_of_its_vocabulary(tokenizer):
    assert tokenizer("LAGVESIKRDTPNQFYMHCWX")["input_ids"] == [2, *range(5, 26), 3]
    assert tokenizer("UZOBJ")["input_ids"] == [2, 25, 25, 25, 25, 25, 3]
    assert (tokenizer.pad_token_id, tokenizer.unk_token_id, tokenizer.cls_token_id) == (0, 1, 2)
    assert (tokenizer.sep_token_id, tokenizer.mask_token_id, len(tokenizer)) == (3, 4, 30)


def test_bert_itself_reads_rare_and_lower_case_letters_otherwise(bert):
    assert bert("M K T U J m")["input_ids"] == [2, 21, 12, 15, 26, 1, 1, 3]


@given(st.text(LETTERS + LETTERS.lower(), min_size=1, max_size=200))
def test_any_sequence_has_the_ids_of_bert_raw_spaced_and_lower(tokenizer, bert, sequence):
    expected = bert(as_protbert_wants(sequence))["input_ids"]
    assert tokenizer(sequence)["input_ids"] == expected
    assert tokenizer(" ".join(sequence))["input_ids"] == expected
    assert tokenizer(sequence.lower())["input_ids"] == expected


@pytest.mark.parametrize("written", ["MKT", "M K T", "mkt", "m k t", " M\tK\nT\r\n", "MK\nT"])
def test_spaces_and_case_do_not_matter(tokenizer, written):
    assert tokenizer(written)["input_ids"] == [2, 21, 12, 15, 3]


@pytest.mark.parametrize("character", ["*", "-", "1", "ı", "ſ", "É"])
def test_what_is_no_residue_is_unknown_and_never_another_residue(tokenizer, character):
    assert tokenizer(f"M{character}T")["input_ids"] == [2, 21, 1, 15, 3]


def test_every_protein_of_the_sample_has_the_ids_of_bert(deeploc_sample, tokenizer, bert):
    splits = load_deeploc(deeploc_sample, validation=0, ambiguous="keep")
    for part in splits.values():
        assert_ids_of_bert(part["sequence"][:], tokenizer, bert)


def test_every_fortieth_protein_of_scl2205_has_the_ids_of_bert(scl2205, tokenizer, bert):
    splits = load_deeploc(scl2205, validation=0, ambiguous="keep")
    for part in splits.values():
        assert_ids_of_bert(part["sequence"][::40], tokenizer, bert)


@pytest.mark.slow
def test_every_protein_of_scl2205_has_the_ids_of_bert(scl2205, tokenizer, bert):
    splits = load_deeploc(scl2205, validation=0, ambiguous="keep")
    for part in splits.values():
        assert_ids_of_bert(part["sequence"][:], tokenizer, bert)


# --- what users do with a tokenizer


def test_a_batch_is_padded_and_masked(tokenizer):
    batch = tokenizer(["MKT", "M"], padding=True)
    assert batch["input_ids"] == [[2, 21, 12, 15, 3], [2, 21, 3, 0, 0]]
    assert batch["attention_mask"] == [[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]]
    assert list(batch) == ["input_ids", "attention_mask"]


def test_a_long_sequence_is_truncated_with_its_last_special_token_kept(tokenizer):
    assert tokenizer("MKTAAAA", truncation=True, max_length=5)["input_ids"] == [2, 21, 12, 15, 3]


def test_ids_are_read_back_as_spaced_residues(tokenizer):
    ids = tokenizer("mktu")["input_ids"]
    assert tokenizer.decode(ids) == "[CLS] M K T X [SEP]"
    assert tokenizer.decode(ids, skip_special_tokens=True) == "M K T X"


def test_a_masked_residue_can_be_asked_for(tokenizer):
    assert tokenizer("MK[MASK]T")["input_ids"] == [2, 21, 12, 4, 15, 3]


def test_two_sequences_are_joined_as_bert_joins_them(tokenizer, bert):
    assert tokenizer("MK", "TA")["input_ids"] == bert("M K", "T A")["input_ids"]


IN_A_FRESH_PROCESS = """
import json, sys
from transformers import AutoTokenizer
folder, written = sys.argv[1], json.loads(sys.argv[2])
tokenizer = AutoTokenizer.from_pretrained(folder + "/alone")
assert not any(name.startswith("protbert_classify") for name in sys.modules)
from protbert_classify.data.tokenizer import load_tokenizer
print(json.dumps([tokenizer(written)["input_ids"], load_tokenizer(folder + "/model")(written)["input_ids"]]))
"""


def test_saved_it_loads_without_our_code_and_our_code_loads_it_first_of_all(tokenizer, tiny_classifier, tmp_path):
    tokenizer.save_pretrained(tmp_path / "alone")
    tokenizer.save_pretrained(tmp_path / "model")
    tiny_classifier().config.save_pretrained(tmp_path / "model")
    written = ["MKTUZOBJX", "m k t u", "M*"]
    command = [sys.executable, "-c", IN_A_FRESH_PROCESS, str(tmp_path), json.dumps(written)]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert answer.returncode == 0, answer.stderr[-2000:]
    assert json.loads(answer.stdout) == [tokenizer(written)["input_ids"]] * 2


@pytest.mark.parametrize("backbone", ["bert", "esm", "t5"])
def test_saved_and_loaded_every_letter_keeps_its_id(backbone, request, tmp_path):
    ours = protein_tokenizer(request.getfixturevalue(backbone))
    ours.save_pretrained(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path, trust_remote_code=False)
    for written in (LETTERS, LETTERS.lower(), " ".join(LETTERS), "MK*T", ["MKT", "M"]):
        assert loaded(written, padding=True)["input_ids"] == ours(written, padding=True)["input_ids"]
    assert loaded.special_tokens_map == ours.special_tokens_map
    assert loaded.get_vocab() == ours.get_vocab()


# --- other backbones


def test_esm_has_all_letters_but_j(esm):
    ours = protein_tokenizer(esm, map_rare="")
    letters = LETTERS.replace("J", "")
    assert ours(letters)["input_ids"] == esm(letters)["input_ids"]
    assert ours(" ".join(letters.lower()))["input_ids"] == esm(letters)["input_ids"]
    assert ours("J")["input_ids"] == esm("X")["input_ids"] == [0, 24, 2]
    assert (ours.pad_token_id, ours.mask_token_id) == (esm.pad_token_id, esm.mask_token_id) == (1, 32)


def test_t5s_pieces_carry_the_space_and_end_with_one_token(t5):
    ours = protein_tokenizer(t5)
    expected = t5("M K T A X X")["input_ids"]
    assert expected == [19, 14, 11, 3, 23, 23, 1]
    for written in ("MKTAUJ", "M K T A U J", "mktauj"):
        assert ours(written)["input_ids"] == expected
    assert ours(["MKT", "M"], padding=True)["input_ids"] == [[19, 14, 11, 1], [19, 1, 0, 0]]


def test_a_vocabulary_without_the_residues_is_no_protein_models():
    words = BertTokenizer(vocab={token: i for i, token in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *"ACDEFGH"])})
    with pytest.raises(ModelError, match="lacks the residues I, K, L, M, N, P, Q, R, S, T, V, W, Y; expected"):
        protein_tokenizer(words)


@pytest.mark.parametrize(
    ("backbone", "config", "rare_is_x"),
    [
        ("bert", BertConfig(vocab_size=30), True),
        ("esm", EsmConfig(vocab_size=33, pad_token_id=1, mask_token_id=32), False),
        ("t5", T5Config(vocab_size=31), True),
    ],
)
def test_a_backbones_folder_gives_its_tokenizer_with_the_mapping_of_its_authors(
    backbone, config, rare_is_x, request, tmp_path
):
    own = request.getfixturevalue(backbone)
    config.save_pretrained(tmp_path)
    own.save_pretrained(tmp_path)
    loaded = load_tokenizer(tmp_path)
    spaced = " ".join("MKTX") if backbone != "esm" else "MKTX"
    assert loaded("mktx")["input_ids"] == own(spaced)["input_ids"]
    u, x = loaded("UX", add_special_tokens=False)["input_ids"]
    assert (u == x) == rare_is_x


def test_a_saved_classifiers_tokenizer_is_loaded_as_it_was_saved(tiny_classifier, esm, tmp_path):
    tiny_classifier().config.save_pretrained(tmp_path)
    ours = protein_tokenizer(esm, map_rare="")
    ours.save_pretrained(tmp_path)
    assert load_tokenizer(tmp_path)(LETTERS)["input_ids"] == ours(LETTERS)["input_ids"]


def test_nothing_is_downloaded_for_protberts_tokenizer(monkeypatch):
    monkeypatch.setattr("huggingface_hub.file_download.hf_hub_download", None)
    assert protbert_tokenizer()("M")["input_ids"] == [2, 21, 3]
