"""The space of a search: what a file may say, what it may not, and what is searched without one."""

from types import SimpleNamespace

import pytest

from protbert_classify.errors import OptionError
from protbert_classify.model.tasks import MULTI_LABEL, REGRESSION, SINGLE_LABEL
from protbert_classify.training.options import option_names, parse_options
from protbert_classify.training.search_space import SEARCHABLE, as_given, check_task, default_space, read_space
from tests.training.runs import TINY

SINGLE = SimpleNamespace(problem_type=SINGLE_LABEL)


def parsed(*arguments):
    model_args, _, training_args = parse_options(["--data", "x.fasta", *arguments])
    return model_args, training_args


@pytest.fixture
def read(tmp_path):
    def reading(text, *arguments):
        path = tmp_path / "space.yaml"
        path.write_text(text)
        return read_space(str(path), parsed(*arguments)[0])

    return reading


def test_ranges_and_choices_are_read(read):
    space = read(
        "learning_rate: {low: 1e-5, high: 1e-3, log: true}\n"  # for YAML, 1e-5 is text
        "pooling: [mean, light_attention]\n"
        "per_device_train_batch_size: {low: 4, high: 32}\n"
        "head: [linear, article]\n"
    )
    rate, pooling, batch, head = space
    assert (rate.low, rate.high, rate.log) == (1e-5, 1e-3, True)
    assert pooling.choices == ("mean", "light_attention") and head.choices == ("linear", "tanh")
    assert (batch.low, batch.high, batch.log) == (4, 32, False) and isinstance(batch.low, int)
    assert space.describe()["learning_rate"] == {"low": 1e-5, "high": 1e-3, "log": True}
    assert str(rate) == "learning_rate 1e-05 to 0.001 (log)" and str(pooling) == "pooling mean, light_attention"


def test_values_are_drawn_from_the_space_and_the_same_ones_each_time(read):
    optuna = pytest.importorskip("optuna", reason="the extra search is not installed")
    space = read("learning_rate: {low: 1e-5, high: 1e-3, log: true}\nlora_rank: {low: 2, high: 9}\n", "--tuning=lora")
    trial = optuna.create_study().ask()
    drawn = space.suggest(trial)
    assert 1e-5 <= drawn["learning_rate"] <= 1e-3 and drawn["lora_rank"] in range(2, 10)
    assert space.suggest(trial) == drawn


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("learning_rat: [1e-5]", "learning_rat is not an option of a training; did you mean learning_rate?"),
        ("colour: [red]", "colour is not an option of a training; expected some of pooling, head, loss"),
        ("output_dir: [a, b]", "output_dir cannot be searched; expected some of pooling, head"),
        ("seed: [1, 2]", "seed cannot be searched"),
        ("data: [a.fasta]", "data cannot be searched"),
        ("max_length: [128, 256]", "max_length cannot be searched"),
        ("learning_rate: {low: 1e-3, high: 1e-5}", "learning_rate: the range from 0.001 to 1e-05 is empty; expected"),
        ("learning_rate: {low: 1e-3, high: 1e-3}", "the range from 0.001 to 0.001 is empty; expected low below high"),
        ("learning_rate: {low: 0, high: 1e-3, log: true}", "learning_rate: low=0 has no logarithm"),
        ("learning_rate: {low: 1e-5}", "learning_rate: found {'low': '1e-5'}; expected a list of values, or a range"),
        ("learning_rate: {low: 1, high: 2, step: 1}", "expected a list of values, or a range"),
        ("learning_rate: {low: 1, high: 2, log: 3}", "learning_rate: log: found 3; expected true or false"),
        ("learning_rate: 1e-5", "learning_rate: found '1e-5'; expected a list of values, or a range"),
        ("learning_rate: [fast]", "learning_rate: found 'fast'; expected a number"),
        ("learning_rate: [-1]", "learning_rate=-1.0: expected 0 or more"),
        ("per_device_train_batch_size: [1.5]", "found 1.5; expected a whole number"),
        ("classifier_dropout: {low: 0, high: 2}", "classifier_dropout=2.0: expected 0 to 1"),
        ("pooling: []", "pooling: found an empty list; expected a list of values, or a range"),
        ("pooling: {low: 1, high: 2}", "pooling: found a range; expected a list of values"),
        ("pooling: [mean, mode]", "pooling: found 'mode'; expected some of mean, cls"),
        ("pooling: [1]", "pooling: found 1; expected a name"),
        ("lr_scheduler_type: [wavy]", "lr_scheduler_type: found 'wavy'; expected some of linear, cosine"),
        (
            "pooling: [light_attention]\nlight_attention_kernel_size: [3, 4]",
            "light_attention_kernel_size: expected a list of odd numbers",
        ),
        ("light_attention_layers: [1, 2]", "light_attention_layers has no effect with pooling=mean; expected pooling"),
        ("classifier_dropout: [0, 0.1]\nhead: [tanh]", "classifier_dropout has no effect with head=tanh; expected"),
        ("lora_rank: [4, 8]", "lora_rank has no effect with tuning=full; expected tuning=lora"),
        ("head: 5\nclassifier_dropout: [0, 0.1]", "head: found 5; expected a list of values, or a range"),
        ("pooling: 3\nlight_attention_layers: [1]", "pooling: found 3; expected a list of values, or a range"),
        ("- learning_rate", "found list; expected 'option: value' lines"),
        ("{}", "no option to search; expected lines such as"),
    ],
)
def test_a_space_that_cannot_be_searched_is_refused_in_one_line(text, message, read):
    with pytest.raises(OptionError) as caught:
        read(text + "\n")
    assert message in str(caught.value) and "space.yaml" in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_layers_are_not_frozen_where_no_layer_trains_or_an_adapter_does(read):
    for tuning in ("frozen", "lora"):
        with pytest.raises(OptionError, match=f"freeze_layers has no effect with tuning={tuning}"):
            read("freeze_layers: [0, 1]\n", "--tuning", tuning)


