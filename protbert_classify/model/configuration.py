"""What a protein classifier is made of."""

import copy
from collections.abc import Sequence
from typing import Any

from transformers import AutoConfig, PretrainedConfig

from .backbone import check_encoder, family
from .heads import HEADS
from .losses import check_loss
from .pooling import POOLINGS
from .tasks import REGRESSION, SINGLE_LABEL, Task, auxiliary_tasks, check_problem_type

CROPS = ("ends", "head", "tail")
TRAINED_FURTHER = "an ensemble is not trained further: train its members, and build it again"

# Rostlab/prot_bert_bfd (Elnaggar et al. 2021, doi:10.1109/TPAMI.2021.3095381), as its config.json has it.
PROTBERT_SHAPE = {
    "model_type": "bert",
    "vocab_size": 30,
    "hidden_size": 1024,
    "num_hidden_layers": 30,
    "num_attention_heads": 16,
    "intermediate_size": 4096,
    "max_position_embeddings": 40000,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
    "pad_token_id": 0,
}


# what transformers expects of the configuration of a model that reads text
SIZES = ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "max_position_embeddings")


def _size(name: str) -> property:
    """A number of the backbone's configuration, as if it were one of the whole."""

    def get(config: "ProteinClassifierConfig") -> int:
        return getattr(config.backbone_config, name)

    def set_(config: "ProteinClassifierConfig", value: int) -> None:
        if not hasattr(config.backbone_config, name):
            raise ValueError(f"{name}={value}: a {config.backbone_config.model_type} has no {name}")
        setattr(config.backbone_config, name, value)

    return property(get, set_, doc=f"`{name}` of the backbone.")


