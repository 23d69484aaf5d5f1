"""Linear models on features of the proteins: logistic regression for labels, ridge regression for numbers.

Shapes: N proteins, F features, C labels or numbers.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from datasets import DatasetDict
from sklearn.linear_model import LogisticRegression, Ridge
from threadpoolctl import threadpool_limits

from ..model.losses import IGNORED
from ..model.tasks import REGRESSION, SINGLE_LABEL, Task
from ..tasks.targets import targets

STRENGTHS = (0.3, 1.0, 3.0)  # inverse regularisation; the best on the validation proteins is taken
MOST_STEPS = 1000  # of the solver; it usually converges before
Fit = Callable[[np.ndarray, np.ndarray, float], Any]


def linear_scores(
    features: Mapping[str, np.ndarray], splits: DatasetDict, task: Task, strengths: Sequence[float] = STRENGTHS
) -> dict[str, np.ndarray]:
    """Learn a linear model from the training proteins.

    Args:
        features: (N, F) of each split.
        splits: The proteins, `train` among them.
        task: What to learn.
        strengths: Inverse regularisations to try.

    Returns:
        (N, C) of every split but `train`: probabilities of the labels, or the numbers.
    """
    answers = {name: targets(part, task, lenient=True) for name, part in splits.items()}
    found: dict[str, np.ndarray] = {name: np.zeros((len(part), len(task.labels))) for name, part in splits.items()}
    if task.problem_type == SINGLE_LABEL:
        model = _best(_logistic, features, answers, strengths)
        for name in splits:
            found[name][:, model.classes_] = model.predict_proba(features[name])
    else:
        for place in range(len(task.labels)):
            column = {name: values[:, place] for name, values in answers.items()}
            for name, values in _of_one(features, column, task.problem_type == REGRESSION, strengths).items():
                found[name][:, place] = values
    return {name: scores for name, scores in found.items() if name != "train"}


def _of_one(
    features: Mapping[str, np.ndarray], answers: Mapping[str, np.ndarray], number: bool, strengths: Sequence[float]
) -> dict[str, Any]:
    """The scores of one label or number, (N,) a split."""
    train = answers["train"][np.isfinite(answers["train"])]
    if len(np.unique(train)) < 2:  # nothing to tell apart
        return {name: np.full(len(rows), train.mean() if len(train) else 0.0) for name, rows in features.items()}
    if number:
        model = _best(_ridge, features, answers, strengths)
        return {name: model.predict(rows) for name, rows in features.items()}
    model = _best(_logistic, features, answers, strengths)
    return {name: model.predict_proba(rows)[:, 1] for name, rows in features.items()}


def _best(
    fit: Fit, features: Mapping[str, np.ndarray], answers: Mapping[str, np.ndarray], strengths: Sequence[float]
) -> Any:
    """The model with the strength that is best on the validation proteins; without any, that of 1."""
    known = {name: np.isfinite(values) & (values != IGNORED) for name, values in answers.items()}
    if not known.get("validation", np.zeros(1)).any():
        strengths = (1.0,)
    train = features["train"][known["train"]], answers["train"][known["train"]]
    with threadpool_limits(limits=1):  # its steps are small: threads would wait for each other most of the time
        models = [fit(*train, strength) for strength in strengths]
    if len(models) == 1:
        return models[0]
    chosen = features["validation"][known["validation"]], answers["validation"][known["validation"]]
    return max(models, key=lambda model: model.score(*chosen))


def _logistic(features: np.ndarray, answers: np.ndarray, strength: float) -> LogisticRegression:
    return LogisticRegression(C=strength, max_iter=MOST_STEPS).fit(features, answers.astype(np.int64))


def _ridge(features: np.ndarray, answers: np.ndarray, strength: float) -> Ridge:
    return Ridge(alpha=1 / strength).fit(features, answers)
