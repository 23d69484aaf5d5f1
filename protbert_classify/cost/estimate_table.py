"""An estimate for people and for programs: a table for a terminal, a record for a JSON file."""

import dataclasses
import math
from typing import Any

from .devices import ROOM
from .estimate import Estimate
from .plan import Plan, gib

LATER = {"frozen": "from the second epoch on, train reads saved embeddings"}
TRAINED = {"full": "", "lora": "adapter, pooling and head only", "frozen": "pooling and head only"}


def estimate_table(plan: Plan, cost: Estimate, advice: list[str]) -> str:
    """The estimate for a terminal: the model, the proteins, the memory of a step, the time."""
    sections = [_about_the_model(plan, cost), _about_the_memory(plan, cost, advice), _about_the_time(plan, cost)]
    width = max(len(name) for _, rows in sections for name, *_ in rows)
    amount = max(len(value) for _, rows in sections for _, value, *_ in rows)
    lines = []
    for title, rows in sections:
        lines += [title, *(f"  {name:<{width}}  {value:>{amount}}  {note}".rstrip() for name, value, note in rows), ""]
    return "\n".join(lines[:-1])


def estimate_record(plan: Plan, cost: Estimate, advice: list[str]) -> dict[str, Any]:
    """The estimate for a file: bytes, FLOPs, seconds, and the settings they are for."""
    settings = {name: value for name, value in vars(plan).items() if name != "lengths"}
    return {
        **settings,
        "proteins": len(plan.lengths),
        "tokens_per_epoch": int(plan.lengths.sum()),
        **dataclasses.asdict(cost),
        "step": cost.step,
        "fits": cost.step <= ROOM * plan.memory,
        "seconds": cost.seconds(plan.epochs),
        "advice": advice,
    }


Rows = tuple[str, list[tuple[str, str, str]]]


def _about_the_model(plan: Plan, cost: Estimate) -> Rows:
    rows = [
        (
            "parameters",
            f"{cost.parameters:,}",
            f"a position table, if there is one, is cut to --max_length {plan.max_length}",
        ),
        ("of them trained", f"{cost.trained_parameters:,}", TRAINED[plan.tuning]),
        ("training proteins", f"{len(plan.lengths):,}", plan.data),
        ("tokens an epoch", f"{plan.lengths.sum():,}", f"residues and special tokens, at most {plan.max_length} each"),
    ]
    return f"{plan.model}, {plan.precision}, on {plan.device}", rows


def _about_the_memory(plan: Plan, cost: Estimate, advice: list[str]) -> Rows:
    half = plan.precision != "float32"
    kept = "a hidden state a layer" if plan.gradient_checkpointing else "kept by forward for backward"
    moment = "the layer that is computed again for backward" if plan.gradient_checkpointing else "needed for a moment"
    rows = [("weights", gib(cost.weights), "float32")]
    if half:
        rows.append((f"{plan.precision} copies of them", gib(cost.weight_copies), "during a step"))
    share = cost.step / plan.memory
    percent = f"{share:.0%}" if share <= ROOM else f"{math.ceil(100 * share)}%"  # never "90% does not fit"
    verdict = f"{'fits' if share <= ROOM else 'does NOT fit'} (up to {ROOM:.0%} is ASSUMED to be usable)"
    rows += [
        ("gradients", gib(cost.gradients), "of what trains"),
        ("optimizer", gib(cost.optimizer), "AdamW, two float32 numbers a trained parameter"),
        ("activations", gib(cost.activations), kept),
        ("working memory", gib(cost.working), moment),
        ("all of a step", gib(cost.step), f"{percent} of {gib(plan.memory)}: {verdict}"),
        *(("", "", text) for text in advice),
        ("to classify only", gib(cost.inference), "as many tokens at a time"),
    ]
    return f"memory of a training step of {plan.tokens_per_batch:,} tokens", rows


def _about_the_time(plan: Plan, cost: Estimate) -> Rows:
    rows = [
        ("arithmetic an epoch", _flop(cost.flops_per_epoch), "forward and backward, no padding"),
        ("peak of the device", f"{_flop(plan.rate)}/s", plan.rate_source),
        ("share reached", f"{plan.utilisation:.0%}", "ASSUMED, not measured; --help tells how to measure it"),
        ("time of an epoch", _duration(cost.seconds_per_epoch), "without evaluation"),
        (f"of {plan.epochs:g} epochs", _duration(cost.seconds(plan.epochs)), LATER.get(plan.tuning, "")),
    ]
    return "time", rows


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
