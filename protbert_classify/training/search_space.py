"""The space of a search: which options may be searched, the default space, and spaces from a YAML file."""

import dataclasses
import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, get_args

from transformers import SchedulerType

from ..errors import OptionError
from ..model.adapter import IA3
from ..model.heads import HEADS
from ..model.losses import LOSSES, USUAL_LOSS
from ..model.pooling import POOLINGS
from ..model.tasks import SINGLE_LABEL, Task
from ..reporting.formatting import listed
from .arguments import DataArguments, ModelArguments
from .defaults import OF_A_RECIPE
from .effect import why_without_effect
from .option_ranges import check_ranges
from .options import option_names, read_options_file
from .training_arguments import ProteinTrainingArguments

# what can be searched: options that change neither the data nor how it is encoded, and the type of their values
OF_MODEL: dict[str, type] = {
    "pooling": str,
    "head": str,
    "loss": str,
    "classifier_dropout": float,
    "light_attention_kernel_size": int,
    "light_attention_layers": int,
    "light_attention_dropout": float,
    "freeze_layers": int,
    "lora_kind": str,
    "lora_rank": int,
    "lora_alpha": int,
    "lora_dropout": float,
}
OF_TRAINING: dict[str, type] = {
    "learning_rate": float,
    "head_learning_rate": float,
    "layer_decay": float,
    "lr_scheduler_type": str,
    "warmup_steps": float,
    "weight_decay": float,
    "per_device_train_batch_size": int,
    "gradient_accumulation_steps": int,
    "max_grad_norm": float,
    "label_smoothing_factor": float,
    "class_weights": float,
    "class_weights_beta": float,
    "class_sampling": float,
    "adam_beta1": float,
    "adam_beta2": float,
    "adam_epsilon": float,
}
SEARCHABLE = {**OF_MODEL, **OF_TRAINING}
OF_CLASSES = ("class_weights", "class_weights_beta", "class_sampling")  # of single_label_classification only
EXPECTED = "a list of values, or a range {low: ..., high: ..., log: true}"
WIDE = 10  # the default range of a learning rate: from the given one divided by this to the given one times this
HEAD_FASTER = 100  # the default range of the head's learning rate reaches up to that of the backbone times this
RANKS = [4, 8, 16, 32]


@dataclass(frozen=True)
class Dimension:
    """An option that is searched: a range of numbers, or a choice.

    Args:
        name: Of the option.
        low: Least value of a range.
        high: Largest value of a range, included.
        log: Whether the logarithm of the value is drawn evenly, and not the value.
        choices: The values of a choice; empty for a range.
    """

    name: str
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    choices: tuple[Any, ...] = ()

    def suggest(self, trial: Any) -> Any:
        """A value for a trial of Optuna; the same one however often it is asked for."""
        if self.choices:
            return trial.suggest_categorical(self.name, list(self.choices))
        suggest = trial.suggest_int if SEARCHABLE[self.name] is int else trial.suggest_float
        return suggest(self.name, self.low, self.high, log=self.log)

    def __contains__(self, value: Any) -> bool:
        if self.choices:
            return value in self.choices
        return value is not None and self.low <= value <= self.high

    @property
    def checked(self) -> tuple[Any, ...]:
        """Values that stand for all of them: the choices, or the ends of the range."""
        return self.choices or (self.low, self.high)

    def describe(self) -> Any:
        """As in a file: a list, or `low`, `high` and `log`."""
        return list(self.choices) if self.choices else {"low": self.low, "high": self.high, "log": self.log}

    def __str__(self) -> str:
        if self.choices:
            return f"{self.name} {', '.join(map(str, self.choices))}"
        return f"{self.name} {self.low:g} to {self.high:g}{' (log)' if self.log else ''}"


class SearchSpace(tuple[Dimension, ...]):
    """The options that are searched, in their order."""

    def names(self) -> list[str]:
        return [dimension.name for dimension in self]

    def suggest(self, trial: Any) -> dict[str, Any]:
        """Option -> value, for a trial of Optuna."""
        return {dimension.name: dimension.suggest(trial) for dimension in self}

    def describe(self) -> dict[str, Any]:
        """Option -> its range or its list, as in a file."""
        return {dimension.name: dimension.describe() for dimension in self}

    def __str__(self) -> str:
        return "; ".join(map(str, self))


