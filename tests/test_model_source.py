"""Where a model comes from: what cannot be one is refused before anything is loaded."""

import pytest
from transformers import AutoConfig

from protbert_classify.errors import ModelError, OptionError
from protbert_classify.model_source import backbone_shape, check_max_length, resolve_model_path


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("missing.json", "no such file"),
        ('{"hidden_size": 3', "is not valid JSON"),
        ('{"hidden_size": 3}', "has no model_type"),
        ('{"model_type": "bret"}', "unknown model_type 'bret'"),
    ],
)
def test_a_backbone_config_that_cannot_be_used_says_why(given, message):
    with pytest.raises(OptionError, match=message):
        backbone_shape(given)


def test_a_backbone_config_may_be_a_file(tmp_path):
    path = tmp_path / "shape.json"
    path.write_text('{"model_type": "esm", "hidden_size": 8}')
    assert backbone_shape(str(path)) == {"model_type": "esm", "hidden_size": 8}


def test_an_interrupted_training_is_to_be_resumed(tmp_path):
    (tmp_path / "checkpoint-8").mkdir()
    with pytest.raises(ModelError, match="no model there"):
        resolve_model_path(tmp_path)
    (tmp_path / "checkpoint-8" / "config.json").touch()
    words = "no model yet, its training was interrupted; the same train command with --resume finishes it"
    with pytest.raises(ModelError, match=words):
        resolve_model_path(tmp_path)
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").touch()  # once it is finished
    assert resolve_model_path(tmp_path) == str(tmp_path / "model")


def test_inputs_longer_than_the_position_table_are_refused():
    bert = AutoConfig.for_model("bert", max_position_embeddings=128)
    check_max_length(bert, 128)
    with pytest.raises(OptionError, match="max_length=129: the backbone has 128 positions"):
        check_max_length(bert, 129)
    check_max_length(AutoConfig.for_model("t5"), 10_000)  # its positions are relative
