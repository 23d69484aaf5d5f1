"""`protbert-classify estimate`: the memory and time of a training, before anyone pays for a GPU."""

import argparse
import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..cost.devices import DEVICES, HERE, PRECISIONS, ROOM, accelerator, means_of, usual_precision
from ..errors import OptionError
from .parsing import OneLineParser, add_data_options, data_options, positive

if TYPE_CHECKING:
    import numpy as np

    from ..cost.estimate import Estimate
    from ..model import ProteinClassifier

GIB = 2**30
EXAMPLES = """\
examples:
  protbert-classify estimate --model Rostlab/prot_bert_bfd --device T4
      Does ProtBERT train on a T4? If not, what would make it fit?
  protbert-classify estimate --model facebook/esm2_t33_650M_UR50D --data proteins.fasta --device A100-40GB
      The same for ESM-2 and the lengths of your own proteins.
  protbert-classify estimate --model runs/mine --freeze_backbone
      The same on this machine: the command measures its speed for a second and looks up its free memory.

The command reads the model's configuration (a few kB), not its weights. The memory is that of one training step on
one device. The time is the arithmetic of an epoch divided by the speed of the device. That speed is the peak rate
times --utilisation, which is an assumption. To correct it, train for a few minutes with --max_train_samples and
compare the time of an epoch with the estimate for the same --data. The time does not include evaluation, reading the
data or downloading the weights."""


@dataclass(frozen=True)
class Plan:
    """What is estimated, on what.

    Args:
        model: The model's name, for the table.
        data: Whose lengths these are.
        lengths: (N,), tokens of each protein.
        max_length: Tokens of the longest input.
        tokens_per_batch: Of a step.
        precision: float32, bf16 or fp16.
        gradient_checkpointing: As for train.
        freeze_backbone: As for train.
        device: Its name.
        memory: Bytes of the device.
        rate: Peak FLOP/s of the device.
        rate_source: Where the peak is from.
        utilisation: Share of it that training is assumed to reach.
        epochs: Passes over the proteins.
        fused_attention: Whether attention keeps no weights, see [`estimate`].
        packed: Whether batches have no padding, see [`estimate`].
    """

    model: str
    data: str
    lengths: "np.ndarray"
    max_length: int
    tokens_per_batch: int
    precision: str
    gradient_checkpointing: bool
    freeze_backbone: bool
    device: str
    memory: int
    rate: float
    rate_source: str
    utilisation: float
    epochs: float
    fused_attention: bool
    packed: bool

    @property
    def step(self) -> dict[str, bool]:
        """What decides on the memory of a step, beside the model and the tokens."""
        return {
            "half_precision": self.precision != "float32",
            "gradient_checkpointing": self.gradient_checkpointing,
            "fused_attention": self.fused_attention,
            "packed": self.packed,
        }


def run(arguments: list[str]) -> int:
    options = _parser().parse_args(arguments)
    if (options.model is None) == (options.backbone_config is None):
        raise OptionError("give --model or --backbone_config, one of them")
    from ..training.outputs import write_json

    model = _model(options)
    plan = _plan(options, model)
    cost = _estimate(plan, model)
    fits = cost.step <= ROOM * plan.memory
    advice = [] if fits else _advice(options, plan, cost, model)
    if options.output:
        write_json(options.output, record(plan, cost, advice))
    print(table(plan, cost, advice))
    return 0


def table(plan: Plan, cost: "Estimate", advice: list[str]) -> str:
    """The estimate for a terminal: the model, the proteins, the memory of a step, the time."""
    sections = [_about_the_model(plan, cost), _about_the_memory(plan, cost, advice), _about_the_time(plan, cost)]
    width = max(len(name) for _, rows in sections for name, *_ in rows)
    amount = max(len(value) for _, rows in sections for _, value, *_ in rows)
    lines = []
    for title, rows in sections:
        lines += [title, *(f"  {name:<{width}}  {value:>{amount}}  {note}".rstrip() for name, value, note in rows), ""]
    return "\n".join(lines[:-1])


def record(plan: Plan, cost: "Estimate", advice: list[str]) -> dict[str, Any]:
    """The estimate for a file: bytes, FLOPs, seconds, and what they rest on."""
    settings = {name: value for name, value in vars(plan).items() if name != "lengths"}
    return {
        **settings,
        "proteins": len(plan.lengths),
        "tokens_per_epoch": int(plan.lengths.sum()),
        **dataclasses.asdict(cost),
        "step": cost.step,
        "fits": cost.step <= ROOM * plan.memory,
        "seconds": cost.seconds_per_epoch * plan.epochs,
        "advice": advice,
    }


