"""Parses the options of a training, from a YAML or JSON file and the command line, into three dataclasses."""

import argparse
import dataclasses
import difflib
import json
import math
import re
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import Any, NoReturn

import yaml
from transformers import HfArgumentParser
from transformers.trainer_utils import IntervalStrategy

from ..data.sources import FASTA_ENDINGS, TABLE_ENDINGS, ending_of
from ..data.split_strategies import STRATEGIES
from ..errors import OptionError
from ..evaluation.metrics import WATCHED
from ..model.adapter import IA3, NO_PEFT
from ..model.four_bits import NO_BITSANDBYTES
from ..model.heads import HEADS
from ..model.losses import LOSSES
from ..model.pooling import POOLINGS
from .arguments import DataArguments, EncoderArguments, ModelArguments
from .defaults import LORA_LEARNING_RATE
from .option_ranges import check_ranges
from .recipe_files import OWN_NETWORK, recipe_path
from .training_arguments import ProteinTrainingArguments

ENCODERS = ("model_name_or_path", "backbone_config")  # one of them
KINDS = (ModelArguments, DataArguments, ProteinTrainingArguments)
CONFIG_ENDINGS = (".yaml", ".yml", ".json")
# what cannot be together with an adapter, and why
WITHOUT_LORA = {
    "backbone_config": "an adapter needs a pretrained backbone",
    "freeze_backbone": "one trains an adapter in the backbone, the other nothing",
    "freeze_layers": "an adapter trains in all layers",
}
NO_OPTUNA = "a search needs the package optuna: pip install 'protbert_classify[search]'"
REGISTRIES = (POOLINGS, HEADS, LOSSES, STRATEGIES)


# what argparse and transformers say of a value that an option cannot have
OPTION = r"argument --(?P<name>\w+)\S*: "
WRONG_TYPE = re.compile(OPTION + r"invalid (?P<type>\w+) value: '(?P<value>.*)'")
NO_CHOICE = re.compile(OPTION + r"invalid choice: '(?P<value>.*)' \(choose from (?P<choices>.*)\)")
NO_TRUTH = re.compile(OPTION + r"Truthy value expected: got (?P<value>.*) but expected .*")
TYPES = {"float": "a number", "int": "a whole number"}


class OptionParser(HfArgumentParser):
    """Raises [`OptionError`] in one line instead of printing the usage."""

    def error(self, message: str) -> NoReturn:
        raise OptionError(_plain(message))


def _plain(message: str) -> str:
    """A complaint in the words that the package has for all values: what was found, and what was expected."""
    if wrong := WRONG_TYPE.fullmatch(message):
        expected = TYPES.get(wrong["type"], wrong["type"])
    elif wrong := NO_CHOICE.fullmatch(message):
        expected = f"one of {wrong['choices'].replace(chr(39), '')}"  # in quotation marks until Python 3.11
    elif wrong := NO_TRUTH.fullmatch(message):
        expected = "true or false"
    else:
        return message
    return f"{wrong['name']}={wrong['value']!r}: expected {expected}"


def option_parser(prog: str, description: str | None = None) -> HfArgumentParser:
    """The parser of every option of a training; it raises [`OptionError`] in place of leaving the program."""
    return OptionParser(KINDS, prog=prog, description=description, allow_abbrev=False)


def parse_options(
    arguments: Sequence[str], prog: str = "train", defaults: Sequence[str] = ()
) -> tuple[ModelArguments, DataArguments, ProteinTrainingArguments]:
    """Parse `[run.yaml] [--option value ...]`: the command line wins over the file, both over a recipe, all of them
    over `defaults`.

    Raises:
        OptionError: An unknown option or a value that does not fit, in one line.
    """
    parsed = parse_words(option_parser(prog), arguments, defaults)
    _check_values(*parsed)
    _settle_tuning(parsed[0])
    if parsed[0].tuning == "lora" and find_spec("peft") is None:
        raise OptionError(f"tuning=lora: {NO_PEFT}")
    if parsed[0].lora_bits == 4 and find_spec("bitsandbytes") is None:
        raise OptionError(NO_BITSANDBYTES)
    _check_search(*parsed)
    return tuple(parsed)


