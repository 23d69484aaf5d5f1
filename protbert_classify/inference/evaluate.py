"""Evaluates a saved classifier on labelled proteins."""

from dataclasses import replace
from typing import Any

import numpy as np
from datasets import Dataset
from tqdm.auto import tqdm
from transformers import PreTrainedTokenizerBase

from ..data.encoding import encode
from ..evaluation.decision import decide, decide_uncalibrated
from ..evaluation.metrics import evaluation_metrics
from ..model import ProteinClassifier
from ..tasks.targets import targets
from .logits import predict_logits
from .saved_classifier import load_classifier


def evaluate_classifier(
    model: str,
    proteins: Dataset,
    *,
    tokens_per_batch: int | None = None,
    device: str | None = None,
    precision: str = "float32",
    compiled: bool = False,
) -> dict[str, Any]:
    """Classify labelled proteins and compare the predictions with the labels.

    Args:
        model: The folder of a run or of a model, or a Hub id.
        proteins: With `sequence` and the columns of the tasks of the model; those of auxiliary tasks may be missing.
        tokens_per_batch: Tokens of a batch, at most; what suits the device if None.
        device: `cpu`, `cuda`, ...; the GPU if there is one.
        precision: What the model computes in; see [`set_precision`].
        compiled: With torch.compile.

    Returns:
        `proteins`, `tasks` as their dictionaries without validation scores, and what [`evaluation_metrics`] returns.

    Raises:
        InputError: A model that cannot be loaded, or an answer that is none of its classes.
    """
    return measure(*load_classifier(model, device, precision, compiled), proteins, tokens_per_batch)


def measure(
    classifier: ProteinClassifier,
    tokenizer: PreTrainedTokenizerBase,
    proteins: Dataset,
    tokens_per_batch: int | None = None,
) -> dict[str, Any]:
    """[`evaluate_classifier`] with a loaded classifier."""
    config = classifier.config
    encoded = encode(
        proteins,
        tokenizer,
        max_length=config.max_sequence_length or classifier.max_positions,
        crop=config.crop,
        tasks=config.tasks,
    )
    if "labels" not in encoded.column_names:
        targets(proteins, config.task)  # names the column that is missing
    with tqdm(total=len(encoded), unit="protein") as bar:
        logits = predict_logits(classifier, encoded["input_ids"], tokens_per_batch, bar.update)
    auxiliary = np.asarray(encoded["auxiliary_labels"]) if "auxiliary_labels" in encoded.column_names else None
    decisions = decide(logits, config), decide_uncalibrated(logits, config)
    metrics = evaluation_metrics(decisions[0], np.asarray(encoded["labels"]), auxiliary, decisions[1])
    tasks = [replace(task, validation_scores=None).to_dict() for task in config.tasks]  # they are long
    return {"proteins": len(encoded), "tasks": tasks, **metrics}
