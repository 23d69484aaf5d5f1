"""The metrics of many resamples at once, in which proteins count several times or not at all.

Shapes: R resamples, N proteins, C labels of a task. What a resample leaves undefined is NaN, as a class without a
protein in it.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from scipy import sparse

from ..model.tasks import MULTI_LABEL, REGRESSION, SINGLE_LABEL
from .decision import Decision
from .metrics import class_mcc
from .references import known_references

RESAMPLES = 2000
FEWEST_RESAMPLES = 200  # enough for a 95% interval that is right to about a tenth of its width
WORK = 100_000_000  # resamples x proteins x labels that take a few seconds
CHUNK = 1_000_000  # resamples x proteins, or cells of a confusion matrix, at a time: 8 MB of float64


def default_resamples(decision: Decision) -> int:
    """2,000, or fewer where proteins and labels are so many that these would take long."""
    labels = decision.scores.shape[1]
    cells = labels**2 if decision.task.problem_type == SINGLE_LABEL else 0  # of the confusion matrix of a resample
    return affordable_resamples(max(decision.scores.size, cells))


def affordable_resamples(cells: int) -> int:
    """2,000, or fewer where each has so many cells that these would take long."""
    return min(RESAMPLES, max(FEWEST_RESAMPLES, WORK // cells))


def steps(resamples: int, cells: int) -> Iterator[int]:
    """How many resamples to compute at a time, so that their cells fit into memory whatever the number of classes."""
    step = max(1, CHUNK // cells)
    return (min(step, resamples - start) for start in range(0, resamples, step))


def joined(parts: Sequence[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """The metrics of parts of the resamples as those of all."""
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def draw_counts(proteins: int, resamples: int, seed: int) -> Iterator[np.ndarray]:
    """Draw N proteins with replacement, R times; gives (r, N) at a time: how often each protein was drawn."""
    generator = np.random.default_rng(seed)
    step = max(1, CHUNK // proteins)
    for start in range(0, resamples, step):
        rows = min(step, resamples - start)
        places = generator.integers(0, proteins, (rows, proteins)) + proteins * np.arange(rows)[:, None]
        yield np.bincount(places.ravel(), minlength=rows * proteins).reshape(rows, proteins)


def draw_group_counts(groups: np.ndarray, resamples: int, seed: int) -> Iterator[np.ndarray]:
    """Draw groups of proteins with replacement, as many as there are; gives (r, N): how often each protein was drawn.

    Args:
        groups: (N,), the same number for the proteins that are drawn together.
        resamples: R.
        seed: Of the draw.
    """
    names, places = np.unique(groups, return_inverse=True)
    step = max(1, CHUNK // len(groups))  # there are more proteins than groups
    for counts in draw_counts(len(names), resamples, seed):
        for start in range(0, len(counts), step):
            yield counts[start : start + step, places]


def matrix_metrics(matrices: np.ndarray) -> dict[str, np.ndarray]:
    """The metrics of [`classification_metrics`] for many confusion matrices.

    Args:
        matrices: (R, C, C), rows are true classes, columns predicted ones.

    Returns:
        `accuracy`, `mcc`, `macro_f1`, `balanced_accuracy` (R,), `precision`, `recall`, `f1`, `class_mcc` (R, C): NaN
        where a class has no protein, and the precision and MCC also where it is not predicted.
    """
    counts = matrices.astype(np.float64)
    total = counts.sum((1, 2))
    right = np.einsum("rcc->rc", counts)
    true, predicted = counts.sum(2), counts.sum(1)  # (R, C)
    # Gorodkin 2004, doi:10.1016/j.compbiolchem.2004.09.006, as scikit-learn has it
    covariance = right.sum(1) * total - (true * predicted).sum(1)
    spread = np.sqrt((total**2 - (true**2).sum(1)) * (total**2 - (predicted**2).sum(1)))
    f1 = _ratio(2 * right, np.where(true > 0, true + predicted, 0))
    return {
        "accuracy": right.sum(1) / total,
        "mcc": np.nan_to_num(_ratio(covariance, spread)),
        "macro_f1": _mean(f1),
        "balanced_accuracy": _mean(_ratio(right, true)),
        "class_mcc": class_mcc(matrices),
        "precision": _ratio(right, np.where(true > 0, predicted, 0)),
        "recall": _ratio(right, true),
        "f1": f1,
    }


def resampled_metrics(decision: Decision, references: np.ndarray, counts: np.ndarray) -> dict[str, np.ndarray]:
    """The metrics of [`task_metrics`] where each protein counts as often as it was drawn.

    Args:
        decision: For N proteins.
        references: As [`task_metrics`] takes them; of a single label, all are known.
        counts: (R, N), how often each protein was drawn.

    Returns:
        The metrics that are watched, (R,), and those of each label or target, (R, C), under `per_class_{metric}` or
        `per_target_{metric}`.
    """
    return RESAMPLED[decision.task.problem_type](decision, np.asarray(references), counts.astype(np.float64))


def _single_label(decision: Decision, references: np.ndarray, counts: np.ndarray) -> dict[str, np.ndarray]:
    proteins, classes = decision.scores.shape
    cells = references.astype(np.int64) * classes + decision.best
    places = (cells, np.arange(proteins))
    cell_of_protein = sparse.csr_array((np.ones(proteins), places), shape=(classes**2, proteins))
    ends = np.cumsum([*steps(len(counts), classes**2)])
    metrics = joined(
        [
            matrix_metrics((cell_of_protein @ part.T).T.reshape(-1, classes, classes))
            for part in np.split(counts, ends[:-1])
        ]
    )
    return {
        name if values.ndim == 1 else f"per_class_{name.removeprefix('class_')}": values
        for name, values in metrics.items()
    }


def _several_labels(decision: Decision, references: np.ndarray, counts: np.ndarray) -> dict[str, np.ndarray]:
    known = known_references(references)
    true, chosen = (references == 1) & known, decision.chosen & known
    right = true & chosen
    # (R, C) each
    hit, actual, predicted, total = (counts @ part.astype(np.float64) for part in (right, true, chosen, known))
    union = (true | chosen).sum(1)
    jaccard = np.divide(right.sum(1), union, out=np.ones(len(union)), where=union > 0)
    proteins = counts.sum(1)
    f1 = _ratio(2 * hit, np.where(actual > 0, actual + predicted, 0))
    varies = (actual > 0) & (actual < total)
    spread = np.sqrt(predicted * (total - predicted) * actual * (total - actual))
    mcc = np.where(varies, np.nan_to_num(_ratio(hit * total - predicted * actual, spread)), np.nan)
    precision = np.stack(
        [
            _average_precision(counts[:, known[:, i]], true[known[:, i], i], decision.scores[known[:, i], i])
            for i in range(true.shape[1])
        ],
        axis=1,
    )
    return {
        "micro_f1": np.nan_to_num(_ratio(2 * hit.sum(1), actual.sum(1) + predicted.sum(1))),
        "macro_f1": _mean(f1),
        "jaccard": counts @ jaccard / proteins,
        "subset_accuracy": counts @ (true == chosen).all(1) / proteins,
        "mcc": _mean(mcc),
        "average_precision": _mean(precision),
        "per_class_precision": _ratio(hit, np.where(actual > 0, predicted, 0)),
        "per_class_recall": _ratio(hit, actual),
        "per_class_f1": f1,
        "per_class_mcc": mcc,
        "per_class_average_precision": precision,
    }


def _average_precision(counts: np.ndarray, true: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """(R,), of one label: the mean of the precision over the recall that each score adds, as scikit-learn has it.

    Args:
        counts: (R, n).
        true: (n,), bool.
        scores: (n,).
    """
    order = np.argsort(-scores, kind="stable")
    last = np.flatnonzero(np.append(scores[order][:-1] != scores[order][1:], True)) if len(order) else order
    weight = counts[:, order]
    retrieved = np.cumsum(weight, axis=1)[:, last]
    hit = np.cumsum(weight * true[order], axis=1)[:, last]
    positives = (counts * true).sum(1)
    gained = np.diff(hit, axis=1, prepend=0)
    precision = np.divide(hit, retrieved, out=np.zeros_like(hit), where=retrieved > 0)
    return _ratio((gained * precision).sum(1), positives)


def _numbers(decision: Decision, references: np.ndarray, counts: np.ndarray) -> dict[str, np.ndarray]:
    known = known_references(references)
    targets = [
        _number(counts[:, known[:, i]], decision.scores[known[:, i], i].astype(np.float64), references[known[:, i], i])
        for i in range(references.shape[1])
    ]
    per_target = {name: np.stack([target[name] for target in targets], axis=1) for name in targets[0]}
    means = {name: _mean(values) for name, values in per_target.items()}
    return means | {f"per_target_{name}": values for name, values in per_target.items()}


def _number(counts: np.ndarray, predictions: np.ndarray, references: np.ndarray) -> dict[str, np.ndarray]:
    """The numbers of one target, (R,) each, from how often each protein is drawn, (R, n), and its numbers, (n,)."""
    references = references.astype(np.float64)
    total = counts.sum(1)
    varies = _varies(counts, references)
    squares = np.where(varies, (counts * _centred(counts, references) ** 2).sum(1), 0)
    ranks = _centred(counts, _ranks(counts, predictions)), _centred(counts, _ranks(counts, references))
    numbers = _centred(counts, predictions), _centred(counts, references)
    told_apart = varies & _varies(counts, predictions)
    return {
        "spearman": np.where(varies, np.where(told_apart, _correlation(counts, *ranks), 0), np.nan),
        "pearson": np.where(varies, np.where(told_apart, _correlation(counts, *numbers), 0), np.nan),
        "r2": 1 - _ratio(counts @ (references - predictions) ** 2, squares),
        "mae": _ratio(counts @ np.abs(references - predictions), total),
    }


def _varies(counts: np.ndarray, values: np.ndarray) -> np.ndarray:
    """(R,), whether the drawn values differ."""
    drawn = counts > 0
    highest = np.where(drawn, values, -np.inf).max(1, initial=-np.inf)
    return highest > np.where(drawn, values, np.inf).min(1, initial=np.inf)


def _centred(counts: np.ndarray, values: np.ndarray) -> np.ndarray:
    """(R, n), the differences from the mean of what is drawn; `values` are (n,) or (R, n)."""
    mean = _ratio((counts * values).sum(1), counts.sum(1))
    return values - mean[:, None]


def _correlation(counts: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(R,), Pearson's of centred values, (R, n)."""
    together, own, other = ((counts * a * b).sum(1) for a, b in ((first, second), (first, first), (second, second)))
    return np.clip(_ratio(together, np.sqrt(own * other)), -1, 1)