def default_space(model_args: ModelArguments, training_args: ProteinTrainingArguments, task: Task) -> SearchSpace:
    """The space without a file: few options, those that matter most, around the given ones.

    Args:
        model_args: Of the training.
        training_args: Of the training.
        task: The main task.

    Raises:
        OptionError: The learning rate is 0, so that there is nothing around it.
    """
    rate, head_rate = training_args.learning_rate, training_args.head_learning_rate
    if rate <= 0:
        raise OptionError(f"search: found learning_rate={rate:g}; expected more than 0, or a search_space")
    found = [Dimension("learning_rate", rate / WIDE, rate * WIDE, log=True)]
    if head_rate:
        found.append(Dimension("head_learning_rate", head_rate / WIDE, head_rate * WIDE, log=True))
    elif model_args.backbone_config is None and model_args.tuning != "frozen":
        found.append(Dimension("head_learning_rate", rate, rate * HEAD_FASTER, log=True))
    found += [Dimension("warmup_steps", 0.0, 0.3), Dimension("weight_decay", 1e-4, 0.3, log=True)]
    if model_args.head == "linear":
        found.append(Dimension("classifier_dropout", 0.0, 0.5))
    if model_args.pooling == "light_attention":
        found.append(Dimension("light_attention_dropout", 0.0, 0.5))
    if task.problem_type == SINGLE_LABEL and not training_args.class_weights_beta:
        found.append(Dimension("class_weights", 0.0, 0.5))
    if model_args.tuning == "lora" and model_args.lora_kind != IA3:
        found.append(Dimension("lora_rank", choices=tuple(RANKS)))
    return SearchSpace(found)


def read_space(path: str, model_args: ModelArguments) -> SearchSpace:
    """The space in a YAML file: option -> a list of values, or `{low: ..., high: ..., log: true}`.

    Args:
        path: The file.
        model_args: Of the training: options of an adapter are searched only where one is trained.

    Raises:
        OptionError: The file cannot be read, names an option that there is not or that cannot be searched, an empty
            range, or a value that the option cannot have.
    """
    found = read_options_file(path)
    if not found:
        raise OptionError(f"{path}: no option to search; expected lines such as 'learning_rate: [1e-5, 1e-4]'")
    for name in found:
        _check_name(path, name)
    space = SearchSpace(_dimension(path, name, given) for name, given in found.items())
    for dimension in space:
        _check_effect(path, dimension.name, found, model_args)
        _check_values(path, dimension)
    return space


def _check_name(path: str, name: str) -> None:
    every = option_names((ModelArguments, DataArguments, ProteinTrainingArguments))
    if name not in SEARCHABLE:
        if name in every:
            raise OptionError(f"{path}: {name} cannot be searched; expected some of {', '.join(SEARCHABLE)}")
        close = difflib.get_close_matches(name, SEARCHABLE, n=1)
        hint = f"did you mean {close[0]}?" if close else f"expected some of {', '.join(SEARCHABLE)}"
        raise OptionError(f"{path}: {name} is not an option of a training; {hint}")


def _check_effect(path: str, name: str, found: Mapping[str, Any], model_args: ModelArguments) -> None:
    """Refuse an option that would do nothing, so that its values are not compared."""
    why = why_without_effect(name, lambda other: found.get(other) or [getattr(model_args, other)])
    if why is not None:
        raise OptionError(f"{path}: {why}")


