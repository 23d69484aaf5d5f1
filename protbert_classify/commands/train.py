"""`protbert-classify train`: every option of examples/train.py."""

import argparse
import sys

from ..training.arguments import DataArguments, ModelArguments
from ..training.defaults import TRAINING_DEFAULTS
from ..training.job import Job
from .option_help import options_help
from .terminal import hide_short_progress_bars

USAGE = "usage: protbert-classify train [run.yaml] --data FILE --output_dir DIR [--option value ...]"
DESCRIPTION = """\
Fine-tune a classifier on labelled proteins. The first argument can be a YAML or JSON file of options, such as
run.yaml; options on the command line override the file.

  protbert-classify train --data proteins.fasta --output_dir runs/mine
  protbert-classify train --data proteins.csv --label_column class --model_name_or_path facebook/esm2_t12_35M_UR50D
  protbert-classify train --data proteins.fasta --output_dir runs/three --seeds 3      (three models, their ensemble)
  protbert-classify train --data proteins.fasta --output_dir runs/best --search 20    (finds better options first)
  accelerate launch --config_file CONFIG -m protbert_classify train ...      (on several devices)

DIR receives model/ (load it with ProteinClassifier.from_pretrained), metrics.json, test_predictions.csv, figures/ and
run.json, which records what is needed to repeat the run. In a SageMaker job, the data and the output folder
are by default those of the job (its channels and SM_MODEL_DIR)."""


def run(arguments: list[str], job: Job | None = None) -> int:
    if {"-h", "--help"} & set(arguments):
        print(help_text())
        return 0
    from ..reporting.terminal_summary import training_summary
    from ..runs.best_baseline import best_baseline
    from ..training.options import parse_options
    from ..training.run import train

    hide_short_progress_bars()
    options = parse_options(arguments, "protbert-classify train", job.options() if job else ())
    if job is not None and options[-1].push_to_hub:
        job.prepare_push()
    metrics = train(*options)
    training_args = options[-1]
    if training_args.should_save:
        if job is not None:
            job.finish(str(training_args.output_dir))
        output_dir = str(training_args.output_dir)
        print(training_summary(metrics, output_dir, best_baseline(output_dir)))
    return 0


def help_text() -> str:
    """The help, without importing transformers' Trainer: its options are listed where ours change or often meet."""
    kinds = {"model": ModelArguments, "data": DataArguments}
    return options_help(USAGE, DESCRIPTION, kinds, TRAINING_DEFAULTS, _registered())


def _parser() -> argparse.ArgumentParser:
    """Every option, those of transformers among them; importing transformers takes too long for a help."""
    from ..training.options import option_parser

    return option_parser("protbert-classify train", DESCRIPTION)


def _registered() -> dict[str, tuple[str, ...]]:
    """Names of the registered parts, once a plugin has loaded them: torch takes too long for a help."""
    if "torch" not in sys.modules:
        return {}
    from ..data.split_strategies import STRATEGIES
    from ..model.heads import HEADS
    from ..model.losses import LOSSES
    from ..model.pooling import POOLINGS

    return {registry.kind: tuple(registry) for registry in (POOLINGS, HEADS, LOSSES, STRATEGIES)}
