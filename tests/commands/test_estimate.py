import json
import re
import subprocess
import sys

import pytest
import torch

from protbert_classify.commands import estimate as command
from protbert_classify.commands import main
from protbert_classify.model.configuration import PROTBERT_SHAPE
from protbert_classify.model.pooling import POOLINGS
from protbert_classify.model.tasks import Task
from protbert_classify.training.build_model import build_model
from protbert_classify.training.options import parse_options
from tests.conftest import TINY_SHAPE
from tests.training.runs import complaints

TEN_CLASSES = (Task(name="location", problem_type="single_label_classification", labels=tuple("ABCDEFGHIJ")),)
PROTBERT = ["estimate", "--backbone_config", json.dumps(PROTBERT_SHAPE)]
TINY = ["estimate", "--backbone_config", json.dumps(TINY_SHAPE), "--max_length", "128", "--device", "T4"]


def recorded(arguments, tmp_path):
    path = tmp_path / "estimate.json"
    assert main([*arguments, "--output", str(path)]) == 0
    return json.loads(path.read_text())


def test_protbert_on_an_h200(tmp_path, capsys):
    found = recorded([*PROTBERT, "--device", "H200"], tmp_path)
    out = capsys.readouterr().out
    assert (found["parameters"], found["precision"], found["tokens_per_batch"]) == (378_456_074, "bf16", 4096)
    assert found["fits"] and found["advice"] == []
    assert found["seconds_per_epoch"] == pytest.approx(found["flops_per_epoch"] / (0.4 * 989e12))
    assert found["seconds"] == 5 * found["seconds_per_epoch"]
    assert re.search(r"^a model from scratch, bf16, on H200$", out, re.M)
    assert re.search(r"^  parameters +378,456,074 ", out, re.M)
    assert re.search(r"^  all of a step +1\d\.\d\d GiB  \d+% of 131\.32 GiB: fits ", out, re.M)
    assert "DeepLoc" in out and "40%  ASSUMED, not measured" in out and "NVIDIA H200 datasheet" in out


def test_a_small_model_has_its_memory_in_mib(tmp_path, capsys):
    found = recorded([*TINY, "--tuning", "lora", "--device", "L4"], tmp_path)
    assert f"  {found['weights'] / 2**20:.2f} MiB  float32" in (out := capsys.readouterr().out)
    assert f"  {found['gradients'] / 2**20:.2f} MiB  of what trains" in out and " 0.00 GiB" not in out


def test_the_lines_of_the_memory_add_up(tmp_path):
    found = recorded([*PROTBERT, "--device", "L4"], tmp_path)
    items = ("weights", "weight_copies", "gradients", "optimizer", "activations", "working")
    assert found["step"] == sum(found[item] for item in items)
    assert found["inference"] < found["step"]


def test_a_recipe_is_estimated_like_its_options(tmp_path):
    recipe = recorded([*TINY, "--recipe", "lora"], tmp_path)
    options = recorded([*TINY, "--tuning", "lora", "--lora_rank", "4", "--epochs", "10"], tmp_path)
    assert recipe == options and recipe["trained_parameters"] < recipe["parameters"]
    assert recorded([*TINY, "--recipe", "lora", "--lora_alpha", "8"], tmp_path) == recipe  # as train takes it
    larger = recorded([*TINY, "--recipe", "lora", "--lora_rank", "8"], tmp_path)  # the command line wins
    assert larger["trained_parameters"] > recipe["trained_parameters"]


def test_the_adapter_of_a_recipe_does_not_stand_in_the_way_of_another_tuning(tmp_path):
    assert recorded([*TINY, "--recipe", "lora", "--tuning", "full"], tmp_path)["tuning"] == "full"


def test_fewer_targets_train_less_and_a_kind_with_a_dropout_keeps_more(tmp_path):
    usual = recorded([*TINY, "--tuning", "lora"], tmp_path)
    few = recorded([*TINY, "--tuning", "lora", "--lora_targets", "query", "value"], tmp_path)
    assert few["trained_parameters"] < usual["trained_parameters"]
    dropped = recorded([*TINY, "--tuning", "lora", "--lora_dropout", "0.1"], tmp_path)
    assert dropped["activations"] > usual["activations"]
    assert recorded([*TINY, "--tuning", "lora", "--lora_kind", "ia3"], tmp_path)["trained_parameters"] < 2000


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--lora_targets", "query", "key"], "lora_targets=query key and tuning=full: expected tuning=lora, or leave"),
        (["--lora_kind", "ia3"], "lora_kind=ia3 and tuning=full: expected tuning=lora, or leave lora_kind out"),
        (["--recipe", "frozen", "--lora_rank", "4"], "lora_rank=4 and tuning=frozen: expected tuning=lora, or leave"),
        (["--tuning", "lora", "--lora_targets", "querry"], "lora_targets=querry: a model of type bert has no such"),
        (["--tuning", "lora", "--lora_kind", "loha"], "lora_kind='loha': expected one of lora, dora, ia3"),
        (["--tuning", "lora", "--lora_dropout", "1"], "lora_dropout=1.0: expected 0 up to below 1"),
    ],
)
def test_an_adapter_that_cannot_be_is_refused(options, words, capsys):
    assert main([*TINY, *options]) == 2
    assert words in capsys.readouterr().err