def _dimension(path: str, name: str, given: Any) -> Dimension:
    """A line of the file."""
    where = f"{path}: {name}"
    if isinstance(given, list):
        if not given:
            raise OptionError(f"{where}: found an empty list; expected {EXPECTED}")
        return Dimension(name, choices=tuple(_value(where, name, value) for value in given))
    if not isinstance(given, dict) or not {"low", "high"} <= given.keys() or given.keys() - {"low", "high", "log"}:
        raise OptionError(f"{where}: found {given!r}; expected {EXPECTED}")
    if SEARCHABLE[name] is str:
        raise OptionError(f"{where}: found a range; expected a list of values")
    low, high = (_value(where, name, given[end]) for end in ("low", "high"))
    log = given.get("log", False)
    if not isinstance(log, bool):
        raise OptionError(f"{where}: log: found {log!r}; expected true or false")
    if low >= high:
        raise OptionError(f"{where}: the range from {low:g} to {high:g} is empty; expected low below high")
    if log and low <= 0:
        raise OptionError(f"{where}: low={low:g} has no logarithm; expected more than 0, or log: false")
    return Dimension(name, low, high, log)


def _value(where: str, name: str, value: Any) -> Any:
    """A value in the type of its option; YAML reads 1e-5 as text."""
    kind = SEARCHABLE[name]
    if kind is str and isinstance(value, str):
        return HEADS.resolve(value) if name == "head" else value
    try:
        if kind is str or isinstance(value, bool):
            raise ValueError
        number = float(value)
        if kind is int and not number.is_integer():
            raise ValueError
        return kind(number)
    except (TypeError, ValueError):
        wanted = {str: "a name", int: "a whole number", float: "a number"}[kind]
        raise OptionError(f"{where}: found {value!r}; expected {wanted}") from None


def _check_values(path: str, dimension: Dimension) -> None:
    """Refuse values that the option cannot have."""
    name = dimension.name
    names: dict[str, Sequence[str]] = {registry.kind: list(registry) for registry in (POOLINGS, HEADS, LOSSES)}
    names["lr_scheduler_type"] = [kind.value for kind in SchedulerType]
    names["lora_kind"] = get_args(ModelArguments.__dataclass_fields__["lora_kind"].type)
    if name == "light_attention_kernel_size" and (not dimension.choices or any(n % 2 == 0 for n in dimension.choices)):
        raise OptionError(f"{path}: {name}: expected a list of odd numbers")
    for value in dimension.checked:
        if name in names and value not in names[name]:
            raise OptionError(f"{path}: {name}: found {value!r}; expected some of {', '.join(names[name])}")
        try:
            check_ranges(SimpleNamespace(**{name: value}))
        except OptionError as error:
            raise OptionError(f"{path}: {error}") from None


def check_task(space: SearchSpace, task: Task, training_args: ProteinTrainingArguments) -> None:
    """Refuse options that mean nothing for the task or the order of the proteins.

    Raises:
        OptionError: Weights of classes for a task that has no classes, or several for a protein; or `class_sampling`
            with another order than `group_by_length`; or both kinds of weights.
    """
    found = [name for name in space.names() if name in OF_CLASSES]
    if found and task.problem_type != SINGLE_LABEL:
        raise OptionError(
            f"search_space: {listed(found)} cannot be searched for {task.problem_type}; only {SINGLE_LABEL} has them"
        )
    kinds = ("class_weights", "class_weights_beta")
    if any(name in found for name in kinds) and all(name in found or getattr(training_args, name) for name in kinds):
        raise OptionError(
            "search_space: class_weights and class_weights_beta: expected one of them; leave the other one out of the "
            f"space, and set it to 0 where it is given {OF_A_RECIPE}"
        )
    order = training_args.train_sampling_strategy
    if "class_sampling" in found and order != "group_by_length":
        raise OptionError(
            f"search_space: class_sampling: expected train_sampling_strategy=group_by_length, found {order}"
        )


def as_given(
    space: SearchSpace, model_args: ModelArguments, training_args: ProteinTrainingArguments, task: Task
) -> dict[str, Any]:
    """The options as they are given, as far as the space has them: the first trial begins with them."""
    given = {**dataclasses.asdict(model_args), **{name: getattr(training_args, name) for name in OF_TRAINING}}
    if given["head_learning_rate"] is None:
        given["head_learning_rate"] = given["learning_rate"]
    if given["loss"] is None:
        given["loss"] = USUAL_LOSS[task.problem_type]
    given["lr_scheduler_type"] = SchedulerType(given["lr_scheduler_type"]).value
    return {dimension.name: given[dimension.name] for dimension in space if given[dimension.name] in dimension}
