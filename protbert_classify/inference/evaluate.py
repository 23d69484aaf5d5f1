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
    model: str, proteins: Dataset, *, batch_size: int = 32, device: str | None = None
) -> dict[str, Any]:
    """Call labelled proteins and compare.

    Args:
        model: The folder of a run or of a model, or a Hub id.
        proteins: With `sequence` and `location`.
        batch_size: Proteins a batch.
        device: `cpu`, `cuda`, ...; the GPU if there is one.

    Returns:
        `proteins` and what [`classification_metrics`] returns.

    Raises:
        InputError: A model that cannot be loaded, or a location that is none of its classes.
    """
    classifier, tokenizer = load_classifier(model, device)
    config = classifier.config
    encoded = encode(
        proteins,
        tokenizer,
        max_length=config.max_sequence_length or classifier.max_positions,
        crop=config.crop,
        labels=config.labels,
    )
    with tqdm(total=len(encoded), unit="protein") as bar:
        logits = predict_logits(classifier, encoded["input_ids"], batch_size, bar.update)
    metrics = classification_metrics(logits.argmax(-1), np.asarray(encoded["labels"]), config.labels)
    return {"proteins": len(encoded), **metrics}
