"""Training on a layer of a backbone: the number that auto becomes, and all that must keep it."""

import json

import pytest

from protbert_classify import ProteinClassifier, ProteinTrainer
from protbert_classify.commands import main
from protbert_classify.errors import OptionError
from protbert_classify.layers import probe
from protbert_classify.model.backbone import encoder_layers
from protbert_classify.runs.files import SETTINGS
from protbert_classify.training import layer_choice
from protbert_classify.training.embedding_cache import cache_key
from protbert_classify.training.options import parse_options
from protbert_classify.training.resume import FOUND_LAYER
from protbert_classify.training.run import train
from tests.layers.encoders import save_planted

from .runs import LABELS, assert_same_weights, complaints, easy_records, encoded_proteins, fasta, record, weights
from .trainers import StopAt, arguments, raw_proteins

QUICK = ("--max_length", "64", "--learning_rate", "0.01", "--disable_tqdm", "true", "--split", "identical")


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return save_planted(tmp_path_factory.mktemp("pretrained") / "base")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "easy.fasta"
    path.write_text(fasta(easy_records(120, 30)))
    return str(path)


def options(base, data, folder, *more):
    places = ("--model_name_or_path", base, "--data", data, "--output_dir", str(folder))
    return [*places, *QUICK, "--num_train_epochs", "1", *map(str, more)]


def run(*given):
    return train(*parse_options(options(*given)))


def layers_of(folder):
    model = ProteinClassifier.from_pretrained(folder / "model")
    assert len(encoder_layers(model.backbone)) == model.config.num_hidden_layers
    return model.config.num_hidden_layers


@pytest.fixture(scope="module")
def by_auto(base, data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("auto") / "run"
    run(base, data, folder, "--layer", "auto", "--freeze_backbone")
    return folder


def test_auto_takes_the_layer_that_knows_and_saves_a_model_of_that_size(by_auto):
    assert layers_of(by_auto) == 1  # of 4; those behind it were scrambled
    assert record(by_auto)["model_arguments"]["layer"] == "1"
    assert json.loads((by_auto / SETTINGS).read_text())[FOUND_LAYER] == "1"
    assert not any(".layer.1." in name for name in weights(by_auto / "model"))


def test_auto_trains_what_the_number_would_have_trained(by_auto, base, data, tmp_path):
    metrics = run(base, data, tmp_path / "run", "--layer", "1", "--freeze_backbone")
    assert_same_weights(tmp_path / "run" / "model", by_auto / "model")
    assert metrics["parameters"] == json.loads((by_auto / "metrics.json").read_text())["parameters"]


def test_the_layer_with_the_signal_beats_the_last_one(by_auto, base, data, tmp_path):
    last = run(base, data, tmp_path / "run", "--freeze_backbone", "--num_train_epochs", "8")
    assert layers_of(tmp_path / "run") == 4
    first = run(base, data, tmp_path / "first", "--freeze_backbone", "--num_train_epochs", "8", "--layer", "auto")
    assert first["test_mcc"] > last["test_mcc"] + 0.2


def test_a_resumed_run_keeps_the_layer_that_it_found_without_probing_again(base, data, tmp_path, monkeypatch):
    folder = tmp_path / "run"
    more = ("--layer", "auto", "--save_strategy", "steps", "--eval_strategy", "steps", "--save_steps", "4")
    run(base, data, folder, *more, "--eval_steps", "4")
    (folder / "run.json").unlink()

    def probed(*_, **__):
        raise AssertionError("it was probed again")

    monkeypatch.setattr(layer_choice, "probe_layers", probed)
    run(base, data, folder, *more, "--eval_steps", "4", "--resume")
    assert layers_of(folder) == 1 and record(folder)["model_arguments"]["layer"] == "1"
    with pytest.raises(OptionError, match="resume: layer was auto when the run in .* began and is 2"):
        run(base, data, folder, *more[2:], "--layer", "2", "--eval_steps", "4", "--resume")


def test_a_resumed_search_keeps_the_layer_that_it_found_without_probing_again(base, data, tmp_path, monkeypatch):
    pytest.importorskip("optuna", reason="the extra search is not installed")
    folder = tmp_path / "run"
    more = ("--layer", "auto", "--freeze_backbone", "--search")
    run(base, data, folder, *more, "2")
    (folder / SETTINGS).unlink()  # as if it had been stopped in its trials
    (folder / "run.json").unlink()

    def probed(*_, **__):
        raise AssertionError("it was probed again")

    monkeypatch.setattr(layer_choice, "probe_layers", probed)
    run(base, data, folder, *more, "3", "--resume")
    assert layers_of(folder) == 1 and record(folder)["search"]["trials"] == 3


def test_a_run_that_began_before_there_were_layers_is_resumed(base, data, tmp_path):
    folder = tmp_path / "run"
    run(base, data, folder)
    settings = json.loads((folder / SETTINGS).read_text())
    assert settings.pop("layer") is None and settings.pop("num_hidden_layers") == 4
    (folder / SETTINGS).write_text(json.dumps(settings))
    run(base, data, folder, "--resume", "--num_train_epochs", "2")
    with pytest.raises(OptionError, match="resume: layer was not set when the run in .* began and is 2"):
        run(base, data, folder, "--resume", "--num_train_epochs", "3", "--layer", "2")


def test_in_python_a_run_is_not_resumed_with_another_number_of_layers(base, tmp_path):
    def trainer(layers, **more):
        model = ProteinClassifier.from_pretrained(base, labels=LABELS, max_sequence_length=64)
        model.keep_first_layers(layers)
        plain = arguments(tmp_path / "run", calibrate="none", **more)
        return ProteinTrainer(model, plain, train_dataset=raw_proteins(24), eval_dataset=raw_proteins(12, seed=1))

    first = trainer(2)
    first.add_callback(StopAt(2))
    first.train()
    with pytest.raises(OptionError, match="resume: num_hidden_layers was 2 when the run in .* began and is 1"):
        trainer(1, resume=True).train()
    trainer(2, resume=True).train()


@pytest.mark.slow
@pytest.mark.parametrize("several", [("--seeds", "2"), ("--folds", "2")])
def test_several_models_settle_the_layer_once_and_their_ensemble_has_it(several, base, data, tmp_path, monkeypatch):
    calls = []

    def counted(*given, **more):
        calls.append(len(given[2]["train"]))
        return probe.probe_layers(*given, **more)

    monkeypatch.setattr(layer_choice, "probe_layers", counted)
    folder = tmp_path / "run"
    run(base, data, folder, "--layer", "auto", *several)
    assert len(calls) == 1
    assert ProteinClassifier.from_pretrained(folder / "model").config.num_hidden_layers == 1
    members = sorted(path for path in folder.iterdir() if path.name.startswith(("seed-", "fold-")))
    assert [record(member)["model_arguments"]["layer"] for member in members] == ["1", "1"]
    assert record(folder)["model_arguments"]["layer"] == "1"
    run(base, data, folder, "--layer", "auto", *several, "--resume")
    assert len(calls) == 1


def test_an_adapter_trains_in_the_layers_that_are_left_and_is_found_again(base, data, tmp_path):
    pytest.importorskip("peft", reason="the extra lora is not installed")
    run(base, data, tmp_path / "run", "--layer", "2", "--tuning", "lora")
    saved = weights(tmp_path / "run" / "model")
    assert {name.split(".layer.")[1][0] for name in saved if "lora_" in name} == {"0", "1"}
    assert layers_of(tmp_path / "run") == 2


def test_embeddings_of_a_frozen_backbone_are_kept_apart_by_layer(base):
    model = ProteinClassifier.from_pretrained(base, labels=LABELS, freeze_backbone=True, max_sequence_length=64)
    proteins = encoded_proteins(3)
    keys = []
    for layer in (4, 3, 1):
        model.keep_first_layers(layer)
        keys.append(cache_key(model, proteins))
    assert len(set(keys)) == 3


def test_a_network_from_scratch_can_be_cut_too(data, tmp_path):
    shape = {"model_type": "bert", "hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2}
    given = ["--data", data, "--output_dir", str(tmp_path / "run"), "--max_steps", "1", *QUICK, "--layer", "2"]
    train(*parse_options([*given, "--backbone_config", json.dumps({**shape, "intermediate_size": 32})]))
    assert layers_of(tmp_path / "run") == 2


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--layer", "5"], "layer=5: the backbone has 4 layers; expected 1 to 4"),
        (["--layer", "0"], "layer='0': expected a layer of the backbone, 1 or more, or auto"),
        (["--layer", "-1"], "layer='-1': expected a layer of the backbone, 1 or more, or auto"),
        (["--layer", "last"], "layer='last': expected a layer of the backbone, 1 or more, or auto"),
        (["--layer", "2", "--freeze_layers", "3"], "freeze_layers=3: expected 0 to 2, the layers that stay"),
        (["--layer", "auto", "--validation", "0"], "layer=auto: no validation proteins to compare the layers on"),
    ],
)
def test_what_cannot_be_is_one_line(more, message, base, data, tmp_path, capsys):
    assert main(["train", *options(base, data, tmp_path / "run", *more)]) == 2
    (line,) = complaints(capsys.readouterr().err)
    assert line.startswith(f"protbert-classify train: {message}")
    assert not (tmp_path / "run" / "run.json").exists()


