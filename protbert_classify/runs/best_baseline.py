"""The baselines that were run on the test proteins of a training."""

import glob
import os
from typing import Any

from ..evaluation.metrics import BEST_METRIC, higher_is_better
from .files import METRICS, RECORD, read_json

FOLDER = "baselines"  # beside the folder of the run


def best_baseline(output_dir: str) -> tuple[str, str, float] | None:
    """The best baseline on the same test proteins as a run: its name, a metric, and its value.

    Args:
        output_dir: Of the finished run; baselines are looked for in `baselines/` beside it.

    Returns:
        None without test proteins or such baselines.
    """
    record = read_json(os.path.join(output_dir, RECORD))
    tested = record["data_fingerprint"].get("test")
    metric = BEST_METRIC[record["tasks"][0]["problem_type"]]
    beside = os.path.join(os.path.dirname(os.path.abspath(output_dir)), FOLDER, "*", RECORD)
    values = {os.path.dirname(path): _value(path, tested, metric) for path in sorted(glob.glob(beside))}
    known = {folder: value for folder, value in values.items() if value is not None}
    if not known:
        return None
    choose = max if higher_is_better(metric) else min
    best = choose(known, key=known.__getitem__)
    return os.path.basename(best), metric, known[best]


def _value(path: str, tested: str | None, metric: str) -> float | None:
    record: dict[str, Any] = read_json(path)
    if tested is None or record["data_fingerprint"].get("test") != tested:
        return None
    value: float = read_json(os.path.join(os.path.dirname(path), METRICS))[f"test_{metric}"]
    return value