@pytest.mark.parametrize(
    ("text", "arguments", "message"),
    [
        ("lora_rank: [4, 8]", ("--tuning", "lora", "--lora_kind", "ia3"), "lora_rank has no effect with lora_kind=ia3"),
        ("lora_rank: [4, 8]\nlora_kind: [ia3]", ("--tuning", "lora"), "lora_rank has no effect with lora_kind=ia3"),
        ("layer_decay: [0.8, 0.9]", ("--tuning", "frozen"), "layer_decay has no effect with tuning=frozen"),
    ],
)
def test_what_would_do_nothing_is_not_searched(text, arguments, message, read):
    with pytest.raises(OptionError, match=message):
        read(text, *arguments)


def test_weights_of_classes_are_refused_where_there_are_no_classes(read):
    space = read("class_weights: {low: 0, high: 1}\nlearning_rate: [1e-5]\n")
    training_args = parsed()[1]
    check_task(space, SINGLE, training_args)
    for kind in (REGRESSION, MULTI_LABEL):
        with pytest.raises(OptionError, match=f"class_weights cannot be searched for {kind}"):
            check_task(space, SimpleNamespace(problem_type=kind), training_args)


def test_classes_are_weighed_in_one_way(read):
    by_power = read("class_weights: [0.1, 0.3]\n")
    check_task(by_power, SINGLE, parsed("--class_weights", "0.3")[1])
    both = read("class_weights: [0.0, 0.3]\nclass_weights_beta: [0.0, 0.9]\n")
    by_beta = parsed("--class_weights_beta", "0.9")
    for space, training_args in ((by_power, by_beta[1]), (both, parsed()[1])):
        with pytest.raises(OptionError, match="class_weights and class_weights_beta: expected one of them"):
            check_task(space, SINGLE, training_args)
    assert "class_weights" not in default_space(*by_beta, SINGLE).names()


def test_sampling_by_class_is_refused_with_an_order_that_knows_none(read):
    space, training_args = read("class_sampling: [0, 0.5]\n"), parsed("--train_sampling_strategy", "random")[1]
    with pytest.raises(OptionError, match="expected train_sampling_strategy=group_by_length, found random"):
        check_task(space, SINGLE, training_args)


def test_everything_that_can_be_searched_is_an_option():
    assert set(SEARCHABLE) <= set(option_names())


@pytest.mark.parametrize(
    ("arguments", "problem", "names"),
    [
        (
            [],
            SINGLE_LABEL,
            "learning_rate head_learning_rate warmup_steps weight_decay classifier_dropout class_weights",
        ),
        (
            ["--tuning", "lora"],
            SINGLE_LABEL,
            "learning_rate head_learning_rate warmup_steps weight_decay classifier_dropout class_weights lora_rank",
        ),
        (
            ["--tuning", "frozen", "--pooling", "light_attention"],
            MULTI_LABEL,
            "learning_rate warmup_steps weight_decay classifier_dropout light_attention_dropout",
        ),
        ([*TINY, "--head", "tanh"], REGRESSION, "learning_rate warmup_steps weight_decay"),
    ],
)
def test_the_default_space_has_what_matters_for_the_training(arguments, problem, names):
    space = default_space(*parsed(*arguments), SimpleNamespace(problem_type=problem))
    assert space.names() == names.split()


def test_the_default_space_lies_around_the_given_options_which_are_tried_first():
    arguments = parsed("--learning_rate", "1e-4")
    space = default_space(*arguments, SINGLE)
    rate, head = space[:2]
    assert (rate.low, rate.high) == pytest.approx((1e-5, 1e-3)) and rate.log
    assert (head.low, head.high) == pytest.approx((1e-4, 1e-2))
    assert as_given(space, *arguments, SINGLE) == {
        "learning_rate": 1e-4,
        "head_learning_rate": 1e-4,
        "warmup_steps": 0.1,
        "weight_decay": 0.01,
        "classifier_dropout": 0.1,
        "class_weights": 0.0,
    }
    given = default_space(*parsed("--head_learning_rate", "1e-3"), SINGLE)[1]
    assert (given.low, given.high) == pytest.approx((1e-4, 1e-2))


def test_a_given_option_outside_of_the_space_is_not_tried(read):
    space = read("learning_rate: {low: 1e-3, high: 1e-2}\npooling: [mean, cls]\nlr_scheduler_type: [linear, cosine]\n")
    assert as_given(space, *parsed(), SINGLE) == {"pooling": "mean", "lr_scheduler_type": "linear"}


@pytest.mark.parametrize(
    ("problem_type", "losses", "usual"),
    [(SINGLE_LABEL, "focal, cross_entropy", "cross_entropy"), (MULTI_LABEL, "focal, binary_cross_entropy", "binary_")],
)
def test_the_usual_loss_is_tried_first_where_none_is_given(read, problem_type, losses, usual):
    space, task = read(f"loss: [{losses}]\n"), SimpleNamespace(problem_type=problem_type)
    assert as_given(space, *parsed(), task)["loss"].startswith(usual)
    assert as_given(space, *parsed("--loss", "focal"), task) == {"loss": "focal"}
