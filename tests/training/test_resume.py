import json
import os
import shutil
import signal
import subprocess
import time

import psutil
import pytest
import torch
from transformers import set_seed

from protbert_classify import ProteinClassifier, ProteinClassifierConfig, ProteinTrainer
from protbert_classify.data.tokenizer import protbert_tokenizer
from protbert_classify.errors import OptionError
from protbert_classify.runs.checkpoints import checkpoints, newest_complete_checkpoint
from protbert_classify.training.resume import check_unchanged
from tests.training.child import build_trainer, trained
from tests.training.runs import CHILD, LABELS, assert_same_weights, environment, launcher, two_processes, write_spec
from tests.training.trainers import StopAt, arguments, raw_proteins

RUN = {"proteins": 37, "num_train_epochs": 3, "save_strategy": "steps", "save_steps": 3, "save_total_limit": 20}


@pytest.mark.parametrize("strategy", ["group_by_length", "random", "sequential"])
@pytest.mark.parametrize("step", [10, 12])  # the end of an epoch, the middle of the next
def test_a_resumed_run_goes_on_as_it_would_have_gone(tmp_path, strategy, step):
    options = {**RUN, "save_steps": step, "train_sampling_strategy": strategy}
    undisturbed = trained(str(tmp_path), **options)
    shutil.move(tmp_path / "final", tmp_path / "undisturbed")
    resumed = trained(str(tmp_path), resume=str(tmp_path / "run" / f"checkpoint-{step}"), **options)
    assert resumed["batches"] == undisturbed["batches"][step:]
    assert_same_weights(tmp_path / "final", tmp_path / "undisturbed")


