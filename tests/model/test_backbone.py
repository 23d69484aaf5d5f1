"""Encoders of several families: what they can read, what is a residue to them, and what is refused."""

import json

import pytest
import torch
from transformers import (
    AlbertConfig,
    AutoModel,
    AutoTokenizer,
    BartConfig,
    BertConfig,
    ElectraConfig,
    EsmcConfig,
    EsmcForMaskedLM,
    EsmConfig,
    EsmForMaskedLM,
    EsmTokenizer,
    Gemma3TextConfig,
    GPT2Config,
    LlamaConfig,
    ModernBertConfig,
    RobertaConfig,
    T5Config,
    ViTConfig,
    XLNetConfig,
)

from protbert_classify import ProteinClassifier, ProteinClassifierConfig
from protbert_classify.model.backbone import (
    FAMILIES,
    Family,
    FusedEsmIntermediate,
    check_encoder,
    count_special_tokens,
    encoder_layers,
    family,
    longest_input,
)
from protbert_classify.model.pooling import residue_mask

LABELS = ["Cytoplasm", "Mitochondrion", "Nucleus"]
ESM_VOCABULARY = ["<cls>", "<pad>", "<eos>", "<unk>", *"LAGVSERTIDPKQNFYMHWCXBUZO", ".", "-", "<null_1>", "<mask>"]
SIZE = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "initializer_range": 0.2,  # large enough for different proteins to have different logits
}
ROWS = {"max_position_embeddings": 64, "vocab_size": 33}
ESM = {**SIZE, **ROWS, "mask_token_id": 32}
ESM_1B = EsmConfig(**ESM, pad_token_id=1, position_embedding_type="absolute")
ESM_2 = EsmConfig(**ESM, pad_token_id=1, position_embedding_type="rotary")
TABLES = [  # a configuration, and the tokens that its 64 positions hold
    (BertConfig(**SIZE, **ROWS), 64),
    (AlbertConfig(**SIZE, **ROWS, embedding_size=16), 64),
    (ElectraConfig(**SIZE, **ROWS, embedding_size=16), 64),
    (RobertaConfig(**SIZE, **ROWS, pad_token_id=1), 62),
    (ESM_1B, 62),
    (EsmConfig(**ESM, pad_token_id=0, position_embedding_type="absolute"), 63),
]
ESMC = EsmcConfig(**SIZE, vocab_size=64)


def built(config, **fields):
    torch.manual_seed(0)
    return ProteinClassifier(ProteinClassifierConfig(config, num_labels=3, **fields)).eval()


def protein(length, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(5, 24, (1, length), generator=generator)


def padded(ids, length, pad_token_id):
    filled = torch.full((1, length), pad_token_id)
    filled[:, : ids.shape[1]] = ids
    return {"input_ids": filled, "attention_mask": (torch.arange(length) < ids.shape[1]).long()[None]}


@torch.no_grad()
def logits(model, **batch):
    return model(**batch).logits


# positions


@pytest.mark.parametrize(("config", "longest"), TABLES, ids=lambda value: getattr(value, "model_type", str(value)))
def test_the_longest_protein_is_read_and_one_more_token_is_one_clear_error(config, longest):
    model = built(config)
    assert longest_input(config) == model.max_positions == longest
    assert logits(model, input_ids=protein(longest)).isfinite().all()
    with pytest.raises((IndexError, RuntimeError)):  # the backbone itself
        model.backbone(input_ids=protein(longest + 1))
    with pytest.raises(ValueError, match=f"a protein of {longest + 1} tokens, .* positions for {longest}: crop it"):
        model(input_ids=protein(longest + 1))


def test_esm_1bs_table_of_1026_rows_holds_1024_tokens():
    assert longest_input(EsmConfig(max_position_embeddings=1026, pad_token_id=1)) == 1024


@pytest.mark.parametrize("config", [ESM_2, ESMC, T5Config(d_model=16, d_kv=8, d_ff=32, num_layers=2, num_heads=2)])
def test_rotary_and_relative_positions_have_no_end(config):
    model = built(config)
    assert model.max_positions is None
    assert logits(model, input_ids=protein(300)).isfinite().all()


def test_padding_beyond_esms_table_takes_no_position_of_its_own():
    model = built(ESM_1B)
    ids = protein(40)
    assert torch.allclose(logits(model, **padded(ids, 80, 1)), logits(model, input_ids=ids), atol=1e-6)


def test_a_packed_protein_beyond_the_table_is_the_same_clear_error():
    model = built(BertConfig(**SIZE, **ROWS))
    assert model.enable_packing() is None
    packed = {"position_ids": torch.arange(65)[None], "cu_seq_lens_q": torch.tensor([0, 65], dtype=torch.int32)}
    with pytest.raises(ValueError, match="a protein of 65 tokens, .* positions for 64: crop it"):
        model(input_ids=protein(65), max_length_q=65, **packed)


def test_esms_table_is_left_as_it_is():
    model = built(ESM_1B)
    before = model.backbone.embeddings.position_embeddings.weight.clone()
    model.resize_position_embeddings(16)
    assert torch.equal(model.backbone.embeddings.position_embeddings.weight, before)
    assert model.max_positions == 62


def test_a_head_for_longer_proteins_than_the_encoder_reads_is_refused_at_once(tmp_path):
    EsmForMaskedLM(ESM_1B).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="max_sequence_length=63: the backbone has positions for 62 tokens"):
        ProteinClassifier.from_pretrained(tmp_path, labels=LABELS, max_sequence_length=63)
    assert ProteinClassifier.from_pretrained(tmp_path, labels=LABELS, max_sequence_length=62).max_positions == 62


