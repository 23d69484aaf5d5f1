"""`protbert-classify estimate`: the memory and time of a training, before anyone pays for a GPU."""

import argparse
import json
from functools import partial
from typing import TYPE_CHECKING

from ..cost.devices import DEVICES, HERE, PRECISIONS, ROOM
from ..errors import OptionError
from ..training.arguments import EncoderArguments
from ..training.recipe_files import OWN_NETWORK, recipe_names, recipe_path
from .parsing import OneLineParser, add_data_options, positive

if TYPE_CHECKING:
    import numpy as np

    from ..model import ProteinClassifier

ADAPTER = ("kind", "rank", "dropout", "targets", "bits")  # the options of LoRA that change memory or time
TUNINGS = ("full", "lora", "frozen")  # as train has them
NAMES_HERE = {"model_name_or_path": "model", "num_train_epochs": "epochs"}  # of options of a recipe
EXAMPLES = """\
examples:
  protbert-classify estimate --model Rostlab/prot_bert_bfd --device T4
      Does ProtBERT train on a T4? If not, what would make it fit?
  protbert-classify estimate --model facebook/esm2_t33_650M_UR50D --data proteins.fasta --device A100-40GB
      The same for ESM-2 and the lengths of your own proteins.
  protbert-classify estimate --model facebook/esm2_t33_650M_UR50D --recipe lora --device T4
      What does the recipe lora need?
  protbert-classify estimate --model runs/mine --freeze_backbone
      Only the head is trained, on this machine: the command measures its speed and looks up its free memory.

The command reads the model's configuration (a few kB), not its weights. The memory is that of one training step on
one device. The time is the arithmetic of an epoch divided by the speed of the device. That speed is the peak rate
times --utilisation, which is an assumption. To correct it, train for a few minutes with --max_train_samples and
compare the time of an epoch with the estimate for the same --data. The time does not include evaluation, reading the
data or downloading the weights."""


def run(arguments: list[str]) -> int:
    options = _parse(arguments)
    if (options.model is None) == (options.backbone_config is None):
        raise OptionError("expected --model or --backbone_config, one of them")
    if options.freeze_backbone and options.tuning == "lora":
        raise OptionError("tuning=lora and freeze_backbone exclude each other; leave one out")
    if options.freeze_backbone:
        options.tuning = "frozen"
    if options.freeze_layers and options.tuning == "lora":
        raise OptionError("tuning=lora and freeze_layers exclude each other; leave one out")
    for name in ADAPTER:
        value = getattr(options, f"lora_{name}")
        if options.tuning != "lora" and value != options.defaults[f"lora_{name}"]:
            given = f"lora_{name}={' '.join(value) if isinstance(value, list) else value}"
            raise OptionError(f"{given} and tuning={options.tuning}: expected tuning=lora, or leave lora_{name} out")
    from ..cost.estimate_table import estimate_record, estimate_table
    from ..cost.plan import estimate_plan, make_plan, what_would_fit
    from ..runs.files import write_json

    model = _model(options, options.tuning)
    residues, data = _residues(options)
    plan = make_plan(
        model,
        residues,
        name=options.model or "a model from scratch",
        data=data,
        max_length=options.max_length,
        tokens_per_batch=options.tokens_per_batch,
        proteins_per_batch=options.per_device_train_batch_size,
        precision=options.precision,
        gradient_checkpointing=options.gradient_checkpointing,
        tuning=options.tuning,
        device=options.device,
        utilisation=options.utilisation,
        epochs=options.epochs,
    )
    cost = estimate_plan(plan, model)
    fits = cost.step <= ROOM * plan.memory
    advice = [] if fits else what_would_fit(plan, cost, model, partial(_model, options))
    if options.output:
        write_json(options.output, estimate_record(plan, cost, advice))
    print(estimate_table(plan, cost, advice))
    return 0


