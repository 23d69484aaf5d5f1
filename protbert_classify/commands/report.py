"""`protbert-classify report`: an HTML page about a finished training."""

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
        description="Write an HTML page about a finished training: its proteins, its loss and metric curves, the "
        "confusion matrix, the metrics of each class, the calibration of its scores, its accuracy by protein length, "
        "its most confident mistakes, and how to repeat it. The page is one file and needs no network. The figures "
        "also go to figures/ in the folder of the run.",
    )
    parser.add_argument("--run", required=True, help="output_dir of the training")
    parser.add_argument("--output", help="file to write (default: report.html in the folder of the run)")
    return parser