Rows = tuple[str, list[tuple[str, str, str]]]


def _about_the_model(plan: Plan, cost: "Estimate") -> Rows:
    rows = [
        ("parameters", f"{cost.parameters:,}", f"position table as long as --max_length {plan.max_length}, where any"),
        ("of them trained", f"{cost.trained_parameters:,}", "pooling and head only" if plan.freeze_backbone else ""),
        ("training proteins", f"{len(plan.lengths):,}", plan.data),
        ("tokens an epoch", f"{plan.lengths.sum():,}", f"residues and special tokens, at most {plan.max_length} each"),
    ]
    return f"{plan.model}, {plan.precision}, on {plan.device}", rows


def _about_the_memory(plan: Plan, cost: "Estimate", advice: list[str]) -> Rows:
    half = plan.precision != "float32"
    kept = "a hidden state a layer" if plan.gradient_checkpointing else "kept by forward for backward"
    moment = "the layer that is computed again for backward" if plan.gradient_checkpointing else "needed for a moment"
    rows = [("weights", _gib(cost.weights), "float32")]
    if half:
        rows.append((f"{plan.precision} copies of them", _gib(cost.weight_copies), "during a step"))
    share = cost.step / plan.memory
    verdict = f"{'fits' if share <= ROOM else 'does NOT fit'} (up to {ROOM:.0%} is ASSUMED to be usable)"
    rows += [
        ("gradients", _gib(cost.gradients), "of what trains"),
        ("optimizer", _gib(cost.optimizer), "AdamW, two float32 numbers a trained parameter"),
        ("activations", _gib(cost.activations), kept),
        ("working memory", _gib(cost.working), moment),
        ("all of a step", _gib(cost.step), f"{share:.0%} of {_gib(plan.memory)}: {verdict}"),
        *(("", "", text) for text in advice),
        ("to classify only", _gib(cost.inference), "as many tokens at a time"),
    ]
    return f"memory of a training step of {plan.tokens_per_batch:,} tokens", rows


def _about_the_time(plan: Plan, cost: "Estimate") -> Rows:
    rows = [
        ("arithmetic an epoch", _flop(cost.flops_per_epoch), "forward and backward, no padding"),
        ("peak of the device", f"{_flop(plan.rate)}/s", plan.rate_source),
        ("share reached", f"{plan.utilisation:.0%}", "ASSUMED, not measured; --help tells how to measure it"),
        ("time of an epoch", _duration(cost.seconds_per_epoch), "without evaluation"),
        (f"of {plan.epochs:g} epochs", _duration(cost.seconds_per_epoch * plan.epochs), ""),
    ]
    return "time", rows


def _model(options: argparse.Namespace, freeze: bool = False) -> "ProteinClassifier":
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
        freeze_backbone=options.freeze_backbone or freeze,
    )


def _plan(options: argparse.Namespace, model: "ProteinClassifier") -> Plan:
    from ..cost.estimate import encoded_lengths
    from ..model.packing import why_not_packed

    special = sum(model.special_tokens)
    if options.max_length <= special:
        raise OptionError(f"max_length={options.max_length}: expected more than the {special} special tokens")
    residues, data = _residues(options)
    lengths = encoded_lengths(residues, model, options.max_length)
    longest = int(lengths.max())
    if options.tokens_per_batch is not None and options.tokens_per_batch < longest:
        raise OptionError(
            f"tokens_per_batch={options.tokens_per_batch}: the longest protein has {longest} tokens; expected at least "
            "as many"
        )
    precision = options.precision or usual_precision(options.device)
    means = means_of(options.device, precision)
    device = accelerator() if options.device == HERE else "cuda"
    packable = why_not_packed(model.config.backbone_config) is None
    return Plan(
        model=options.model or "a model from scratch",
        data=data,
        lengths=lengths,
        max_length=options.max_length,
        # the longest come together: eight of them decide whether the memory is enough
        tokens_per_batch=options.tokens_per_batch or longest * min(8, len(lengths)),
        precision=precision,
        gradient_checkpointing=options.gradient_checkpointing,
        freeze_backbone=options.freeze_backbone,
        device=options.device if options.device != HERE else "this machine",
        memory=means.memory,
        rate=means.rate,
        rate_source=means.source,
        utilisation=options.utilisation,
        epochs=options.epochs,
        fused_attention=device is not None,
        packed=device == "cuda" and precision == "bf16" and packable,  # as train does; GPUs without bf16 cannot
    )