def _parse(arguments: list[str]) -> argparse.Namespace:
    """The options; those of a recipe are defaults."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.recipe is not None:
        from ..training.options import read_options_file

        recipe = read_options_file(recipe_path(options.recipe))
        values = {NAMES_HERE.get(name, name): value for name, value in recipe.items()}
        if "backbone_config" not in values:
            values.setdefault("model", EncoderArguments.model_name_or_path)  # the default of train
        if options.model and "backbone_config" in values:
            raise OptionError(OWN_NETWORK.format(recipe=options.recipe, option="model"))
        if options.model or options.backbone_config:
            values = {name: value for name, value in values.items() if name not in ("model", "backbone_config")}
        if "backbone_config" in values:
            values["backbone_config"] = json.dumps(values["backbone_config"])
        parser.set_defaults(**{name: value for name, value in values.items() if hasattr(options, name)})
        options = parser.parse_args(arguments)
    options.defaults = {name: parser.get_default(name) for name in vars(options)}  # those of a recipe among them
    return options


def _model(options: argparse.Namespace, tuning: str) -> "ProteinClassifier":
    from ..cost.planned_model import planned_model, trained_length

    if options.max_length is None:
        options.max_length = trained_length(options.model, options.model_revision) or 512
    return planned_model(
        options.model,
        max_length=options.max_length,
        revision=options.model_revision,
        backbone_config=options.backbone_config,
        num_labels=options.labels,
        pooling=options.pooling,
        head=options.head,
        light_attention_kernel_size=options.light_attention_kernel_size,
        light_attention_layers=options.light_attention_layers,
        tuning=tuning,
        adapter={name: getattr(options, f"lora_{name}") for name in ADAPTER},
        freeze_layers=options.freeze_layers if tuning == "full" else 0,
        layer=options.layer,
    )


def _residues(options: argparse.Namespace) -> tuple["np.ndarray", str]:
    """Residues of the training proteins, (N,), and where they come from."""
    import numpy as np

    from ..cost.estimate import deeploc_lengths

    if options.data is None:
        return deeploc_lengths(), "as many as DeepLoc 1.0 trains on, its distribution of lengths; else --data"
    from ..data.loading import read_proteins, reading_options
    from .terminal import hide_short_progress_bars

    hide_short_progress_bars()
    splits = read_proteins(options.data, **reading_options(options))
    if "train" not in splits:
        raise OptionError(f"{options.data}: no training proteins; found {', '.join(splits)} only")
    held_back = "" if "validation" in splits else ", those included that train holds back to validate"
    return np.asarray(splits["train"]["sequence_length"][:]), f"{options.data}{held_back}"


def _share(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"found {text!r}, expected a number above 0, at most 1")
    return value


def _above_zero(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"found {text!r}, expected a number above 0")
    return value


def _parser() -> argparse.ArgumentParser:
    parser = OneLineParser(
        prog="protbert-classify estimate",
        description="Estimate what a training needs: the parameters, the memory of a step and the time of an epoch.\n"
        "The device can be a GPU that you do not have yet, or this machine.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    model = parser.add_argument_group("model")
    model.add_argument("--model", help="an encoder, a classifier or the output_dir of a training: a folder or a Hub id")
    model.add_argument("--model_revision", default="main", help="branch, tag or commit of a Hub model")
    model.add_argument("--backbone_config", help="shape of an encoder to train from scratch; see train --help")
    model.add_argument(
        "--recipe",
        choices=recipe_names(),
        help="estimate a recipe of train: its options are the defaults of those here",
    )
    model.add_argument("--labels", type=positive, help="number of classes (default: those of a classifier, or 10)")
    model.add_argument(
        "--pooling",
        help="mean, cls, pooler, light_attention or your own (default: that of a classifier, or mean)",
    )
    model.add_argument("--head", help="linear, tanh or your own (default: that of a classifier, or linear)")
    model.add_argument(
        "--light_attention_kernel_size",
        type=positive,
        metavar="N",
        help="width of the convolutions of light attention (default: that of a classifier, or 9)",
    )
    model.add_argument(
        "--light_attention_layers",
        type=positive,
        metavar="N",
        help="convolutional layers before light attention (default: those of a classifier, or none)",
    )
    model.add_argument(
        "--tuning",
        choices=TUNINGS,
        default="full",
        help="what is trained besides pooling and head: the whole backbone, an adapter or nothing (default full)",
    )
    model.add_argument("--lora_kind", default="lora", help="lora, dora or ia3, the kind of the adapter (default lora)")
    model.add_argument("--lora_rank", type=positive, default=8, help="rank of the adapter (default 8)")
    model.add_argument("--lora_alpha", type=positive, default=16, help="changes neither memory nor time")
    model.add_argument("--lora_dropout", type=float, default=0.0, help="dropout before the adapter (default 0)")
    model.add_argument(
        "--lora_targets",
        nargs="+",
        metavar="NAME",
        default=[],
        help="linear layers that get an adapter (default: as for train)",
    )
    model.add_argument(
        "--lora_bits",
        type=int,
        choices=(4, 32),
        default=32,
        help="bits per frozen weight of the layers with an adapter; 4 is QLoRA (default 32)",
    )
    model.add_argument("--freeze_backbone", action="store_true", help="the same as --tuning frozen")
    model.add_argument(
        "--freeze_layers",
        type=positive,
        metavar="N",
        default=0,
        help="leave the embeddings and the first N layers as they are (default 0)",
    )
    model.add_argument(
        "--layer",
        type=positive,
        metavar="N",
        help="last layer of the backbone to keep, as for train (default all)",
    )
    data = parser.add_argument_group("proteins")
    data.add_argument(
        "--max_length", type=positive, help="maximum tokens of a protein (default: the classifier's, or 512)"
    )
    data.add_argument("--data", help="labelled proteins, as for train (default: as many and as long as in DeepLoc)")
    add_data_options(parser)
    training = parser.add_argument_group("training")
    training.add_argument(
        "--per_device_train_batch_size",
        type=positive,
        metavar="N",
        default=8,
        help="proteins of one forward and backward pass: the N longest (default %(default)s)",
    )
    training.add_argument("--tokens_per_batch", type=positive, help="its tokens, in place of proteins")
    training.add_argument("--epochs", type=_above_zero, default=5.0, help="passes over the proteins (default 5)")
    training.add_argument("--precision", choices=PRECISIONS, help="default: bf16 on GPUs that have it, else float32")
    training.add_argument("--gradient_checkpointing", action="store_true", help="use less memory but more time")
    device = parser.add_argument_group("device")
    device.add_argument(
        "--device", choices=(HERE, *DEVICES), default=HERE, help="a GPU by name, or this machine (default %(default)s)"
    )
    device.add_argument(
        "--utilisation",
        type=_share,
        default=0.4,
        help="share of the peak rate that training reaches, 0 to 1; the default %(default)s is an assumption",
    )
    parser.add_argument("--output", help="write the estimate to this JSON file")
    return parser
