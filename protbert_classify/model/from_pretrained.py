"""The ways to load a classifier: a saved one, a `BertForSequenceClassification`, or a fresh head on an encoder."""

import logging
import os
from contextlib import nullcontext
from typing import Any, TypeVar

from transformers import AutoModelForSequenceClassification, PretrainedConfig, PreTrainedModel

from .adapter import Adapter, load_base, no_load_report
from .backbone import check_encoder, encoder_class, find_special_tokens, longest_input, pooler_option
from .configuration import ProteinClassifierConfig
from .requested_config import (
    CONFIG_FIELDS,
    FITTED_FIELDS,
    LABEL_FIELDS,
    class_names,
    hub_options,
    keeps_head,
    labels_of,
    override,
    read_config,
    set_fields,
    take_fields,
    unfitted,
    with_backbone,
)
from .tasks import SINGLE_LABEL

logger = logging.getLogger(__name__)

PASSED_TO_BASE = ("cache_dir", "force_download", "local_files_only", "token", "dtype", "torch_dtype")

UNUSED = ("contact_head.", "rotary_embeddings.inv_freq")  # never read here, or computed

Classifier = TypeVar("Classifier", bound="FromPretrainedMixin")


class NoClassesError(ValueError):
    """An encoder without a head of ours, and no `labels` to start one."""


class WeightsError(ValueError, RuntimeError):
    """A checkpoint without all weights, or with weights of another shape, for which transformers has a RuntimeError."""


