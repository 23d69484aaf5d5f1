import errno
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import datasets
import numpy as np
import psutil
import pyarrow as pa
import pytest
import torch
from datasets import Dataset, Features, concatenate_datasets
from transformers import AutoConfig, AutoModel

from protbert_classify import ProteinClassifier, ProteinTrainer
from protbert_classify.data.encoding import encode
from protbert_classify.errors import DataError, OptionError, ProteinClassifierError
from protbert_classify.inference.logits import predict_logits
from protbert_classify.training import embedding_cache
from protbert_classify.training.embedding_cache import EmbeddingCollator, cache_key, embed
from protbert_classify.training.training_arguments import ProteinTrainingArguments
from tests.training.child import DEFAULTS
from tests.training.runs import ROOT, encoded_proteins, environment, launch

POOLINGS = ("mean", "cls", "pooler", "light_attention")
SHAPES = {
    "bert": {"vocab_size": 30, "max_position_embeddings": 64, "pad_token_id": 0},
    "esm": {"vocab_size": 33, "max_position_embeddings": 64, "pad_token_id": 1, "position_embedding_type": "rotary"},
    "t5": {"vocab_size": 30, "d_model": 32, "d_kv": 16, "d_ff": 64, "num_layers": 2, "num_heads": 2, "pad_token_id": 0},
}
SIZE = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
SIZE["initializer_range"] = 0.2  # large enough for different proteins to have different logits
PROTEINS = encoded_proteins(40)


@pytest.fixture
def classifier(tiny_classifier):
    """Build a tiny classifier with a frozen backbone that counts its forward passes: one for all the proteins."""

    def build(kind="bert", **fields):
        shape = {"model_type": kind, **SHAPES[kind]} | (SIZE if kind != "t5" else {})
        if kind == "esm":
            shape |= {"token_dropout": True, "mask_token_id": 32}
        model = tiny_classifier(shape=shape, freeze_backbone=True, **fields).eval()
        model.passes = 0
        model.backbone.register_forward_hook(lambda *_: setattr(model, "passes", model.passes + 1))
        return model

    return build


def bits(dataset):
    return [np.asarray(row, dtype=np.float16).tobytes() for row in dataset["last_hidden_state"]]


def logits_from(model, dataset):
    with torch.inference_mode():
        return model(**EmbeddingCollator()([dataset[row] for row in range(len(dataset))])).logits.numpy()


@pytest.mark.parametrize(("kind", "pooling"), [(k, p) for k in SHAPES for p in POOLINGS if (k, p) != ("t5", "pooler")])
def test_logits_from_embeddings_are_those_of_the_whole_model(classifier, tmp_path, kind, pooling):
    model = classifier(kind, pooling=pooling)
    found = logits_from(model, embed(model, PROTEINS, cache_root=tmp_path))
    expected = predict_logits(model, PROTEINS["input_ids"][:])
    assert np.ptp(expected, axis=0).min() > 0.01  # proteins differ, and a wrong row would show
    np.testing.assert_allclose(found, expected, rtol=2e-3, atol=2e-3 * np.abs(expected).max())


@pytest.mark.parametrize(("kind", "packed"), [("bert", True), ("esm", True), ("t5", False)])
def test_proteins_are_packed_while_they_are_embedded_where_the_backbone_can(classifier, tmp_path, kind, packed):
    model = classifier(kind)
    rows = []
    model.backbone.encoder.register_forward_pre_hook(
        lambda module, args, given: rows.append(len((args or [given[next(iter(given))]])[0])), with_kwargs=True
    )
    embed(model.train(), PROTEINS, cache_root=tmp_path)
    assert rows == [1 if packed else 40]
    assert model.training and model.backbone.config._attn_implementation == "sdpa"  # as before


