import dataclasses
import json
import os
import re

import pytest

from protbert_classify.commands import main
from protbert_classify.commands.train import help_text
from protbert_classify.data.deeploc import URL
from protbert_classify.reporting.terminal_summary import training_summary
from protbert_classify.training.arguments import DataArguments, ModelArguments
from protbert_classify.training.defaults import TRAINING_DEFAULTS
from tests.training.runs import SHAPE, TINY, call, complaints, easy_records, fasta

GOOD = "MKTAYIAKQR" * 3


def test_help_mentions_every_option_of_ours_with_its_default():
    text = help_text()
    for kind in (ModelArguments, DataArguments):
        for field in dataclasses.fields(kind):
            assert f"\n  --{field.name}\n" in text
    for name, (default, _) in TRAINING_DEFAULTS.items():
        assert f"\n  --{name}\n" in text
        assert default is None or f"default {default})" in text
    assert "one of mean, cls, pooler, light_attention" in " ".join(text.split())
    assert max(map(len, text.splitlines())) <= 120


def test_the_shape_in_the_help_is_complete(capsys, tmp_path, write_fasta):
    shape = re.search(r"'(\{.*?\})'", " ".join(help_text().split())).group(1)
    data, folder = write_fasta(easy_records()), tmp_path / "run"
    short = ["--max_length", "64", "--num_train_epochs", "1"]
    assert main(["train", "--data", data, "--output_dir", str(folder), "--backbone_config", shape, *short]) == 0
    record = json.loads((folder / "run.json").read_text())
    assert json.loads(shape).items() <= record["model_arguments"]["backbone_config"].items()


def refused(tmp_path, capsys, *arguments):
    """The one line that a training with these options ends with; nothing is left behind."""
    folder = tmp_path / "refused"
    assert main(["train", "--output_dir", str(folder), *TINY, *arguments]) == 2
    assert not folder.exists()
    (line,) = complaints(capsys.readouterr().err)
    assert line.startswith("protbert-classify train: ")
    return line


BAD_FILES = {
    "empty": ("", ["bad.fasta: no records"]),
    "no FASTA": ("hello world\n", ["bad.fasta: no FASTA file: it begins with 'hello world'"]),
    "no sequence": (f">P1 Nucleus-U\n{GOOD}\n>P2 Nucleus-U\n", ["bad.fasta, record 2 (P2): no residues"]),
    "no location": (f">P1 Nucleus-U\n{GOOD}\n>P2\n{GOOD}\n", ["record 2 (P2): found nothing", "expected Location-M"]),
    "unknown location": (f">P1 Moon-U\n{GOOD}\n", ["record 1 (P1): unknown location 'Moon'", "expected one of Cell"]),
    "conflict": (">P1 Nucleus-U\nMKV\n>P1 Nucleus-U\nMKT\n", ["record 2 (P1)", "stands in bad.fasta, record 1 too"]),
    "illegal character": (
        ">P1 Nucleus-U\nMK1T\n",
        ["record 1 (P1): '1' at position 3 is not a residue", "A-Z"],
    ),
    "only a stop": (">P1 Nucleus-U\n*\n", ["record 1 (P1): no residues"]),
    "no accession": (f"> Nucleus-U\n{GOOD}\n", ["record 1 ("]),
    "binary": ("\x00\xff\xfe", ["bad.fasta: "]),
    "test proteins alone": (f">P1 Nucleus-U test\n{GOOD}\n", ["no training proteins; found test only"]),
}


@pytest.mark.parametrize("kind", BAD_FILES)
def test_a_bad_file_is_one_line_that_says_where_and_what(tmp_path, capsys, kind):
    text, words = BAD_FILES[kind]
    (tmp_path / "bad.fasta").write_text(text, encoding="latin-1")
    line = refused(tmp_path, capsys, "--data", str(tmp_path / "bad.fasta"))
    assert all(word in line for word in words), line
    assert len(line) < 500