class FromPretrainedMixin(PreTrainedModel):
    """Gives [`ProteinClassifier`] its `from_pretrained` and `from_bert`."""

    @classmethod
    def from_pretrained(
        cls: type[Classifier],
        pretrained_model_name_or_path: str | os.PathLike[str] | None,
        *model_args: Any,
        labels: list[str] | None = None,
        **kwargs: Any,
    ) -> Classifier:
        """Load a fine-tuned classifier, or start a fresh head on a pretrained encoder.

        Args:
            pretrained_model_name_or_path: A folder or a repository of the Hub: a saved `ProteinClassifier`, a
                `BertForSequenceClassification` (its own head and labels are kept), or any encoder that `AutoModel`
                loads (ProtBERT, ESM-2, ProtT5, ...). None with `config` and `state_dict`; an empty `state_dict` asks
                for random weights.
            labels: Names of the classes in the order of the logits. Needed for an encoder; for a classifier, others
                than its own, or its own with another pooling or head, start a fresh head on its backbone.
            kwargs: Fields of [`ProteinClassifierConfig`] (`pooling="light_attention"`, `problem_type`, ...) and of the
                encoder's configuration (`hidden_dropout_prob=0.1`, ...), and what `PreTrainedModel.from_pretrained`
                takes (`dtype`, `attn_implementation`, `revision`, `output_loading_info`, ...). As everywhere in
                transformers, another `num_labels` than a classifier was trained with needs
                `ignore_mismatched_sizes=True`; on an encoder, `num_labels` or `id2label` can stand for `labels`.

        Returns:
            The model in evaluation mode; with `output_loading_info=True` also what was not found in the checkpoint, as
            in transformers: `missing_keys`, `unexpected_keys`, `mismatched_keys`, `error_msgs`.

        Raises:
            OSError: No such folder, or no such repository.
            ValueError: A decoder, an encoder without `labels`, labels that contradict each other, a classifier whose
                weights are not all there, or one with another pooling or head than asked for.
        """
        kwargs["trust_remote_code"] = False  # never for the user: a repository's code is the user's decision elsewhere
        with_info = kwargs.pop("output_loading_info", False)
        config = read_config(pretrained_model_name_or_path, kwargs)
        fields = take_fields(kwargs, labels)
        config = with_backbone(config, fields.pop("backbone_config", None))
        for key in [key for key in kwargs if key not in ("dtype", "torch_dtype") and hasattr(config, key)]:
            setattr(config, key, kwargs.pop(key))
        if fields.get("output_attentions"):
            kwargs.setdefault("attn_implementation", "eager")  # the only one that keeps them
        model, info = cls._load(pretrained_model_name_or_path, config, labels, fields, *model_args, **kwargs)
        return (model, info) if with_info else model  # type: ignore[return-value]  # as declared in transformers

    @classmethod
    def _from_config(cls, config: ProteinClassifierConfig, **kwargs: Any) -> PreTrainedModel:
        return super(FromPretrainedMixin, _class_for(config, cls))._from_config(config, **kwargs)

    @classmethod
    def _load(
        cls: type[Classifier],
        name: str | os.PathLike[str] | None,
        config: PretrainedConfig,
        labels: list[str] | None,
        fields: dict[str, Any],
        *model_args: Any,
        **kwargs: Any,
    ) -> tuple[Classifier, dict[str, Any]]:
        """The model, and the loading info of transformers for all of its weights."""
        if isinstance(config, ProteinClassifierConfig):
            trained = {key: getattr(config, key) for key in CONFIG_FIELDS}
            if keeps_head(name, config, trained, labels, fields):
                return cls._from_classifier(name, config, fields, *model_args, **kwargs)
            if config.members:
                raise ValueError(f"{name} is an ensemble: a fresh head needs one backbone; start from a member")
            assert labels is not None  # else it keeps its head, or cannot be loaded at all
            logger.info("%s has the classes %s: starting a fresh head for %s", name, class_names(config), labels)
            former, info = cls._from_classifier(name, config, {}, *model_args, **kwargs)
            former.merge_adapter()
            former.backbone.config.name_or_path = former.backbone.config.name_or_path or name  # where its tokenizer is
            kept = {key: unfitted(value) for key, value in trained.items() if key not in FITTED_FIELDS}
            model = cls._on_backbone(former.backbone, list(labels), {**kept, **fields})
            return model, loading_info(info, _fresh(model))
        assert name is not None  # else a configuration of ours and a state_dict are given
        check_encoder(config)
        if os.path.isdir(name) and not any(file.endswith(".safetensors") for file in os.listdir(name)):
            logger.info("%s has no safetensors file: reading it through torch's weights_only loader", name)
        if _is_sequence_classifier(config):
            if config.model_type == "bert":
                kept = {"pooling": "pooler", "head": "linear", "problem_type": config.problem_type or SINGLE_LABEL}
                if keeps_head(name, config, kept, labels, fields):
                    return cls._from_bert_classifier(name, config, fields, **kwargs)
        elif labels is None:
            labels = labels_of(fields)
        return cls._from_encoder(name, config, labels, fields, **kwargs)

    @classmethod
    def _from_classifier(
        cls: type[Classifier],
        name: str | os.PathLike[str] | None,
        config: ProteinClassifierConfig,
        fields: dict[str, Any],
        *model_args: Any,
        ignore_mismatched_sizes: bool = False,
        **kwargs: Any,
    ) -> tuple[Classifier, dict[str, Any]]:
        """A saved `ProteinClassifier`, all of it: transformers makes up what a file lacks and only reports it."""
        override(config, fields)
        kind = _class_for(config, cls)
        kwargs.update(output_loading_info=True, ignore_mismatched_sizes=True)
        random = name is None and not kwargs.get("state_dict")
        # the weights of the base model are not beside an adapter, and transformers would call that damaged
        with no_load_report() if config.adapter else nullcontext():
            model, info = super(FromPretrainedMixin, kind).from_pretrained(name, *model_args, config=config, **kwargs)
        lacking = set() if random else set(info["missing_keys"])
        if not ignore_mismatched_sizes:
            lacking |= {key for key, *_ in info["mismatched_keys"]}
        if lacking:
            raise WeightsError(
                f"{name} is not the classifier that its configuration says: {len(lacking)} weights are missing or of "
                f"another shape ({min(lacking)}, ...)"
            )
        if config.adapter and not random:
            passed = {key: kwargs[key] for key in PASSED_TO_BASE if key in kwargs}
            load_base(model.backbone, Adapter.from_dict(config.adapter), **passed)
        model._freeze()  # loading replaced the parameters
        vars(model.config).pop("auto_map", None)  # a repository's; saved here, it would name code that is not beside it
        return model, info

    @classmethod
    def _from_encoder(
        cls: type[Classifier],
        name: str | os.PathLike[str],
        config: PretrainedConfig,
        labels: list[str] | None,
        fields: dict[str, Any],
        **kwargs: Any,
    ) -> tuple[Classifier, dict[str, Any]]:
        """A fresh head on an encoder, whose weights `AutoModel` loads whatever prefix they are stored under."""
        if not labels:
            found = f"an encoder without a head ({config.model_type})"
            if _is_sequence_classifier(config):
                found = f"of the kind {config.architectures[0]}, whose head this package does not have"
            raise NoClassesError(
                f"{name} is {found}: name the classes, labels=[...], to start a fresh head on its encoder"
            )
        if fields.get("special_tokens") is None:
            fields = {**fields, "special_tokens": find_special_tokens(name, config, **hub_options(kwargs))}
        kwargs.update(pooler_option(config, fields.get("pooling", "mean")))
        others_allowed = kwargs.pop("ignore_mismatched_sizes", False)
        kwargs.update(output_loading_info=True, ignore_mismatched_sizes=True)
        with no_load_report():
            backbone, info = encoder_class(config).from_pretrained(name, config=config, **kwargs)
        if info["mismatched_keys"] and not others_allowed:
            key, found, expected = min(info["mismatched_keys"])
            raise WeightsError(f"{name}: {key} has the shape {tuple(found)}; its configuration says {tuple(expected)}")
        unused = UNUSED if fields.get("pooling") == "pooler" else (*UNUSED, "pooler.")
        if lacking := sorted(key for key in info["missing_keys"] if not any(part in key for part in unused)):
            told = (name, len(lacking), ", ".join(lacking[:3]))
            logger.warning("%s: weights of the encoder are missing and start at random (%d): %s", *told)
        model = cls._on_backbone(backbone, list(labels), fields)
        return model, loading_info(info, _fresh(model), {"": "backbone."})

    @classmethod
    def _on_backbone(
        cls: type[Classifier], backbone: PreTrainedModel, labels: list[str], fields: dict[str, Any]
    ) -> Classifier:
        if len(set(labels)) < len(labels):
            raise ValueError(f"labels={labels}: expected each class once")
        fields = {key: value for key, value in fields.items() if key not in LABEL_FIELDS}
        config = ProteinClassifierConfig(**{**fields, "backbone_config": backbone.config}, labels=labels)
        longest = longest_input(backbone.config)
        if longest is not None and (config.max_sequence_length or 0) > longest:
            raise ValueError(
                f"max_sequence_length={config.max_sequence_length}: the backbone has positions for {longest} tokens; "
                "expected no more"
            )
        if config.pooling == "pooler" and backbone.pooler is None:
            raise ValueError("pooling='pooler': the classifier was saved without its backbone's pooler")
        if config.pooling != "pooler" and hasattr(backbone, "pooler"):
            backbone.pooler = None  # weights that would never get a gradient
        model = cls(config, backbone=backbone)
        for module in (model.pooling, model.head, model.auxiliary_heads):  # a backbone that is dispatched stays put
            module.to(backbone.device, backbone.dtype)
        return model.eval()

    @classmethod
    def _from_bert_classifier(
        cls: type[Classifier],
        name: str | os.PathLike[str],
        config: PretrainedConfig,
        fields: dict[str, Any],
        **kwargs: Any,
    ) -> tuple[Classifier, dict[str, Any]]:
        labelling = {key: value for key, value in fields.items() if key in (*LABEL_FIELDS, "problem_type")}
        set_fields(config, labelling)
        load = AutoModelForSequenceClassification.from_pretrained
        source, info = load(name, config=config, output_loading_info=True, **kwargs)
        model = cls.from_bert(source, **fields)
        return model, loading_info(info, set(), {"bert.": "backbone.", "classifier.": "head.1."})

    @classmethod
    def from_bert(cls: type[Classifier], source: PreTrainedModel, **fields: Any) -> Classifier:
        """A `BertForSequenceClassification` of transformers: pooler, dropout, linear, with its own weights and labels.

        Args:
            source: The model; its encoder becomes the backbone, it is not copied.
            fields: Of [`ProteinClassifierConfig`].
        """
        config = source.config
        fields = {**fields, "pooling": "pooler", "head": "linear", "problem_type": config.problem_type}
        dropout = getattr(config, "classifier_dropout", None)
        fields["classifier_dropout"] = config.hidden_dropout_prob if dropout is None else dropout
        model = cls._on_backbone(source.bert, class_names(config), fields)
        model.head.get_submodule("1").load_state_dict(source.classifier.state_dict())
        return model