@pytest.mark.parametrize("pooling", POOLINGS)
def test_only_what_the_pooling_needs_is_stored(classifier, tmp_path, pooling):
    dataset = embed(classifier(pooling=pooling), PROTEINS, cache_root=tmp_path)
    lengths = PROTEINS["length"][:]
    counts = lengths - 2 if pooling == "light_attention" else np.ones(40)
    assert dataset.column_names == ["last_hidden_state", "length", "labels"]
    assert dataset["length"][:].tolist() == counts.tolist()
    assert [row.shape for row in dataset["last_hidden_state"]] == [(count, 32) for count in counts]
    assert dataset["labels"][:].tolist() == PROTEINS["labels"][:].tolist()


def test_embeddings_are_halves_on_disk_that_are_mapped_not_read(classifier, tmp_path):
    dataset = embed(classifier(pooling="light_attention"), encoded_proteins(400, longest=60), cache_root=tmp_path)
    (file,) = (entry["filename"] for entry in dataset.cache_files)
    vectors = int(dataset["length"][:].sum())
    assert vectors * 32 * 2 < os.path.getsize(file) < vectors * 32 * 2 * 1.3
    before = pa.total_allocated_bytes()
    again = embed(classifier(pooling="light_attention"), encoded_proteins(400, longest=60), cache_root=tmp_path)
    assert pa.total_allocated_bytes() - before < 0.2 * os.path.getsize(file)
    assert file in {mapped.path for mapped in psutil.Process().memory_maps()}
    assert bits(again) == bits(dataset)


def test_memory_is_for_a_chunk_not_for_the_data_and_rows_keep_their_order(classifier, tmp_path, monkeypatch):
    model = classifier(pooling="light_attention")
    whole = embed(model, PROTEINS, cache_root=tmp_path / "whole")
    sizes = []
    embed_chunk = embedding_cache._embed_chunk
    monkeypatch.setattr(embedding_cache, "CHUNK_TOKENS", 200)
    monkeypatch.setattr(embedding_cache, "default_tokens", lambda model: 100)
    monkeypatch.setattr(
        embedding_cache, "_embed_chunk", lambda m, p, *rest: sizes.append(sum(map(len, p))) or embed_chunk(m, p, *rest)
    )
    chunked = embed(model, PROTEINS, cache_root=tmp_path / "chunked")
    assert len(sizes) > 4 and max(sizes) < 200 + 62
    for one, other in zip(whole["last_hidden_state"], chunked["last_hidden_state"], strict=True):
        np.testing.assert_allclose(one, other, rtol=2e-3, atol=2e-3)


def fitted(model, dataset, folder, **arguments):
    trainer = ProteinTrainer(
        model,
        ProteinTrainingArguments(output_dir=str(folder), **{**DEFAULTS, "num_train_epochs": 4, **arguments}),
        train_dataset=dataset,
        eval_dataset=dataset,
        data_collator=EmbeddingCollator(),
    )
    trainer.train()
    return trainer


def loss_of(model, dataset):
    logits = torch.from_numpy(logits_from(model.eval(), dataset))
    return torch.nn.functional.cross_entropy(logits, torch.from_numpy(dataset["labels"][:])).item()


@pytest.mark.parametrize("pooling", POOLINGS)
def test_training_on_embeddings_lowers_the_loss_and_leaves_the_backbone_alone(classifier, tmp_path, pooling):
    model = classifier(pooling=pooling, classifier_dropout=0.0)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    dataset = embed(model, PROTEINS, cache_root=tmp_path / "cache")
    passes, untrained = model.passes, loss_of(model, dataset)
    fitted(model, dataset, tmp_path / "run", num_train_epochs=20)
    assert loss_of(model, dataset) < 0.85 * untrained
    assert model.passes == passes
    for name, tensor in model.state_dict().items():
        frozen = name.startswith("backbone.") and not name.startswith("backbone.pooler.")
        assert torch.equal(tensor, before[name]) == frozen, name


