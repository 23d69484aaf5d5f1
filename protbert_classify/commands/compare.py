"""`protbert-classify compare`: whether one training is better than another on the same test proteins."""

import argparse
import os

from .parsing import OneLineParser

DESCRIPTION = """\
Compare finished trainings on the same test proteins. Each run is compared with the first.

  protbert-classify compare --runs runs/frozen runs/protbert
  protbert-classify compare --runs runs/frozen runs/protbert runs/esm2 --output comparison.csv --page comparison.html

Differences have a 95% interval of a paired bootstrap: test proteins are resampled, the same ones for both runs. If a
run knows which test proteins are related (test_neighbours.csv), these are drawn together. If the interval does not
contain 0, the difference is probably not due to the choice of test proteins; training with another seed may still
change it.
McNemar's exact test compares how often only one of the runs is right."""


def run(arguments: list[str]) -> int:
    options = _parser().parse_args(arguments)
    from ..errors import OptionError
    from ..evaluation.comparison import compare
    from ..inference.streaming import check_paths
    from ..model.tasks import REGRESSION
    from ..reporting.comparison_page import write_page
    from ..reporting.comparison_table import OF_CLASSES, drawn_text, print_comparison, write_table
    from ..runs.common_test_proteins import common_test_proteins
    from ..runs.finished_run import read_run

    if len(options.runs) < 2:
        raise OptionError(f"runs={options.runs[0]}: found 1; expected two or more")
    if len({os.path.realpath(folder) for folder in options.runs}) < len(options.runs):
        raise OptionError(f"runs={' '.join(options.runs)}: one is given twice; expected different runs")
    if options.output and options.output.lower().endswith((".html", ".htm")):
        raise OptionError(f"output {options.output}: is a CSV table; --page {options.output} writes an HTML page")
    for path in filter(None, (options.output, options.page)):
        check_paths(options.runs[0], path)
    found = common_test_proteins([read_run(folder) for folder in options.runs])
    first, *others = found.decisions
    names = _short_names(options.runs)
    comparisons = [
        (names[0], name, compare(first, other, found.references, groups=found.groups))
        for name, other in zip(names[1:], others)
    ]
    written = [path for path in (options.output, options.page) if path]
    for path in written:
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    drawn = drawn_text(found.groups)
    if options.output:
        write_table(options.output, comparisons)
    if options.page:
        write_page(options.page, first.task, len(first), comparisons, drawn)
    print(f"{len(first):,} test proteins, {first.task.name}")
    print(f"{drawn}\n")
    for comparison in comparisons:
        print_comparison(*comparison)
    if first.task.problem_type != REGRESSION:
        print(OF_CLASSES)
    if written:
        print(f"written: {', '.join(written)}")
    return 0


def _short_names(folders: list[str]) -> list[str]:
    """The last parts of the paths, or the whole paths where these are the same."""
    names = [os.path.basename(os.path.normpath(folder)) for folder in folders]
    return names if len(set(names)) == len(names) else folders


def _parser() -> argparse.ArgumentParser:
    parser = OneLineParser(
        prog="protbert-classify compare",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--runs", required=True, nargs="+", help="output_dir of each training, two or more")
    parser.add_argument("--output", help="write the differences to this CSV table")
    parser.add_argument("--page", help="write them to this HTML page, with a figure of the classes")
    return parser
