"""Parses the options of a pretraining, from a YAML or JSON file and the command line, into three dataclasses."""

from collections.abc import Sequence

from transformers import HfArgumentParser

from ..data.split_strategies import STRATEGIES
from ..errors import OptionError
from ..training.option_ranges import check_ranges
from ..training.options import OptionParser, parse_words
from .arguments import PretrainedEncoderArguments, UnlabelledDataArguments
from .defaults import OF_CLASSIFIERS
from .metrics import MASKED_METRICS
from .training_arguments import PretrainingArguments

KINDS = (PretrainedEncoderArguments, UnlabelledDataArguments, PretrainingArguments)
Options = tuple[PretrainedEncoderArguments, UnlabelledDataArguments, PretrainingArguments]


def pretraining_parser(prog: str, description: str | None = None) -> HfArgumentParser:
    """The parser of every option of a pretraining; it raises [`OptionError`] in place of leaving the program."""
    return OptionParser(KINDS, prog=prog, description=description, allow_abbrev=False)


def parse_pretraining_options(arguments: Sequence[str], prog: str = "pretrain") -> Options:
    """Parse `[run.yaml] [--option value ...]`; the command line wins over the file.

    Raises:
        OptionError: An unknown option or a value that does not fit, in one line.
    """
    model_args, data_args, training_args = parse_words(pretraining_parser(prog), arguments)
    for name in OF_CLASSIFIERS:
        if getattr(training_args, name) != PretrainingArguments.__dataclass_fields__[name].default:
            raise OptionError(f"{name} is an option of train and has no effect on pretraining; leave it out")
    check_ranges(data_args, training_args)
    if not data_args.data:
        raise OptionError("data: found none; expected proteins to train on: --data proteins.fasta")
    if training_args.num_train_epochs <= 0 and training_args.max_steps <= 0:
        raise OptionError(f"num_train_epochs={training_args.num_train_epochs}: expected more than 0")
    if data_args.split not in STRATEGIES:
        raise OptionError(f"split={data_args.split!r}: expected one of {', '.join(STRATEGIES)}")
    metric = str(training_args.metric_for_best_model).removeprefix("eval_")
    if metric not in MASKED_METRICS:
        raise OptionError(f"metric_for_best_model={metric!r}: expected one of {', '.join(MASKED_METRICS)}")
    return model_args, data_args, training_args
