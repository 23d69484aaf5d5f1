"""From one vector a protein to the logits of a task, (B, D) -> (B, C)."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from torch import nn

from .registry import Registry

if TYPE_CHECKING:
    from .configuration import ProteinClassifierConfig

# called with the configuration, D and C
HEADS: Registry[Callable[["ProteinClassifierConfig", int, int], nn.Module]] = Registry("head")


@HEADS.register("linear")
def linear_head(config: "ProteinClassifierConfig", input_size: int, output_size: int) -> nn.Module:
    """Dropout, then linear: the head of `BertForSequenceClassification`."""
    return nn.Sequential(nn.Dropout(config.classifier_dropout), nn.Linear(input_size, output_size))


@HEADS.register("tanh")
def tanh_head(config: "ProteinClassifierConfig", input_size: int, output_size: int) -> nn.Module:
    """Dropout 0.2, linear, tanh.

    Logits within -1..1 cap the top probability of C classes at e / (e + (C - 1) / e): 0.451 for ten.
    """
    return nn.Sequential(nn.Dropout(0.2), nn.Linear(input_size, output_size), nn.Tanh())


HEADS.add_alias("article", "tanh")  # its name in saved models of earlier versions
