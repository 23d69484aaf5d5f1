"""The page "Command line": every command with its options, as their parsers have them; a hook of MkDocs."""

import argparse
import re
from collections.abc import Iterator, Sequence
from importlib import import_module
from itertools import groupby
from typing import Any

from protbert_classify.commands import COMMANDS, PLUGINS, PROG
from protbert_classify.commands.option_help import OTHERS
from protbert_classify.commands.terminal import log_to_stderr
from protbert_classify.pretraining.arguments import PretrainedEncoderArguments, UnlabelledDataArguments
from protbert_classify.pretraining.defaults import PRETRAINING_DEFAULTS
from protbert_classify.training.arguments import DataArguments, ModelArguments
from protbert_classify.training.defaults import TRAINING_DEFAULTS

PAGE = "command_line.md"
INTRODUCTION = f"""\
# Command line

`{PROG} COMMAND --help` prints what stands here. Every command also takes `{PLUGINS} MODULE`, a Python module that
[registers your own poolings, heads or losses](extending.md). `--output-dir` is the same as `--output_dir`.

The exit code is 0 if all went well, 2 for bad input or options, 3 if `predict`, `embed` or `pretrain` rejected some
records or `leakage` found more than `--fail_above`, 1 if the machine failed (a full disk, no network, no memory) and
130 after Ctrl-C. An error is one line on standard error.
"""
FEW = 8  # choices that stand beside the name of an option
# commands whose options are those of a training -> title -> options
OF_TRAININGS: dict[str, dict[str, Any]] = {
    "train": {
        "model": ModelArguments.__dataclass_fields__,
        "data": DataArguments.__dataclass_fields__,
        "training": TRAINING_DEFAULTS,
    },
    "pretrain": {
        "model": PretrainedEncoderArguments.__dataclass_fields__,
        "data": UnlabelledDataArguments.__dataclass_fields__,
        "training": PRETRAINING_DEFAULTS,
    },
}
NUMBERS = {"int": "N", "positive": "N", "float": "X"}  # what stands for a value, by the name of its type


def on_files(files: Any, config: Any) -> Any:
    """Add the page."""
    from mkdocs.structure.files import File

    log_to_stderr()  # without what torchao says when transformers imports it
    files.append(File.generated(config, PAGE, content=reference()))
    return files


def reference() -> str:
    """The page, in Markdown."""
    return "\n".join([INTRODUCTION, *(_section(f"## {name}", parser) for name, parser in parsers().items())])


def parsers() -> dict[str, argparse.ArgumentParser]:
    """The parser of each command; `sagemaker train` is one."""
    found = {}
    for name in COMMANDS:
        module = import_module(f"protbert_classify.commands.{name}")
        if not hasattr(module, "ACTIONS"):
            found[name] = module._parser()
            continue
        for action in module.ACTIONS:
            found[f"{name} {action}"] = module.parser_of(action)
    return found


def _section(heading: str, parser: argparse.ArgumentParser) -> str:
    """A command: what it does, examples, options."""
    lines = [heading, "", *_prose(parser.description or ""), ""]
    for title, options in _groups(parser):
        if title:
            lines += [f"**{title[0].upper()}{title[1:]}**", ""]
        for actions in options:
            lines += [_names(actions, parser), f":   {_explained(actions[0], parser)}", ""]
    return "\n".join([*lines, *_prose(parser.epilog or ""), ""])


Option = list[argparse.Action]  # --option and, for some, --no_option


def _groups(parser: argparse.ArgumentParser) -> Iterator[tuple[str, list[Option]]]:
    """Options under the titles that `--help` has."""
    titles = OF_TRAININGS.get(parser.prog.removeprefix(f"{PROG} "))
    if titles is not None:
        yield from _groups_of_training(parser, titles)
        return
    groups = [(group.title or "", list(_options(group._group_actions).values())) for group in parser._action_groups]
    groups = [(title, options) for title, options in groups if options]
    for title, options in groups:
        yield ("" if len(groups) == 1 else title), options


def _groups_of_training(parser: argparse.ArgumentParser, titles: dict[str, Any]) -> Iterator[tuple[str, list[Option]]]:
    options = _options(parser._actions)
    for title, names in titles.items():
        yield title, [options.pop(name) for name in names]
    yield OTHERS.rstrip("."), list(options.values())


def _options(actions: Sequence[argparse.Action]) -> dict[str, Option]:
    """Name of a value -> the options that set it; without those that are not for people."""
    found: dict[str, Option] = {}
    for action in actions:
        if action.help != argparse.SUPPRESS and action.dest != "help":
            found.setdefault(action.dest, []).append(action)
    return found


def _names(actions: Option, parser: argparse.ArgumentParser) -> str:
    """`--option VALUE`, without spellings that differ in hyphens only."""
    names = []
    for action in actions:
        spelled = {name.lstrip("-").replace("-", "_"): name for name in reversed(action.option_strings)}
        names += [f"`{name}{_value(action, parser)}`" for name in reversed(list(spelled.values()) or [action.dest])]
    return ", ".join(names)


def _value(action: argparse.Action, parser: argparse.ArgumentParser) -> str:
    if action.nargs in (0, "?") and action.choices is None:
        return ""
    if len(action.choices or ()) > FEW:
        return " VALUE"
    name = NUMBERS.get(getattr(action.type, "__name__", ""), "VALUE")
    shown = parser._get_formatter()._format_args(action, name)
    return f" {shown}" if shown else ""


def _explained(action: argparse.Action, parser: argparse.ArgumentParser) -> str:
    """The help of an option, and its default unless the help says it."""
    formatter = argparse.HelpFormatter(parser.prog)
    text = _escaped(formatter._expand_help(action)) if action.help else ""
    if text and text[-1] not in ".)":
        text += "."
    if len(action.choices or ()) > FEW:
        text += f" One of {', '.join(f'`{choice}`' for choice in action.choices or ())}."
    if action.required:
        return f"{text} Required."
    value = action.default
    if isinstance(value, (list, tuple)):
        value = " ".join(map(str, value))
    if value in (None, "", argparse.SUPPRESS) or value is False or "default" in text.lower():
        return text or "No description."
    return f"{text} Default: `{'on' if value is True else value}`."


def _prose(text: str) -> list[str]:
    """Paragraphs of a description as Markdown; indented lines are commands."""
    lines: list[str] = []
    for is_code, block in groupby(text.strip("\n").split("\n"), key=lambda line: line.startswith("  ")):
        if is_code:
            lines += ["", "```text", *(line.removeprefix("  ") for line in block), "```", ""]
        else:
            lines += [_escaped(line) for line in block]
    return lines


def _escaped(text: str) -> str:
    """Words in which Markdown finds no markup; options, and what stands in quotation marks, are code."""
    parts = re.split(r"(`[^`]*`|(?<!\w)'[^']*'(?!\w)|(?<![\w-])--[a-z][\w-]*)", text)
    plain = [re.sub(r"([\\*_\[\]|<>])", r"\\\1", part) for part in parts[::2]]
    code = [part if part.startswith("`") else f"`{part}`" for part in parts[1::2]]
    return "".join(word for pair in zip(plain, [*code, ""], strict=True) for word in pair)
