"""The help of a command with the options of a training, without importing transformers' Trainer."""

import dataclasses
import textwrap
from collections.abc import Mapping
from typing import Any, Literal, get_args, get_origin

OTHERS = "Every other option of transformers.TrainingArguments works as well, such as --lr_scheduler_type cosine."


def options_help(
    usage: str,
    description: str,
    kinds: Mapping[str, Any],
    defaults: Mapping[str, tuple[Any, str]],
    registered: Mapping[str, tuple[str, ...]] | None = None,
) -> str:
    """The help as text.

    Args:
        usage: A line.
        description: What the command does, with examples.
        kinds: Title -> dataclass, of the options before those of the training.
        defaults: Option of the training -> its default, its help.
        registered: Option -> the names that it can have.
    """
    lines = [usage, "", description]
    for title, kind in kinds.items():
        lines += ["", f"{title}:"]
        for field in dataclasses.fields(kind):
            choices = (registered or {}).get(field.name) or _choices(field.type)
            lines += _option(field.name, _default(field), str(field.metadata["help"]), choices)
    lines += ["", "training:"]
    for name, (default, text) in defaults.items():
        lines += _option(name, default, text, ())
    return "\n".join([*lines, "", OTHERS])


def _option(name: str, default: Any, text: str, choices: tuple[str, ...]) -> list[str]:
    notes = [f"one of {', '.join(map(str, choices))}"] if choices else []
    if default is not None:
        notes.append(f"default {default}")
    line = f"{text} ({'; '.join(notes)})" if notes else text
    return [f"  --{name}", *textwrap.wrap(line, 112, initial_indent=" " * 6, subsequent_indent=" " * 6)]


def _default(field: dataclasses.Field) -> Any:
    if field.default is not dataclasses.MISSING:
        return field.default
    lists: Any = field.default_factory
    return " ".join(lists()) or None


def _choices(kind: Any) -> tuple[str, ...]:
    literal = next((part for part in (kind, *get_args(kind)) if get_origin(part) is Literal), None)
    return get_args(literal) if literal is not None else ()