# special tokens: counted, saved, never guessed where a tokenizer is


def save_encoder(folder, config, eos_token="<eos>"):
    """A tiny ESM and its tokenizer, which may put no token at the end."""
    torch.manual_seed(0)
    EsmForMaskedLM(config).save_pretrained(folder)
    (folder / "words.txt").write_text("\n".join(ESM_VOCABULARY))
    EsmTokenizer(str(folder / "words.txt"), eos_token=eos_token).save_pretrained(folder)
    return AutoTokenizer.from_pretrained(folder)


@pytest.mark.parametrize(("eos_token", "counts"), [("<eos>", (1, 1)), (None, (1, 0))])
def test_special_tokens_are_counted_by_the_tokenizer_and_the_mean_has_all_residues(tmp_path, eos_token, counts):
    tokenizer = save_encoder(tmp_path, ESM_2, eos_token)
    model = ProteinClassifier.from_pretrained(tmp_path, labels=LABELS)
    assert model.special_tokens == count_special_tokens(tokenizer) == counts
    model.save_pretrained(tmp_path / "saved")
    assert json.loads((tmp_path / "saved" / "config.json").read_text())["special_tokens"] == list(counts)

    ids = torch.tensor([tokenizer("MKTAY")["input_ids"]])
    with torch.no_grad():
        hidden = model.backbone(ids, attention_mask=torch.ones_like(ids)).last_hidden_state
        expected = model.head(hidden[:, 1:6].mean(1))  # five residues after <cls>
    for loaded in (model, ProteinClassifier.from_pretrained(tmp_path / "saved")):
        assert torch.allclose(logits(loaded, **padded(ids, 12, 1)), expected, atol=1e-6)


def test_counts_that_are_given_are_kept(tmp_path):
    save_encoder(tmp_path, ESM_2)
    model = ProteinClassifier.from_pretrained(tmp_path, labels=LABELS, special_tokens=[1, 0])
    assert model.special_tokens == (1, 0)
    again = ProteinClassifier(ProteinClassifierConfig.from_dict(model.config.to_dict()))
    assert again.special_tokens == (1, 0)


def test_a_fresh_head_on_a_classifier_keeps_its_counts_and_finds_its_tokenizer(tmp_path):
    save_encoder(tmp_path, ESM_2, eos_token=None)
    ProteinClassifier.from_pretrained(tmp_path, labels=LABELS).save_pretrained(tmp_path / "saved")
    fresh = ProteinClassifier.from_pretrained(tmp_path / "saved", labels=["a", "b"])
    assert fresh.special_tokens == (1, 0)
    assert fresh.config.backbone_config.name_or_path == str(tmp_path)

    built(BertConfig(**SIZE, **ROWS)).save_pretrained(tmp_path / "scratch")  # from no encoder at all
    fresh = ProteinClassifier.from_pretrained(tmp_path / "scratch", labels=["a", "b"])
    assert fresh.config.backbone_config.name_or_path == str(tmp_path / "scratch")


def test_without_a_tokenizer_the_family_decides(tmp_path, log):
    EsmForMaskedLM(ESM_2).save_pretrained(tmp_path)
    model = ProteinClassifier.from_pretrained(tmp_path, labels=LABELS)
    assert (model.config.special_tokens, model.special_tokens) == (None, (1, 1))
    assert "no tokenizer to count special tokens with" in log.text
    t5 = built(T5Config(d_model=16, d_kv=8, d_ff=32, num_layers=2, num_heads=2))
    assert (t5.config.special_tokens, t5.special_tokens) == (None, (0, 1))


