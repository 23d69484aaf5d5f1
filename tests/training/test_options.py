import dataclasses
import json

import pytest
from transformers import TrainingArguments

from protbert_classify.errors import OptionError
from protbert_classify.model_source import backbone_shape
from protbert_classify.training.options import check_options, parse_options
from protbert_classify.training.training_arguments import ProteinTrainingArguments


@pytest.fixture
def parse(tmp_path):
    return lambda *arguments: parse_options([*arguments, "--output_dir", str(tmp_path / "run")])


@pytest.fixture
def option_file(tmp_path):
    def write(text, name="run.yaml"):
        path = tmp_path / name
        path.write_text(text if isinstance(text, str) else json.dumps(text))
        return str(path)

    return write


@pytest.mark.parametrize("name", ["run.yaml", "run.yml", "run.json"])
def test_the_command_line_wins_over_the_file(parse, option_file, name):
    values = {"learning_rate": 1e-4, "num_train_epochs": 7, "pooling": "cls", "max_length": 100}
    path = option_file(values, name)
    model, data, training = parse(path, "--learning_rate", "3e-5", "--max_length", "200")
    assert (training.learning_rate, training.num_train_epochs) == (3e-5, 7)
    assert (model.pooling, data.max_length) == ("cls", 200)


def test_a_yaml_file_is_read_as_people_write_it(parse, option_file):
    path = option_file(
        """\
        # a comment
        data: proteins.fasta
        learning_rate: 2e-4
        freeze_backbone: true
        bf16: false
        max_train_samples:
        report_to: [none]
        backbone_config:
          model_type: bert
          hidden_size: 16
        lr_scheduler_kwargs: {num_cycles: 2}
        """
    )
    model, data, training = parse(path)
    assert data.data == "proteins.fasta"
    assert data.max_train_samples is None
    assert training.learning_rate == 2e-4  # YAML 1.1 has it as a string
    assert model.freeze_backbone is True
    assert training.bf16 is False
    assert backbone_shape(model.backbone_config) == {"model_type": "bert", "hidden_size": 16}
    assert training.lr_scheduler_kwargs == {"num_cycles": 2}


@pytest.mark.parametrize(
    ("option", "meant"),
    [("--learning_rat", "learning_rate"), ("--colour", None), ("--num-train-epoch", "num_train_epochs")],
)
def test_an_unknown_option_names_what_may_have_been_meant(parse, option, meant):
    with pytest.raises(OptionError) as raised:
        parse(option, "1")
    assert str(raised.value).startswith(f"unknown option {option}")
    assert meant is None or f"did you mean --{meant}?" in str(raised.value)


def test_an_unknown_option_in_a_file_is_refused_too(parse, option_file):
    with pytest.raises(OptionError, match="unknown option --poolign; did you mean --pooling"):
        parse(option_file("poolign: mean"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--num_train_epochs", "two"], "num_train_epochs='two': expected a number"),
        (["--max_length", "3.5"], "max_length='3.5': expected a whole number"),
        (["--crop", "middle"], "crop='middle': expected one of ends, head, tail"),
        (["--bf16", "perhaps"], "bf16='perhaps': expected true or false"),
        (["--pooling", "max"], "pooling='max': expected one of mean, cls, pooler, light_attention"),
        (["--max_length"], "expected one argument"),
        (["--eval_strategy", "daily"], "eval_strategy='daily': expected one of no, steps, epoch"),
        (["--freeze_backbone", "maybe"], "freeze_backbone"),
        (["a.fasta.gz"], "found 'a.fasta.gz', expected --option value; did you mean --data a.fasta.gz?"),
        (["--seed", "1", "lab.csv"], "found 'lab.csv', expected --option value; did you mean --data lab.csv?"),
        (["everything"], "found 'everything', expected --option value"),
        (
            ["--save_strategy", "no", "--load_best_model_at_end", "true"],
            "eval_strategy=epoch and save_strategy=no: expected the same for both, as load_best_model_at_end needs",
        ),
        (["--eval_strategy", "steps"], "eval_strategy=steps and save_strategy=epoch: expected the same for both"),
        (["--per_device_train_batch_size", "0"], "per_device_train_batch_size=0: expected 1 or more"),
        (["--per_device_eval_batch_size", "-3"], "per_device_eval_batch_size=-3: expected 1 or more"),
        (["--gradient_accumulation_steps", "0"], "gradient_accumulation_steps=0: expected 1 or more"),
        (["--max_train_samples", "0"], "max_train_samples=0: expected 1 or more"),
        (["--num_train_epochs", "0"], "num_train_epochs=0.0: expected more than 0"),
        (["--num_train_epochs", "inf"], "num_train_epochs=inf: expected more than 0"),
        (["--restore_callback_states_from_checkpoint", "true"], "--resume restores all that is needed; leave it out"),
        (["--metric_for_best_model", "f1"], "metric_for_best_model='f1': expected one of accuracy, auto, average_prec"),
    ],
)
def test_a_value_that_does_not_fit_is_one_line(parse, arguments, message):
    with pytest.raises(OptionError) as raised:
        parse(*arguments)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [("a: [1", "run.yaml: "), ("- a\n- b", "found list; expected 'option: value' lines"), ("", "found NoneType")],
)
def test_a_file_that_is_no_options_is_one_line(parse, option_file, text, message):
    with pytest.raises(OptionError) as raised:
        parse(option_file(text))
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_missing_file_is_named(parse):
    with pytest.raises(OptionError, match="nowhere.yaml: no such file; expected a YAML or JSON"):
        parse("nowhere.yaml")