class ProteinClassifierConfig(PretrainedConfig):
    """Configuration of a [`ProteinClassifier`]: a backbone, a pooling over residues and a head.

    Args:
        backbone_config: Configuration of the encoder, or a dict with its `model_type`; ProtBERT's shape if None.
        pooling: How the hidden states of a protein's residues become one vector: `mean` over residues, `cls` (the first
            token), `pooler` (the backbone's own pooler over the first token) or `light_attention` (Stärk et al. 2021).
        head: `linear` (dropout, linear) or `tanh` (dropout 0.2, linear, tanh: logits stay in -1..1, so the top
            probability of 10 classes cannot pass 0.451).
        classifier_dropout: Dropout before the linear head, 0..1.
        light_attention_kernel_size: Width of the light attention's convolutions, in residues; odd.
        light_attention_layers: Residual convolutional layers before light attention, for a backbone that is not
            pretrained.
        light_attention_dropout: Dropout on the convolved features of light attention and its layers, 0..1.
        freeze_backbone: Train the pooling and the head only; the backbone stays in evaluation mode.
        freeze_layers: Leave the embeddings and the first N layers of the backbone as they are.
        max_sequence_length: Tokens of the longest input, the special ones included, that the model was trained on;
            longer proteins are cropped to it. None: as long as the backbone can read.
        crop: Which residues of a longer protein are kept: `ends` (the N- and C-terminal halves), `head` or `tail`.
        task_name: What the main task asks, `location` for DeepLoc; also the name of the column with the answers.
        loss: A name in `LOSSES`; the usual loss of `problem_type` if None.
        thresholds: (C,), probabilities from which on a class is predicted in `multi_label_classification`; 0.5 if None.
        target_mean: (C,), means of the training targets of a `regression`, in the units of the data; or one for all.
        target_std: (C,), their standard deviations; or one for all.
        class_weights: (C,), factors of the losses of the classes of a `single_label_classification`; 1 each if None.
        calibration_temperature: What the main task's logits are divided by at evaluation, so that scores are as high as
            predictions are right: one for all classes, or (C,); 1 if they are not calibrated. (Transformers reserves
            the name `temperature` for text generation.)
        calibration_bias: (C,), added to the divided logits; none if None.
        validation_scores: (C,) lists, for prediction sets: the scores that validation proteins of each class got for
            it, 0..1, ascending; None for a model that gives no sets.
        auxiliary_tasks: Tasks learned in addition to the main one, each a [`Task`] or its fields, with its own head.
        special_tokens: How many special tokens the tokenizer puts before and after the residues; those of the
            backbone's family if None.
        members: Of an ensemble, for each member the fields in which its configuration differs from this one, such as
            its calibration; None for a single model. See [`ProteinEnsemble`].
        adapter: Of a backbone with an adapter, the fields of [`Adapter`]; the file of its weights has the trained ones
            only. None without an adapter.
        labels: Names of the labels in the order of the logits, in place of `id2label` and `label2id`.
        format_version: Version of this format; a file from a newer version is refused.
        kwargs: What every configuration of transformers takes. For the main task, `id2label`, `num_labels` and
            `problem_type` mean what they mean in transformers. `vocab_size`, `hidden_size`, `num_hidden_layers`,
            `num_attention_heads` and `max_position_embeddings` are those of the backbone.

    Example:
        >>> from protbert_classify import ProteinClassifierConfig
        >>> shape = {"model_type": "bert", "vocab_size": 30, "hidden_size": 32, "num_attention_heads": 2}
        >>> config = ProteinClassifierConfig(shape, labels=["Cytoplasm", "Nucleus"], pooling="light_attention")
        >>> config.labels, config.problem_type
        (['Cytoplasm', 'Nucleus'], 'single_label_classification')

    Raises:
        ValueError: A decoder for a backbone, an unknown pooling, head, loss, crop or problem type, a number out of its
            range, or a newer format version.
    """

    model_type = "protein_classifier"
    sub_configs = {"backbone_config": AutoConfig}
    vocab_size = _size("vocab_size")
    hidden_size = _size("hidden_size")
    num_hidden_layers = _size("num_hidden_layers")
    num_attention_heads = _size("num_attention_heads")
    max_position_embeddings = _size("max_position_embeddings")
    # 1 had a single task, `location`, and no auxiliary ones; 2 had no calibration; 3 had no validation scores and no
    # ensembles
    FORMAT_VERSION = 4

    # transformers 5.3 builds configurations by __init__, later ones as dataclasses; a written __init__ suits both.
    def __init__(
        self,
        backbone_config: PretrainedConfig | dict[str, Any] | None = None,
        pooling: str = "mean",
        head: str = "linear",
        classifier_dropout: float = 0.1,
        light_attention_kernel_size: int = 9,
        light_attention_layers: int = 0,
        light_attention_dropout: float = 0.25,
        freeze_backbone: bool = False,
        freeze_layers: int = 0,
        max_sequence_length: int | None = None,
        crop: str = "ends",
        task_name: str = "location",
        loss: str | None = None,
        thresholds: Sequence[float] | None = None,
        target_mean: Sequence[float] | float | None = None,
        target_std: Sequence[float] | float | None = None,
        class_weights: Sequence[float] | None = None,
        calibration_temperature: Sequence[float] | float = 1.0,
        calibration_bias: Sequence[float] | None = None,
        validation_scores: Sequence[Sequence[float]] | None = None,
        auxiliary_tasks: Sequence[Task | dict[str, Any]] | None = None,
        special_tokens: Sequence[int] | None = None,
        members: Sequence[dict[str, Any]] | None = None,
        adapter: dict[str, Any] | None = None,
        labels: Sequence[str] | None = None,
        format_version: int = FORMAT_VERSION,
        **kwargs: Any,
    ) -> None:
        backbone = backbone_config
        if backbone is None or isinstance(backbone, dict):
            fields = dict(backbone or PROTBERT_SHAPE)
            backbone = AutoConfig.for_model(fields.pop("model_type"), **fields)
        sizes = {name: kwargs.pop(name) for name in SIZES if name in kwargs}
        self.backbone_config = backbone = copy.deepcopy(backbone) if sizes else backbone
        for name, size in sizes.items():
            setattr(self, name, size)
        self.pooling = pooling
        self.head = HEADS.resolve(head)
        self.classifier_dropout = classifier_dropout
        self.light_attention_kernel_size = light_attention_kernel_size
        self.light_attention_layers = light_attention_layers
        self.light_attention_dropout = light_attention_dropout
        self.freeze_backbone = freeze_backbone
        self.freeze_layers = freeze_layers
        self.max_sequence_length = max_sequence_length
        self.crop = crop
        self.task_name = task_name
        self.loss = loss
        self.thresholds = _listed(thresholds)
        self.target_mean = _listed(target_mean)
        self.target_std = _listed(target_std)
        self.class_weights = _listed(class_weights)
        self.calibration_temperature = _listed(calibration_temperature)
        self.calibration_bias = _listed(calibration_bias)
        self.validation_scores = None if validation_scores is None else [list(scores) for scores in validation_scores]
        self.auxiliary_tasks = _plain(auxiliary_tasks, task_name)
        self.special_tokens = _listed(special_tokens)
        self.members = _listed(members)
        self.adapter = adapter
        self.format_version = format_version
        self.check()
        self.format_version = self.FORMAT_VERSION  # what is saved from here on
        if labels is not None:
            kwargs["id2label"] = dict(enumerate(labels))
            kwargs["label2id"] = {label: index for index, label in enumerate(labels)}
        number = len(kwargs.get("id2label") or {}) or kwargs.get("num_labels")
        if kwargs.get("problem_type") is None:
            kwargs["problem_type"] = REGRESSION if number == 1 else SINGLE_LABEL  # as transformers decides
        check_problem_type(kwargs["problem_type"])
        # the setting of the whole is the setting of its parts: without this, None would overwrite the backbone's
        kwargs.setdefault("attn_implementation", backbone._attn_implementation)
        kwargs.setdefault("pad_token_id", getattr(backbone, "pad_token_id", None))
        pad_token_id = kwargs.pop("pad_token_id")
        super().__init__(**kwargs)
        self.pad_token_id = pad_token_id
        self.check_tasks()
        self.member_configs  # checks each member

    def to_dict(self) -> dict[str, Any]:
        """As in transformers; without an adapter, nothing is said of one."""
        fields = super().to_dict()
        if fields.get("adapter") is None:
            fields.pop("adapter", None)
        return fields

    def check(self) -> None:
        """Raise ValueError for a field with a wrong value."""
        check_encoder(self.backbone_config)
        POOLINGS.check(self.pooling)
        HEADS.check(self.head)
        if self.crop not in CROPS:
            raise ValueError(f"crop={self.crop!r}: expected one of {', '.join(CROPS)}")
        if self.light_attention_kernel_size % 2 == 0:
            raise ValueError(f"light_attention_kernel_size={self.light_attention_kernel_size}: expected an odd number")
        if self.light_attention_layers < 0:
            raise ValueError(f"light_attention_layers={self.light_attention_layers}: expected 0 or more")
        counts = self.special_tokens
        if counts is not None and (len(counts) != 2 or any(type(n) is not int or n < 0 for n in counts)):
            raise ValueError(f"special_tokens={counts}: expected two numbers, before and after the residues")
        if self.adapter and (self.freeze_backbone or self.freeze_layers):
            raise ValueError("an adapter trains in all layers: expected freeze_backbone=False and freeze_layers=0")
        layers = self.backbone_config.num_hidden_layers
        if not 0 <= self.freeze_layers <= layers:
            raise ValueError(f"freeze_layers={self.freeze_layers}: expected 0 to {layers}, the layers of the backbone")
        if self.format_version > self.FORMAT_VERSION:
            raise ValueError(
                f"this model has format version {self.format_version}, this package reads up to {self.FORMAT_VERSION}: "
                "upgrade protbert_classify"
            )

    def check_tasks(self) -> None:
        """Raise ValueError for thresholds, targets, a calibration, scores or a loss that do not fit a task."""
        for task in self.tasks:
            if task.loss is not None:
                check_loss(task.loss, task.problem_type)

    @property
    def special_token_counts(self) -> tuple[int, int]:
        """Special tokens before and after the residues: as counted, or those of the backbone's family."""
        if self.special_tokens is None:
            return family(self.backbone_config).special_tokens
        before, after = self.special_tokens
        return before, after

    @property
    def member_configs(self) -> list["ProteinClassifierConfig"]:
        """The configuration of each member of an ensemble; none of a single model."""
        return [self._member(fields) for fields in self.members or ()]

    def _member(self, fields: dict[str, Any]) -> "ProteinClassifierConfig":
        config = copy.deepcopy(self)
        config.members = None
        for name, value in fields.items():
            if not hasattr(config, name):
                raise ValueError(f"members: unknown field {name!r}")
            setattr(config, name, copy.deepcopy(value))
        config.check()
        config.check_tasks()
        return config

    @property
    def labels(self) -> list[str]:
        """Names of the classes, in the order of the logits."""
        return [self.id2label[index] for index in range(self.num_labels)]

    @property
    def task(self) -> Task:
        """The main task."""
        return Task(
            name=self.task_name,
            problem_type=self.problem_type,
            labels=tuple(self.labels),
            loss=self.loss,
            thresholds=self.thresholds,
            mean=self._for_each_label(self.target_mean),
            std=self._for_each_label(self.target_std),
            class_weights=self.class_weights,
            temperature=self.calibration_temperature,
            bias=self.calibration_bias,
            validation_scores=self.validation_scores,
        )

    def _for_each_label(self, values: Sequence[float] | float | None) -> Sequence[float] | None:
        return [values] * self.num_labels if isinstance(values, (int, float)) else values

    @property
    def auxiliary(self) -> tuple[Task, ...]:
        """The auxiliary tasks."""
        return auxiliary_tasks(self.auxiliary_tasks, self.task_name)

    @property
    def tasks(self) -> tuple[Task, ...]:
        """All tasks, the main one first."""
        return (self.task, *self.auxiliary)

    def get_text_config(self, decoder: bool | None = None, encoder: bool | None = None) -> PretrainedConfig:
        """The backbone's configuration: where transformers looks for vocabulary and hidden size."""
        return self.backbone_config


def _listed(values: Any) -> Any:
    """A sequence as a list, which JSON can hold; a number, or None, as it is."""
    return values if values is None or isinstance(values, (int, float)) else list(values)


def _plain(tasks: Sequence[Task | dict[str, Any]] | None, main: str) -> list[dict[str, Any]]:
    """Auxiliary tasks, checked, as JSON has them."""
    return [task.to_dict() for task in auxiliary_tasks(tasks, main)]
