"""The comparison of runs as text and as a CSV table."""

import csv
from collections.abc import Sequence

import numpy as np

from ..evaluation.comparison import Comparison, Difference, McNemar
from ..evaluation.metrics import NAMES
from ..runs.files import write_atomically
from .formatting import Rows

TESTED = ("accuracy", "subset_accuracy", "recall")
# the first run, another run, and how the other differs from the first
Compared = tuple[str, str, Comparison]
OF_CLASSES = (
    "The last columns count the proteins that truly have the class: a run that predicts it too often gains there and "
    "loses in F1. p is that of McNemar's exact test; with many classes, a small one may be chance."
)
SHOWN = {True: "spearman", False: "f1"}  # of each number of a regression, of each class


def drawn_text(groups: np.ndarray | None) -> str:
    """What the bootstrap drew.

    Args:
        groups: (N,), the same number for related test proteins; None if they are not known.
    """
    if groups is None:
        return "intervals: proteins drawn one by one, as no run knows which are related; relatives make them too narrow"
    return f"intervals: {len(np.unique(groups)):,} groups of related proteins, drawn whole"


def print_comparison(first: str, other: str, comparison: Comparison) -> None:
    """Print how a run differs from the first, to standard output."""
    rows = [["", first, other, "difference (95% interval)"], *metric_rows(comparison)]
    print(_aligned(rows))
    if comparison.tests:
        print(f"\n{test_sentence(first, other, comparison.tests[0])}")
    header, *each = label_rows(first, other, comparison)
    print(f"\n{_aligned([header, *each])}\n")


def metric_rows(comparison: Comparison) -> Rows:
    """The metrics over all classes: name, first, second, difference."""
    return [[NAMES[found.name], *numbers(found)] for found in comparison.differences if found.label is None]


def label_rows(first: str, other: str, comparison: Comparison) -> Rows:
    """A header, and one row a class or number."""
    tests = {test.label: test for test in comparison.tests}
    name = SHOWN[not tests]
    header = [NAMES[name], first, other, "difference (95% interval)"]
    if tests:
        header += ["proteins", f"only {first} right", f"only {other} right", "p"]
    rows = [header]
    for found in comparison.differences:
        if found.label is None or found.name != name:
            continue
        test = tests.get(found.label)
        counts = [f"{test.proteins:,}", f"{test.first:,}", f"{test.second:,}", p_text(test)] if test else []
        rows.append([found.label, *numbers(found), *counts])
    return rows


def numbers(found: Difference) -> list[str]:
    """Both values and their difference with its interval; a dash where there is none."""
    values = ["–" if value is None else f"{value:.3f}" for value in (found.first, found.second)]
    if found.value is None:
        return [*values, "–"]
    bounds = f" ({found.interval[0]:+.3f} to {found.interval[1]:+.3f})" if found.interval else ""
    return [*values, f"{found.value:+.3f}{bounds}"]


def p_text(test: McNemar) -> str:
    return "<0.001" if test.p_value < 0.001 else f"{test.p_value:.3f}"


def test_sentence(first: str, other: str, test: McNemar) -> str:
    """What McNemar's test found for all proteins."""
    p = p_text(test)
    return (
        f"Right only in {first}: {test.first:,}; only in {other}: {test.second:,}. McNemar's exact test: "
        f"p {p if p.startswith('<') else f'= {p}'}"
    )


def write_table(path: str, comparisons: Sequence[Compared]) -> None:
    """Write one line a run, metric and class; `label` is empty for all classes, and what is undefined is empty."""

    def write(part: str) -> None:
        with open(part, "w", newline="", encoding="utf-8") as file:
            table = csv.writer(file, lineterminator="\n")
            columns = ["value_of_first", "value", "difference", "low", "high"]
            table.writerow(["first", "run", "label", "metric", *columns, "only_first_right", "only_run_right", "p"])
            for first, other, comparison in comparisons:
                tests = {test.label: test for test in comparison.tests}
                for found in comparison.differences:
                    values = [found.first, found.second, found.value, *(found.interval or (None, None))]
                    shown = ["" if value is None else f"{value:.6g}" for value in values]
                    # McNemar's test is about right answers: it belongs to one row of all classes, and of each class
                    test = tests.get(found.label) if found.name in TESTED else None
                    counted = [test.first, test.second, f"{test.p_value:.6g}"] if test else ["", "", ""]
                    table.writerow([first, other, found.label or "", found.name, *shown, *counted])

    write_atomically(path, write)


def _aligned(rows: Rows) -> str:
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) if not place else cell.rjust(width) for place, (cell, width) in enumerate(pairs))
        for pairs in (list(zip(row, widths)) for row in rows)
    )
