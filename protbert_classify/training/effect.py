"""Options that do nothing because of another option."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from ..model.adapter import OF_MATRICES
from ..model.heads import HEADS

# option -> the other options that must have one of these values, of which a message names the first
NEEDS: dict[str, dict[str, tuple[str, ...]]] = {
    **{name: {"tuning": ("lora",)} for name in ("lora_kind", "lora_targets", "lora_bits")},
    **{f"lora_{name}": {"tuning": ("lora",), "lora_kind": ("lora", "dora")} for name in OF_MATRICES},
    "layer_decay": {"tuning": ("full", "lora")},
    "freeze_layers": {"tuning": ("full",)},
    **{f"light_attention_{name}": {"pooling": ("light_attention",)} for name in ("kernel_size", "layers", "dropout")},
}


def why_without_effect(name: str, values: Callable[[str], Sequence[Any]]) -> str | None:
    """Which other option leaves an option without effect, and what would give it one; None if it has one.

    Args:
        name: The option.
        values: Gives the values that another option may have.
    """
    needs = (
        {"head": tuple(head for head in HEADS if head != "tanh")} if name == "classifier_dropout" else NEEDS.get(name)
    )
    for other, fitting in (needs or {}).items():
        found = values(other)
        if not set(found) & set(fitting):
            return f"{name} has no effect with {other}={found[0]}; expected {other}={fitting[0]}"
    return None


def without_effect(*arguments: Any) -> Iterator[str]:
    """A line for each option that was changed and does nothing.

    Args:
        arguments: Dataclasses of options.
    """
    given = {field.name: getattr(holder, field.name) for holder in arguments for field in dataclasses.fields(holder)}
    for holder in arguments:
        for field in dataclasses.fields(holder):
            usual = field.default if field.default_factory is dataclasses.MISSING else field.default_factory()
            why = why_without_effect(field.name, lambda other: [given[other]])
            if why is not None and given[field.name] != usual:
                yield why
