"""Several classifiers as one model, whose scores are the means of theirs.

Deep ensembles: Lakshminarayanan et al. 2017, arXiv:1612.01474, section 2.4.

Shapes: B proteins, T tokens of the longest, H hidden size of the backbone, C labels of a task, N members.
"""

import copy
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from transformers import PretrainedConfig, PreTrainedModel
from transformers.utils import can_return_tuple

from .calibration import calibrate
from .configuration import TRAINED_FURTHER, ProteinClassifierConfig
from .modeling import ProteinClassifier, ProteinClassifierOutput
from .requested_config import CONFIG_FIELDS, FITTED_FIELDS
from .tasks import DEFAULT_THRESHOLD, MULTI_LABEL, REGRESSION, VALIDATION_FITS, Task

# fields of members that must agree: what proteins are read as, and what is asked of them
AGREED = ("labels", "problem_type", "task_name", "max_sequence_length", "crop", "special_token_counts")
# fields of a backbone's configuration that do not change what it computes at evaluation
FREE = {"_name_or_path", "transformers_version", "architectures", "dtype", "initializer_range", "use_cache"}


class ProteinEnsemble(ProteinClassifier):
    """Several trained classifiers as one, in evaluation only.

    Probabilities are the means of the members' calibrated ones, the numbers of a regression those of the members'. A
    calibration of its own comes after that. It takes as many times the compute and the memory of a member as it has
    members. `ProteinClassifier.from_pretrained` and the Auto classes load a saved one.

    Args:
        config: With `members`, the fields of each.
        members: The trained classifiers; random ones if None.

    Example:
        Two small networks with random weights; [`build_ensemble`] takes the folders of trained ones.

        >>> import torch
        >>> from protbert_classify import ProteinClassifier, ProteinClassifierConfig, ProteinEnsemble
        >>> shape = {"model_type": "bert", "vocab_size": 30, "hidden_size": 32, "num_attention_heads": 2}
        >>> config = ProteinClassifierConfig({**shape, "num_hidden_layers": 1}, labels=["Cytoplasm", "Nucleus"])
        >>> models = [ProteinClassifier(config).eval(), ProteinClassifier(config).eval()]
        >>> ensemble = ProteinEnsemble.from_members(models)
        >>> ids = torch.tensor([[2, 21, 12, 15, 3]])
        >>> mean = sum(model(input_ids=ids).logits.softmax(-1) for model in models) / 2
        >>> torch.allclose(ensemble(input_ids=ids).logits.softmax(-1), mean)
        True
    """

    base_model_prefix = ""

    def __init__(self, config: ProteinClassifierConfig, members: Sequence[ProteinClassifier] | None = None) -> None:
        if not config.members:
            raise ValueError("a configuration without members; expected ProteinClassifier(config)")
        super(ProteinClassifier, self).__init__(config)  # that of ProteinClassifier builds a network
        self.num_labels = config.num_labels
        self.members: Any = nn.ModuleList(members or [ProteinClassifier(own) for own in config.member_configs])
        self.special_tokens = config.special_token_counts
        self.post_init()
        self.eval()

    @classmethod
    def from_members(cls, models: Sequence[ProteinClassifier]) -> "ProteinEnsemble":
        """Build an ensemble of trained classifiers, which are not copied.

        Each member keeps its calibration. The thresholds of several labels are the means of the members' thresholds.

        Args:
            models: Two or more, of the same labels, tasks, longest input and shape of the backbone. Poolings and heads
                may differ.

        Raises:
            ValueError: Fewer than two, or they do not fit together; the message says in what.
        """
        if len(models) < 2:
            raise ValueError(f"an ensemble of {len(models)}: expected two models or more")
        configs = [model.config for model in models]
        for number, config in enumerate(configs, 1):
            _check_agreement(configs[0], config, number)
        return cls(_common_config(configs), models)

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        inputs_embeds: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        auxiliary_labels: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> ProteinClassifierOutput:
        """Classify proteins, padded or packed, as [`ProteinClassifier.forward`] does.

        Args:
            input_ids: (B, T); see there, as for the other arguments.
            attention_mask: (B, T).
            inputs_embeds: (B, T, H).
            labels: Of the main task.
            auxiliary_labels: Of the auxiliary tasks.
            kwargs: Passed to each member.

        Returns:
            `logits` (B, C), whose softmax or sigmoid is the mean of the members' probabilities, unless the ensemble is
            calibrated; `loss` () of them. No `hidden_states` and `attentions`: each member has its own.
        """
        if kwargs.get("last_hidden_state") is not None:
            raise ValueError("last_hidden_state: each member of an ensemble has a backbone of its own")
        for flag in ("output_hidden_states", "output_attentions"):
            kwargs.pop(flag, None)
        kwargs["return_dict"] = True
        outputs = [member(input_ids, attention_mask, inputs_embeds, **kwargs) for member in self.members]
        logits, *others = self._averages([_parts(output, self.config.tasks) for output in outputs])
        logits = calibrate(logits, self.config.calibration_temperature, self.config.calibration_bias)
        beside = zip(others, self.config.auxiliary_tasks, strict=True)
        others = [calibrate(part, task.get("temperature", 1.0), task.get("bias")) for part, task in beside]
        auxiliary_logits = torch.cat(others, dim=-1) if others else None
        loss = None
        if labels is not None or auxiliary_labels is not None:
            loss = self.loss_function(
                logits, labels, self.config, auxiliary_logits=auxiliary_logits, auxiliary_labels=auxiliary_labels
            )
        return ProteinClassifierOutput(loss=loss, logits=logits, auxiliary_logits=auxiliary_logits)

    def _averages(self, answers: Sequence[Sequence[torch.Tensor]]) -> list[torch.Tensor]:
        """For each task the averaged logits, (B, C), of those that each member gave."""
        asked = zip(*(member.config.tasks for member in self.members), strict=True)
        tasks = zip(self.config.tasks, asked, zip(*answers, strict=True), strict=True)
        return [average(logits, members, task) for task, members, logits in tasks]

    @property
    def networks(self) -> tuple[ProteinClassifier, ...]:
        return tuple(self.members)

    @property
    def backbone(self) -> PreTrainedModel:
        """That of the first member: the others have its shape."""
        return self.members[0].backbone

    def enable_packing(self, *args: Any, **kwargs: Any) -> str | None:
        reason = self.members[0].enable_packing(*args, **kwargs)
        for member in self.members:
            member.set_attn_implementation(self.backbone.config._attn_implementation)
        return reason

    def resize_position_embeddings(self, new_num_position_embeddings: int) -> None:
        for member in self.members:
            member.resize_position_embeddings(new_num_position_embeddings)
        self.config.backbone_config = self.backbone.config

    def train(self, mode: bool = True) -> "ProteinEnsemble":
        if mode:
            raise ValueError(TRAINED_FURTHER)
        return super().train(False)

    def _frozen(self) -> list[nn.Module]:
        return [module for member in self.members for module in member._frozen()]


