"""Two processes on the CPU (gloo), and what accelerate launch is told."""

import json
import shutil
import subprocess
import sys
from glob import glob

import numpy as np
import pytest
from accelerate.commands.config.config_args import load_config_from_file
from accelerate.utils import DistributedType, FullyShardedDataParallelPlugin

from protbert_classify.errors import OptionError
from protbert_classify.training import distributed
from protbert_classify.training.distributed import (
    check_on_every_process,
    check_same_on_every_process,
    on_main_process,
)
from protbert_classify.training.options import parse_options
from tests.training.child import trained
from tests.training.runs import ROOT, TINY, encoded_proteins, environment, launch, two_processes

CONFIGS = {path.rsplit("/", 1)[1]: path for path in glob(str(ROOT / "examples" / "accelerate" / "*.yaml"))}


@pytest.mark.parametrize(
    ("name", "kind", "processes"),
    [
        ("cpu.yaml", DistributedType.MULTI_GPU, 2),
        ("single_gpu.yaml", DistributedType.NO, 1),
        ("multi_gpu.yaml", DistributedType.MULTI_GPU, 4),
        ("fsdp.yaml", DistributedType.FSDP, 4),
        ("multi_node.yaml", DistributedType.MULTI_GPU, 8),
    ],
)
def test_accelerate_reads_every_config_that_we_ship(name, kind, processes):
    config = load_config_from_file(CONFIGS[name])
    assert (config.distributed_type, config.num_processes) == (kind, processes)
    with open(CONFIGS[name], encoding="utf-8") as file:
        assert file.readline().startswith("# ")


def test_processes_that_split_the_proteins_differently_are_refused(monkeypatch):
    """As where one machine has MMseqs2 and another has not."""
    check_same_on_every_process({"train proteins": "ab"}, "the proteins", "install MMseqs2 on all machines")
    monkeypatch.setattr(distributed, "gather_object", lambda mine: [*mine, *mine, {"train proteins": "cd"}])
    with pytest.raises(OptionError, match="^the proteins of process 2 are not those of the main process; install MMs"):
        check_same_on_every_process({"train proteins": "ab"}, "the proteins", "install MMseqs2 on all machines")


def test_no_config_is_untested():
    assert set(CONFIGS) == {"cpu.yaml", "single_gpu.yaml", "multi_gpu.yaml", "fsdp.yaml", "multi_node.yaml"}


def test_fsdp_wraps_each_layer_of_our_model(tiny_classifier, monkeypatch):
    config = load_config_from_file(CONFIGS["fsdp.yaml"]).fsdp_config
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    plugin = FullyShardedDataParallelPlugin(
        fsdp_version=config["fsdp_version"], auto_wrap_policy=config["fsdp_auto_wrap_policy"].lower()
    )
    model = tiny_classifier()
    plugin.set_auto_wrap_policy(model)
    classes = plugin.auto_wrap_policy.keywords["transformer_layer_cls"]
    assert {type(layer) for layer in model.backbone.encoder.layer} <= classes


def test_processes_without_a_gpu_find_each_other_instead_of_training_alone(monkeypatch, tmp_path):
    """accelerate launch does not tell them that they are for the CPU."""
    arguments = ["--output_dir", str(tmp_path)]
    assert parse_options(arguments)[-1].use_cpu is False
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr("protbert_classify.training.training_arguments.has_gpu_backend", lambda: False)
    monkeypatch.setattr("transformers.TrainingArguments.__post_init__", lambda self: None)  # would wait for the other
    assert parse_options(arguments)[-1].use_cpu is True