def parse_words(parser: HfArgumentParser, arguments: Sequence[str], defaults: Sequence[str] = ()) -> list[Any]:
    """The dataclasses of a parser, of which the first has the options of an encoder; see [`parse_options`].

    Raises:
        OptionError: An unknown option, a value of a wrong type, or two encoders.
    """
    arguments = list(arguments)
    in_file = _options_of_file(arguments.pop(0)) if arguments and arguments[0].endswith(CONFIG_ENDINGS) else []
    names = option_names(parser.dataclass_types)
    in_recipe = _options_of_recipe([*in_file, *arguments]) if "recipe" in names else []
    defaults = [*_defaults_of_tuning([*defaults, *in_recipe, *in_file, *arguments]), *defaults]
    try:
        *parsed, unknown = parser.parse_args_into_dataclasses(
            [*defaults, *in_recipe, *in_file, *arguments], look_for_args_file=False, return_remaining_strings=True
        )
    except OptionError:
        raise
    except (ValueError, TypeError, ImportError) as error:  # from __post_init__ of TrainingArguments
        raise OptionError(" ".join(str(error).split())) from error
    refuse_unknown(unknown, names, parser.prog.split()[-1])
    given = next(filter(None, map(_encoder, (arguments, in_file))), None)
    _check_recipe_takes(given, in_recipe, getattr(parsed[0], "recipe", None))
    _drop_other_encoder(parsed[0], given or _encoder(in_recipe) or _encoder(defaults))
    return parsed


def check_options(path: str) -> argparse.Namespace:
    """Check a file of options that another machine will parse: their names and values, not whether it supports them.

    Returns:
        The options, with their defaults.

    Raises:
        OptionError: As `parse_options`.
    """
    arguments = _options_of_file(path)
    values, unknown = option_parser("train").parse_known_args([*_options_of_recipe(arguments), *arguments])
    refuse_unknown(unknown, option_names())
    check_ranges(values)
    _check_registered(values)
    _check_layer(values)
    _settle_tuning(values)
    if values.search is not None:
        raise OptionError(
            f"search={values.search}: a job on another machine does not search; search here, and give it the best "
            "options (search/best.yaml)"
        )
    _check_recipe_takes(_encoder(arguments), _options_of_recipe(arguments), values.recipe)
    return values


def option_names(kinds: Sequence[Any] = KINDS) -> list[str]:
    """The names of all options of a training, or of other dataclasses."""
    return [field.name for kind in kinds for field in dataclasses.fields(kind) if field.init]


def refuse_unknown(unknown: Sequence[str], known: Sequence[str], command: str = "train") -> None:
    """Raise [`OptionError`] for the first of the words that no option took; `known` are the names of the options."""
    if unknown and not unknown[0].startswith("-"):
        is_data = ending_of(unknown[0]) in (*FASTA_ENDINGS, *TABLE_ENDINGS)
        hint = "; a file of options comes first" if unknown[0].endswith(CONFIG_ENDINGS) else ""
        hint = f"; did you mean --data {unknown[0]}?" if is_data else hint
        raise OptionError(f"found {unknown[0]!r}, expected --option value{hint}")
    if unknown:
        raise OptionError(f"unknown option {unknown[0]}{_suggestion(unknown[0], known, command)}")


def _encoder(arguments: Sequence[str]) -> str | None:
    """The option that names an encoder, of those given in one place."""
    names = {word.split("=")[0].lstrip("-").replace("-", "_") for word in arguments if word.startswith("--")}
    given = [name for name in ENCODERS if name in names]
    if len(given) > 1:
        raise OptionError(
            "model_name_or_path and backbone_config exclude each other: one is a pretrained encoder, the other a "
            "network from scratch; leave one out"
        )
    return given[0] if given else None


