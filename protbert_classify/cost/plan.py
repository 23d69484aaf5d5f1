"""A planned training: the model, proteins and device to estimate, and the options that would make it fit."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import OptionError
from ..model import ProteinClassifier
from ..model.packing import why_not_packed
from .devices import HERE, ROOM, accelerator, means_of, usual_precision
from .estimate import Estimate, encoded_lengths, estimate
from .step_memory import step_memory

GIB = 2**30
# tuning -> what to say of it, with its memory
LESS_TRAINED = {
    "lora": "with --tuning lora {}",
    "frozen": "with --freeze_backbone {}; add --pooling light_attention",
}


@dataclass(frozen=True)
class Plan:
    """What is estimated.

    Args:
        model: The model's name, for the table.
        data: Where the lengths come from.
        lengths: (N,), tokens of each protein.
        max_length: Tokens of the longest input.
        tokens_per_batch: Tokens of a step.
        precision: float32, bf16 or fp16.
        gradient_checkpointing: As for train.
        tuning: full, lora or frozen, as for train.
        device: Its name.
        memory: Bytes of the device.
        rate: Peak FLOP/s of the device.
        rate_source: Where the peak comes from.
        utilisation: Share of it that training is assumed to reach.
        epochs: Passes over the proteins.
        fused_attention: Whether attention keeps no weights, see [`estimate`].
        packed: Whether batches have no padding, see [`estimate`].
    """

    model: str
    data: str
    lengths: np.ndarray
    max_length: int
    tokens_per_batch: int
    precision: str
    gradient_checkpointing: bool
    tuning: str
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
        """The settings that decide on the memory of a step, beside the model and the tokens."""
        return {
            "half_precision": self.precision != "float32",
            "gradient_checkpointing": self.gradient_checkpointing,
            "fused_attention": self.fused_attention,
            "packed": self.packed,
        }


def make_plan(
    model: ProteinClassifier,
    residues: np.ndarray,
    *,
    name: str,
    data: str,
    max_length: int,
    tokens_per_batch: int | None,
    proteins_per_batch: int,
    precision: str | None,
    gradient_checkpointing: bool,
    tuning: str,
    device: str,
    utilisation: float,
    epochs: float,
) -> Plan:
    """Fill in what was not given.

    Args:
        model: On the meta device.
        residues: (N,), residues of each training protein.
        name: The model's name, for the table.
        data: Where the lengths come from, for the table.
        max_length: Tokens of the longest input.
        tokens_per_batch: Tokens of a step; those of the longest proteins if None.
        proteins_per_batch: How many of them; they decide whether the memory is enough.
        precision: `float32`, `bf16` or `fp16`; what `train` would use on the device if None.
        gradient_checkpointing: As for train.
        tuning: `full`, `lora` or `frozen`, as for train.
        device: One of `DEVICES`, or `HERE` for this machine, which is measured.
        utilisation: Share of the peak rate that training is assumed to reach, 0..1.
        epochs: Passes over the proteins.

    Raises:
        OptionError: No room for a residue, or a batch with fewer tokens than the longest protein.
    """
    special = sum(model.special_tokens)
    if max_length <= special:
        raise OptionError(f"max_length={max_length}: expected more than the {special} special tokens")
    lengths = encoded_lengths(residues, model, max_length)
    longest = int(lengths.max())
    if tokens_per_batch is not None and tokens_per_batch < longest:
        raise OptionError(
            f"tokens_per_batch={tokens_per_batch}: the longest protein has {longest} tokens; expected at least as many"
        )
    precision = precision or usual_precision(device)
    means = means_of(device, precision)
    kind = accelerator() if device == HERE else "cuda"
    packable = why_not_packed(model.config.backbone_config) is None
    return Plan(
        model=name,
        data=data,
        lengths=lengths,
        max_length=max_length,
        tokens_per_batch=tokens_per_batch or longest * min(proteins_per_batch, len(lengths)),
        precision=precision,
        gradient_checkpointing=gradient_checkpointing,
        tuning=tuning,
        device=device if device != HERE else "this machine",
        memory=means.memory,
        rate=means.rate,
        rate_source=means.source,
        utilisation=utilisation,
        epochs=epochs,
        fused_attention=kind is not None,
        packed=kind == "cuda" and precision == "bf16" and packable,  # as train does; GPUs without bf16 cannot
    )


def estimate_plan(plan: Plan, model: ProteinClassifier, **changes: Any) -> Estimate:
    """The cost of a plan; `changes` are arguments of [`estimate`] that differ from it."""
    settings: dict[str, Any] = {
        "tokens_per_batch": plan.tokens_per_batch,
        "flops_per_second": plan.rate * plan.utilisation,
        **plan.step,
    }
    return estimate(model, plan.lengths, **{**settings, **changes})


def what_would_fit(
    plan: Plan, cost: Estimate, model: ProteinClassifier, tuned: Callable[[str], ProteinClassifier]
) -> list[str]:
    """The options of train that would make a step fit into the device's memory, each alone, with the memory it takes.

    Args:
        plan: That does not fit.
        cost: Its estimate.
        model: On the meta device.
        tuned: Builds the same model with another `tuning`.

    Returns:
        A line for each option; one that says so if none helps.
    """
    room, longest = ROOM * plan.memory, int(plan.lengths.max())
    lines = []
    if not plan.gradient_checkpointing:
        checkpointed = estimate_plan(plan, model, gradient_checkpointing=True)
        if checkpointed.step <= room:
            slower = checkpointed.flops_per_epoch / cost.flops_per_epoch - 1
            lines.append(f"with --gradient_checkpointing {gib(checkpointed.step)}, {slower:.0%} more arithmetic")
    memory = step_memory(model, longest, **plan.step)
    tokens = memory.tokens(room) // 64 * 64
    if tokens >= longest:
        lines.append(f"with --tokens_per_batch {tokens} {gib(memory.step(tokens))}")
    for tuning, option in LESS_TRAINED.items():
        if plan.tuning in ("full", "lora") and plan.tuning != tuning:
            with suppress(OptionError):  # peft is missing, or an adapter for this family is not known
                less = estimate_plan(plan, tuned(tuning))
                if less.step <= room:
                    lines.append(option.format(gib(less.step)))
    return lines or ["none of its options makes it fit: use a larger device or a smaller model"]


def gib(nbytes: float) -> str:
    """Bytes in GiB, for a table; in MiB where hundredths of a GiB would say too little."""
    return f"{nbytes / GIB:,.2f} GiB" if nbytes >= GIB / 10 else f"{1024 * nbytes / GIB:,.2f} MiB"
