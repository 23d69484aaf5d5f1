import csv
import os
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModel, EsmModel, GPT2Config, GPT2Model

from protbert_classify import ProteinClassifier, build_ensemble
from protbert_classify.errors import ModelError, OptionError, SequenceError
from protbert_classify.inference import embed
from protbert_classify.inference.embed import embed_file
from protbert_classify.inference.predict import predict_file
from tests.docs.conftest import save_bert, save_esm

from .conftest import LABELS, LONG, build_classifier
from .test_predict import BAD, RECORDS

CROPPED = LONG[:10] + LONG[-10:]  # what a model of 22 tokens reads of it


def vectors(output):
    """(N, D), or for residues (R, D) of each protein."""
    column = pq.read_table(output)["embedding"].to_pylist()
    ragged = len({len(cell) for cell in column}) > 1 or isinstance(column[0][0], list)
    return [np.array(cell) for cell in column] if ragged else np.array(column)


@pytest.fixture(scope="module")
def encoders(tmp_path_factory):
    """Bare encoders as AutoModel saves them, whose proteins differ."""
    folder = tmp_path_factory.mktemp("encoders")
    for name, save in (("esm", save_esm), ("bert", save_bert)):
        save(folder / name)
        path = folder / name / "model.safetensors"
        weights = {key: 8 * value if value.dim() > 1 else value for key, value in load_file(path).items()}
        save_file(weights, path, metadata={"format": "pt"})
    return folder


@pytest.fixture
def esm(encoders):
    return str(encoders / "esm")


@pytest.fixture
def saved(tmp_path, tokenizer):
    def save(**fields):
        model = build_classifier(**fields)
        model.save_pretrained(tmp_path / "saved")
        tokenizer.save_pretrained(tmp_path / "saved")
        return model, str(tmp_path / "saved")

    return save


@pytest.fixture
def output(tmp_path):
    (tmp_path / "out").mkdir()
    return str(tmp_path / "out" / "embeddings.parquet")


def plain_states(name, residues, tokenizer):
    """The last hidden states of transformers' own model, special tokens included, one protein at a time."""
    with torch.no_grad():
        given = tokenizer(residues, return_tensors="pt", add_special_tokens=True)
        return AutoModel.from_pretrained(name).eval()(**given).last_hidden_state[0].numpy()


def esm_tokenizer(name):
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(name)


@pytest.mark.parametrize("pooling", ["mean", "cls", "pooler", "light_attention"])
def test_the_head_of_a_fine_tuned_model_makes_its_predictions_of_its_embeddings(saved, write_fasta, output, pooling):
    model, folder = saved(pooling=pooling)
    source = write_fasta(RECORDS)
    assert embed_file(folder, source, output)[:2] == (7, 0)
    predicted = output.replace("embeddings", "predictions")
    predict_file(folder, source, predicted)
    table = pq.read_table(predicted)
    expected = np.stack([table[label].to_numpy() for label in LABELS], axis=1)
    with torch.no_grad():
        found = model.head(torch.tensor(vectors(output), dtype=torch.float32)).softmax(-1).numpy()
    assert np.ptp(expected, axis=0).min() > 1e-3  # proteins differ
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


def test_columns_are_typed_and_rows_in_the_files_order(run_folder, write_fasta, output):
    embed_file(str(run_folder), write_fasta(RECORDS), output)
    table = pq.read_table(output)
    assert table.column_names == ["id", "description", "length", "embedding", "truncated"]
    assert str(table.schema.field("embedding").type) == "fixed_size_list<element: float>[32]"
    assert table["id"].to_pylist() == ["P1", "P2", "P3", "P1", "P5", "P6", "P7"]
    assert table["description"].to_pylist()[0] == "Serum albumin, human"
    assert table["length"].to_pylist() == [10, 33, 10, 10, 1, 20, 21]
    assert table["truncated"].to_pylist() == [False, True, False, False, False, False, True]