def _check_recipe_takes(encoder: str | None, in_recipe: Sequence[str], recipe: str | None) -> None:
    """Refuse a pretrained model with a recipe for a network from scratch, whose learning rate would undo it."""
    if encoder == "model_name_or_path" and _encoder(in_recipe) == "backbone_config":
        raise OptionError(OWN_NETWORK.format(recipe=recipe, option=encoder))


def _drop_other_encoder(arguments: EncoderArguments, encoder: str | None) -> None:
    for name in ENCODERS:
        if encoder is not None and name != encoder:
            setattr(arguments, name, getattr(EncoderArguments, name))


def _check_values(
    model_args: ModelArguments, data_args: DataArguments, training_args: ProteinTrainingArguments
) -> None:
    """Refuse now what would fail in the middle of a run."""
    check_ranges(model_args, data_args, training_args)
    epochs = training_args.num_train_epochs
    if not math.isfinite(epochs) or (epochs <= 0 and training_args.max_steps <= 0):
        raise OptionError(f"num_train_epochs={epochs}: expected more than 0")
    if training_args.restore_callback_states_from_checkpoint:
        raise OptionError("restore_callback_states_from_checkpoint: --resume restores all that is needed; leave it out")
    if model_args.seeds is not None and data_args.folds is not None:
        raise OptionError("seeds and folds exclude each other: folds train a model for each fold; leave one out")
    _check_registered(model_args, data_args)
    _check_layer(model_args)
    model_args.head = HEADS.resolve(model_args.head)
    metric = str(training_args.metric_for_best_model or "loss").removeprefix("eval_")
    known = {"auto", "loss", *(name for names in WATCHED.values() for name in names)}
    # the metrics of an auxiliary task begin with its name
    if metric not in known and not metric.startswith(tuple(f"{task}_" for task in data_args.auxiliary_tasks)):
        raise OptionError(f"metric_for_best_model={metric!r}: expected one of {', '.join(sorted(known))}")


def _settle_tuning(arguments: Any) -> None:
    """Let `tuning` and `freeze_backbone` say the same.

    Raises:
        OptionError: They contradict each other, or an adapter cannot be trained so.
    """
    if arguments.tuning == "lora":
        for name, why in WITHOUT_LORA.items():
            if getattr(arguments, name):
                raise OptionError(f"tuning=lora and {name} exclude each other: {why}; leave one out")
    if arguments.lora_bits == 4 and arguments.tuning != "lora":
        raise OptionError(f"lora_bits=4 and tuning={arguments.tuning}: expected tuning=lora, or leave lora_bits out")
    if arguments.lora_bits == 4 and arguments.lora_kind == IA3:
        raise OptionError("lora_bits=4: expected lora_kind lora or dora, found ia3")
    if arguments.freeze_backbone or arguments.tuning == "frozen":
        arguments.tuning, arguments.freeze_backbone = "frozen", True


def _check_layer(arguments: Any) -> None:
    """Refuse a layer that no backbone has, and to choose one of a network that has learned nothing."""
    layer = arguments.layer
    if layer is None:
        return
    if layer != "auto" and (not layer.isdecimal() or int(layer) == 0):
        raise OptionError(f"layer={layer!r}: expected a layer of the backbone, 1 or more, or auto")
    if layer == "auto" and arguments.backbone_config is not None:
        raise OptionError(
            "layer=auto and backbone_config exclude each other: the layers of a network from scratch have learned "
            "nothing that could be probed; give a pretrained encoder, or set num_hidden_layers"
        )


def _check_search(
    model_args: ModelArguments, data_args: DataArguments, training_args: ProteinTrainingArguments
) -> None:
    """Refuse a search that cannot be."""
    if model_args.search is None:
        if model_args.search_space is not None:
            raise OptionError(f"search_space={model_args.search_space}: expected --search N, too, the number of trials")
        return
    for name, value in (("seeds", model_args.seeds), ("folds", data_args.folds)):
        if value is not None:
            raise OptionError(
                f"search and {name} exclude each other: search first, then train with {name} and the best options "
                "(search/best.yaml)"
            )
    if training_args.eval_strategy == IntervalStrategy.NO:
        raise OptionError("search: found eval_strategy=no; expected epoch or steps, by which the trials are compared")
    if training_args.world_size > 1:
        raise OptionError(
            f"search: found {training_args.world_size} processes; expected one: search on one device, then train on "
            "several with the best options (search/best.yaml)"
        )
    if find_spec("optuna") is None:
        raise OptionError(f"search={model_args.search}: {NO_OPTUNA}")


