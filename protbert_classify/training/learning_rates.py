"""A learning rate for each part of a model: one for what starts at random, lower ones deeper in the backbone."""

from typing import Any

from torch import nn
from torch.optim import Optimizer
from transformers import PreTrainedModel

from ..errors import OptionError
from ..model.backbone import encoder_layers


def parameter_learning_rates(
    model: PreTrainedModel, learning_rate: float, head_learning_rate: float | None, layer_decay: float
) -> dict[nn.Parameter, float]:
    """The peak learning rate of each parameter.

    Args:
        model: Not wrapped: a classifier, or another model with an encoder.
        learning_rate: Of the backbone.
        head_learning_rate: Of the pooling and the heads; `learning_rate` if None.
        layer_decay: Each layer of the backbone has the rate of the one above it times this, and the embeddings have the
            lowest. The last layer has `learning_rate * layer_decay`, as in BEiT (Bao et al. 2021, arXiv:2106.08254).

    Raises:
        OptionError: A decay for a backbone without a stack of layers, such as an ALBERT.
    """
    backbone = model.base_model
    try:
        layers = encoder_layers(backbone) if layer_decay != 1 else nn.ModuleList()
    except ValueError as error:
        raise OptionError(f"layer_decay={layer_decay}: expected 1: {error}") from error
    below = [backbone.get_input_embeddings(), getattr(backbone, "embeddings", nn.Identity())]
    depth = {parameter: len(layers) + 1 for part in below for parameter in part.parameters()}
    depth |= {parameter: len(layers) - index for index, layer in enumerate(layers) for parameter in layer.parameters()}
    # what is left is above the last layer, such as its norm; the pooler belongs to the pooling
    rates = {p: learning_rate * layer_decay ** depth.get(p, 0) for p in backbone.parameters()}
    head = learning_rate if head_learning_rate is None else head_learning_rate
    pooler = tuple(parameter for name, parameter in backbone.named_parameters() if name.startswith("pooler."))
    others = (parameter for parameter in model.parameters() if parameter not in rates)
    return rates | dict.fromkeys((*pooler, *others), head)


def set_learning_rates(optimizer: Optimizer, rates: dict[nn.Parameter, float]) -> None:
    """Divide the groups of a fresh optimizer, so that each parameter has its own rate; schedules multiply them all.

    Raises:
        OptionError: The optimizer has other parameters: FSDP made flat ones of them.
    """
    groups: list[dict[str, Any]] = []
    for group in optimizer.param_groups:
        by_rate: dict[float, list[nn.Parameter]] = {}
        for parameter in group["params"]:
            if parameter not in rates:
                raise OptionError("head_learning_rate and layer_decay: with FSDP, expected fsdp_use_orig_params: true")
            by_rate.setdefault(rates[parameter], []).append(parameter)
        groups += [{**group, "params": parameters, "lr": rate} for rate, parameters in by_rate.items()]
    optimizer.param_groups[:] = groups