@pytest.mark.parametrize("tokens_per_batch", [1, 60, None])
def test_vectors_of_a_bare_encoder_are_those_of_transformers(esm, write_fasta, output, tokens_per_batch):
    embed_file(esm, write_fasta(RECORDS[:6]), output, tokens_per_batch=tokens_per_batch)
    residues = [sequence.upper().rstrip("*") for _, sequence in RECORDS[:6]]
    states = [plain_states(esm, sequence, esm_tokenizer(esm))[1:-1] for sequence in residues]
    found = vectors(output)
    assert np.abs(found[0] - found[1]).max() > 0.1
    np.testing.assert_allclose(found, [state.mean(0) for state in states], rtol=0, atol=2e-5)
    embed_file(esm, write_fasta(RECORDS[:6]), output, per="residue", tokens_per_batch=tokens_per_batch)
    for of_protein, state in zip(vectors(output), states, strict=True):
        np.testing.assert_allclose(of_protein, state, rtol=0, atol=2e-5)
    embed_file(esm, write_fasta(RECORDS[:6]), output, pooling="cls", tokens_per_batch=tokens_per_batch)
    first = [plain_states(esm, sequence, esm_tokenizer(esm))[0] for sequence in residues]
    np.testing.assert_allclose(vectors(output), first, rtol=0, atol=2e-5)


@pytest.mark.parametrize("which", ["esm", "run"])
def test_the_mean_of_residues_is_the_vector_of_the_protein(encoders, run_folder, write_fasta, output, which):
    model, source = {"esm": str(encoders / "esm"), "run": str(run_folder)}[which], write_fasta(RECORDS)
    embed_file(model, source, output)
    expected = vectors(output)
    embed_file(model, source, output, per="residue")
    np.testing.assert_allclose([each.mean(0) for each in vectors(output)], expected, rtol=0, atol=1e-5)


def test_residues_that_are_cropped_have_no_vector(run_folder, write_fasta, output):
    embed_file(str(run_folder), write_fasta([("LONG", LONG), ("SHORT", CROPPED)]), output, per="residue")
    table = pq.read_table(output)
    assert str(table.schema.field("embedding").type) == "list<element: fixed_size_list<element: float>[32]>"
    assert table["length"].to_pylist() == [33, 20] and table["truncated"].to_pylist() == [True, False]
    long, short = vectors(output)
    assert long.shape == (20, 32) and np.array_equal(long, short)


def test_max_length_crops_and_more_than_the_positions_is_refused(encoders, write_fasta, output):
    source = write_fasta([("LONG", LONG)])
    embed_file(str(encoders / "bert"), source, output, per="residue")
    assert [len(each) for each in vectors(output)] == [33]
    embed_file(str(encoders / "bert"), source, output, per="residue", max_length=12)
    assert [len(each) for each in vectors(output)] == [10] and pq.read_table(output)["truncated"].to_pylist() == [True]
    with pytest.raises(OptionError, match="max_length=1101: the backbone has 1100 positions"):
        embed_file(str(encoders / "bert"), source, output, max_length=1101)
    with pytest.raises(OptionError, match="max_length=2: expected more than the 2 special tokens"):
        embed_file(str(encoders / "bert"), source, output, max_length=2)


def test_another_pooling_replaces_a_fine_tuned_models_own(saved, write_fasta, output):
    _, folder = saved(pooling="light_attention")
    embed_file(folder, write_fasta(RECORDS), output)
    assert vectors(output).shape == (7, 64)
    embed_file(folder, write_fasta(RECORDS), output, pooling="mean")
    means = vectors(output)
    embed_file(folder, write_fasta(RECORDS), output, per="residue")
    np.testing.assert_allclose(means, [each.mean(0) for each in vectors(output)], rtol=0, atol=1e-5)