def average(logits: Sequence[torch.Tensor], members: Sequence[Task], task: Task) -> torch.Tensor:
    """Logits, (B, C), whose probabilities are the means of the members' probabilities; or their mean numbers.

    Args:
        logits: (N,), the calibrated logits of each member, (B, C).
        members: (N,), the task as each member has it, with its own units of a regression.
        task: As the ensemble has it.
    """
    stacked = torch.stack(list(logits))  # (N, B, C)
    if task.problem_type == REGRESSION:
        numbers = stacked * _units(members, "std", 1.0, stacked) + _units(members, "mean", 0.0, stacked)
        mean, std = _units([task], "mean", 0.0, stacked)[0], _units([task], "std", 1.0, stacked)[0]
        return (numbers.mean(0) - mean) / std
    if task.problem_type == MULTI_LABEL:
        return _log_mean(functional.logsigmoid(stacked)) - _log_mean(functional.logsigmoid(-stacked))
    return _log_mean(stacked.log_softmax(-1))


def _log_mean(logs: torch.Tensor) -> torch.Tensor:
    """The logarithm of the mean over members, (B, C), of numbers whose logarithms are (N, B, C)."""
    return logs.logsumexp(0) - math.log(len(logs))


def _units(tasks: Sequence[Task], name: str, default: float, like: torch.Tensor) -> torch.Tensor:
    """`mean` or `std` of each task, (N, 1, C)."""
    values = [getattr(task, name) or [default] * task.num_logits for task in tasks]
    return like.new_tensor(values)[:, None]


