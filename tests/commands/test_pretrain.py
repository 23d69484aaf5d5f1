import dataclasses
import json

import pytest
from transformers import BertConfig, BertLMHeadModel, GPT2Config, GPT2LMHeadModel, T5Config, T5ForConditionalGeneration

from protbert_classify.commands import main
from protbert_classify.commands.pretrain import help_text, summary
from protbert_classify.data.tokenizer import protbert_tokenizer
from protbert_classify.pretraining.arguments import PretrainedEncoderArguments, UnlabelledDataArguments
from protbert_classify.pretraining.defaults import OF_CLASSIFIERS, PRETRAINING_DEFAULTS
from protbert_classify.pretraining.training_arguments import PretrainingArguments
from tests.training.runs import SHAPE, complaints, easy_records, fasta

SCRATCH = ["--backbone_config", json.dumps(SHAPE), "--max_length", "64", "--num_train_epochs", "1", "--split", "random"]


@pytest.fixture
def data(tmp_path):
    path = tmp_path / "proteins.fasta"
    path.write_text(fasta(easy_records(30)))
    return str(path)


def refused(tmp_path, capsys, *arguments):
    """The one line that a pretraining with these options ends with; nothing is left behind."""
    folder = tmp_path / "refused"
    assert main(["pretrain", "--output_dir", str(folder), *arguments]) == 2
    assert not folder.exists()
    (line,) = complaints(capsys.readouterr().err)
    assert line.startswith("protbert-classify pretrain: ") and len(line) < 500
    return line


def test_help_mentions_every_option_with_its_default_and_three_commands():
    text = help_text()
    for kind in (PretrainedEncoderArguments, UnlabelledDataArguments):
        for field in dataclasses.fields(kind):
            assert f"\n  --{field.name}\n" in text
    for name, (default, _) in PRETRAINING_DEFAULTS.items():
        assert f"\n  --{name}\n" in text
        assert default is None or f"default {default})" in text
    assert text.count("\n  protbert-classify ") == 3
    assert max(map(len, text.splitlines())) <= 120
    assert [name for name in OF_CLASSIFIERS if f"--{name}\n" in text] == []


def test_the_defaults_in_the_help_are_those_of_the_arguments(tmp_path):
    arguments = PretrainingArguments(str(tmp_path), use_cpu=True)
    for name, (default, _) in PRETRAINING_DEFAULTS.items():
        if default is not None and name not in ("output_dir", "report_to"):  # given; a list
            assert getattr(arguments, name) == default, name


def test_records_that_cannot_be_read_are_told_at_the_end_and_in_the_exit_code(tmp_path, data, capsys):
    with open(data, "a") as file:
        file.write(">Q1 a\nMK1\n")
    folder = str(tmp_path / "run")
    assert main(["pretrain", "--data", data, "--output_dir", folder, *SCRATCH]) == 3
    captured = capsys.readouterr()
    assert f"1 record rejected; they and the reasons in {folder}/rejected.csv\n" in captured.out
    assert "1 record rejected; the first: proteins.fasta, record 31 (Q1): '1' at position 3" in captured.err
    line = refused(tmp_path, capsys, "--data", data, "--strict", *SCRATCH)
    assert "proteins.fasta, record 31 (Q1): '1' at position 3 is not a residue" in line


BAD_DATA = {
    "empty": ("", "bad.fasta: no records"),
    "no FASTA": ("hello\n", "bad.fasta: no FASTA file: it begins with 'hello'"),
    "one protein": (">P1\nMKT\n>P2\nMKT\n", "bad.fasta: 1 protein to train on; expected 2 or more different ones"),
    "no protein": (">P1\nMK1\n", "bad.fasta: no record can be read as a protein; the first: '1' at position 3"),
}


@pytest.mark.parametrize("kind", BAD_DATA)
def test_bad_data_is_one_line(tmp_path, capsys, kind):
    text, words = BAD_DATA[kind]
    (tmp_path / "bad.fasta").write_text(text)
    assert words in refused(tmp_path, capsys, "--data", str(tmp_path / "bad.fasta"), *SCRATCH)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--exclude", "{data}"], "proteins.fasta: all of 30 proteins are neighbours of excluded ones (at least 30%"),
        (["--exclude", "nowhere.fasta"], "nowhere.fasta: no such file"),
        (["--data", "nowhere.csv"], "nowhere.csv: no such file"),
        (["--split", "family"], "split='family': expected one of homology, identical, random"),
        (["--validation", "1"], "validation=1.0: expected a share of the training proteins"),
        (["--exclude_identity", "1.5"], "exclude_identity=1.5: expected more than 0"),
        (["--mask_share", "2"], "mask_share=2.0: expected more than 0 and at most 1"),
        (["--max_length", "200"], "max_length=200: the backbone has 128 positions"),
        (["--num_train_epochs", "0"], "num_train_epochs=0.0: expected more than 0"),
        (["--metric_for_best_model", "mcc"], "metric_for_best_model='mcc': expected one of loss, perplexity"),
        (["--calibrate", "none"], "calibrate is an option of train and has no effect on pretraining"),
        (["--push_to_hub", "true"], "push_to_hub: not for a pretraining"),
        (["--label_column", "a"], "unknown option --label_column; did you mean --id_column?"),
        (["--zzz", "a"], "unknown option --zzz; pretrain --help lists them"),
        (["--recipe", "lora"], "unknown option --recipe"),  # those of train, which are for classifiers
        (["--model_name_or_path", "runs/none/at/all"], "exclude each other"),
        (["--resume", "true", "--overwrite", "true"], "resume and overwrite exclude each other"),
    ],
)
def test_a_bad_option_is_one_line(tmp_path, capsys, data, options, words):
    options = [option.replace("{data}", data) for option in options]
    assert words in refused(tmp_path, capsys, "--data", data, *SCRATCH, *options)