def test_the_batch_and_the_network_of_a_recipe_count_too(tmp_path):
    found = recorded(["estimate", "--recipe", "small", "--device", "T4"], tmp_path)
    model = build_model(*parse_options(["--recipe", "small", "--output_dir", str(tmp_path / "run")])[:2], TEN_CLASSES)
    assert found["parameters"] == sum(parameter.numel() for parameter in model.parameters())
    assert found["tokens_per_batch"] == 32 * 512
    other = recorded([*TINY, "--recipe", "small"], tmp_path)  # of another network
    assert other["tokens_per_batch"] == 32 * 128 and other["parameters"] != found["parameters"]
    halved = recorded([*TINY, "--recipe", "small", "--per_device_train_batch_size", "16"], tmp_path)
    assert halved["tokens_per_batch"] == 16 * 128 and halved["step"] < other["step"]


def test_a_recipe_for_a_network_of_its_own_takes_no_model(capsys):
    assert main(["estimate", "--recipe", "small", "--model", "Rostlab/prot_bert_bfd"]) == 2
    (line,) = complaints(capsys.readouterr().err)
    assert line.endswith("the recipe is for a small network of its own; leave one out")


def test_the_model_of_a_recipe_is_that_of_train():
    assert command._parse(["--recipe", "lora"]).model == "Rostlab/prot_bert_bfd"
    assert command._parse(["--recipe", "lora", "--model", "a/b"]).model == "a/b"


def test_frozen_layers_need_no_gradients(tmp_path):
    one, none = (recorded([*TINY, *more], tmp_path) for more in (["--freeze_layers", "1"], []))
    assert one["trained_parameters"] < none["trained_parameters"] and one["gradients"] < none["gradients"]
    assert recorded([*TINY, "--tuning", "frozen", "--freeze_layers", "1"], tmp_path)["step"] < one["step"]


@pytest.mark.slow
def test_what_does_not_fit_says_what_would(tmp_path, capsys):
    large = [*PROTBERT, "--device", "T4", "--precision", "fp16", "--tokens_per_batch", "16384"]
    found = recorded(large, tmp_path)
    assert not found["fits"] and "does NOT fit" in capsys.readouterr().out
    options = re.findall(r"with (--\w+)(?: (?!\d*\.)(\w+))?", " ".join(found["advice"]))
    assert ("--gradient_checkpointing", "") in options and ("--freeze_backbone", "") in options
    assert len(options) == 3
    for advice in ([word for word in option if word] for option in options):
        followed = recorded([*large, *advice], tmp_path)
        assert followed["fits"], advice
        gib = f"{followed['step'] / 2**30:.2f} GiB"
        assert any(advice[0] in line and gib in line for line in found["advice"])


@pytest.mark.slow
def test_what_cannot_fit_at_all_says_so(tmp_path):
    shape = {**PROTBERT_SHAPE, "hidden_size": 8192, "num_attention_heads": 64, "intermediate_size": 32768}
    found = recorded(["estimate", "--backbone_config", json.dumps(shape), "--device", "T4"], tmp_path)
    assert found["advice"] == ["none of its options makes it fit: use a larger device or a smaller model"]


def test_the_lengths_are_those_of_the_training_proteins(easy, tmp_path, capsys):
    found = recorded([*TINY, "--data", easy], tmp_path)
    from protbert_classify.data.loading import read_proteins

    lengths = [min(length + 2, 128) for length in read_proteins(easy)["train"]["sequence_length"]]
    assert (found["proteins"], found["tokens_per_epoch"]) == (45, sum(lengths))
    assert found["tokens_per_batch"] == 8 * max(lengths)
    out = capsys.readouterr().out
    assert "easy.fasta" in out and "DeepLoc" not in out


def test_a_run_folder_needs_no_weights(tmp_path, tiny_classifier):
    run = tmp_path / "run"
    tiny_classifier(pooling="light_attention").config.save_pretrained(run / "model")
    found = recorded(["estimate", "--model", str(run), "--max_length", "64", "--device", "T4"], tmp_path)
    model = tiny_classifier(pooling="light_attention")
    model.resize_position_embeddings(64)
    assert found["parameters"] == sum(parameter.numel() for parameter in model.parameters())
    assert found["precision"] == "float32"  # a T4 has no bf16


def test_this_machine_is_measured(tmp_path, capsys):
    found = recorded([*TINY, "--device", "here", "--utilisation", "1", "--epochs", "2"], tmp_path)
    assert 1e8 < found["rate"] < 1e16 and found["memory"] > 2**20
    assert found["seconds"] == pytest.approx(2 * found["flops_per_epoch"] / found["rate"])
    out = capsys.readouterr().out
    assert "measured now on its CPU" in out and "on this machine" in out