def _parts(output: ProteinClassifierOutput, tasks: Sequence[Task]) -> list[torch.Tensor]:
    """The logits of each task, the main one first, (B, C) each."""
    if output.auxiliary_logits is None:
        return [output.logits]
    return [output.logits, *output.auxiliary_logits.split([task.num_logits for task in tasks[1:]], dim=-1)]


def _check_agreement(first: ProteinClassifierConfig, other: ProteinClassifierConfig, number: int) -> None:
    """Raise ValueError unless the two configurations fit into one ensemble; `number` counts members from 1."""
    if other.members:
        raise ValueError(f"model {number} is an ensemble: expected its members")
    if other.adapter:
        raise ValueError(f"model {number} has an adapter: merge it first, with merge_adapter()")
    shapes = [_shape(config.backbone_config) for config in (first, other)]
    asked = [[(task.name, task.problem_type, task.labels) for task in config.auxiliary] for config in (first, other)]
    values = [{name: getattr(config, name) for name in AGREED} for config in (first, other)]
    compared = [{**value, "auxiliary_tasks": tasks, **shape} for value, tasks, shape in zip(values, asked, shapes)]
    for name in {**compared[0], **compared[1]}:
        expected, found = (value.get(name) for value in compared)
        if expected != found:
            raise ValueError(f"model {number}: {name} is {found}, in the first {expected}; expected the same in all")


def _shape(backbone: PretrainedConfig) -> dict[str, Any]:
    """What the configuration of a backbone says about how it computes at evaluation."""
    return {name: value for name, value in backbone.to_dict().items() if name not in FREE and "drop" not in name}


def _common_config(configs: Sequence[ProteinClassifierConfig]) -> ProteinClassifierConfig:
    """The first member's configuration without what was fitted, and for each member what it has of its own."""
    first = configs[0]
    common = copy.deepcopy(first)
    for name, value in FITTED_FIELDS.items():
        setattr(common, name, copy.deepcopy(value))
    common.target_mean, common.target_std = first.target_mean, first.target_std
    common.thresholds = _mean_thresholds([config.task for config in configs])
    for place, task in enumerate(common.auxiliary_tasks):
        for name in VALIDATION_FITS:
            task.pop(name, None)
        thresholds = _mean_thresholds([config.auxiliary[place] for config in configs])
        task.update({} if thresholds is None else {"thresholds": thresholds})
    common.members = [_own_fields(common, config) for config in configs]
    return common


def _mean_thresholds(tasks: Sequence[Task]) -> list[float] | None:
    """Means of the members' thresholds; None if none has any."""
    if all(task.thresholds is None for task in tasks):
        return None
    each = [task.thresholds or [DEFAULT_THRESHOLD] * task.num_logits for task in tasks]
    return [sum(values) / len(values) for values in zip(*each, strict=True)]


def _own_fields(common: ProteinClassifierConfig, member: ProteinClassifierConfig) -> dict[str, Any]:
    """The fields in which a member's configuration differs, and those that may be fitted to the ensemble later."""
    names = [name for name in CONFIG_FIELDS if name not in ("backbone_config", "format_version")]
    fitted = (*FITTED_FIELDS, "auxiliary_tasks")
    own = {name: getattr(member, name) for name in names}
    return {name: value for name, value in own.items() if name in fitted or value != getattr(common, name)}
