"""Metrics of several trainings of one kind: their means and standard deviations."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

SPLITS = ("validation_", "test_")


def summarize_members(names: Sequence[str], metrics: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The numbers of each member, and what they come to.

    Args:
        names: (N,), of the members, N of 2 or more.
        metrics: (N,), the content of `metrics.json` of each.

    Returns:
        `names`, and for each metric of the validation and test proteins that all members have, `values`, (N,), their
        `mean` and `std`, the standard deviation of a sample (with N - 1).

    Example:
        >>> from protbert_classify.evaluation.member_metrics import summarize_members
        >>> found = summarize_members(["seed-0", "seed-1"], [{"test_mcc": 0.5}, {"test_mcc": 0.7}])
        >>> found["mean"]["test_mcc"], round(found["std"]["test_mcc"], 3)
        (0.6, 0.141)
    """
    shared = [name for name in metrics[0] if all(_is_metric(name, values.get(name)) for values in metrics)]
    values = {name: [float(each[name]) for each in metrics] for name in shared}
    return {
        "names": list(names),
        "values": values,
        "mean": {name: float(np.mean(found)) for name, found in values.items()},
        "std": {name: float(np.std(found, ddof=1)) for name, found in values.items()},
    }


def _is_metric(name: str, value: Any) -> bool:
    return name.startswith(SPLITS) and not name.endswith("_proteins") and type(value) in (int, float)
