"""`protbert-classify evaluate`: how good a saved classifier is on labelled proteins."""

import argparse
import logging
import os
from typing import TYPE_CHECKING

from .parsing import OneLineParser, add_compute_options, add_data_options, add_model
from .terminal import hide_short_progress_bars

if TYPE_CHECKING:
    from datasets import DatasetDict

    from ..model.tasks import Task

logger = logging.getLogger(__name__)


def run(arguments: list[str]) -> int:
    options = _parser().parse_args(arguments)
    from ..data.loading import read_proteins, reading_options
    from ..data.sources import check_there
    from ..data.splitting import whole
    from ..errors import DataError, OptionError
    from ..inference.evaluate import measure
    from ..inference.saved_classifier import load_classifier
    from ..inference.streaming import check_paths
    from ..runs.files import write_json
    from ..training.seen_proteins import count_seen
    from .metrics_table import metrics_table

    hide_short_progress_bars()
    check_there(options.data)
    if options.output:
        check_paths(options.data, options.output)
    classifier, tokenizer = load_classifier(options.model, options.device, options.precision, options.compile)
    given = options.label_column
    use_task(options, classifier.config.task)
    splits = _renamed(read_proteins(options.data, **reading_options(options)), given, classifier.config.task)
    split = options.split or ("test" if "test" in splits else "all")
    if split != "all" and split not in splits:
        raise OptionError(f"{options.data} has no {split} split; found {', '.join(splits)}")
    proteins = whole(splits) if split == "all" else splits[split]
    if split in ("train", "all"):
        _warn_of_seen(count_seen(options.model, splits, classifier.config.task), len(proteins), options.data)
    try:
        metrics = measure(classifier, tokenizer, proteins, options.tokens_per_batch)
    except DataError as error:  # of a protein; it does not know the file
        raise DataError(f"{options.data}: {error}") from None
    print(metrics_table(metrics, split), flush=True)
    if options.output:
        os.makedirs(os.path.dirname(options.output) or ".", exist_ok=True)
        write_json(options.output, metrics)
    return 0


def _warn_of_seen(seen: int, proteins: int, source: str) -> None:
    if seen:
        logger.warning(
            "%s: the model was trained on %d of these %d proteins, so the metrics are too good; evaluate others",
            source,
            seen,
            proteins,
        )


def use_task(options: argparse.Namespace, task: "Task") -> None:
    """Read what the model answers, unless the options say otherwise."""
    from ..data.deeploc import ambiguous_of
    from ..tasks.columns import label_columns

    options.ambiguous = options.ambiguous or ambiguous_of(task.labels)
    if options.label_column is None:
        options.label_column = label_columns(task)
    options.problem_type = options.problem_type or task.problem_type


def _renamed(splits: "DatasetDict", given: list[str] | None, task: "Task") -> "DatasetDict":
    """The answers that `--label_column` names, under the name that the model has for them."""
    if given is None or len(given) != 1 or given == [task.name]:
        return splits
    parts = {}
    for name, part in splits.items():
        if given[0] in part.column_names:
            part = part.remove_columns({task.name} & set(part.column_names)).rename_column(given[0], task.name)
        parts[name] = part
    return type(splits)(parts)


def _parser() -> argparse.ArgumentParser:
    parser = OneLineParser(
        prog="protbert-classify evaluate",
        description="Measure a fine-tuned classifier on labelled proteins. Prints the metrics of each task and each "
        "class.",
    )
    add_model(parser)
    parser.add_argument("--data", required=True, help="labelled proteins, as for train")
    parser.add_argument(
        "--split", choices=("train", "validation", "test", "all"), help="default: test if there is one, else all"
    )
    parser.add_argument("--output", help="write the metrics and the confusion matrix to this JSON file")
    add_data_options(parser, label_column=None)
    add_compute_options(parser)
    return parser
