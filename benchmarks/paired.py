"""Two runs on the same test proteins: the differences of their metrics, with intervals."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.reporting import markdown_table
from protbert_classify.evaluation.comparison import compare
from protbert_classify.reporting.formatting import with_interval
from protbert_classify.runs.common_test_proteins import common_test_proteins
from protbert_classify.runs.files import RECORD
from protbert_classify.runs.finished_run import read_run

HEADING = "Differences on the same test proteins, with 95% intervals:"


def differences(pairs: Mapping[str, Sequence[tuple[Path, Path]]]) -> dict[str, list[dict[str, Any]]]:
    """Title of a pair -> for each seed, what [`difference`] finds. A pair with an unfinished run is left out.

    Args:
        pairs: Title of a pair -> for each seed, the folders of its two runs.
    """
    return {
        title: [difference(*map(str, pair)) for pair in runs]
        for title, runs in pairs.items()
        if all((run / RECORD).exists() for pair in runs for run in pair)
    }


def difference(first: str, second: str) -> dict[str, Any]:
    """Metric -> the second run minus the first, and its interval over groups of related test proteins."""
    common = common_test_proteins([read_run(first), read_run(second)])
    one, other = common.decisions
    compared = compare(one, other, common.references, groups=common.groups)
    return {found.name: [found.value, found.interval] for found in compared.differences if found.label is None}


def pairs_table(differences: Mapping[str, Sequence[dict[str, Any]]], metrics: Mapping[str, str]) -> str:
    """A row for each pair and metric, a column for each seed and one for their mean.

    Args:
        differences: Title of a pair -> for each seed, what [`difference`] found.
        metrics: Names of the metrics to show -> their titles.
    """
    most = max((len(seeds) for seeds in differences.values()), default=0)
    lines = [
        [
            *(title, shown, f"{np.mean([seed[metric][0] for seed in seeds]):+.3f}"),
            *(with_interval(seed[metric][0], seed[metric][1], "+.3f") for seed in seeds),
            *[""] * (most - len(seeds)),
        ]
        for title, seeds in differences.items()
        for metric, shown in metrics.items()
    ]
    return markdown_table(["", "metric", "mean", *(f"seed {seed}" for seed in range(most))], lines)