@pytest.mark.parametrize("which", ["bert", "esm"])
def test_vectors_of_a_layer_are_those_of_transformers(encoders, write_fasta, output, which):
    folder = str(encoders / which)
    embed_file(folder, write_fasta(RECORDS[:1]), output, layer=1)
    encoder = AutoModel.from_pretrained(folder).eval()
    norm = encoder.encoder.emb_layer_norm_after if which == "esm" else torch.nn.Identity()
    with torch.no_grad():
        given = esm_tokenizer(folder)(RECORDS[0][1], return_tensors="pt")
        states = norm(encoder(**given, output_hidden_states=True).hidden_states[1])[0, 1:-1].numpy()
    np.testing.assert_allclose(vectors(output)[0], states.mean(0), rtol=0, atol=2e-5)
    embed_file(folder, write_fasta(RECORDS[:1]), output, layer=1, per="residue")
    np.testing.assert_allclose(vectors(output)[0], states, rtol=0, atol=2e-5)


def test_a_layer_of_a_fine_tuned_model_is_not_read_by_a_pooling_of_another_layer(saved, write_fasta, output):
    _, folder = saved(pooling="light_attention", freeze_layers=2)
    with pytest.raises(
        OptionError, match="layer=1: the pooling light_attention was trained on layer 2; expected pooli"
    ):
        embed_file(folder, write_fasta(RECORDS), output, layer=1)
    embed_file(folder, write_fasta(RECORDS), output, layer=2)
    assert vectors(output).shape == (7, 64)
    embed_file(folder, write_fasta(RECORDS), output, layer=1, pooling="mean")
    one = vectors(output)
    embed_file(folder, write_fasta(RECORDS), output, layer=1, per="residue")
    np.testing.assert_allclose(one, [each.mean(0) for each in vectors(output)], rtol=0, atol=1e-5)
    embed_file(folder, write_fasta(RECORDS), output, pooling="mean")
    assert np.abs(one - vectors(output)).max() > 0.01


def test_an_encoders_own_pooler_is_used_if_it_has_one(encoders, write_fasta, output):
    bert = str(encoders / "bert")
    embed_file(bert, write_fasta([("P1", "MKTAYIAKQR")]), output, pooling="pooler")
    with torch.no_grad():
        ids = torch.tensor([[2, *(esm_tokenizer(bert)("MKTAYIAKQR")["input_ids"][1:])]])
        expected = AutoModel.from_pretrained(bert).eval()(input_ids=ids).pooler_output.numpy()
    np.testing.assert_allclose(vectors(output), expected, rtol=0, atol=2e-5)


def test_half_precision_vectors_are_the_rounded_ones(run_folder, write_fasta, output):
    embed_file(str(run_folder), write_fasta(RECORDS), output)
    whole = vectors(output).astype(np.float32)
    for ending in (".parquet", ".safetensors"):
        half = output.replace(".parquet", "-half" + ending)
        embed_file(str(run_folder), write_fasta(RECORDS), half, dtype="float16")
        found = load_file(half)["embeddings"].numpy() if ending == ".safetensors" else vectors(half)
        assert np.array_equal(found.astype(np.float16), whole.astype(np.float16))
    assert str(pq.read_schema(output.replace(".parquet", "-half.parquet")).field("embedding").type) == (
        "fixed_size_list<element: halffloat>[32]"
    )
    assert load_file(half)["embeddings"].dtype == torch.float16


@pytest.mark.parametrize("precision", ["bfloat16", "float32"])
def test_the_vectors_are_float32_whatever_the_model_computes_in(run_folder, write_fasta, output, precision):
    embed_file(str(run_folder), write_fasta(RECORDS), output, precision=precision)
    assert str(pq.read_schema(output).field("embedding").type) == "fixed_size_list<element: float>[32]"


