import json
import random
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, processors
from transformers import (
    AutoTokenizer,
    BertConfig,
    BertTokenizer,
    EsmcConfig,
    EsmConfig,
    EsmcTokenizer,
    EsmTokenizer,
    GPT2Config,
    PreTrainedTokenizerFast,
    T5Config,
    T5Tokenizer,
)

from protbert_classify import ProteinClassifier, load_deeploc
from protbert_classify.data.alphabet import LETTERS, unspace
from protbert_classify.data.tokenizer import (
    PROTBERT_VOCABULARY,
    load_tokenizer,
    protbert_tokenizer,
    protein_tokenizer,
    tokenizer_for,
)
from protbert_classify.errors import ModelError
from protbert_classify.model.backbone import count_special_tokens

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


@pytest.fixture
def prot_t5(tmp_path):
    """A folder as ProtT5's repository has it: no tokenizer.json, only SentencePiece's own file. And its processor."""
    import sentencepiece

    generator = random.Random(0)
    proteins = (" ".join(generator.choices("ALGVSREDTIPKFQNYMHWCXBOUZ", k=50)) for _ in range(50))
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=proteins,
        model_prefix=str(tmp_path / "spiece"),
        model_type="word",
        vocab_size=28,
        pad_id=0,
        eos_id=1,
        unk_id=2,
        bos_id=-1,
        minloglevel=2,
    )
    (tmp_path / "spiece.vocab").unlink()
    T5Config(vocab_size=128).save_pretrained(tmp_path)
    special = {"eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"}
    (tmp_path / "special_tokens_map.json").write_text(json.dumps(special))
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": False, **special}))
    return tmp_path, sentencepiece.SentencePieceProcessor(model_file=str(tmp_path / "spiece.model"))


def test_prot_t5_is_read_from_nothing_but_its_sentencepiece_file(prot_t5):
    folder, pieces = prot_t5
    assert pieces.id_to_piece(pieces.encode("M")[0]) == "▁M"
    ours = load_tokenizer(folder)
    expected = [*pieces.encode("M K T A X X X X X C"), pieces.eos_id()]
    assert len(expected) == 11 and pieces.unk_id() not in expected
    for written in ("MKTAUZOBJC", "M K T A U Z O B J C", "mktauzobjc"):
        assert ours(written)["input_ids"] == expected
    assert (ours.pad_token_id, ours.eos_token_id, count_special_tokens(ours)) == (0, 1, (0, 1))


def save_ankh(folder, tokenizer_class):
    """A folder as Ankh's repository has it: a T5, each residue one token without SentencePiece's `▁`."""
    tokens = ["<pad>", "</s>", "<unk>", *"ALGVSREDTIPKFQNYMHWCXBOUZ", "<extra_id_0>"]
    core = Tokenizer(models.Unigram([(token, 0.0) for token in tokens], unk_id=2))
    core.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    special = {"eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"}
    PreTrainedTokenizerFast(tokenizer_object=core, **special).save_pretrained(folder)
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "tokenizer_class": tokenizer_class, "extra_ids": 1}))
    size = {"d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 1, "num_heads": 2}
    return T5Config(vocab_size=len(tokens), feed_forward_proj="gated-gelu", **size), tokens


# transformers 5 rebuilds a T5Tokenizer with the `▁` that Ankh's vocabulary lacks: <unk> would come before each protein
@pytest.mark.parametrize("tokenizer_class", ["T5Tokenizer", "PreTrainedTokenizerFast"])
def test_ankh_has_a_token_for_each_residue_and_one_at_the_end(tmp_path, tokenizer_class):
    from transformers import T5EncoderModel

    config, tokens = save_ankh(tmp_path, tokenizer_class)
    T5EncoderModel(config).save_pretrained(tmp_path)
    ours = load_tokenizer(tmp_path)
    for written in ("MKT", "M K T", "mkt"):
        assert ours(written)["input_ids"] == [tokens.index("M"), tokens.index("K"), tokens.index("T"), 1]
    assert ours("UZOBJ")["input_ids"] == [*(tokens.index(letter) for letter in "UZOBX"), 1]  # its authors map nothing
    model = ProteinClassifier.from_pretrained(tmp_path, labels=["a", "b"])
    assert count_special_tokens(ours) == model.special_tokens == (0, 1)
    assert model.config.special_tokens == [0, 1]
    assert tokenizer_for(model)("UMKT")["input_ids"] == ours("UMKT")["input_ids"]


@pytest.fixture(scope="module")
def esmc(tmp_path_factory):
    """Our tokenizer from a folder of ESM C."""
    folder = tmp_path_factory.mktemp("esmc")
    EsmcConfig().save_pretrained(folder)
    EsmcTokenizer().save_pretrained(folder)
    return load_tokenizer(folder)


@given(st.text(LETTERS.replace("J", ""), min_size=1, max_size=100))
def test_esm_c_keeps_the_ids_of_all_letters_of_its_vocabulary(esmc, sequence):
    expected = EsmcTokenizer()(sequence)["input_ids"]
    assert esmc(sequence)["input_ids"] == expected
    assert esmc(" ".join(sequence.lower()))["input_ids"] == expected


def test_esm_c_reads_rare_residues_as_themselves_and_what_it_lacks_as_x(esmc):
    assert esmc("UZOBXJ")["input_ids"] == [0, 26, 27, 28, 25, 24, 24, 2]
    assert (esmc.pad_token_id, esmc.mask_token_id, count_special_tokens(esmc)) == (1, 32, (1, 1))


def test_a_tokenizer_without_an_end_token_puts_none(esm, tmp_path):
    (tmp_path / "vocab.txt").write_text("\n".join(ESM_VOCABULARY))
    ours = protein_tokenizer(EsmTokenizer(str(tmp_path / "vocab.txt"), eos_token=None), map_rare="")
    assert ours("MKT")["input_ids"] == esm("MKT")["input_ids"][:-1]
    assert count_special_tokens(ours) == (1, 0)


def test_a_decoder_has_no_tokenizer_for_us(tmp_path):
    GPT2Config().save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="gpt2 is a decoder; expected an encoder such as ProtBERT"):
        load_tokenizer(tmp_path)


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