def test_a_class_that_only_the_test_set_has_is_named(tmp_path, capsys):
    data = tmp_path / "data.fasta"
    data.write_text(fasta([*easy_records(), ("Q1 Plastid-U test", GOOD)]))
    line = refused(tmp_path, capsys, "--data", str(data))
    assert "the test split has classes that no training protein has: Plastid" in line


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--max_length", "500"], "max_length=500: the backbone has 128 positions"),
        (["--max_length", "2"], "max_length=2: expected 10 or more, room for a few residues"),
        (["--max_length", "3"], "max_length=3: expected 10 or more, room for a few residues"),
        (["--learning_rate", "-1"], "learning_rate=-1.0: expected 0 or more"),
        (["--adam_beta1", "2"], "adam_beta1=2.0: expected 0 up to below 1"),
        (["--split_seed", "-1"], "split_seed=-1: expected 0 to 4294967295"),
        (["--label_smoothing_factor", "3"], "label_smoothing_factor=3.0: expected 0 up to below 1"),
        (["--weight_decay", "-1"], "weight_decay=-1.0: expected 0 or more"),
        (["--early_stopping_patience", "-1"], "early_stopping_patience=-1: expected 0 or more"),
        (["--model_name_or_path", "facebook/esm2_t6_8M_UR50D"], "model_name_or_path and backbone_config exclude each"),
        (["--data", "nowhere.fasta"], "nowhere.fasta: no such file"),
        (["--data", "nowhere.csv"], "nowhere.csv: no such file"),
        (["--validation", "1.5"], "validation=1.5"),
        (["--freeze_layers", "9"], "freeze_layers=9: expected 0 to 1"),
        (["--light_attention_kernel_size", "4"], "expected an odd number"),
        (["--attn_implementation", "flash_attention_2"], "FlashAttention"),
        (["--backbone_config", "nowhere.json"], "nowhere.json': no such file"),
        (["--backbone_config", '{"model_type": "nonsense"}'], "nonsense"),
        (["--backbone_config", '{"model_type": "gpt2"}'], "gpt2 is a decoder; expected an encoder such as ProtBERT"),
        (["--backbone_config", '{"model_type": "bert", "hidden_size": "x"}'], "'hidden_size' expected int, got str"),
        (
            ["--backbone_config", '{"model_type": "esm", "max_position_embeddings": 64}'],
            "max_length=64: the backbone has 63 positions; expected no more",
        ),
        (["--header_pattern", "("], "header_pattern"),
        (["--report_to", "nobody"], "nobody is not supported"),
        (["--learning_rat", "1"], "unknown option --learning_rat; did you mean --learning_rate?"),
        (["--pooling", "max"], "pooling='max': expected one of mean, cls"),
        (["--optim", "magic"], "magic"),
        (["--resume", "--overwrite"], "exclude each other"),
    ],
)
def test_a_bad_option_is_one_line(tmp_path, easy, capsys, arguments, words):
    assert words in refused(tmp_path, capsys, "--data", easy, *arguments)


def test_a_model_that_is_not_there_is_one_line(tmp_path, easy, capsys):
    arguments = ["--data", easy, "--output_dir", str(tmp_path / "refused"), "--model_name_or_path"]
    (tmp_path / "empty").mkdir()
    for name, reason in ((str(tmp_path / "nowhere"), "no such folder"), (str(tmp_path / "empty"), "no model there")):
        assert main(["train", *arguments, name]) == 2
        (line,) = complaints(capsys.readouterr().err)
        assert f"{name}: {reason}" in line
    assert not (tmp_path / "refused").exists()


def test_an_output_dir_that_is_a_file_is_refused(tmp_path, easy, capsys):
    (tmp_path / "file").write_text("mine")
    assert main(["train", "--data", easy, "--output_dir", str(tmp_path / "file"), *TINY]) == 2
    assert "is a file; expected a folder" in complaints(capsys.readouterr().err)[0]
    assert (tmp_path / "file").read_text() == "mine"


def test_a_broken_download_is_the_environments_fault(tmp_path, capsys, monkeypatch):
    def no_network(*args, **kwargs):
        raise ConnectionError("no route to host")

    monkeypatch.setattr("protbert_classify.data.deeploc.DeepLoc.download_and_prepare", no_network)
    assert main(["train", "--output_dir", str(tmp_path / "run"), *TINY]) == 1
    (line,) = complaints(capsys.readouterr().err)
    assert URL in line and "check the network" in line
    assert not (tmp_path / "run").exists()


def test_a_finished_run_is_refused_then_overwritten(tmp_path, easy, capsys):
    arguments = ["train", "--data", easy, "--output_dir", str(tmp_path / "run"), *TINY, "--num_train_epochs", "1"]
    assert main(arguments) == 0
    out = capsys.readouterr().out
    assert "\ntest: 15 proteins, accuracy 0." in out or "\ntest: 15 proteins, accuracy 1." in out
    assert f"model in {tmp_path}/run/model" in out
    before = (tmp_path / "run" / "run.json").stat().st_mtime_ns
    assert main(arguments) == 2
    assert "holds a finished run; set another output_dir" in complaints(capsys.readouterr().err)[0]
    assert (tmp_path / "run" / "run.json").stat().st_mtime_ns == before
    assert main([*arguments, "--overwrite"]) == 0
    assert (tmp_path / "run" / "run.json").stat().st_mtime_ns > before