def _ranks(counts: np.ndarray, values: np.ndarray) -> np.ndarray:
    """(R, n), the ranks among what is drawn; equal values share the mean of theirs."""
    if not len(values):
        return counts
    distinct, places = np.unique(values, return_inverse=True)
    weight = np.add.reduceat(counts[:, np.argsort(places, kind="stable")], _starts(places, len(distinct)), axis=1)
    return (np.cumsum(weight, axis=1) - (weight - 1) / 2)[:, places]


def _starts(places: np.ndarray, distinct: int) -> np.ndarray:
    """(U,), where each distinct value begins once the values are sorted."""
    return np.concatenate([[0], np.cumsum(np.bincount(places, minlength=distinct))[:-1]])


RESAMPLED: dict[str, Callable[[Decision, np.ndarray, np.ndarray], dict[str, np.ndarray]]] = {
    SINGLE_LABEL: _single_label,
    MULTI_LABEL: _several_labels,
    REGRESSION: _numbers,
}


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """NaN where the whole is nothing."""
    return np.divide(part, whole, out=np.full(np.shape(whole), np.nan), where=whole > 0)


def _mean(values: np.ndarray) -> np.ndarray:
    """(R,), of the known ones among (R, C); 0 where there are none, as in [`task_metrics`]."""
    known = ~np.isnan(values)
    return np.nan_to_num(_ratio(np.where(known, values, 0).sum(1), known.sum(1)))
