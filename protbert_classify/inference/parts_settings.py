"""What shapes the parts of an output: only those of a run with the same settings are continued."""

from typing import Any

from ..model import ProteinClassifier
from .parts_folder import MODEL, WEIGHTS
from .streaming import FORMAT

PART = 1024  # proteins of a part on a CPU, for a model of PART_PARAMETERS; a kill loses no more than one
PART_PARAMETERS = 30_000_000
SMALLEST_PART = 128
DEVICE_PART = 4096


def settings_for(
    classifier: ProteinClassifier,
    model: str,
    weights: str,
    *,
    tokens_per_batch: int | None,
    precision: str,
    compiled: bool,
    size: int,
) -> dict[str, Any]:
    """The settings that every output has.

    Args:
        classifier: On its device.
        model: Where its weights are from.
        weights: Their digest.
        tokens_per_batch: See [`predict_file`], as for the next two.
        precision: See there.
        compiled: See there.
        size: Proteins of a part: batches are made within one.
    """
    return {
        "format": FORMAT,
        MODEL: model,
        WEIGHTS: weights,
        "max_length": classifier.config.max_sequence_length,
        "crop": classifier.config.crop,
        "device": classifier.device.type,
        "precision": precision if precision == "int8" else str(classifier.dtype).removeprefix("torch."),
        "compile": compiled,
        "tokens_per_batch": tokens_per_batch,
        "part_size": size,
    }


def part_size(classifier: ProteinClassifier) -> int:
    """Proteins of a part: a large one has less padding, a small one is sooner done."""
    if classifier.device.type != "cpu":
        return DEVICE_PART
    parameters = sum(parameter.numel() for parameter in classifier.parameters())
    return max(SMALLEST_PART, min(PART, PART * PART_PARAMETERS // parameters))