def test_a_tensor_file_has_the_vectors_and_its_proteins_beside_it(run_folder, write_fasta, output):
    source = write_fasta([*RECORDS, ('P"8', "MKT")])
    embed_file(str(run_folder), source, output)
    tensors = output.replace(".parquet", ".safetensors")
    assert embed_file(str(run_folder), source, tensors).classified == 8
    found = load_file(tensors)
    assert list(found) == ["embeddings"] and found["embeddings"].dtype == torch.float32
    assert np.array_equal(found["embeddings"].numpy(), vectors(output).astype(np.float32))
    with open(tensors + ".proteins.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["id", "description", "length", "truncated"]
    table = pq.read_table(output)
    for name in ("id", "description"):
        assert [row[name] for row in rows] == table[name].to_pylist()
    assert [int(row["length"]) for row in rows] == table["length"].to_pylist()
    assert [row["truncated"] == "yes" for row in rows] == table["truncated"].to_pylist()
    assert sorted(os.listdir(os.path.dirname(output))) == [
        *("embeddings.parquet", "embeddings.safetensors", "embeddings.safetensors.proteins.csv")
    ]


@pytest.mark.parametrize("ending", [".parquet", ".safetensors"])
def test_if_all_are_rejected_the_output_is_empty_and_whole(run_folder, write_fasta, output, ending):
    output = output.replace(".parquet", ending)
    assert embed_file(str(run_folder), write_fasta(BAD), output)[:2] == (0, 3)
    if ending == ".parquet":
        assert pq.read_table(output).num_rows == 0
    else:
        assert load_file(output)["embeddings"].shape == (0, 32)


def test_bad_records_are_set_aside_or_with_strict_stop_before_anything_is_written(run_folder, write_fasta, output):
    source = write_fasta([BAD[0], *RECORDS])
    with pytest.raises(SequenceError, match="record 1 .P8.: '1' at position 3 is not a residue"):
        embed_file(str(run_folder), source, output, strict=True)
    assert os.listdir(os.path.dirname(output)) == []
    done = embed_file(str(run_folder), source, output)
    assert (done.classified, done.rejected, done.rejected_file) == (7, 1, output + ".rejected.csv")
    assert len(vectors(output)) == 7


@pytest.mark.parametrize("per", ["protein", "residue"])
@pytest.mark.parametrize("size", [1, 2, 7])
def test_parts_of_any_size_make_one_table_in_order(run_folder, write_fasta, output, monkeypatch, size, per):
    source = write_fasta(RECORDS)
    embed_file(str(run_folder), source, output, per=per)
    whole, ids = vectors(output), pq.read_table(output)["id"].to_pylist()
    monkeypatch.setattr(embed, "part_size", lambda model: size)
    monkeypatch.setattr(embed, "RESIDUE_PART", size)
    embed_file(str(run_folder), source, output, per=per)
    assert pq.read_table(output)["id"].to_pylist() == ids
    assert pq.read_metadata(output).num_row_groups == -(-7 // size)  # what is read at once does not grow
    for one, other in zip(vectors(output), whole, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-5)


def test_identical_proteins_are_computed_once(run_folder, write_fasta, output, monkeypatch):
    counts, true_embeddings = [], embed.embed_proteins

    def counted(model, some, **options):
        counts.append(len(some))
        return true_embeddings(model, some, **options)

    monkeypatch.setattr(embed, "embed_proteins", counted)
    embed_file(str(run_folder), write_fasta(RECORDS), output)
    found = vectors(output)
    assert counts == [5] and np.array_equal(found[0], found[2]) and np.array_equal(found[0], found[3])


@pytest.fixture
def cut(monkeypatch):
    """Let an embedding be interrupted in its n-th part, of two proteins each."""
    true_embeddings = embed.embed_proteins
    monkeypatch.setattr(embed, "part_size", lambda model: 2)
    monkeypatch.setattr(embed, "RESIDUE_PART", 2)

    def cut(number):
        calls = []

        def fail(*arguments, **options):
            calls.append(1)
            if len(calls) == number:
                raise KeyboardInterrupt
            return true_embeddings(*arguments, **options)

        monkeypatch.setattr(embed, "embed_proteins", fail)
        return calls

    return cut


@pytest.mark.parametrize(
    ("ending", "per"), [(".parquet", "protein"), (".parquet", "residue"), (".safetensors", "protein")]
)
@pytest.mark.parametrize("which", ["esm", "run"])
def test_a_resumed_run_gives_the_same_bytes(encoders, run_folder, write_fasta, output, cut, ending, per, which):
    model, source = {"esm": str(encoders / "esm"), "run": str(run_folder)}[which], write_fasta([*RECORDS, BAD[0]])
    output = output.replace(".parquet", ending)
    cut(0)
    embed_file(model, source, output, per=per)
    undisturbed = {path.name: path.read_bytes() for path in Path(output).parent.iterdir()}
    Path(output).write_text("of a former run")
    cut(3)
    with pytest.raises(KeyboardInterrupt, match="run it again with resume to continue after part 2"):
        embed_file(model, source, output, per=per)
    assert Path(output).read_text() == "of a former run"
    with pytest.raises(OptionError, match="set resume to continue, or overwrite to start again"):
        embed_file(model, source, output, per=per)
    again = cut(0)
    assert embed_file(model, source, output, per=per, resume=True)[:2] == (7, 1)
    assert len(again) == 2  # of four parts two were there
    assert {path.name: path.read_bytes() for path in Path(output).parent.iterdir()} == undisturbed
    assert embed_file(model, source, output, per=per, resume=True)[:2] == (None, 1)


def test_a_run_with_other_settings_or_another_encoder_is_not_continued(encoders, write_fasta, output, cut, tmp_path):
    esm, source = str(encoders / "esm"), write_fasta(RECORDS)
    cut(3)
    with pytest.raises(KeyboardInterrupt):
        embed_file(esm, source, output)
    cut(0)
    for name, before, now in (
        ("pooling", "mean", "cls"),
        ("dtype", "float32", "float16"),
        ("max_length", None, 20),
        ("layer", None, 1),
    ):
        with pytest.raises(OptionError, match=f"resume: {name} was {before} and is now {now}"):
            embed_file(esm, source, output, resume=True, **{name: now})
    with pytest.raises(OptionError, match="resume: part_size|resume: per was protein and is now residue"):
        embed_file(esm, source, output, resume=True, per="residue")
    for name in ("moved", "other"):
        shutil.copytree(esm, tmp_path / name)
    weights = load_file(tmp_path / "other" / "model.safetensors")
    weights["encoder.layer.1.output.dense.weight"] *= 1.01
    save_file(weights, tmp_path / "other" / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(OptionError, match=f"resume: the model was {esm} and is now {tmp_path}/other, "):
        embed_file(str(tmp_path / "other"), source, output, resume=True)
    again = cut(0)
    assert embed_file(str(tmp_path / "moved"), source, output, resume=True).classified == 7
    assert len(again) == 2  # the parts of the same weights, which were elsewhere, are kept


def test_a_model_that_gives_no_numbers_or_too_large_ones_is_refused(saved, write_fasta, output, tmp_path):
    model, folder = saved()
    last = model.backbone.encoder.layer[-1].output.LayerNorm
    for value, dtype, error, words in (
        (1e5, "float16", OptionError, r"values beyond its range \(65,504\); expected float32"),
        (float("nan"), "float32", ModelError, "gives vectors that are not numbers"),
    ):
        torch.nn.init.constant_(last.bias, value)
        model.save_pretrained(folder)
        with pytest.raises(error, match=words):
            embed_file(folder, write_fasta(RECORDS), output, dtype=dtype)
        assert os.listdir(os.path.dirname(output)) == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"per": "domain"}, "per='domain': expected protein or residue"),
        ({"max_length": 2}, "max_length=2"),
        ({"layer": 3}, "layer=3: the backbone has 2 layers; expected 1 to 2"),
        ({"dtype": "int8"}, "dtype='int8': expected float32 or float16"),
        ({"per": "residue", "pooling": "mean"}, "pooling='mean': vectors of residues are not pooled; leave it out"),
        ({"pooling": "max"}, "pooling='max': expected one of mean, cls, pooler, light_attention"),
        (
            {"pooling": "light_attention"},
            "its weights come from training, and .* has none of them; expected mean or cls",
        ),
    ],
)
def test_a_bad_option_is_refused_and_nothing_written(esm, run_folder, write_fasta, output, options, words):
    for model in (esm, str(run_folder)):
        with pytest.raises(OptionError, match=words):
            embed_file(model, write_fasta(RECORDS), output, **options)
    assert os.listdir(os.path.dirname(output)) == []