@pytest.mark.parametrize("counts", [[1], [1, -1], [1, 1.0], ["1", "1"]])
def test_counts_that_cannot_be_are_refused(counts):
    with pytest.raises(ValueError, match="special_tokens=.*: expected two numbers, before and after the residues"):
        ProteinClassifierConfig(ESM_2, special_tokens=counts)


def test_a_tokenizer_without_residues_is_not_counted_by():
    with pytest.raises(ValueError, match="reads the residue A as"):
        count_special_tokens(lambda text, add_special_tokens=True: {"input_ids": [2, 3] if add_special_tokens else []})


# families


def test_rare_letters_go_to_x_where_the_authors_of_the_family_did_so():
    t5 = T5Config()
    assert family(BertConfig()).rare_to_x == family(t5).rare_to_x == family(t5, {"▁M": 0, "M": 1}).rare_to_x == "UZOB"
    assert family(ESM_2).rare_to_x == family(ESMC).rare_to_x == family(t5, {"M": 0}).rare_to_x == ""
    assert family(t5, {"M": 0}).special_tokens == (0, 1)


def test_a_family_can_be_registered(monkeypatch):
    config = ModernBertConfig(**SIZE, vocab_size=33)
    assert family(config) == Family()
    FAMILIES.register("modernbert")(Family(special_tokens=(2, 1), first_position=lambda config: 3))
    try:
        assert ProteinClassifierConfig(config).special_token_counts == (2, 1)
        assert longest_input(config) == config.max_position_embeddings - 3
    finally:
        monkeypatch.delitem(FAMILIES._parts, "modernbert")


# decoders

DECODERS = [
    (GPT2Config(n_embd=16, n_layer=1, n_head=2), "gpt2 is a decoder"),
    (LlamaConfig(**SIZE), "llama is a decoder"),
    (BertConfig(**SIZE, is_decoder=True), "bert with is_decoder=True is a decoder"),
    (BartConfig(d_model=16), "bart is an encoder-decoder"),
    (ViTConfig(**SIZE), "vit reads no tokens"),
]


@pytest.mark.parametrize(("config", "found"), DECODERS, ids=[found for _, found in DECODERS])
def test_a_decoder_is_refused_in_one_line_before_its_weights_are_read(config, found, tmp_path):
    expected = f"a model of type {found}; expected an encoder such as ProtBERT"
    with pytest.raises(ValueError, match=expected) as error:
        ProteinClassifierConfig(config)
    assert "\n" not in str(error.value)
    config.save_pretrained(tmp_path)  # no weights there
    with pytest.raises(ValueError, match=expected):
        ProteinClassifier.from_pretrained(tmp_path, labels=LABELS)
    with pytest.raises(ValueError, match=expected):  # whatever else is asked for
        ProteinClassifier.from_pretrained(tmp_path)


def test_what_reads_both_sides_is_no_decoder_although_transformers_lists_it_with_them():
    for config in (XLNetConfig(), Gemma3TextConfig(use_bidirectional_attention=True), BertConfig(), ESMC, T5Config()):
        check_encoder(config)
    with pytest.raises(ValueError, match="gemma3_text is a decoder"):
        check_encoder(Gemma3TextConfig())


# ESM C


@pytest.fixture(scope="module")
def esmc(tmp_path_factory):
    """A tiny ESM C as its pretraining leaves it: (folder, model)."""
    torch.manual_seed(0)
    source = EsmcForMaskedLM(ESMC)
    folder = tmp_path_factory.mktemp("esmc")
    source.save_pretrained(folder)
    return folder, source


def test_esm_c_begins_with_its_pretrained_weights_and_its_own_logits(esmc, tmp_path):
    folder, source = esmc
    model = ProteinClassifier.from_pretrained(folder, labels=LABELS)
    for name, tensor in source.esmc.state_dict().items():
        assert torch.equal(model.backbone.state_dict()[name], tensor), name
    assert model.special_tokens == (1, 1)
    ids = torch.tensor([[0, *protein(9)[0].tolist(), 2]])
    with torch.no_grad():
        hidden = AutoModel.from_pretrained(folder)(ids).last_hidden_state
        expected = model.head(hidden[:, 1:-1].mean(1))
    model.save_pretrained(tmp_path)
    for loaded in (model, ProteinClassifier.from_pretrained(tmp_path)):
        assert torch.allclose(logits(loaded, **padded(ids, 16, 1)), expected, atol=1e-6)
    assert torch.equal(logits(model, input_ids=ids), logits(loaded, input_ids=ids))