SMALL = {"num_hidden_layers": 1, "num_attention_heads": 2, "hidden_size": 16, "intermediate_size": 32, "vocab_size": 30}
WITHOUT_HEAD = {
    "decoder": (GPT2LMHeadModel, GPT2Config(n_embd=16, n_layer=1, n_head=2, vocab_size=30), "gpt2 is a decoder"),
    "BERT as a decoder": (BertLMHeadModel, BertConfig(**SMALL, is_decoder=True), "is_decoder=True is a decoder"),
    "T5": (
        T5ForConditionalGeneration,
        T5Config(d_model=16, d_kv=8, d_ff=32, num_layers=1, num_heads=2, vocab_size=30, decoder_start_token_id=0),
        "a model of type t5 has no masked-language head; expected an encoder such as ProtBERT (bert), ESM-2 (esm)",
    ),
}


@pytest.mark.parametrize("kind", WITHOUT_HEAD)
def test_a_model_without_a_masked_language_head_is_one_line(tmp_path, capsys, data, kind):
    build, config, words = WITHOUT_HEAD[kind]
    source = tmp_path / "source"
    build(config).save_pretrained(source)
    protbert_tokenizer().save_pretrained(source)
    capsys.readouterr()
    assert words in refused(tmp_path, capsys, "--data", data, "--model_name_or_path", str(source))


def test_t5_from_scratch_and_a_fine_tuned_classifier_are_one_line(tmp_path, capsys, data, tiny_classifier):
    shape = json.dumps({"model_type": "t5", "d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 1, "num_heads": 2})
    line = refused(tmp_path, capsys, "--data", data, "--backbone_config", shape)
    assert "backbone_config of model_type t5: a model of type t5 has no masked-language head" in line
    tiny_classifier().save_pretrained(tmp_path / "tuned")
    protbert_tokenizer().save_pretrained(tmp_path / "tuned")
    capsys.readouterr()
    line = refused(tmp_path, capsys, "--data", data, "--model_name_or_path", str(tmp_path / "tuned"))
    assert "a fine-tuned classifier, which has no masked-language head any more; expected the encoder that it" in line


def test_a_run_of_one_command_is_not_resumed_by_the_other(tmp_path, data, capsys):
    folder = str(tmp_path / "run")
    assert main(["pretrain", "--data", data, "--output_dir", folder, *SCRATCH]) == 0
    capsys.readouterr()
    assert main(["train", "--data", data, "--output_dir", folder, *SCRATCH, "--resume"]) == 2
    assert "command was pretrain when the run in" in complaints(capsys.readouterr().err)[-1]
    assert main(["pretrain", "--data", data, "--output_dir", folder, *SCRATCH]) == 2
    assert "holds a finished run" in complaints(capsys.readouterr().err)[-1]
    assert (
        main(["pretrain", "--data", data, "--output_dir", folder, *SCRATCH, "--num_train_epochs", "2", "--resume"]) == 0
    )
    assert json.loads((tmp_path / "run" / "metrics.json").read_text())["epoch"] == 2


def test_a_pretraining_does_not_replace_what_it_begins_with(tmp_path, data, capsys):
    folder = tmp_path / "run"
    assert main(["pretrain", "--data", data, "--output_dir", str(folder), *SCRATCH]) == 0
    capsys.readouterr()
    again = ["pretrain", "--data", data, "--output_dir", str(folder), "--overwrite", "--max_length", "64"]
    assert main([*again, "--model_name_or_path", str(folder)]) == 2
    assert f"output_dir {folder} would replace it; expected another output_dir" in capsys.readouterr().err
    assert (folder / "model" / "config.json").is_file()


def test_without_data_it_says_how_to_give_some(tmp_path, capsys):
    assert "data: found none; expected proteins to train on: --data proteins.fasta" in refused(tmp_path, capsys)


def test_options_come_from_a_file_too(tmp_path, data):
    folder = tmp_path / "run"
    (tmp_path / "run.yaml").write_text(
        f"data: [{data}]\nbackbone_config: '{json.dumps(SHAPE)}'\nmax_length: 64\nmax-steps: 1\nsplit: random\n"
    )
    assert main(["pretrain", str(tmp_path / "run.yaml"), "--output-dir", str(folder)]) == 0
    found = json.loads((folder / "run.json").read_text())
    assert (found["training_arguments"]["max_steps"], found["training_arguments"]["max_length"]) == (1, 64)


@pytest.mark.parametrize("from_scratch", [True, False])
def test_a_network_from_scratch_is_fine_tuned_with_a_higher_learning_rate(from_scratch):
    told = summary({"rejected_records": 0, "train_runtime": 3.0}, "runs/domain", from_scratch)
    command = "protbert-classify train --data LABELLED.fasta --model_name_or_path runs/domain/model"
    assert told.endswith(f"to fine-tune it: {command}{' --learning_rate 3e-4' if from_scratch else ''}")


@pytest.mark.parametrize(("loss", "warned"), [(2.95, True), (2.8, False)])
def test_a_model_that_knows_no_more_than_the_frequencies_of_residues_is_told(loss, warned):
    metrics = {"validation_proteins": 10, "validation_loss": loss, "validation_frequency_loss": 2.9}
    metrics |= {"validation_perplexity": 18.0, "validation_masked_accuracy": 0.1, "rejected_records": 0}
    told = summary({**metrics, "train_runtime": 3.0}, "runs/domain")
    assert ("has not learned more than these frequencies: train longer" in told) == warned