def test_a_pooler_that_was_never_trained_is_refused(esm, run_folder, write_fasta, output, tmp_path):
    EsmModel.from_pretrained(esm, add_pooling_layer=False).save_pretrained(tmp_path / "esm")
    esm_tokenizer(esm).save_pretrained(tmp_path / "esm")
    with pytest.raises(OptionError, match="esm has no weights of a pooler; expected mean or cls"):
        embed_file(str(tmp_path / "esm"), write_fasta(RECORDS), output, pooling="pooler")
    with pytest.raises(OptionError, match="has none of them; expected mean or cls"):  # saved without it
        embed_file(str(run_folder), write_fasta(RECORDS), output, pooling="pooler")


@pytest.mark.parametrize("name", ["embeddings.csv", "embeddings"])
def test_an_output_of_another_kind_is_refused_before_the_model_is_loaded(write_fasta, tmp_path, name):
    with pytest.raises(OptionError, match=f"{name}: expected a name that ends in .parquet or .safetensors"):
        embed_file("no model", write_fasta(RECORDS), str(tmp_path / name))


def test_vectors_of_residues_need_parquet(write_fasta, tmp_path):
    with pytest.raises(OptionError, match="vectors of residues go to a .parquet file"):
        embed_file("no model", write_fasta(RECORDS), str(tmp_path / "e.safetensors"), per="residue")