def _class_for(config: ProteinClassifierConfig, kind: type[Classifier]) -> type[Classifier]:
    """The class of a saved classifier: the one asked for, or that of ensembles."""
    if not config.members:
        return kind
    from .ensemble import ProteinEnsemble  # which is made of this module's classes

    return ProteinEnsemble


def _fresh(model: PreTrainedModel) -> set[str]:
    """Names of the weights that no encoder brings."""
    return {name for name in model.state_dict() if not name.startswith("backbone.")}


def loading_info(info: dict[str, Any], fresh: set[str], prefixes: dict[str, str] | None = None) -> dict[str, Any]:
    """Loading info under the names that weights have in a classifier, with its fresh ones among the missing.

    Args:
        info: Of a part of the model, or of another class.
        fresh: What was not looked for.
        prefixes: There -> here, of the weights that are; the first that fits counts.
    """

    def renamed(key: str) -> str:
        for there, here in (prefixes or {}).items():
            if key.startswith(there):
                return here + key.removeprefix(there)
        return key

    missing = {renamed(key) for key in info["missing_keys"]} | fresh
    mismatched = {(renamed(key), *shapes) for key, *shapes in info["mismatched_keys"]}
    return {**info, "missing_keys": missing, "mismatched_keys": mismatched}


def _is_sequence_classifier(config: PretrainedConfig) -> bool:
    return any(name.endswith("ForSequenceClassification") for name in config.architectures or [])