def test_a_head_trained_on_embeddings_is_the_one_that_the_whole_model_would_have_got(classifier, tmp_path):
    options = {"pooling": "mean", "classifier_dropout": 0.0}
    dataset = embed(classifier(**options), PROTEINS, cache_root=tmp_path / "cache")
    # one batch an epoch: a mean has no length to be grouped by, so smaller batches would not be the same
    one_batch = {"per_device_train_batch_size": 40, "num_train_epochs": 10}
    short = fitted(classifier(**options), dataset, tmp_path / "short", **one_batch)
    args = ProteinTrainingArguments(
        output_dir=str(tmp_path / "long"), cache_embeddings=False, **{**DEFAULTS, **one_batch}
    )
    long = ProteinTrainer(classifier(**options), args, train_dataset=PROTEINS)
    long.train()
    assert long.model.passes == 10
    np.testing.assert_allclose(
        short.model.head[1].weight.detach(), long.model.head[1].weight.detach(), rtol=5e-3, atol=1e-3
    )


def test_trainer_evaluates_and_predicts_on_embeddings_in_the_order_of_the_rows(classifier, tmp_path):
    model = classifier(pooling="light_attention")
    dataset = embed(model, PROTEINS, cache_root=tmp_path / "cache")
    trainer = fitted(model, dataset, tmp_path / "run", num_train_epochs=1, per_device_eval_batch_size=7)
    passes = model.passes
    output = trainer.predict(dataset)
    assert trainer.evaluate()["eval_loss"] == pytest.approx(output.metrics["test_loss"], rel=1e-5)
    assert model.passes == passes
    np.testing.assert_allclose(output.predictions, logits_from(model.eval(), dataset), rtol=1e-4, atol=1e-5)


def test_the_same_proteins_and_backbone_are_not_embedded_twice(classifier, tmp_path, caplog):
    caplog.set_level(logging.INFO, "protbert_classify")
    first = classifier()
    dataset = embed(first, PROTEINS, cache_root=tmp_path)
    assert first.passes == 1
    again = classifier(head="tanh", classifier_dropout=0.5)
    assert bits(embed(again, PROTEINS, cache_root=tmp_path)) == bits(dataset)
    assert again.passes == 0
    written, taken = [record.getMessage() for record in caplog.records if record.name == embedding_cache.__name__]
    assert written.startswith("embeddings of 40 proteins (0.00 GB) written to ")
    assert taken.startswith("embeddings of 40 proteins (0.00 GB) taken from ")


@pytest.mark.parametrize("changed", ["weights", "data", "order", "pooling", "dtype", "shape", "residues"])
def test_a_change_that_matters_embeds_anew(classifier, tmp_path, changed):
    embed(classifier(), PROTEINS, cache_root=tmp_path)
    model, proteins, options = classifier(), PROTEINS, {}
    if changed == "weights":
        with torch.no_grad():
            list(model.backbone.parameters())[-1][0] += 1e-3
    elif changed == "data":
        proteins = PROTEINS.select([*range(39), 38])
    elif changed == "order":
        proteins = PROTEINS.select(range(39, -1, -1))
    elif changed == "pooling":
        model = classifier(pooling="light_attention")
    elif changed == "dtype":
        options = {"dtype": torch.bfloat16}
    elif changed == "shape":  # the same tensors, read otherwise
        model.backbone.config.num_attention_heads = 4
    elif changed == "residues":
        model = classifier(special_tokens=[1, 0])
    embed(model, proteins, cache_root=tmp_path, **options)
    assert model.passes == 1
    assert len(list(tmp_path.iterdir())) == 2


def test_another_crop_or_length_embeds_anew(classifier, tokenizer):
    proteins = Dataset.from_dict({"sequence": ["MKTAYIAKQR", "ACDEFGHIKLMN"]})
    keys = {
        cache_key(classifier(), encode(proteins, tokenizer, max_length=length, crop=crop))
        for length, crop in ((8, "ends"), (8, "head"), (8, "tail"), (9, "ends"), (64, "ends"))
    }
    assert len(keys) == 5


