"""The baselines that were run on the test proteins of a training."""

import glob
import os
from dataclasses import dataclass
from typing import Any

from ..evaluation.metrics import BEST_METRIC, higher_is_better
from .files import METRICS, RECORD, read_json

FOLDER = "baselines"  # beside the folder of the run


@dataclass(frozen=True)
class BestBaseline:
    """The best baseline on the test proteins of a run.

    Args:
        name: Of the baseline.
        metric: Of the test proteins that are compared.
        value: Of the metric.
        learned_from: How many training proteins it had if they were not those of the run, else None.
    """

    name: str
    metric: str
    value: float
    learned_from: int | None = None


def best_baseline(output_dir: str) -> BestBaseline | None:
    """The best baseline on the same test proteins as a run, if possible among those with its training proteins.

    Args:
        output_dir: Of the finished run; baselines are looked for in `baselines/` beside it.

    Returns:
        None without test proteins or such baselines.
    """
    record = read_json(os.path.join(output_dir, RECORD))
    metric = BEST_METRIC[record["tasks"][0]["problem_type"]]
    beside = os.path.join(os.path.dirname(os.path.abspath(output_dir)), FOLDER, "*", RECORD)
    found = [_baseline(path, record["data_fingerprint"], metric) for path in sorted(glob.glob(beside))]
    known = [one for one in found if one is not None]
    same = [one for one in known if one.learned_from is None]
    choose = max if higher_is_better(metric) else min
    return choose(same or known, key=lambda one: one.value, default=None)


def _baseline(path: str, proteins: dict[str, str], metric: str) -> BestBaseline | None:
    fingerprints: dict[str, str] = read_json(path)["data_fingerprint"]
    if "test" not in proteins or fingerprints.get("test") != proteins["test"]:
        return None
    folder = os.path.dirname(path)
    metrics: dict[str, Any] = read_json(os.path.join(folder, METRICS))
    others = None if fingerprints["train"] == proteins["train"] else metrics["train_proteins"]
    return BestBaseline(os.path.basename(folder), metric, metrics[f"test_{metric}"], others)