def test_a_resumed_run_of_an_esm_has_the_layer_norms_of_an_undisturbed_one(tmp_path):
    """transformers saves them under names that its Trainer does not read."""
    shape = {"model_type": "esm", "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    shape |= {"intermediate_size": 32, "vocab_size": 30, "pad_token_id": 0, "position_embedding_type": "rotary"}

    def esm(folder, **options):
        set_seed(3)
        model = ProteinClassifier(ProteinClassifierConfig(shape, labels=LABELS, max_sequence_length=64))
        proteins = raw_proteins(20)
        return ProteinTrainer(
            model, arguments(folder, **options), train_dataset=proteins, processing_class=protbert_tokenizer()
        )

    undisturbed = esm(tmp_path / "undisturbed")
    undisturbed.train()
    stopped = esm(tmp_path / "stopped")
    stopped.add_callback(StopAt(4))
    stopped.train()
    resumed = esm(tmp_path / "stopped", resume=True)
    resumed.train()
    expected = undisturbed.model.state_dict()
    assert resumed.state.global_step == 9 and sum("LayerNorm" in name for name in expected) == 4
    for name, weight in resumed.model.state_dict().items():
        assert torch.equal(weight, expected[name]), name


def test_a_resumed_run_with_accumulation_goes_on_as_it_would_have_gone(tmp_path):
    options = {**RUN, "gradient_accumulation_steps": 3, "per_device_train_batch_size": 2, "save_steps": 9}
    undisturbed = trained(str(tmp_path), **options)
    shutil.move(tmp_path / "final", tmp_path / "undisturbed")
    resumed = trained(str(tmp_path), resume=str(tmp_path / "run" / "checkpoint-9"), **options)
    assert resumed["batches"] == undisturbed["batches"][19 + 2 * 3 :]
    assert_same_weights(tmp_path / "final", tmp_path / "undisturbed")


def test_early_stopping_goes_on_counting_after_a_resume(tmp_path):
    options = {"validation": 12, "num_train_epochs": 20, "learning_rate": 0.0, "save_total_limit": 20}
    options.update(eval_strategy="epoch", save_strategy="epoch", load_best_model_at_end=True, patience=3)
    undisturbed = trained(str(tmp_path), **options)
    assert undisturbed["steps"] == 8 * 4
    resumed = trained(str(tmp_path), resume=str(tmp_path / "run" / "checkpoint-24"), **options)
    assert resumed["steps"] == 8 * 4


def test_a_run_that_stopped_early_trains_no_further_when_resumed_unless_with_more_patience(tmp_path):
    options = {"validation": 12, "num_train_epochs": 20, "learning_rate": 0.0, "save_total_limit": 20}
    options.update(eval_strategy="epoch", save_strategy="epoch", load_best_model_at_end=True)
    stopped = trained(str(tmp_path), patience=3, **options)
    assert stopped["steps"] == 8 * 4
    shutil.move(tmp_path / "final", tmp_path / "stopped")
    resumed = trained(str(tmp_path), patience=3, resume=True, **options)  # interrupted in the evaluation that follows
    assert resumed["steps"] == 8 * 4 and resumed["batches"] == []
    assert_same_weights(tmp_path / "final", tmp_path / "stopped")
    assert trained(str(tmp_path), patience=5, resume=True, **options)["steps"] == 8 * 6


def test_a_run_that_was_moved_ends_with_its_best_checkpoint_all_the_same(tmp_path):
    options = {"validation": 20, "num_train_epochs": 6, "learning_rate": 0.2, "save_total_limit": 20}
    options.update(eval_strategy="epoch", save_strategy="epoch", load_best_model_at_end=True)
    options.update(metric_for_best_model="loss", greater_is_better=False)
    best = trained(str(tmp_path / "here"), **options)["best"]
    assert not best.endswith("checkpoint-48")  # the last is not the best
    shutil.move(tmp_path / "here", tmp_path / "there")
    resumed = trained(str(tmp_path / "there"), resume=True, **options)
    assert resumed["best"] == best.replace("/here/", "/there/")
    assert_same_weights(tmp_path / "there" / "final", resumed["best"])


def test_weights_alone_are_not_trained_on(tmp_path):
    trained(str(tmp_path), **RUN, save_only_model=True)
    with pytest.raises(
        OptionError, match="checkpoint-30 has no optimizer .save_only_model.*start again with overwrite"
    ):
        trained(str(tmp_path), resume=True, **RUN)


def test_early_stopping_can_join_a_run_that_had_none(tmp_path):
    options = {"validation": 12, "learning_rate": 0.0, "save_total_limit": 20}
    options.update(eval_strategy="epoch", save_strategy="epoch", load_best_model_at_end=True)
    trained(str(tmp_path), num_train_epochs=1, **options)
    resumed = trained(str(tmp_path), resume=True, num_train_epochs=20, patience=2, **options)
    assert resumed["steps"] == 8 * 3


def test_resume_true_takes_the_newest_whole_checkpoint(tmp_path):
    trained(str(tmp_path), **RUN)
    folder = str(tmp_path / "run")
    (tmp_path / "run" / "checkpoint-99").mkdir()
    trainer = build_trainer(str(tmp_path), **RUN)
    trainer.train(resume_from_checkpoint=True)
    assert trainer.state.global_step == 30
    assert os.path.basename(newest_complete_checkpoint(folder)) == "checkpoint-30"


@pytest.mark.slow
@pytest.mark.parametrize("batches", [{}, {"tokens_per_batch": "160"}], ids=["proteins", "tokens"])
def test_two_processes_go_on_in_the_middle_of_an_epoch_as_they_would_have_gone(tmp_path, batches):
    options = {**RUN, **batches}
    undisturbed = two_processes(tmp_path, **options)
    assert undisturbed[0]["steps"] == 15  # epochs have 5 steps
    shutil.move(tmp_path / "final", tmp_path / "undisturbed")
    resumed = two_processes(tmp_path, resume=str(tmp_path / "run" / "checkpoint-9"), **options)
    for before, after in zip(undisturbed, resumed, strict=True):
        assert after["world_size"] == 2
        assert after["batches"] == before["batches"][9:]
    assert_same_weights(tmp_path / "final", tmp_path / "undisturbed")


def start_and_kill(folder, **spec):
    """Start two processes, wait until they say that they are where they shall die, and kill them all."""
    sentinel = folder / "sentinel"
    sentinel.unlink(missing_ok=True)
    log = folder / "killed.log"
    with open(log, "wb") as output:
        parent = subprocess.Popen(
            launcher(CHILD, write_spec(folder, **spec)),
            stdout=output,
            stderr=output,
            env=environment(),
            start_new_session=True,
        )
    deadline = time.monotonic() + 300
    while not sentinel.exists():
        assert parent.poll() is None, log.read_text()[-3000:]
        assert time.monotonic() < deadline, log.read_text()[-3000:]
        time.sleep(0.05)
    # torchrun gives each child a session of its own: killing one process group would leave them alive
    family = [*psutil.Process(parent.pid).children(recursive=True), psutil.Process(parent.pid)]
    workers = [process for process in family if CHILD in process.cmdline() and process.pid != parent.pid]
    assert len(workers) == 2
    assert all(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in family)
    for process in family:
        os.kill(process.pid, signal.SIGKILL)
    assert parent.wait(timeout=30) == -signal.SIGKILL
    _, alive = psutil.wait_procs(family, timeout=30)
    assert not alive


@pytest.mark.slow
def test_training_killed_twice_ends_with_the_weights_of_an_undisturbed_one(tmp_path):
    undisturbed = tmp_path / "undisturbed"
    two_processes(undisturbed, **RUN)
    killed = tmp_path / "killed"
    killed.mkdir()

    start_and_kill(killed, hang_at=4, **RUN)  # between the checkpoints 3 and 6
    first = newest_complete_checkpoint(str(killed / "run"))
    assert os.path.basename(first) == "checkpoint-3"

    start_and_kill(killed, resume=True, hang_in_save=9, **RUN)  # in the middle of the checkpoint 9
    half = checkpoints(str(killed / "run"))[-1]
    assert os.path.basename(half) == "checkpoint-9"
    assert os.path.exists(os.path.join(half, "model.safetensors"))
    assert not os.path.exists(os.path.join(half, "trainer_state.json"))
    assert os.path.basename(newest_complete_checkpoint(str(killed / "run"))) == "checkpoint-6"

    ranks = two_processes(killed, resume=True, **RUN)
    assert [len(rank["batches"]) for rank in ranks] == [9, 9]  # steps 7 to 15
    assert_same_weights(killed / "final", undisturbed / "final")


@pytest.mark.parametrize(
    ("before", "now", "words"),
    [
        ({}, {"model_name_or_path": "a"}, "began with ProteinTrainer; resume it in Python, or start"),
        ({"model_name_or_path": "a"}, {}, "began with protbert-classify train; resume it with that command, or"),
    ],
)
def test_a_run_is_resumed_where_it_began_and_no_option_is_blamed(tmp_path, before, now, words):
    (tmp_path / "settings.json").write_text(json.dumps({"seed": 1, **before}))
    with pytest.raises(OptionError, match=words):
        check_unchanged(str(tmp_path), {"seed": 1, **now})
    check_unchanged(str(tmp_path), {"seed": 1, **before})


def test_a_run_that_began_with_the_former_name_of_a_head_is_resumed(tmp_path):
    (tmp_path / "settings.json").write_text(json.dumps({"head": "article"}))
    check_unchanged(str(tmp_path), {"head": "tanh"})
    with pytest.raises(OptionError, match="head was tanh when the run .* began and is linear"):
        check_unchanged(str(tmp_path), {"head": "linear"})