def test_ctrl_c_while_the_test_proteins_are_predicted_says_how_to_finish(tmp_path, easy, capsys, monkeypatch):
    arguments = ["train", "--data", easy, "--output_dir", str(tmp_path / "run"), *TINY, "--num_train_epochs", "1"]

    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("protbert_classify.training.run.write_test_results", stop)
        assert main(arguments) == 130
    (line,) = complaints(capsys.readouterr().err)
    assert line.endswith(
        "after the training, before its model was saved; train again with resume to evaluate and save it"
    )
    assert not (tmp_path / "run" / "run.json").exists()
    assert main([*arguments, "--resume"]) == 0
    assert "\ntest: 15 proteins" in capsys.readouterr().out


def test_a_recipe_in_a_file_runs(tmp_path, easy):
    recipe = tmp_path / "run.yaml"
    values = {"data": easy, "backbone_config": SHAPE, "max_length": 64, "num_train_epochs": 9}
    recipe.write_text(json.dumps(values))
    folder = tmp_path / "run"
    assert main(["train", str(recipe), "--output_dir", str(folder), "--num_train_epochs", "1"]) == 0
    record = json.loads((folder / "run.json").read_text())
    assert record["training_arguments"]["num_train_epochs"] == 1
    assert record["model_arguments"]["backbone_config"] == SHAPE
    assert record["model_arguments"]["model_name_or_path"] is None


@pytest.mark.slow
def test_a_process_of_its_own_ends_with_2_one_line_and_no_traceback(tmp_path):
    (tmp_path / "bad.fasta").write_text(BAD_FILES["illegal character"][0])
    done = call("train", "--data", tmp_path / "bad.fasta", "--output_dir", tmp_path / "run", *TINY)
    assert done.returncode == 2
    assert len(complaints(done.stderr)) == 1
    assert "Traceback" not in done.stderr
    assert os.listdir(tmp_path) == ["bad.fasta"]


def test_a_data_file_that_is_not_there_is_told_before_a_model_is_looked_for(tmp_path, capsys):
    assert main(["train", "--data", str(tmp_path / "nope.fasta"), "--output_dir", str(tmp_path / "run")]) == 2
    (line,) = complaints(capsys.readouterr().err)
    assert f"{tmp_path}/nope.fasta: no such file" in line


def test_an_unknown_kind_of_encoder_is_one_short_line(tmp_path, easy, capsys):
    arguments = ["--data", easy, "--output_dir", str(tmp_path / "run"), "--backbone_config", '{"model_type": "brt"}']
    assert main(["train", *arguments]) == 2
    (line,) = complaints(capsys.readouterr().err)
    assert line.endswith("backbone_config: unknown model_type 'brt'; expected bert, esm, t5, ...")


def test_a_number_out_of_its_range_is_told_before_the_data_is_looked_for(capsys):
    assert main(["train", "--data", "nowhere.fasta", "--learning_rate", "-1"]) == 2
    assert complaints(capsys.readouterr().err) == ["protbert-classify train: learning_rate=-1.0: expected 0 or more"]


def test_the_summary_counts_one_protein_as_one():
    numbers = {"accuracy": 1.0, "mcc": 0.0, "macro_f1": 1.0, "proteins": 1}
    metrics = {"train_runtime": 2.0, **{f"validation_{name}": value for name, value in numbers.items()}}
    assert training_summary(metrics, "runs/x").startswith("validation: 1 protein, accuracy 1.000")


def test_a_training_that_diverges_ends_with_one_line_and_no_model(tmp_path, easy, capsys):
    folder = tmp_path / "run"
    arguments = ["--data", easy, "--output_dir", str(folder), *TINY, "--learning_rate", "1e38", "--warmup_steps", "0"]
    assert main(["train", *arguments]) == 2
    (line,) = complaints(capsys.readouterr().err)
    assert "loss is not a number at step " in line or "weights are not numbers at step " in line
    assert line.endswith("; lower learning_rate (now 1e+38)")
    assert not (folder / "model").exists() and not (folder / "run.json").exists()