@pytest.mark.parametrize(
    ("arguments", "value"), [(["--bf16"], True), (["--bf16", "true"], True), (["--bf16", "false"], False), ([], False)]
)
def test_bf16_needs_no_value_and_is_off_on_a_cpu_unless_asked_for(parse, arguments, value):
    assert parse(*arguments)[-1].bf16 is value


@pytest.mark.parametrize("name", ["freeze_backbone", "resume", "overwrite", "gradient_checkpointing"])
def test_booleans_are_flags_and_take_values(parse, name):
    for arguments, value in [([], False), ([f"--{name}"], True), ([f"--{name}", "False"], False)]:
        assert any(getattr(part, name, None) is value for part in parse(*arguments))


def test_every_option_of_transformers_can_be_given(parse):
    """Each with its own default, as a user would repeat it."""
    defaults = ProteinTrainingArguments(output_dir="unused")
    fields = [field for field in dataclasses.fields(TrainingArguments) if field.init]
    assert len(fields) > 90
    arguments = []
    for field in fields:
        value = getattr(defaults, field.name)
        if isinstance(value, (bool, int, float, str)) and field.name != "output_dir":
            arguments += [f"--{field.name}", getattr(value, "value", str(value))]
    parsed = parse(*arguments)[-1]
    assert len(arguments) > 120
    for name in (argument[2:] for argument in arguments[::2]):
        assert getattr(parsed, name) == getattr(defaults, name), name


@pytest.mark.parametrize(
    ("arguments", "best"),
    [
        ([], True),
        (["--eval_strategy", "no"], False),
        (["--save_strategy", "no"], False),
        (["--load_best_model_at_end", "false"], False),
        (["--eval_strategy", "steps", "--save_strategy", "steps", "--load_best_model_at_end"], True),
    ],
)
def test_without_evaluations_or_checkpoints_the_last_weights_are_the_result(parse, arguments, best):
    assert parse(*arguments)[-1].load_best_model_at_end is best


def test_no_in_a_yaml_file_is_a_strategy_and_no_boolean(parse, option_file):
    training = parse(option_file("eval_strategy: no\nsave_strategy: no\npacking: off\ncalibrate: no\n"))[-1]
    assert (training.eval_strategy, training.save_strategy, training.packing) == ("no", "no", "off")
    assert training.calibrate == "none"


SCRATCH = '{"model_type": "bert"}'
PRETRAINED = "facebook/esm2_t6_8M_UR50D"


@pytest.mark.parametrize("name", ["--model_name_or_path", "--model-name-or-path"])
def test_a_pretrained_encoder_on_the_command_line_wins_over_a_network_in_the_file(parse, option_file, name):
    model = parse(option_file({"backbone_config": {"model_type": "bert"}}), name, PRETRAINED)[0]
    assert (model.model_name_or_path, model.backbone_config) == (PRETRAINED, None)


def test_a_network_on_the_command_line_wins_over_a_pretrained_encoder_in_the_file_or_of_a_job(parse, option_file):
    default = "Rostlab/prot_bert_bfd"
    model = parse(option_file({"model_name_or_path": PRETRAINED}), f"--backbone_config={SCRATCH}")[0]
    assert (model.model_name_or_path, model.backbone_config) == (default, SCRATCH)
    model = parse_options(["--backbone_config", SCRATCH], defaults=["--model_name_or_path", PRETRAINED])[0]
    assert (model.model_name_or_path, model.backbone_config) == (default, SCRATCH)


def test_a_pretrained_encoder_and_a_network_in_the_same_place_exclude_each_other(parse, option_file):
    both = {"model_name_or_path": PRETRAINED, "backbone_config": {"model_type": "bert"}}
    words = ["--model_name_or_path", PRETRAINED, "--backbone_config", SCRATCH]
    for call in (lambda: parse(option_file(both)), lambda: parse(*words), lambda: check_options(option_file(both))):
        with pytest.raises(OptionError) as raised:
            call()
        assert str(raised.value) == (
            "model_name_or_path and backbone_config exclude each other: one is a pretrained encoder, the other a "
            "network from scratch; leave one out"
        )


def test_a_job_is_not_sent_off_with_a_number_out_of_its_range(option_file):
    with pytest.raises(OptionError, match="adam_beta2=1.0: expected 0 up to below 1"):
        check_options(option_file({"adam_beta2": 1}))


def test_the_former_name_of_the_tanh_head_still_works(option_file):
    assert parse_options(["--data", "x", "--head", "article"])[0].head == "tanh"
    assert check_options(option_file({"head": "article", "packing": False})).packing == "off"
