"""`protbert-classify pretrain`: masked-language-model training on unlabelled proteins."""

import argparse
from typing import Any

from ..pretraining.arguments import PretrainedEncoderArguments, UnlabelledDataArguments
from ..pretraining.defaults import PRETRAINING_DEFAULTS
from .option_help import options_help
from .predict import REJECTED
from .processes import is_distributed
from .terminal import hide_short_progress_bars

USAGE = "usage: protbert-classify pretrain [run.yaml] --data FILE [FILE ...] --output_dir DIR [--option value ...]"
DESCRIPTION = """\
Train an encoder further on your own unlabelled proteins, before you fine-tune it: it learns to predict masked residues
from the others. Or train a small one from scratch. The first argument can be a YAML or JSON file of options.

  protbert-classify pretrain --data proteome.fasta --output_dir runs/domain --model_name_or_path Rostlab/prot_bert_bfd
  protbert-classify pretrain --data a.fasta.gz b.csv --exclude test.fasta --model_name_or_path facebook/esm2_t6_8M_UR50D
  protbert-classify train --data labelled.fasta --output_dir runs/mine --model_name_or_path runs/domain/model

The third command fine-tunes the result. If your test proteins, or proteins like them, are in the data, your test
metrics will be too good: give the test proteins as --exclude, and their neighbours are left out.

DIR receives model/ (a masked-language model of transformers, which train, embed and ProteinClassifier.from_pretrained
load as an encoder), metrics.json, rejected.csv (records that could not be read) and run.json. Validation loss,
perplexity and the share of masked residues that are predicted right are printed after each epoch. Ctrl-C writes a
checkpoint, and the same command with --resume continues. The exit code is 3 if records were rejected (0 with several
processes). Several devices: accelerate launch, as for train."""


def run(arguments: list[str]) -> int:
    if {"-h", "--help"} & set(arguments):
        print(help_text())
        return 0
    from ..pretraining.options import parse_pretraining_options
    from ..pretraining.run import pretrain

    hide_short_progress_bars()
    options = parse_pretraining_options(arguments, "protbert-classify pretrain")
    metrics = pretrain(*options)
    if options[-1].should_save:
        print(summary(metrics, str(options[-1].output_dir), options[0].backbone_config is not None))
    # a launcher makes a failure, with a traceback, of every other exit code
    return REJECTED if metrics["rejected_records"] and not is_distributed() else 0


def summary(metrics: dict[str, Any], output_dir: str, from_scratch: bool = False) -> str:
    """The numbers of a pretraining, and what to do with its model; one from scratch is small as a rule."""
    from ..reporting.formatting import count

    lines = []
    if "validation_proteins" in metrics:
        lines = [
            f"validation: {count(metrics['validation_proteins'], 'protein')}, loss {metrics['validation_loss']:.3f} "
            f"(perplexity {metrics['validation_perplexity']:.2f}), masked accuracy "
            f"{metrics['validation_masked_accuracy']:.3f}; "
            f"residue frequencies alone: loss {metrics['validation_frequency_loss']:.3f}"
        ]
        if metrics["validation_loss"] >= metrics["validation_frequency_loss"]:
            lines.append("it has not learned more than these frequencies: train longer, or with a higher learning_rate")
    if rejected := metrics["rejected_records"]:
        lines.append(f"{count(rejected, 'record')} rejected; they and the reasons in {output_dir}/rejected.csv")
    lines.append(f"trained in {metrics['train_runtime']:,.0f} s; model in {output_dir}/model")
    rate = " --learning_rate 3e-4" if from_scratch else ""  # the default of train suits large encoders
    lines.append(
        f"to fine-tune it: protbert-classify train --data LABELLED.fasta --model_name_or_path {output_dir}/model{rate}"
    )
    return "\n".join(lines)


def help_text() -> str:
    """The help, without importing transformers' Trainer."""
    kinds = {"model": PretrainedEncoderArguments, "data": UnlabelledDataArguments}
    return options_help(USAGE, DESCRIPTION, kinds, PRETRAINING_DEFAULTS)


def _parser() -> argparse.ArgumentParser:
    """Every option, those of transformers among them."""
    from ..pretraining.options import pretraining_parser

    return pretraining_parser("protbert-classify pretrain", DESCRIPTION)