@pytest.mark.slow
@pytest.mark.parametrize("proteins", [8, 7])
def test_two_processes_take_the_same_first_step_as_one(tmp_path, proteins):
    # 7 proteins: only our own batches deal them unevenly, Accelerate would repeat one
    strategy = "sequential" if proteins == 8 else "group_by_length"
    options = {"proteins": proteins, "dropout": 0.0, "max_steps": 1, "max_grad_norm": 1e9}
    options["train_sampling_strategy"] = strategy
    alone = trained(str(tmp_path / "one"), per_device_train_batch_size=8, **options)
    first, second = two_processes(tmp_path / "two", per_device_train_batch_size=4, **options)
    assert first["world_size"] == second["world_size"] == 2
    assert alone["world_size"] == 1
    assert sorted(len(batch) for result in (first, second) for batch in result["batches"]) == [proteins - 4, 4]
    for name in ("loss", "grad_norm"):
        assert first["history"][0][name] == pytest.approx(alone["history"][0][name], abs=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("tokens", [None, "100"])
def test_two_processes_take_every_step_of_one_and_predict_in_order(tmp_path, tokens):
    # 40 proteins: two batches of 4 have together the proteins of one batch of 8
    options = {"proteins": 40, "num_train_epochs": 2, "predict": 33, "dropout": 0.0, "tokens_per_batch": tokens}
    ranks = two_processes(tmp_path / "two", **options)
    alone = trained(str(tmp_path / "one"), per_device_train_batch_size=8, **options)
    untrained = trained(str(tmp_path / "none"), per_device_train_batch_size=8, **options | {"learning_rate": 0.0})
    for epoch in range(2):
        seen = [protein for rank in ranks for batch in rank["batches"][5 * epoch : 5 * epoch + 5] for protein in batch]
        assert len(seen) == len(set(seen)) == 40
    proteins = encoded_proteins(33, seed=2)
    for rank in ranks:
        assert rank["label_ids"] == proteins["labels"][:].tolist()
        assert rank["logits"] == ranks[0]["logits"]
    furthest = np.abs(np.array(ranks[0]["logits"]) - np.array(alone["logits"])).max()
    moved = np.abs(np.array(untrained["logits"]) - np.array(alone["logits"])).max()
    assert furthest < 1e-4 < 1e-2 < moved
    calls = np.argmax(ranks[0]["logits"], -1)
    assert ranks[0]["metrics"]["test_accuracy"] == pytest.approx((calls == proteins["labels"][:]).mean())


@pytest.mark.slow
def test_the_loss_of_a_training_is_that_of_all_processes_however_seldom_it_is_logged(tmp_path, easy):
    found = []
    for steps in ("1", "1000"):
        arguments = ["--data", easy, "--num_train_epochs", "1", "--logging_steps", steps, *TINY]
        done = launch(ROOT / "examples" / "train.py", *arguments, "--output_dir", tmp_path / steps)
        assert done.returncode == 0, done.stderr[-3000:]
        found.append(json.loads((tmp_path / steps / "metrics.json").read_text())["train_loss"])
    assert found[0] == pytest.approx(found[1], abs=1e-6)


@pytest.mark.slow
def test_the_example_trains_on_two_processes_and_on_one(tmp_path, easy):
    script = ROOT / "examples" / "train.py"
    arguments = ["--data", easy, "--num_train_epochs", "1", "--lora_rank", "16", *TINY]
    done = launch(script, *arguments, "--output_dir", tmp_path / "two")
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("test: 15 proteins") == 1
    assert done.stderr.count("lora_rank has no effect with tuning=full; expected tuning=lora") == 1
    alone = subprocess.run(
        [sys.executable, str(script), *arguments, "--output_dir", str(tmp_path / "one")],
        capture_output=True,
        text=True,
        env=environment(),
        cwd=tmp_path,
        timeout=120,
    )
    assert alone.returncode == 0, alone.stderr[-3000:]
    for name, processes in (("one", 1), ("two", 2)):
        assert json.loads((tmp_path / name / "run.json").read_text())["world_size"] == processes
        assert len((tmp_path / name / "test_predictions.csv").read_text().splitlines()) == 16


@pytest.mark.slow
@pytest.mark.parametrize("source", ["deeploc_sample", "scl2205"])
def test_the_example_trains_on_real_proteins_on_two_processes(tmp_path, request, source):
    if source == "deeploc_sample" and not (ROOT.parent / "shared" / "data" / "deeploc_sample.fasta").is_file():
        source = "scl2205"  # which every machine has
    found = request.getfixturevalue(source)
    path = found if isinstance(found, str) else found[0]
    subset = tmp_path / "subset.fasta"
    with open(path, encoding="utf-8") as file:
        records = file.read().split("\n>")
    subset.write_text("\n>".join([records[0], *records[12::12]]) + "\n")
    more = ["--max_train_samples", "100", "--num_train_epochs", "1", "--per_device_eval_batch_size", "64"]
    done = launch(
        *(ROOT / "examples" / "train.py", "--data", subset, "--output_dir", tmp_path / "run", *TINY, *more),
    )
    assert done.returncode == 0, done.stderr[-3000:]
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert record["world_size"] == 2
    assert metrics["train_proteins"] == 100
    with open(tmp_path / "run" / "test_predictions.csv", encoding="utf-8") as file:
        assert len(file.readlines()) - 1 == metrics["test_proteins"]
    expected = sum(header.split("\n")[0].endswith("test") for header in subset.read_text().split("\n>"))
    assert metrics["test_proteins"] == expected - subset.read_text().count("Cytoplasm-Nucleus-U test")


# --- processes decide alike, whatever each of them finds on its own disk

OWN_DISKS = {"proteins": 16, "num_train_epochs": 2, "save_strategy": "epoch", "save_total_limit": 5, "own_disk": True}


def test_one_process_decides_for_itself():
    assert on_main_process(lambda: "here", is_main=True) == "here"
    with pytest.raises(OptionError, match="no"):
        on_main_process(_refuse, is_main=True)
    check_on_every_process(True, "a file", "do this")
    with pytest.raises(OptionError, match="a file is not on the disk of process 0; do this"):
        check_on_every_process(False, "a file", "do this")


def _refuse():
    raise OptionError("no")


@pytest.mark.slow
def test_machines_without_a_shared_disk_resume_together_or_not_at_all(tmp_path):
    """One that resumed while the other started again would wait for it forever, or train another model."""
    first = two_processes(tmp_path, **OWN_DISKS)
    assert [result["steps"] for result in first] == [4, 4]
    for result in two_processes(tmp_path, **OWN_DISKS, resume=True):
        assert "checkpoint-4 is not on the disk of process 1; several machines need one folder" in result["error"]
    shutil.copytree(tmp_path / "run0", tmp_path / "run1", dirs_exist_ok=True)
    longer = OWN_DISKS | {"num_train_epochs": 3}
    assert [result["steps"] for result in two_processes(tmp_path, **longer, resume=True)] == [6, 6]


@pytest.mark.slow
def test_what_the_first_process_does_not_have_no_process_resumes_from(tmp_path):
    two_processes(tmp_path, **OWN_DISKS)
    shutil.copytree(tmp_path / "run0", tmp_path / "run1", dirs_exist_ok=True)
    shutil.rmtree(tmp_path / "run0")
    for result in two_processes(tmp_path, **OWN_DISKS, resume=True):
        assert "has no complete checkpoint to resume from" in result["error"]