def test_proteins_cut_elsewhere_are_other_proteins(classifier):
    whole = PROTEINS.select([0]).to_dict()["input_ids"][0]
    cuts = [[whole[:5], whole[5:]], [whole[:6], whole[6:]]]
    features = Features({"input_ids": PROTEINS.features["input_ids"]})
    keys = [cache_key(classifier(), Dataset.from_dict({"input_ids": cut}, features)) for cut in cuts]
    assert keys[0] != keys[1]


def test_the_layout_of_a_dataset_does_not_matter(classifier):
    halves = concatenate_datasets([PROTEINS.select(range(13)), PROTEINS.select(range(13, 40))])
    assert cache_key(classifier(), halves) == cache_key(classifier(), PROTEINS)


def test_poolings_that_store_the_same_share_it_and_the_trained_pooler_is_no_part_of_it(classifier, tmp_path):
    model = classifier(pooling="pooler")
    key = cache_key(model, PROTEINS)
    with torch.no_grad():
        model.backbone.pooler.dense.weight += 1
    assert cache_key(model, PROTEINS) == key
    assert cache_key(classifier(pooling="cls"), PROTEINS) != cache_key(classifier(pooling="mean"), PROTEINS)


def test_a_backbone_keeps_its_key_wherever_it_lies(tmp_path):
    torch.manual_seed(0)
    backbone = AutoModel.from_config(AutoConfig.for_model("esm", **SHAPES["esm"], **SIZE, token_dropout=True))
    for name in ("here", "there"):
        backbone.save_pretrained(tmp_path / name)
    keys = []
    for seed, name in enumerate(("here", "there", "here")):
        torch.manual_seed(seed)
        model = ProteinClassifier.from_pretrained(tmp_path / name, labels=["A", "B"], freeze_backbone=True)
        keys.append(cache_key(model, PROTEINS))
    assert len(set(keys)) == 1


def test_new_labels_are_never_those_of_old_embeddings(classifier, tmp_path):
    model = classifier()
    before = embed(model, PROTEINS, cache_root=tmp_path)
    other = (PROTEINS["labels"][:] + 1) % 3
    relabelled = PROTEINS.remove_columns("labels").add_column("labels", other, feature=PROTEINS.features["labels"])
    after = embed(model, relabelled.with_format("numpy"), cache_root=tmp_path)
    assert model.passes == 1
    assert after["labels"][:].tolist() == other.tolist()
    assert bits(after) == bits(before)
    assert "labels" not in embed(model, PROTEINS.remove_columns("labels"), cache_root=tmp_path).column_names


def test_half_precision_is_asked_for_by_dtype(classifier, tmp_path):
    model = classifier()
    exact = embed(model, PROTEINS, cache_root=tmp_path)["last_hidden_state"][:]
    rough = embed(model, PROTEINS, cache_root=tmp_path, dtype=torch.bfloat16)["last_hidden_state"][:]
    assert not np.array_equal(exact, rough)
    np.testing.assert_allclose(rough, exact, atol=0.1)


def test_embedding_leaves_the_mode_and_the_random_numbers_as_they_were(classifier, tmp_path):
    model = classifier().train()
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    embed(model, PROTEINS, cache_root=tmp_path)
    assert torch.rand(1) == expected
    assert model.training and not model.backbone.encoder.training


def test_a_backbone_fresh_from_its_constructor_embeds_without_dropout(classifier, tmp_path):
    fresh = classifier()
    fresh.backbone.train()  # what torch makes of every new module
    found = embed(fresh, PROTEINS, cache_root=tmp_path / "fresh")
    assert bits(found) == bits(embed(classifier(), PROTEINS, cache_root=tmp_path / "known"))


def test_a_backbone_that_trains_is_refused(tiny_classifier, tmp_path):
    with pytest.raises(OptionError, match="expected freeze_backbone"):
        embed(tiny_classifier(), PROTEINS, cache_root=tmp_path)


