"""How good a saved classifier is on labelled proteins."""

from typing import Any

import numpy as np
from datasets import Dataset
from tqdm.auto import tqdm

from ..data.encoding import encode
from ..evaluation.metrics import classification_metrics
from .loading import load_classifier
from .logits import predict_logits


def evaluate_classifier(
    model: str,
    proteins: Dataset,
    *,
    tokens_per_batch: int | None = None,
    device: str | None = None,
    precision: str = "float32",
    compiled: bool = False,
) -> dict[str, Any]:
    """Call labelled proteins and compare.

    Args:
        model: The folder of a run or of a model, or a Hub id.
        proteins: With `sequence` and `location`.
        tokens_per_batch: Tokens of a batch, at most; what suits the device if None.
        device: `cpu`, `cuda`, ...; the GPU if there is one.
        precision: What the model computes in; see [`set_precision`].
        compiled: With torch.compile.

    Returns:
        `proteins` and what [`classification_metrics`] returns.

    Raises:
        InputError: A model that cannot be loaded, or a location that is none of its classes.
    """
    classifier, tokenizer = load_classifier(model, device, precision, compiled)
    config = classifier.config
    encoded = encode(
        proteins,
        tokenizer,
        max_length=config.max_sequence_length or classifier.max_positions,
        crop=config.crop,
        tasks=config.tasks,
    )
    with tqdm(total=len(encoded), unit="protein") as bar:
        logits = predict_logits(classifier, encoded["input_ids"], tokens_per_batch, bar.update)
    metrics = classification_metrics(logits.argmax(-1), np.asarray(encoded["labels"]), config.labels)
    return {"proteins": len(encoded), **metrics}