# --- the tokenizer of a model


@pytest.fixture
def esm_encoder(esm, tmp_path):
    """A folder of a tiny pretrained ESM-2 and its tokenizer."""
    from transformers import EsmForMaskedLM

    size = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    config = EsmConfig(vocab_size=33, pad_token_id=1, mask_token_id=32, position_embedding_type="rotary", **size)
    EsmForMaskedLM(config).save_pretrained(tmp_path / "esm")
    esm.save_pretrained(tmp_path / "esm")
    return tmp_path / "esm"


def test_a_fresh_head_has_its_encoders_tokenizer_up_to_the_models_longest_input(esm_encoder, esm):
    model = ProteinClassifier.from_pretrained(esm_encoder, labels=["a", "b"], max_sequence_length=100)
    tokenizer = tokenizer_for(model)
    assert tokenizer("mktu")["input_ids"] == esm("MKTU")["input_ids"]
    assert tokenizer.model_max_length == 100
    assert len(tokenizer("M" * 200, truncation=True)["input_ids"]) == 100


def test_a_saved_classifier_has_the_tokenizer_beside_it_or_else_its_encoders(esm_encoder, esm, tmp_path):
    model = ProteinClassifier.from_pretrained(esm_encoder, labels=["a", "b"])
    model.save_pretrained(tmp_path / "saved")
    loaded = ProteinClassifier.from_pretrained(tmp_path / "saved")
    assert tokenizer_for(loaded)(LETTERS)["input_ids"] == protein_tokenizer(esm, map_rare="")(LETTERS)["input_ids"]
    protein_tokenizer(esm, map_rare="U").save_pretrained(tmp_path / "saved")
    assert tokenizer_for(loaded)("U")["input_ids"] == esm("X")["input_ids"]
    other_labels = ProteinClassifier.from_pretrained(tmp_path / "saved", labels=["x", "y", "z"])
    assert tokenizer_for(other_labels)("MKT")["input_ids"] == esm("MKT")["input_ids"]


def test_a_network_of_protberts_kind_has_protberts_tokenizer(tiny_classifier, tokenizer):
    found = tokenizer_for(tiny_classifier(max_sequence_length=64))
    assert found(LETTERS)["input_ids"] == tokenizer(LETTERS)["input_ids"]
    assert found.model_max_length == 64
    assert tokenizer_for(tiny_classifier()).model_max_length == 128  # its positions


def test_a_model_of_unknown_origin_asks_for_a_tokenizer(tiny_classifier, tiny_shape, esm_encoder):
    with pytest.raises(ModelError, match="no tokenizer is known .*pass one: processing_class=.*vocab_size=30"):
        tokenizer_for(tiny_classifier(shape=tiny_shape | {"vocab_size": 31}))
    model = ProteinClassifier.from_pretrained(esm_encoder, labels=["a", "b"])
    (esm_encoder / "vocab.txt").unlink()
    with pytest.raises(ModelError, match=f"no tokenizer is known for this model .{esm_encoder}: .*processing_class="):
        tokenizer_for(model)