def test_what_float16_cannot_hold_is_refused_and_leaves_nothing(classifier, tmp_path):
    model = classifier(pooling="cls")
    with torch.no_grad():
        model.backbone.encoder.layer[-1].output.LayerNorm.bias[3] = 70_000
    with pytest.raises(DataError, match="beyond float16"):
        embed(model, PROTEINS, cache_root=tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_disk_without_room_is_found_before_the_work(classifier, tmp_path, monkeypatch):
    model = classifier(pooling="light_attention")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=1000))
    with pytest.raises(ProteinClassifierError, match="0.0 GB free; free some space"):
        embed(model, PROTEINS, cache_root=tmp_path)
    assert model.passes == 0 and not list(tmp_path.iterdir())


def test_a_disk_that_fills_up_leaves_no_half_cache(classifier, tmp_path, monkeypatch):
    monkeypatch.setattr(embedding_cache, "CHUNK_TOKENS", 300)
    model = classifier()
    embed_chunk = embedding_cache._embed_chunk

    def full(model, *rest):
        if model.passes == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        return embed_chunk(model, *rest)

    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space left"):
        patch.setattr(embedding_cache, "_embed_chunk", full)
        embed(model, PROTEINS, cache_root=tmp_path)
    assert not list(tmp_path.iterdir())
    assert len(embed(model, PROTEINS, cache_root=tmp_path)) == 40


def test_of_two_runs_with_the_same_the_second_takes_what_the_first_published(classifier, tmp_path, monkeypatch):
    write = embedding_cache._write
    other = {}

    def write_and_be_overtaken(*arguments):
        write(*arguments)
        monkeypatch.setattr(embedding_cache, "_write", write)
        other["rows"] = embed(classifier(), PROTEINS, cache_root=tmp_path)

    monkeypatch.setattr(embedding_cache, "_write", write_and_be_overtaken)
    mine = embed(classifier(), PROTEINS, cache_root=tmp_path)
    assert bits(mine) == bits(other["rows"])
    assert mine.cache_files == other["rows"].cache_files
    assert len(list(tmp_path.iterdir())) == 1


def test_what_killed_runs_left_is_removed_a_day_later(classifier, tmp_path):
    old, young = tmp_path / "a.1.tmp", tmp_path / "b.2.tmp"
    for folder, age in ((old, 25), (young, 1)):
        folder.mkdir()
        (folder / "part").touch()
        for path in (folder / "part", folder):
            os.utime(path, (time.time() - age * 3600,) * 2)
    embed(classifier(), PROTEINS, cache_root=tmp_path)
    assert not old.exists() and young.exists()


def test_a_part_that_is_missing_is_named(classifier, tmp_path):
    model = classifier()
    dataset = embed(model, PROTEINS, cache_root=tmp_path)
    os.unlink(dataset.cache_files[0]["filename"])
    with pytest.raises(ProteinClassifierError, match="embeddings of 0 proteins, expected 40; delete the folder"):
        embed(model, PROTEINS, cache_root=tmp_path)


def test_the_default_cache_is_that_of_datasets(classifier):
    dataset = embed(classifier(), PROTEINS)
    root = os.path.join(datasets.config.HF_DATASETS_CACHE, "protbert_classify", "embeddings")
    assert dataset.cache_files[0]["filename"].startswith(root)


CHILD = """
import json, sys, time
from pathlib import Path
import torch
from protbert_classify import ProteinClassifier
from protbert_classify.training import embedding_cache
from protbert_classify.training.training_arguments import ProteinTrainingArguments
from tests.training.runs import encoded_proteins

torch.set_num_threads(1)
arguments = ProteinTrainingArguments(output_dir=sys.argv[1])  # brings the processes together
folder, hang = Path(sys.argv[1]), sys.argv[2:] == ["hang"]
embedding_cache.CHUNK_TOKENS = 300
embed_chunk = embedding_cache._embed_chunk
done = []

def watched(*arguments):
    if hang and len(done) == 2:
        (folder / "sentinel").touch()
        time.sleep(600)
    done.append(1)
    return embed_chunk(*arguments)

embedding_cache._embed_chunk = watched
model = ProteinClassifier.from_pretrained(folder / "model")
for turn in range(2):
    dataset = embedding_cache.embed(model, encoded_proteins(40), cache_root=folder / "cache")
rows = [row.tolist() for row in dataset["last_hidden_state"]]
result = {"rows": rows, "chunks": len(done), "labels": dataset["labels"][:].tolist()}
(folder / f"result-{arguments.process_index}.json").write_text(json.dumps(result))
arguments.distributed_state.destroy_process_group()
"""