def _estimate(plan: Plan, model: "ProteinClassifier", **changes: Any) -> "Estimate":
    from ..cost.estimate import estimate

    settings: dict[str, Any] = {
        "tokens_per_batch": plan.tokens_per_batch,
        "flops_per_second": plan.rate * plan.utilisation,
        **plan.step,
    }
    return estimate(model, plan.lengths, **{**settings, **changes})


def _advice(options: argparse.Namespace, plan: Plan, cost: "Estimate", model: "ProteinClassifier") -> list[str]:
    """What would make it fit, each alone; estimated, too."""
    from ..cost.step_memory import step_memory

    room, longest = ROOM * plan.memory, int(plan.lengths.max())
    advice = []
    if not plan.gradient_checkpointing:
        checkpointed = _estimate(plan, model, gradient_checkpointing=True)
        if checkpointed.step <= room:
            slower = checkpointed.flops_per_epoch / cost.flops_per_epoch - 1
            advice.append(f"with --gradient_checkpointing {_gib(checkpointed.step)}, {slower:.0%} more arithmetic")
    memory = step_memory(model, longest, **plan.step)
    tokens = memory.tokens(room) // 64 * 64
    if tokens >= longest:
        advice.append(f"with --tokens_per_batch {tokens} {_gib(memory.step(tokens))}")
    if not plan.freeze_backbone:
        frozen = _estimate(plan, _model(options, freeze=True))
        if frozen.step <= room:
            advice.append(f"with --freeze_backbone {_gib(frozen.step)}; add --pooling light_attention")
    return advice or ["none of its options makes it fit: take a larger device or a smaller model"]


def _residues(options: argparse.Namespace) -> tuple["np.ndarray", str]:
    """Lengths of the training proteins, (N,), and whose they are."""
    import numpy as np

    from ..cost.estimate import deeploc_lengths

    if options.data is None:
        return deeploc_lengths(), "as many as DeepLoc 1.0 trains on, its distribution of lengths; else --data"
    from ..data.loading import read_proteins
    from .terminal import hide_short_progress_bars

    hide_short_progress_bars()
    splits = read_proteins(options.data, **data_options(options))
    if "train" not in splits:
        raise OptionError(f"{options.data}: no training proteins; found {', '.join(splits)} only")
    held_back = "" if "validation" in splits else ", those included that train holds back to validate"
    return np.asarray(splits["train"]["sequence_length"][:]), f"{options.data}{held_back}"


def _gib(nbytes: float) -> str:
    return f"{nbytes / GIB:,.2f} GiB"


def _flop(flops: float) -> str:
    for prefix, size in (("E", 1e18), ("P", 1e15), ("T", 1e12)):
        if flops >= size:
            return f"{flops / size:,.1f} {prefix}FLOP"
    return f"{flops / 1e9:,.1f} GFLOP"


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s" if seconds >= 1 else "below 1 s"
    if seconds < 100 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:,.0f} h" if seconds < 100 * 3600 else f"{seconds / 86400:,.0f} days"


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
    model.add_argument("--labels", type=positive, help="number of classes (default: those of a classifier, or 10)")
    model.add_argument(
        "--pooling",
        help="mean, cls, pooler, light_attention or your own (default: that of a classifier, or mean)",
    )
    model.add_argument("--freeze_backbone", action="store_true", help="train only the pooling and the head")
    data = parser.add_argument_group("proteins")
    data.add_argument(
        "--max_length", type=positive, help="most tokens of a protein (default: that of a classifier, or 512)"
    )
    data.add_argument("--data", help="labelled proteins, as for train (default: as many and as long as in DeepLoc)")
    add_data_options(data)
    training = parser.add_argument_group("training")
    training.add_argument(
        "--tokens_per_batch",
        type=positive,
        help="tokens of one forward and backward pass (default: those of the 8 longest proteins)",
    )
    training.add_argument("--epochs", type=_above_zero, default=5.0, help="passes over the proteins (default 5)")
    training.add_argument("--precision", choices=PRECISIONS, help="default: bf16 on GPUs that have it, else float32")
    training.add_argument("--gradient_checkpointing", action="store_true", help="less memory for more time")
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
