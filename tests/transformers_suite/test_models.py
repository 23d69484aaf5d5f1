"""transformers' own tests of models and configurations, run on ours."""

import unittest
from unittest import mock

import pytest
import torch
from transformers.models.auto.modeling_auto import MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES

from protbert_classify import ProteinClassifier, ProteinClassifierConfig

from .intended import ModelDifferences
from .models import COMBINATIONS, ProteinClassifierModelTester
from .source import mixins

pytestmark = pytest.mark.slow
ModelTesterMixin = mixins("test_modeling_common").ModelTesterMixin
TrainingTesterMixin = mixins("test_training_mixin").TrainingTesterMixin
ConfigTester = mixins("test_configuration_common").ConfigTester


class ProteinClassifierModelTest(ModelDifferences, ModelTesterMixin, TrainingTesterMixin):
    """All of them for one backbone and one pooling."""

    all_model_classes = (ProteinClassifier,)
    model_tester = None
    backbone: str
    pooling: str

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        # the tests look there for classes that take labels of whole sequences
        names = {ProteinClassifierConfig.model_type: ProteinClassifier.__name__}
        cls.enterClassContext(mock.patch.dict(MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES, names))

    def setUp(self):
        self.model_tester = ProteinClassifierModelTester(self, self.backbone, self.pooling)
        sizes = ["hidden_size", "num_attention_heads", "num_hidden_layers"]
        self.config_tester = ConfigTester(self, ProteinClassifierConfig, common_properties=sizes, pooling=self.pooling)

    def test_config(self):
        self.config_tester.run_common_tests()

    def _create_text_training_batch(self, batch_size, seq_length, vocab_size):
        """As in the mixin, which has a language model in mind; but a label for each sequence, not for each token."""
        batch = super()._create_text_training_batch(batch_size, seq_length, vocab_size)
        return batch | {"labels": torch.ones(batch_size, dtype=torch.long)}


def case_of(backbone: str, pooling: str, composite: bool) -> type[unittest.TestCase]:
    """A test case with the name `Test_bert_mean`.

    Args:
        backbone: See [`ProteinClassifierModelTester`].
        pooling: See there.
        composite: Test the attention of the model as that of several parts; else as that of one.
    """
    fields = {
        "backbone": backbone,
        "pooling": pooling,
        "_is_composite": composite,
        # transformers asks for it of newer models; T5's weights are drawn by modules that hold none themselves, which
        # it skips in a model of ours
        "test_can_init_all_missing_weights_before_2023": backbone != "t5",
        "__module__": __name__,
    }
    return type(f"Test_{backbone}_{pooling}", (ProteinClassifierModelTest, unittest.TestCase), fields)


for index, (backbone, pooling) in enumerate(COMBINATIONS):
    globals()[f"Test_{backbone}_{pooling}"] = case_of(backbone, pooling, composite=index % 2 == 0)
