"""Calibration: logits whose softmax or sigmoid says how often a prediction is right.

Temperature and vector scaling: Guo et al. 2017, arXiv:1706.04599, section 4.2.
"""

from collections.abc import Sequence

import torch


def calibrate(
    logits: torch.Tensor, temperature: float | Sequence[float] = 1.0, bias: Sequence[float] | None = None
) -> torch.Tensor:
    """Divide logits by a temperature, then add a bias.

    Args:
        logits: (B, C), as a head gives them.
        temperature: Above 0: one for all classes, or (C,).
        bias: (C,); 0 if None.

    Returns:
        (B, C); `logits` themselves if there is nothing to do.
    """
    if not isinstance(temperature, (int, float)):
        logits = logits / logits.new_tensor(temperature)
    elif temperature != 1:
        logits = logits / temperature
    return logits if bias is None else logits + logits.new_tensor(bias)