@pytest.fixture
def child(tmp_path, classifier):
    """A script that embeds with the model beside it, and that model."""
    model = classifier(pooling="light_attention")
    model.save_pretrained(tmp_path / "model")
    script = tmp_path / "child.py"
    script.write_text(CHILD)
    return script, ProteinClassifier.from_pretrained(tmp_path / "model")


def assert_close(rows, dataset):
    for row, expected in zip(rows, dataset["last_hidden_state"], strict=True):
        np.testing.assert_allclose(row, expected, rtol=2e-3, atol=2e-3)


@pytest.mark.slow
def test_embeddings_that_a_kill_left_half_written_are_redone(child, tmp_path):
    script, model = child
    process = subprocess.Popen([sys.executable, script, tmp_path, "hang"], env=environment(), cwd=ROOT)
    deadline = time.monotonic() + 60
    while not (tmp_path / "sentinel").exists():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    (left,) = (tmp_path / "cache").iterdir()
    assert left.suffix == ".tmp" and list(left.iterdir())
    redone = embed(model, PROTEINS, cache_root=tmp_path / "cache")
    assert bits(redone) == bits(embed(model, PROTEINS, cache_root=tmp_path / "undisturbed"))


@pytest.mark.slow
def test_two_processes_share_the_work_and_have_the_rows_of_one(child, tmp_path):
    script, model = child
    done = launch(script, tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    first, second = (json.loads((tmp_path / f"result-{rank}.json").read_text()) for rank in range(2))
    assert first["rows"] == second["rows"]
    assert first["labels"] == second["labels"] == PROTEINS["labels"][:].tolist()
    alone = embed(model, PROTEINS, cache_root=tmp_path / "alone")
    assert_close(first["rows"], alone)
    tokens = sum(PROTEINS["length"][:])
    assert {first["chunks"], second["chunks"]} <= {tokens // 600, tokens // 600 + 1}  # half each, and none in turn two
    (folder,) = (tmp_path / "cache").iterdir()
    assert sorted(os.listdir(folder)) == [f"part-0000{rank}-of-00002.arrow" for rank in range(2)]
    # and one process takes them as they are
    assert embed(model, PROTEINS, cache_root=tmp_path / "cache")["last_hidden_state"][0].tolist() == first["rows"][0]


def test_the_trainer_embeds_each_protein_of_a_frozen_backbone_once_for_all_epochs_and_evaluations(
    classifier, monkeypatch, tmp_path
):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    model = classifier(pooling="mean", classifier_dropout=0.0)
    proteins = encoded_proteins(40)
    validation = encoded_proteins(12, seed=5)
    args = ProteinTrainingArguments(
        output_dir=str(tmp_path / "run"),
        **{**DEFAULTS, "num_train_epochs": 5, "eval_strategy": "epoch", "save_strategy": "epoch"},
    )
    trainer = ProteinTrainer(model, args, train_dataset=proteins, eval_dataset=validation)
    seen = []

    def count(module, args, given):
        borders = given.get("cu_seq_lens_q")  # of proteins packed into one row
        ids = given.get("input_ids")
        seen.append(len(given["inputs_embeds"] if ids is None else ids) if borders is None else len(borders) - 1)

    model.backbone.register_forward_pre_hook(count, with_kwargs=True)
    trainer.train()
    logits = trainer.validation_logits()
    assert sum(seen) == 40 + 12
    assert np.abs(logits - trainer.predict(encoded_proteins(12, seed=5)).predictions).max() < 1e-2
    assert sum(seen) == 40 + 12 + 12  # other proteins than those that training reads again and again are not kept
