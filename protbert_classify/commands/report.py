"""`protbert-classify report`: a page with the figures of a run."""

import argparse

from .parsing import OneLineParser


def run(arguments: list[str]) -> int:
    options = _parser().parse_args(arguments)
    from ..reporting.report import write_report
    from ..runs.finished_run import read_run

    print(write_report(read_run(options.run), options.output))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = OneLineParser(
        prog="protbert-classify report",
        description="A page about a finished training: its proteins, the curves, the confusion matrix, each class, "
        "whether its scores can be trusted, accuracy by length, the most confidently wrong predictions, and what it "
        "takes to repeat it. One HTML file that needs no network; the figures also go to figures/ in the run's folder.",
    )
    parser.add_argument("--run", required=True, help="output_dir of the training")
    parser.add_argument("--output", help="the page (default report.html in the run's folder)")
    return parser
