"""`protbert-classify train`: every option of examples/train.py."""

import dataclasses
import textwrap
from typing import Any, Literal, get_args, get_origin

from ..sagemaker.container import fetch_hub_token, hand_over, in_job, job_options
from ..training.arguments import TRAINING_DEFAULTS, DataArguments, ModelArguments
from .terminal import hide_moments

INTRODUCTION = """\
usage: protbert-classify train [run.yaml] --data FILE --output_dir DIR [--option value ...]

Fine-tune a classifier on labelled proteins. Options come from the command line and, before them, from a YAML or JSON
file of "option: value" lines. On several devices: accelerate launch --config_file CONFIG -m protbert_classify train ...

  protbert-classify train --data proteins.fasta --output_dir runs/mine
  protbert-classify train --data proteins.csv --label_column class --model_name_or_path facebook/esm2_t12_35M_UR50D

DIR receives model/ (load it with ProteinClassifier.from_pretrained), metrics.json, test_predictions.csv, figures/ and
run.json (everything to repeat the run). In a SageMaker job its channels and SM_MODEL_DIR are the defaults."""


def run(arguments: list[str]) -> int:
    if {"-h", "--help"} & set(arguments):
        print(help_text())
        return 0
    from ..training.options import parse_options
    from ..training.run import train

    hide_moments()
    options = parse_options(arguments, "protbert-classify train", job_options() if in_job() else ())
    if in_job() and options[-1].push_to_hub:
        fetch_hub_token()
    metrics = train(*options)
    training_args = options[-1]
    if training_args.should_save:
        if in_job():
            hand_over(str(training_args.output_dir))
        print(summary(metrics, str(training_args.output_dir)))
    return 0


def summary(metrics: dict[str, Any], output_dir: str) -> str:
    """The numbers of a run in a few lines, and where the rest is."""
    from ..reporting.facts import count

    lines = []
    for split in ("validation", "test"):
        if f"{split}_accuracy" in metrics:
            lines.append(
                f"{split}: {count(metrics[f'{split}_proteins'], 'protein')}, "
                f"accuracy {metrics[f'{split}_accuracy']:.3f}, "
                f"MCC {metrics[f'{split}_mcc']:.3f}, macro F1 {metrics[f'{split}_macro_f1']:.3f}"
            )
    if "test_accuracy" not in metrics:
        lines.append("no test proteins: no test metrics, predictions or confusion matrix")
    lines.append(f"trained in {metrics['train_runtime']:,.0f} s; model in {output_dir}/model, the rest in {output_dir}")
    return "\n".join(lines)


def help_text() -> str:
    """The help, without importing transformers (seconds): its options are listed where ours change or often meet."""
    lines = [INTRODUCTION]
    for title, kind in (("model", ModelArguments), ("data", DataArguments)):
        lines += ["", f"{title}:"]
        for field in dataclasses.fields(kind):
            lines += _option(field.name, field.default, str(field.metadata["help"]), _choices(field.type))
    lines += ["", "training:"]
    for name, (default, text) in TRAINING_DEFAULTS.items():
        lines += _option(name, default, text, ())
    lines += [
        "",
        "Every other option of transformers.TrainingArguments works as well (--lr_scheduler_type cosine, ...).",
    ]
    return "\n".join(lines)


def _option(name: str, default: Any, text: str, choices: tuple[str, ...]) -> list[str]:
    notes = [f"one of {', '.join(choices)}"] if choices else []
    if default is not None:
        notes.append(f"default {default}")
    line = f"{text} ({'; '.join(notes)})" if notes else text
    return [f"  --{name}", *textwrap.wrap(line, 112, initial_indent=" " * 6, subsequent_indent=" " * 6)]


def _choices(kind: Any) -> tuple[str, ...]:
    return get_args(kind) if get_origin(kind) is Literal else ()
