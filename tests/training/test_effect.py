"""An option that does nothing must be told of: a training with `--lora_rank 16` alone has no adapter."""

import pytest

from protbert_classify.training.effect import without_effect
from protbert_classify.training.options import parse_options
from protbert_classify.training.recipe_files import recipe_names


def told(*words):
    model_args, _, training_args = parse_options(["--data", "x.fasta", "--output_dir", "x", *words])
    return list(without_effect(model_args, training_args))


@pytest.mark.parametrize(
    ("words", "lines"),
    [
        ("--lora_rank 16", ["lora_rank has no effect with tuning=full; expected tuning=lora"]),
        ("--lora_rank 8", []),  # the default
        (
            "--lora_targets query --tuning frozen",
            ["lora_targets has no effect with tuning=frozen; expected tuning=lora"],
        ),
        (
            "--lora_kind ia3 --lora_alpha 4 --tuning lora",
            ["lora_alpha has no effect with lora_kind=ia3; expected lora_kind=lora"],
        ),
        ("--lora_kind dora --lora_alpha 4 --lora_dropout 0.1 --tuning lora", []),
        ("--freeze_layers 1 --tuning frozen", ["freeze_layers has no effect with tuning=frozen; expected tuning=full"]),
        ("--layer_decay 0.9 --freeze_backbone", ["layer_decay has no effect with tuning=frozen; expected tuning=full"]),
        (
            "--light_attention_layers 1 --light_attention_dropout 0",
            [
                f"light_attention_{name} has no effect with pooling=mean; expected pooling=light_attention"
                for name in ("layers", "dropout")
            ],
        ),
        ("--light_attention_layers 1 --pooling light_attention", []),
        (
            "--classifier_dropout 0 --head tanh",
            ["classifier_dropout has no effect with head=tanh; expected head=linear"],
        ),
    ],
)
def test_an_option_that_another_one_leaves_without_effect_is_named(words, lines):
    if "lora" in words:
        pytest.importorskip("peft", reason="the extra lora is not installed")
    assert told(*words.split()) == lines


@pytest.mark.parametrize("recipe", recipe_names())
def test_no_recipe_sets_what_does_nothing(recipe):
    if recipe == "lora":
        pytest.importorskip("peft", reason="the extra lora is not installed")
    assert told("--recipe", recipe) == []