def _check_registered(*options: Any) -> None:
    """Refuse a pooling, head, loss or split that is not registered."""
    for registry in REGISTRIES:
        for holder in options:
            name = getattr(holder, registry.kind, None)
            if name is not None and name not in registry:
                raise OptionError(f"{registry.kind}={name!r}: expected one of {', '.join(registry)}")


# words that YAML reads as booleans, for the options that have such words
NO = {False: "no"}
WORDS = {
    **{f"{name}_strategy": NO for name in ("eval", "save", "logging")},
    "packing": {True: "on", False: "off"},
    "calibrate": {False: "none"},
}


def read_options_file(path: str) -> dict[str, Any]:
    """The options in a YAML or JSON file, with `-` in their names as `_`.

    Raises:
        OptionError: It cannot be read, or is not a mapping.
    """
    try:
        with open(path, encoding="utf-8") as file:
            values = yaml.safe_load(file)  # JSON is YAML
    except OSError as error:
        reason = "no such file" if isinstance(error, FileNotFoundError) else error.strerror
        raise OptionError(f"{path}: {reason}; expected a YAML or JSON file of options") from None
    except yaml.YAMLError as error:
        raise OptionError(f"{path}: {' '.join(str(error).split())}") from None
    if not isinstance(values, dict):
        raise OptionError(f"{path}: found {type(values).__name__}; expected 'option: value' lines")
    return {str(name).replace("-", "_"): value for name, value in values.items()}


def write_options_file(path: str, options: Mapping[str, Any]) -> None:
    """Write options as `read_options_file` reads them; those that are None are left out.

    Raises:
        OptionError: A value that YAML cannot hold.
    """
    given = {name: value for name, value in options.items() if value is not None}
    try:
        text = yaml.safe_dump(given, sort_keys=False, allow_unicode=True)
    except yaml.YAMLError as error:
        raise OptionError(f"hyperparameters: {' '.join(str(error).split())}; expected text, numbers, lists") from None
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def _options_of_file(path: str) -> list[str]:
    """A file's keys and values as the options they stand for; relative to nothing, as on the command line."""
    options: list[str] = []
    for name, value in read_options_file(path).items():
        if value is not None:
            word = WORDS.get(name, {}).get(value, value) if isinstance(value, bool) else value
            options += [f"--{name}", *_words(word)]
    return options


def _options_of_recipe(arguments: Sequence[str]) -> list[str]:
    """The options of the recipe that is named among others, if any."""
    parser = OptionParser((), allow_abbrev=False, add_help=False)
    parser.add_argument("--recipe")
    name = parser.parse_known_args(list(arguments))[0].recipe
    return [] if name is None else _options_of_file(recipe_path(name))


def _defaults_of_tuning(arguments: Sequence[str]) -> list[str]:
    """An adapter starts at nothing and is small: the learning rate of a whole backbone would hardly move it."""
    parser = OptionParser((), allow_abbrev=False, add_help=False)
    parser.add_argument("--tuning")
    tuning = parser.parse_known_args(list(arguments))[0].tuning
    return ["--learning_rate", str(LORA_LEARNING_RATE)] if tuning == "lora" else []


def _words(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [json.dumps(value)]
    return [str(item) for item in value] if isinstance(value, list) else [str(value)]


def _suggestion(option: str, known: Sequence[str], command: str) -> str:
    close = difflib.get_close_matches(option.lstrip("-").replace("-", "_"), known, n=1)
    return f"; did you mean --{close[0]}?" if close else f"; {command} --help lists them"
