import dataclasses

import pytest
from transformers import TrainingArguments

from protbert_classify.model import ProteinClassifierConfig
from protbert_classify.training.arguments import DataArguments, ModelArguments
from protbert_classify.training.defaults import TRAINING_DEFAULTS
from protbert_classify.training.training_arguments import ProteinTrainingArguments

FIELDS = {field.name: field for field in dataclasses.fields(ProteinTrainingArguments)}


@pytest.mark.parametrize("name", TRAINING_DEFAULTS)
def test_the_help_states_the_defaults_that_training_has(name):
    # None is how newer versions of transformers say False of what they renamed
    assert (FIELDS[name].default or False) == (TRAINING_DEFAULTS[name][0] or False)


def test_the_help_leaves_out_no_default_of_ours():
    theirs = {field.name: field.default for field in dataclasses.fields(TrainingArguments)}
    changed = {name for name, field in FIELDS.items() if field.default != theirs.get(name, dataclasses.MISSING)}
    assert changed - {"bf16"} <= set(TRAINING_DEFAULTS)


@pytest.mark.parametrize("kind", [ModelArguments, DataArguments, ProteinTrainingArguments])
def test_every_option_of_ours_explains_itself(kind):
    own = set(kind.__annotations__)
    for field in dataclasses.fields(kind):
        if field.name in own:
            assert len(field.metadata["help"]) > 10, field.name


def test_no_option_has_two_meanings():
    names = [field.name for kind in (ModelArguments, DataArguments) for field in dataclasses.fields(kind)]
    assert len(names) == len(set(names))
    assert not set(names) & set(FIELDS)


def test_model_options_start_from_the_defaults_of_the_model():
    config = ProteinClassifierConfig({"model_type": "bert", "num_hidden_layers": 1})
    light_attention = [f"light_attention_{name}" for name in ("kernel_size", "layers", "dropout")]
    for name in ("pooling", "head", "classifier_dropout", *light_attention):
        assert getattr(ModelArguments(), name) == getattr(config, name)
    assert DataArguments().crop == config.crop
