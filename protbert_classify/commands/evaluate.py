"""`protbert-classify evaluate`: how good a saved classifier is on labelled proteins."""

import argparse
import os

from .parsing import OneLineParser, add_compute_options, add_model, compute_options
from .terminal import hide_moments


def run(arguments: list[str]) -> int:
    options = _parser().parse_args(arguments)
    from ..data.sources import Columns, check_there, read_proteins
    from ..data.splitting import whole
    from ..errors import DataError, OptionError
    from ..inference.evaluate import evaluate_classifier
    from ..inference.whole_file import check_paths
    from ..training.outputs import write_json
    from .metrics_table import metrics_table

    hide_moments()
    check_there(options.data)
    if options.output:
        check_paths(options.data, options.output)
    columns = Columns(options.id_column, options.sequence_column, options.label_column, options.split_column)
    splits = read_proteins(
        options.data, ambiguous=options.ambiguous, header_pattern=options.header_pattern, columns=columns
    )
    split = options.split or ("test" if "test" in splits else "all")
    if split != "all" and split not in splits:
        raise OptionError(f"{options.data} has no {split} split; found {', '.join(splits)}")
    proteins = whole(splits) if split == "all" else splits[split]
    try:
        metrics = evaluate_classifier(options.model, proteins, **compute_options(options))
    except DataError as error:  # of a protein; it does not know the file
        raise DataError(f"{options.data}: {error}") from None
    print(metrics_table(metrics, split), flush=True)
    if options.output:
        os.makedirs(os.path.dirname(options.output) or ".", exist_ok=True)
        write_json(options.output, metrics)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = OneLineParser(
        prog="protbert-classify evaluate",
        description="Measure a fine-tuned model on labelled proteins: the metrics of its tasks, and of each class.",
    )
    add_model(parser)
    parser.add_argument("--data", required=True, help="labelled proteins, as for train")
    parser.add_argument("--split", choices=("train", "validation", "test", "all"), help="test if there is one, or all")
    parser.add_argument("--output", help="write the metrics, the confusion matrix among them, to this JSON file")
    parser.add_argument("--ambiguous", choices=("drop", "keep", "first"), default="drop", help="as for train")
    parser.add_argument("--header_pattern", help="as for train")
    parser.add_argument("--id_column", default="id", help="as for train")
    parser.add_argument("--sequence_column", default="sequence", help="as for train")
    parser.add_argument("--label_column", default="location", help="as for train")
    parser.add_argument("--split_column", default="split", help="as for train")
    add_compute_options(parser)
    return parser
