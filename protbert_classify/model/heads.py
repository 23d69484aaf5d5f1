"""From one vector a protein to logits, (B, D) -> (B, C)."""

from torch import nn

from .configuration import ProteinClassifierConfig


def linear_head(config: ProteinClassifierConfig, input_size: int) -> nn.Module:
    """Dropout, then linear: the head of `BertForSequenceClassification`."""
    return nn.Sequential(nn.Dropout(config.classifier_dropout), nn.Linear(input_size, config.num_labels))


def article_head(config: ProteinClassifierConfig, input_size: int) -> nn.Module:
    """Dropout 0.2, linear, tanh: the head of the article this project began with, for fidelity.

    Logits within -1..1 cap the top probability of C classes at e / (e + (C - 1) / e): 0.451 for ten.
    """
    return nn.Sequential(nn.Dropout(0.2), nn.Linear(input_size, config.num_labels), nn.Tanh())


HEAD_FACTORIES = {"linear": linear_head, "article": article_head}
