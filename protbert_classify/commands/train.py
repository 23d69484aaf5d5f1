"""`protbert-classify train`: every option of examples/train.py."""

import argparse
import dataclasses
import sys
import textwrap
from typing import Any, Literal, get_args, get_origin

from ..training.arguments import DataArguments, ModelArguments
from ..training.defaults import TRAINING_DEFAULTS
from ..training.job import Job
from .terminal import hide_short_progress_bars

USAGE = "usage: protbert-classify train [run.yaml] --data FILE --output_dir DIR [--option value ...]"
DESCRIPTION = """\
Fine-tune a classifier on labelled proteins. The first argument can be a YAML or JSON file of options, such as
run.yaml; options on the command line override the file.

  protbert-classify train --data proteins.fasta --output_dir runs/mine
  protbert-classify train --data proteins.csv --label_column class --model_name_or_path facebook/esm2_t12_35M_UR50D
  protbert-classify train --data proteins.fasta --output_dir runs/three --seeds 3      (three models, their ensemble)
  accelerate launch --config_file CONFIG -m protbert_classify train ...      (on several devices)

DIR receives model/ (load it with ProteinClassifier.from_pretrained), metrics.json, test_predictions.csv, figures/ and
run.json, which records what is needed to repeat the run. In a SageMaker job, its channels and SM_MODEL_DIR are the
defaults."""
OTHERS = "Every other option of transformers.TrainingArguments works as well, such as --lr_scheduler_type cosine."


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
    registered = _registered()
    lines = [USAGE, "", DESCRIPTION]
    for title, kind in (("model", ModelArguments), ("data", DataArguments)):
        lines += ["", f"{title}:"]
        for field in dataclasses.fields(kind):
            choices = registered.get(field.name) or _choices(field.type)
            lines += _option(field.name, _default(field), str(field.metadata["help"]), choices)
    lines += ["", "training:"]
    for name, (default, text) in TRAINING_DEFAULTS.items():
        lines += _option(name, default, text, ())
    return "\n".join([*lines, "", OTHERS])


def _parser() -> argparse.ArgumentParser:
    """Every option, those of transformers among them; importing transformers takes too long for a help."""
    from ..training.options import option_parser

    return option_parser("protbert-classify train", DESCRIPTION)


def _option(name: str, default: Any, text: str, choices: tuple[str, ...]) -> list[str]:
    notes = [f"one of {', '.join(choices)}"] if choices else []
    if default is not None:
        notes.append(f"default {default}")
    line = f"{text} ({'; '.join(notes)})" if notes else text
    return [f"  --{name}", *textwrap.wrap(line, 112, initial_indent=" " * 6, subsequent_indent=" " * 6)]


def _registered() -> dict[str, tuple[str, ...]]:
    """Names of the registered parts, once a plugin has loaded them: torch takes too long for a help."""
    if "torch" not in sys.modules:
        return {}
    from ..data.split_strategies import STRATEGIES
    from ..model.heads import HEADS
    from ..model.losses import LOSSES
    from ..model.pooling import POOLINGS

    return {registry.kind: tuple(registry) for registry in (POOLINGS, HEADS, LOSSES, STRATEGIES)}


def _default(field: dataclasses.Field) -> Any:
    if field.default is not dataclasses.MISSING:
        return field.default
    lists: Any = field.default_factory
    return " ".join(lists()) or None


def _choices(kind: Any) -> tuple[str, ...]:
    literal = next((part for part in (kind, *get_args(kind)) if get_origin(part) is Literal), None)
    return get_args(literal) if literal is not None else ()
