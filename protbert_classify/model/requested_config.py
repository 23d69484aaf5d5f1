"""What the caller of `from_pretrained` asks for, against the configuration of the checkpoint."""

import copy
import inspect
import os
from typing import Any

from transformers import AutoConfig, PretrainedConfig
from transformers.utils import CONFIG_NAME

from .configuration import ProteinClassifierConfig
from .heads import HEADS
from .repository_names import is_path
from .tasks import REGRESSION, SINGLE_LABEL, VALIDATION_FITS, auxiliary_tasks

_PARAMETERS = inspect.signature(ProteinClassifierConfig.__init__).parameters
NOT_ASKED_FOR = ("self", "kwargs", "labels", "members", "adapter")
CONFIG_FIELDS = (*(name for name in _PARAMETERS if name not in NOT_ASKED_FOR), "problem_type")
LABEL_FIELDS = ("num_labels", "id2label", "label2id")
OUTPUT_FIELDS = ("output_attentions", "output_hidden_states", "return_dict")
# what was fitted to the answers that a head was trained on, and what it is for a fresh one
FITTED_FIELDS: dict[str, Any] = {
    "thresholds": None,
    "target_mean": None,
    "target_std": None,
    "class_weights": None,
    "calibration_temperature": 1.0,
    "calibration_bias": None,
    "validation_scores": None,
}
# another value needs other weights
HEAD_FIELDS = ("pooling", "head", "light_attention_kernel_size", "light_attention_layers", "auxiliary_tasks")


def read_config(name: str | os.PathLike[str] | None, kwargs: dict[str, Any]) -> PretrainedConfig:
    """The configuration, the caller's own copied: it will be changed.

    Raises:
        OSError: No such folder, no such repository, or no model there.
        ValueError: Nothing to read it from.
    """
    given = kwargs.pop("config", None)
    if isinstance(given, PretrainedConfig):
        return copy.deepcopy(given)
    if given is None:
        if name is None:
            raise ValueError("give the name or the folder of a model, or a config and a state_dict")
        if is_path(os.fspath(name)) and not os.path.exists(name):
            raise OSError(
                f"{name}: no such folder; expected the model/ of a training, a model folder, or owner/name on the Hub"
            )
        folder = os.path.join(name, kwargs.get("subfolder", ""))
        if os.path.isdir(name) and not os.path.isfile(os.path.join(folder, CONFIG_NAME)):
            inside = os.path.join(name, "model")
            model = f"{inside}, the model of this training" if os.path.isdir(inside) else "a model folder"
            raise OSError(f"{name}: no model there (no {CONFIG_NAME}); expected {model}")
    return AutoConfig.from_pretrained(name if given is None else given, **hub_options(kwargs))


def with_backbone(config: PretrainedConfig, backbone: PretrainedConfig | dict[str, Any] | None) -> PretrainedConfig:
    """The configuration of a classifier or an encoder with another one for the encoder, or some of its fields."""
    ours = isinstance(config, ProteinClassifierConfig)
    if isinstance(backbone, PretrainedConfig):
        if not ours:
            return backbone
        config.backbone_config = backbone
    for key, value in backbone.items() if isinstance(backbone, dict) else ():
        setattr(config.backbone_config if ours else config, key, value)
    return config


def take_fields(kwargs: dict[str, Any], labels: list[str] | None) -> dict[str, Any]:
    """Fields of our configuration, taken out of the arguments; labels that were given twice must agree.

    Raises:
        ValueError: They do not.
    """
    fields = {key: kwargs.pop(key) for key in (*CONFIG_FIELDS, *LABEL_FIELDS, *OUTPUT_FIELDS) if key in kwargs}
    if "head" in fields:
        fields["head"] = HEADS.resolve(fields["head"])
    if fields.get("auxiliary_tasks") is not None:
        main = fields.get("task_name", _PARAMETERS["task_name"].default)
        fields["auxiliary_tasks"] = [task.to_dict() for task in auxiliary_tasks(fields["auxiliary_tasks"], main)]
    count = fields.get("num_labels", len(labels or ()))
    if fields.get("id2label") is not None:
        fields["id2label"] = {int(index): label for index, label in fields["id2label"].items()}  # JSON has strings
        fields.setdefault("label2id", {label: index for index, label in fields["id2label"].items()})
    if labels is not None and (labels_of(fields, labels) != list(labels) or count != len(labels)):
        raise ValueError(f"labels={labels} contradict num_labels or id2label: give one of them")
    return fields


def labels_of(fields: dict[str, Any], others: list[str] | None = None) -> list[str] | None:
    """Names of the classes by `id2label` or, as transformers makes them up, `num_labels`; else `others`."""
    if fields.get("id2label") is not None:
        return [fields["id2label"][index] for index in sorted(fields["id2label"])]
    if others is None and fields.get("num_labels") is not None:
        return [f"LABEL_{index}" for index in range(fields["num_labels"])]
    return others


def set_fields(config: PretrainedConfig, fields: dict[str, Any]) -> None:
    """Set fields of a configuration, unchecked."""
    for key, value in fields.items():
        setattr(config, key, value)


def override(config: ProteinClassifierConfig, fields: dict[str, Any]) -> None:
    """Set fields of a saved classifier. What was fitted to another number of labels, or problem type, is dropped.

    Raises:
        ValueError: A field with a wrong value.
    """
    before = config.num_labels, config.problem_type
    set_fields(config, fields)
    if config.num_labels == 1 and "problem_type" not in fields and config.problem_type == SINGLE_LABEL:
        config.problem_type = REGRESSION  # as transformers decides
    if (config.num_labels, config.problem_type) != before:
        set_fields(config, {name: value for name, value in FITTED_FIELDS.items() if name not in fields})
    config.check()
    config.check_tasks()


def hub_options(kwargs: dict[str, Any]) -> dict[str, Any]:
    """The arguments that say how to get files from the Hub."""
    names = ("cache_dir", "force_download", "local_files_only", "revision", "subfolder", "token", "trust_remote_code")
    return {key: kwargs[key] for key in names if key in kwargs}


def class_names(config: PretrainedConfig) -> list[str]:
    """The classes of a classifier, in the order of its logits."""
    return [config.id2label[index] for index in range(config.num_labels)]


def keeps_head(
    name: str | os.PathLike[str] | None,
    config: PretrainedConfig,
    trained: dict[str, Any],
    labels: list[str] | None,
    fields: dict[str, Any],
) -> bool:
    """Whether a classifier is taken with its own head: its labels, pooling and head are what is asked for.

    Args:
        name: Of the classifier, for the error.
        config: The configuration it was saved with.
        trained: The fields of [`ProteinClassifierConfig`] that it was trained with.
        labels: The classes asked for; None for its own.
        fields: Those asked for.

    Raises:
        ValueError: Another pooling or head, but no labels to start a fresh one.
    """
    changed = [key for key in HEAD_FIELDS if key in fields and unfitted(fields[key]) != unfitted(trained.get(key))]
    if labels is None and changed:
        raise ValueError(
            f"{name} was trained with {changed[0]}={trained[changed[0]]!r}, not {fields[changed[0]]!r}: "
            "name its classes, labels=[...], to start a fresh head"
        )
    same_task = fields.get("problem_type") in (None, trained["problem_type"])
    return labels is None or (list(labels) == class_names(config) and same_task and not changed)


def unfitted(value: Any) -> Any:
    """A field of the configuration; auxiliary tasks without what was fitted to validation proteins."""
    if not isinstance(value, list) or not all(isinstance(task, dict) for task in value):
        return value
    return [{name: of for name, of in task.items() if name not in VALIDATION_FITS} for task in value]