def test_the_proteins_of_a_tensor_are_not_written_over_the_input(tmp_path):
    (tmp_path / "e.safetensors.proteins.csv").write_text("id,sequence\nP1,MKT\n")
    with pytest.raises(OptionError, match="e.safetensors.proteins.csv is the input"):
        embed_file("no model", str(tmp_path / "e.safetensors.proteins.csv"), str(tmp_path / "e.safetensors"))


def test_an_ensemble_or_a_decoder_is_refused(run_folder, write_fasta, output, tmp_path, tokenizer):
    build_ensemble([run_folder, run_folder], tmp_path / "both")
    with pytest.raises(ModelError, match="both: an ensemble, whose 2 members have an encoder each; expected one of"):
        embed_file(str(tmp_path / "both"), write_fasta(RECORDS), output)
    GPT2Model(GPT2Config(n_embd=8, n_layer=1, n_head=1, vocab_size=30)).save_pretrained(tmp_path / "gpt2")
    tokenizer.save_pretrained(tmp_path / "gpt2")
    with pytest.raises(ModelError, match="a model of type gpt2 is a decoder; expected an encoder"):
        embed_file(str(tmp_path / "gpt2"), write_fasta(RECORDS), output)
    assert os.listdir(os.path.dirname(output)) == []


def test_a_classifier_made_by_transformers_is_embedded_by_its_pooler(
    encoders, write_fasta, output, tmp_path, tokenizer
):
    from transformers import BertForSequenceClassification

    source = BertForSequenceClassification.from_pretrained(encoders / "bert", num_labels=3).eval()
    source.save_pretrained(tmp_path / "bert")
    tokenizer.save_pretrained(tmp_path / "bert")
    embed_file(str(tmp_path / "bert"), write_fasta(RECORDS), output)
    model = ProteinClassifier.from_pretrained(tmp_path / "bert")
    ids = tokenizer("MKTAYIAKQR", return_tensors="pt")["input_ids"]
    with torch.no_grad():
        expected = source(input_ids=ids).logits
        found = model.head(torch.tensor(vectors(output)[:1], dtype=torch.float32))
    np.testing.assert_allclose(found.numpy(), expected.numpy(), rtol=0, atol=1e-5)
