"""Probes the layers of a backbone: a linear model on each, compared on validation proteins.

Shapes: N proteins, L layers of the backbone, H its hidden size.
"""

import dataclasses
import logging
import os
import tempfile

import numpy as np
from datasets import Dataset, DatasetDict
from tqdm.auto import tqdm
from transformers import PreTrainedTokenizerBase

from ..baselines.linear import linear_scores
from ..baselines.measured_scores import measure
from ..data.encoding import encode
from ..data.splitting import sample
from ..errors import OptionError
from ..evaluation.comparison import compare
from ..evaluation.decision import Decision
from ..evaluation.layer_scores import LayerScores
from ..evaluation.metrics import WATCHED, task_metrics
from ..model import ProteinClassifier
from ..model.tasks import REGRESSION, Task
from ..tasks.targets import targets
from .layer_means import layer_means

logger = logging.getLogger(__name__)

MOST_PROTEINS = 3000  # of training, and of validation: enough to tell layers apart, and a pass takes minutes
# Inverse regularisations, for features of variance 1. Labels have one, as a fit takes seconds and each layer has one;
# ridge regression is a single step, and the best of three is taken.
STRENGTHS = (0.1,)
RIDGE_STRENGTHS = (0.001, 0.01, 0.1)
ROUNDING = 1e-5  # of the size of a layer's values; a smaller spread is that of float32, which scaling would blow up
PARTS = ("train", "validation")


def probe_layers(
    model: ProteinClassifier,
    tokenizer: PreTrainedTokenizerBase,
    splits: DatasetDict,
    task: Task,
    *,
    max_length: int,
    crop: str = "ends",
    most_proteins: int = MOST_PROTEINS,
    seed: int = 42,
    tokens_per_batch: int | None = None,
) -> LayerScores:
    """Measure how well a linear model on each layer of a backbone predicts the validation proteins.

    The proteins go through the backbone once; its weights do not change. The features of a layer are what `mean`
    pooling would give of the backbone cut there, see [`layer_means`], scaled to variance 1. Labels are learned by
    logistic regression, numbers by ridge regression.

    Args:
        model: Whose backbone is probed, with all its layers, in evaluation mode and on its device.
        tokenizer: Of the backbone.
        splits: Raw proteins: `train`, which the linear models learn from, and `validation`.
        task: The main task.
        max_length: Tokens of the longest input; longer proteins are cropped.
        crop: What is kept of them.
        most_proteins: Of each split, at most; a sample of more is taken.
        seed: Of the sample.
        tokens_per_batch: Of a batch, at most; what suits the device if None.

    Raises:
        OptionError: No validation proteins, or a backbone whose layers cannot be probed.
        ModelError: Hidden states that are NaN or infinite.
        KeyboardInterrupt: Ctrl-C; nothing is left behind.
    """
    if "validation" not in splits:
        raise OptionError("no validation proteins to compare the layers on; expected some, or validation above 0")
    parts = DatasetDict({name: sample(splits[name], most_proteins, seed, task) for name in PARTS})
    train, validation = (len(parts[name]) for name in PARTS)
    count = model.config.num_hidden_layers
    logger.info("probing %d layers with %s training and %s validation proteins", count, f"{train:,}", f"{validation:,}")
    encoded = [ids for part in parts.values() for ids in _encoded(part, tokenizer, max_length, crop)]
    with tempfile.TemporaryDirectory(prefix="layers-") as folder:
        with tqdm(total=len(encoded), unit="protein", desc="all layers") as bar:
            means = layer_means(model, encoded, os.path.join(folder, "means"), tokens_per_batch, bar.update)
        decisions = [_decide(layer, train, parts, task) for layer in tqdm(means, unit="layer", desc="linear models")]
    return _scores(decisions, targets(parts["validation"], task), train, model.config.hidden_size)


def _encoded(proteins: Dataset, tokenizer: PreTrainedTokenizerBase, max_length: int, crop: str) -> list[np.ndarray]:
    return list(encode(proteins, tokenizer, max_length=max_length, crop=crop)["input_ids"])


def _decide(means: np.ndarray, train: int, parts: DatasetDict, task: Task) -> Decision:
    """What a linear model on a layer says of the validation proteins.

    Args:
        means: (N, H), those of the training proteins first.
        train: How many these are.
        parts: The proteins.
        task: What to learn.
    """
    values = np.asarray(means, dtype=np.float64)
    centre, spread = values[:train].mean(0), values[:train].std(0)
    varies = spread > ROUNDING * np.sqrt((values[:train] ** 2).mean())
    scaled = np.where(varies, values - centre, 0.0) / np.where(varies, spread, 1.0)
    features = {"train": scaled[:train], "validation": scaled[train:]}
    strengths = RIDGE_STRENGTHS if task.problem_type == REGRESSION else STRENGTHS
    return measure(linear_scores(features, parts, task, strengths), parts, task)[1]["validation"]


def _scores(decisions: list[Decision], references: np.ndarray, train: int, width: int) -> LayerScores:
    """The metrics of all layers, and how sure it is that the best is better than the last."""
    task = decisions[0].task
    measured = [task_metrics(decision, references) for decision in decisions]
    layers = [{name: float(found[name] or 0.0) for name in WATCHED[task.problem_type]} for found in measured]
    found = LayerScores(task, layers, train, len(references), width)
    if found.best == found.last:
        return found
    differences = compare(decisions[-1], decisions[found.best - 1], references).differences
    (of_all,) = (one for one in differences if one.label is None and one.name == found.metric)
    low, high = of_all.interval or (0.0, 0.0)
    return dataclasses.replace(found, interval=(low, high) if low < high else None)