def test_a_frozen_backbone_is_computed_once(tmp_path):
    frozen = [*TINY, "--tuning", "frozen", "--pooling", "light_attention", "--epochs"]
    one, three = (recorded([*frozen, epochs], tmp_path) for epochs in "13")
    later = (three["seconds"] - one["seconds"]) / 2
    assert one["seconds"] == one["seconds_per_epoch"] and 0 < later < one["seconds"]
    full = recorded([*TINY, "--pooling", "light_attention", "--epochs", "1"], tmp_path)
    # training all of it costs the forward of the backbone twice more, and that of the pooling once, half of its own
    assert full["seconds"] - one["seconds"] == pytest.approx(2 * (one["seconds"] - later) + later / 2, rel=0.01)
    half = recorded([*frozen, "0.5"], tmp_path)
    assert half["seconds"] == pytest.approx(one["seconds"] / 2)


def test_the_time_of_a_frozen_backbone_is_explained(capsys):
    note = "from the second epoch on, train reads saved embeddings"
    for options, told in (([], 0), (["--freeze_backbone"], 1), (["--tuning", "lora"], 0)):
        assert main([*TINY, *options]) == 0
        assert capsys.readouterr().out.count(note) == told


def test_faster_and_slower_are_what_the_option_says(tmp_path):
    seconds = {share: recorded([*TINY, "--utilisation", share], tmp_path)["seconds"] for share in ("0.2", "0.4")}
    assert seconds["0.2"] == pytest.approx(2 * seconds["0.4"])


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--device", "T4", "--precision", "bf16"], "a T4 has no bf16; expected precision fp16 or float32"),
        (["--device", "Z80"], "invalid choice: 'Z80'"),
        (["--model", "a/b"], "expected --model or --backbone_config, one of them"),
        (["--max_length", "2"], "max_length=2: expected more than the 2 special tokens"),
        (["--max_length", "129"], "max_length=129: the backbone has 128 positions"),
        (["--tokens_per_batch", "100"], "tokens_per_batch=100: the longest protein has 128 tokens"),
        (["--utilisation", "1.5"], "found '1.5', expected a number above 0, at most 1"),
        (["--utilisation", "nan"], "found 'nan', expected a number above 0, at most 1"),
        (["--pooling", "none"], "pooling='none': expected one of mean, cls, pooler, light_attention"),
        (["--epochs", "0"], "found '0', expected a number above 0"),
        (["--data", "nowhere.fasta"], "nowhere.fasta: no such file"),
        (["--backbone_config", "{}"], "backbone_config has no model_type"),
        (["--backbone_config", '{"model_type": "no_such"}'], "no_such"),
    ],
)
def test_a_bad_option_is_one_line(capsys, more, words):
    assert main([*TINY, *more]) == 2
    (line,) = complaints(capsys.readouterr().err)
    assert line.startswith("protbert-classify estimate: ") and words in line


def test_no_such_model_is_one_line(capsys):
    assert main(["estimate", "--model", "/nowhere"]) == 2
    (line,) = complaints(capsys.readouterr().err)
    assert line.startswith("protbert-classify estimate: /nowhere: no such folder")


def test_help_costs_nothing_and_teaches():
    code = (
        "import sys\n"
        "from protbert_classify.commands import main\n"
        "try:\n    main(['estimate', '--help'])\n"
        "finally:\n    assert not {'torch', 'transformers', 'numpy', 'datasets'} & set(sys.modules)\n"
    )
    text = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert all(name in text for name in (*command.DEVICES, "examples:", "an assumption"))


def test_help_names_every_pooling(capsys):
    with pytest.raises(SystemExit):
        main(["estimate", "--help"])
    out = " ".join(capsys.readouterr().out.split())
    listed = out.split("--pooling POOLING ")[-1].split(" or your own")[0]
    assert sorted(listed.split(", ")) == sorted(POOLINGS)


def test_a_pooling_that_a_user_registered_is_estimated(tmp_path, monkeypatch):
    class WidePooling(torch.nn.Module):
        def __init__(self, config):
            super().__init__()
            self.widen = torch.nn.Linear(config.hidden_size, 1000)
            self.output_size = 1000

        def forward(self, output, mask):
            return self.widen(output.last_hidden_state).amax(1)

    monkeypatch.setitem(POOLINGS._parts, "wide", WidePooling)
    wide, mean = (recorded([*TINY, "--pooling", name], tmp_path) for name in ("wide", "mean"))
    assert wide["parameters"] - mean["parameters"] == 33 * 1000 + (1000 - 32) * 10
    tokens = 8 * 128
    assert wide["activations"] - mean["activations"] == pytest.approx(tokens * 1000 * 4, rel=0.1)


def test_every_device_has_a_source():
    assert all(device.source.startswith("NVIDIA ") for device in command.DEVICES.values())


def test_a_classifier_is_taken_at_the_length_it_was_trained_on(tmp_path, capsys, tiny_classifier):
    shape = {**TINY_SHAPE, "max_position_embeddings": 64}
    tiny_classifier(shape=shape, max_sequence_length=64).save_pretrained(tmp_path)
    assert main(["estimate", "--model", str(tmp_path), "--device", "T4", "--output", str(tmp_path / "e.json")]) == 0
    assert "is cut to --max_length 64" in capsys.readouterr().out