@pytest.mark.parametrize("pooling", ["mean", "cls", "light_attention"])
def test_every_pooling_tells_proteins_of_esm_c_apart_and_padding_changes_nothing(esmc, pooling):
    torch.manual_seed(0)
    model = ProteinClassifier.from_pretrained(esmc[0], labels=LABELS, pooling=pooling)
    one, other = (torch.cat([torch.tensor([[0]]), protein(9, seed), torch.tensor([[2]])], 1) for seed in (1, 2))
    assert (logits(model, input_ids=one) - logits(model, input_ids=other)).abs().max() > 1e-3
    assert torch.allclose(logits(model, **padded(one, 20, 1)), logits(model, input_ids=one), atol=1e-6)


def test_esm_c_has_no_pooler(esmc):
    with pytest.raises(ValueError, match="pooling='pooler': a model of type esmc has no pooler; use mean"):
        ProteinClassifier.from_pretrained(esmc[0], labels=LABELS, pooling="pooler")


def learning(model):
    """Names of the parameters that a step would change."""
    model.train()
    ids = torch.cat([torch.tensor([[0]]), protein(9), torch.tensor([[2]])], 1)
    model(input_ids=ids, labels=torch.tensor([1])).loss.backward()
    return {name for name, parameter in model.named_parameters() if parameter.grad is not None}


def test_frozen_layers_of_esm_c_do_not_learn(esmc):
    everything = learning(ProteinClassifier.from_pretrained(esmc[0], labels=LABELS))
    assert {name for name, _ in built(ESMC).named_parameters()} == everything
    first = learning(ProteinClassifier.from_pretrained(esmc[0], labels=LABELS, freeze_layers=1))
    frozen = {name for name in everything if name.startswith(("backbone.embed_tokens.", "backbone.layers.0."))}
    assert len(frozen) == 14 and first == everything - frozen
    head = learning(ProteinClassifier.from_pretrained(esmc[0], labels=LABELS, freeze_backbone=True))
    assert head == {name for name in everything if name.startswith("head.")}
    with pytest.raises(ValueError, match="freeze_layers=3: expected 0 to 2"):
        ProteinClassifier.from_pretrained(esmc[0], labels=LABELS, freeze_layers=3)


def test_esm_cs_embeddings_and_layers_are_found():
    model = built(ESMC)
    assert model.get_input_embeddings() is model.backbone.embed_tokens
    assert encoder_layers(model.backbone) is model.backbone.layers
    other = torch.nn.Embedding(40, 16)
    model.set_input_embeddings(other)
    assert model.backbone.embed_tokens is other


def test_the_residues_of_a_padded_batch_follow_the_counts():
    mask = torch.tensor([[1, 1, 1, 1, 0, 0], [1, 1, 1, 1, 1, 1]])
    assert residue_mask(mask, 1, 0).tolist() == [[False, True, True, True, False, False], [False, *5 * [True]]]
    assert residue_mask(mask, 0, 1).tolist() == [[True, True, True, False, False, False], [*5 * [True], False]]


@pytest.mark.parametrize("config", [ESM_1B, ESM_2], ids=["esm-1b", "esm-2"])
def test_an_esm_computes_its_gelu_in_one_operation_to_the_same_hidden_states(config):
    torch.manual_seed(0)
    plain = AutoModel.from_config(config).eval()
    model = ProteinClassifier(ProteinClassifierConfig(config.to_dict(), labels=LABELS)).eval()
    model.backbone.load_state_dict(plain.state_dict(), strict=False)
    layers = [layer.intermediate for layer in encoder_layers(model.backbone)]
    assert {type(layer) for layer in layers} == {FusedEsmIntermediate}
    ids = torch.tensor([[0, 5, 6, 7, 8, 9, 2]])
    expected, found = plain(input_ids=ids).last_hidden_state, model.backbone(input_ids=ids).last_hidden_state
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6 * float(expected.abs().max()))

    kept: list[int] = []
    wide = torch.randn(1, 7, 16, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(
        lambda saved: kept.append(saved.numel()) or saved, lambda saved: saved
    ):
        layers[0](wide)
    assert sum(size == 7 * 32 for size in kept) == 1, "the input of the GELU alone is kept for the gradient"