def test_auto_is_refused_for_random_weights_as_they_know_nothing(data, tmp_path, capsys):
    shape = '{"model_type": "bert"}'
    given = ["--data", data, "--output_dir", str(tmp_path), "--layer", "auto", "--backbone_config", shape]
    assert main(["train", *given]) == 2
    (line,) = complaints(capsys.readouterr().err)
    assert line.startswith("protbert-classify train: layer=auto and backbone_config exclude each other: ")


@pytest.mark.parametrize("layer", ["2", "auto"])
def test_layers_that_are_shared_are_refused_before_the_data_is_read(layer, tmp_path, capsys):
    from transformers import AlbertConfig, AlbertModel

    from protbert_classify.data.tokenizer import protbert_tokenizer

    size = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 32}
    AlbertModel(AlbertConfig(vocab_size=30, embedding_size=16, **size)).save_pretrained(tmp_path / "albert")
    protbert_tokenizer().save_pretrained(tmp_path / "albert")
    unread = tmp_path / "unread.fasta"
    unread.write_text(">P1 Nucleus-U\nM7\n")
    assert main(["train", *options(str(tmp_path / "albert"), str(unread), tmp_path / "run", "--layer", layer)]) == 2
    (line,) = complaints(capsys.readouterr().err)
    assert f"layer={layer}: the layers of a model of type albert share their weights: none can be left out" in line


def test_a_plan_of_fewer_layers_costs_less(base, capsys):
    def parameters(*more):
        assert main(["estimate", "--model", base, "--max_length", "64", "--device", "T4", *more]) == 0
        return capsys.readouterr().out

    whole, cut = parameters(), parameters("--layer", "2")
    assert whole != cut
    assert main(["estimate", "--model", base, "--max_length", "64", "--device", "T4", "--layer", "9"]) == 2
    assert "layer=9: the backbone has 4 layers; expected 1 to 4" in capsys.readouterr().err
