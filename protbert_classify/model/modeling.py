"""The classifier: any pretrained encoder, a pooling over residues, a head.

Shapes: B proteins, T tokens of the longest, H hidden size of the backbone, C classes.
"""

import contextlib
import copy
import inspect
import logging
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from huggingface_hub import CommitInfo, HfApi
from torch import nn
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.modeling_outputs import BaseModelOutputWithPooling, SequenceClassifierOutput
from transformers.processing_utils import Unpack
from transformers.utils import ModelOutput, TransformersKwargs, can_return_tuple

from .attention import PADDING_FREE, unpack
from .backbone import (
    check_encoder,
    check_length,
    encoder_class,
    find_special_tokens,
    frozen_parts,
    fuse_gelu,
    keep_first_positions,
    longest_input,
    pooler_option,
    position_table,
    random_backbone,
)
from .calibration import calibrate
from .configuration import ProteinClassifierConfig
from .heads import HEADS
from .losses import model_loss
from .packing import packed_output, why_not_packed, why_padded
from .pooling import POOLINGS, residue_mask
from .publishing import CARD, commit_files, open_repository, repository_files, short_card
from .repository_names import is_path
from .tasks import REGRESSION, SINGLE_LABEL, VALIDATION_FITS, auxiliary_tasks
from .token_dropout import backbone_inputs

logger = logging.getLogger(__name__)


@dataclass
class ProteinClassifierOutput(SequenceClassifierOutput):
    """What [`ProteinClassifier`] returns.

    Args:
        loss: (), if labels were given.
        logits: (B, C), float32, of the main task.
        auxiliary_logits: (B, A), float32, of the auxiliary tasks side by side, if there are any.
        hidden_states: As asked for.
        attentions: As asked for.
    """

    auxiliary_logits: torch.Tensor | None = None


class NoClassesError(ValueError):
    """An encoder without a head of ours, and no `labels` to start one."""


class WeightsError(ValueError, RuntimeError):
    """A checkpoint without all weights, or with weights of another shape, for which transformers has a RuntimeError."""


class ProteinClassifier(PreTrainedModel):
    """A protein language model with a classification head.

    `from_pretrained` opens two doors: with a pretrained encoder and `labels` it starts a fresh head on it, with a
    fine-tuned classifier it loads that.

    Args:
        config: What the model is made of.
        backbone: A loaded encoder to build on; a random one of `config.backbone_config` if None.

    Example:
        A small network with random weights. `ProteinClassifier.from_pretrained("Rostlab/prot_bert_bfd", labels=labels)`
        starts from pretrained ones.

        >>> import torch
        >>> from protbert_classify import ProteinClassifier, ProteinClassifierConfig
        >>> shape = {"model_type": "bert", "vocab_size": 30, "hidden_size": 32, "num_attention_heads": 2}
        >>> config = ProteinClassifierConfig({**shape, "num_hidden_layers": 1}, labels=["Cytoplasm", "Nucleus"])
        >>> model = ProteinClassifier(config)
        >>> model(input_ids=torch.tensor([[2, 21, 12, 15, 3]])).logits.shape
        torch.Size([1, 2])
    """

    config_class = ProteinClassifierConfig
    base_model_prefix = "backbone"
    main_input_name = "input_ids"
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _supports_flash_attn = True
    _supports_flex_attn = True
    _supports_attention_backend = True
    # ESM's rotary frequencies: no weights, computed from the configuration; versions of transformers store them under
    # different names, and a classifier must load in an older one than it was saved by (a container's)
    _keys_to_ignore_on_load_missing = [r"rotary_embeddings\.inv_freq$"]
    _keys_to_ignore_on_load_unexpected = [r"rotary_embeddings\.inv_freq$"]
    # forward() takes any keyword of the backbone; without this Trainer would believe that it also takes
    # num_items_in_batch and divides the loss by it, and gradient accumulation would multiply the loss.
    accepts_loss_kwargs = False

    def __init__(self, config: ProteinClassifierConfig, backbone: PreTrainedModel | None = None) -> None:
        super().__init__(config)
        self.num_labels = config.num_labels
        self.backbone = backbone if backbone is not None else random_backbone(config.backbone_config, config.pooling)
        fuse_gelu(self.backbone)
        self._reads_embeddings = "inputs_embeds" in inspect.signature(self.backbone.forward).parameters
        pooling: Any = POOLINGS[config.pooling](config)
        self.pooling = pooling
        self.head = HEADS[config.head](config, pooling.output_size, config.num_labels)
        self.auxiliary_heads = nn.ModuleList(
            HEADS[config.head](config, pooling.output_size, task.num_logits) for task in config.auxiliary
        )
        self.special_tokens = config.special_token_counts
        self.post_init()
        self._freeze()

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | os.PathLike[str] | None,
        *model_args: Any,
        labels: list[str] | None = None,
        **kwargs: Any,
    ) -> "ProteinClassifier":
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
        config = _read_config(pretrained_model_name_or_path, kwargs)
        fields = _take_fields(kwargs, labels)
        config = _with_backbone(config, fields.pop("backbone_config", None))
        for key in [key for key in kwargs if key not in ("dtype", "torch_dtype") and hasattr(config, key)]:
            setattr(config, key, kwargs.pop(key))
        if fields.get("output_attentions"):
            kwargs.setdefault("attn_implementation", "eager")  # the only one that keeps them
        model, info = cls._load(pretrained_model_name_or_path, config, labels, fields, *model_args, **kwargs)
        return (model, info) if with_info else model  # type: ignore[return-value]  # as declared in transformers

    @classmethod
    def _load(
        cls,
        name: str | os.PathLike[str] | None,
        config: PretrainedConfig,
        labels: list[str] | None,
        fields: dict[str, Any],
        *model_args: Any,
        **kwargs: Any,
    ) -> "tuple[ProteinClassifier, dict[str, Any]]":
        """The model, and the loading info of transformers for all of its weights."""
        if isinstance(config, ProteinClassifierConfig):
            trained = {key: getattr(config, key) for key in CONFIG_FIELDS}
            if _keeps_head(name, config, trained, labels, fields):
                return cls._from_classifier(name, config, fields, *model_args, **kwargs)
            assert labels is not None  # else it keeps its head, or cannot be loaded at all
            logger.info("%s has the classes %s: starting a fresh head for %s", name, _labels(config), labels)
            former, info = cls._from_classifier(name, config, {}, *model_args, **kwargs)
            former.backbone.config.name_or_path = former.backbone.config.name_or_path or name  # where its tokenizer is
            kept = {key: _unfitted(value) for key, value in trained.items() if key not in FITTED_FIELDS}
            model = cls._on_backbone(former.backbone, list(labels), {**kept, **fields})
            return model, _loading_info(info, _fresh(model))
        assert name is not None  # else a configuration of ours and a state_dict are given
        check_encoder(config)
        if os.path.isdir(name) and not any(file.endswith(".safetensors") for file in os.listdir(name)):
            logger.info("%s has no safetensors file: reading it through torch's weights_only loader", name)
        if _is_sequence_classifier(config):
            if config.model_type == "bert":
                kept = {"pooling": "pooler", "head": "linear", "problem_type": config.problem_type or SINGLE_LABEL}
                if _keeps_head(name, config, kept, labels, fields):
                    return cls._from_bert_classifier(name, config, fields, **kwargs)
        elif labels is None:
            labels = _labels_of(fields)
        return cls._from_encoder(name, config, labels, fields, **kwargs)

    @classmethod
    def _from_classifier(
        cls,
        name: str | os.PathLike[str] | None,
        config: ProteinClassifierConfig,
        fields: dict[str, Any],
        *model_args: Any,
        ignore_mismatched_sizes: bool = False,
        **kwargs: Any,
    ) -> "tuple[ProteinClassifier, dict[str, Any]]":
        """A saved `ProteinClassifier`, all of it: transformers makes up what a file lacks and only reports it."""
        _override(config, fields)
        kwargs.update(output_loading_info=True, ignore_mismatched_sizes=True)
        random = name is None and not kwargs.get("state_dict")
        model, info = super().from_pretrained(name, *model_args, config=config, **kwargs)
        lacking = set() if random else set(info["missing_keys"])
        if not ignore_mismatched_sizes:
            lacking |= {key for key, *_ in info["mismatched_keys"]}
        if lacking:
            raise WeightsError(
                f"{name} is not the classifier that its configuration says: {len(lacking)} weights are missing or of "
                f"another shape ({min(lacking)}, ...)"
            )
        model._freeze()  # loading replaced the parameters
        vars(model.config).pop("auto_map", None)  # a repository's; saved here, it would name code that is not beside it
        return model, info

    @classmethod
    def _from_encoder(
        cls,
        name: str | os.PathLike[str],
        config: PretrainedConfig,
        labels: list[str] | None,
        fields: dict[str, Any],
        **kwargs: Any,
    ) -> "tuple[ProteinClassifier, dict[str, Any]]":
        """A fresh head on an encoder, whose weights `AutoModel` loads whatever prefix they are stored under."""
        if not labels:
            found = f"an encoder without a head ({config.model_type})"
            if _is_sequence_classifier(config):
                found = f"of the kind {config.architectures[0]}, whose head this package does not have"
            raise NoClassesError(
                f"{name} is {found}: name the classes, labels=[...], to start a fresh head on its encoder"
            )
        if fields.get("special_tokens") is None:
            fields = {**fields, "special_tokens": find_special_tokens(name, config, **_hub_options(kwargs))}
        kwargs.update(pooler_option(config, fields.get("pooling", "mean")))
        load = encoder_class(config).from_pretrained
        backbone, info = load(name, config=config, output_loading_info=True, **kwargs)
        model = cls._on_backbone(backbone, list(labels), fields)
        return model, _loading_info(info, _fresh(model), {"": "backbone."})

    @classmethod
    def _on_backbone(cls, backbone: PreTrainedModel, labels: list[str], fields: dict[str, Any]) -> "ProteinClassifier":
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
        cls, name: str | os.PathLike[str], config: PretrainedConfig, fields: dict[str, Any], **kwargs: Any
    ) -> "tuple[ProteinClassifier, dict[str, Any]]":
        labelling = {key: value for key, value in fields.items() if key in (*LABEL_FIELDS, "problem_type")}
        _set_fields(config, labelling)
        load = AutoModelForSequenceClassification.from_pretrained
        source, info = load(name, config=config, output_loading_info=True, **kwargs)
        model = cls.from_bert(source, **fields)
        return model, _loading_info(info, set(), {"bert.": "backbone.", "classifier.": "head.1."})

    @classmethod
    def from_bert(cls, source: PreTrainedModel, **fields: Any) -> "ProteinClassifier":
        """A `BertForSequenceClassification` of transformers: pooler, dropout, linear, with its own weights and labels.

        Args:
            source: The model; its encoder becomes the backbone, it is not copied.
            fields: Of [`ProteinClassifierConfig`].
        """
        config = source.config
        fields = {**fields, "pooling": "pooler", "head": "linear", "problem_type": config.problem_type}
        dropout = getattr(config, "classifier_dropout", None)
        fields["classifier_dropout"] = config.hidden_dropout_prob if dropout is None else dropout
        model = cls._on_backbone(source.bert, _labels(config), fields)
        model.head.get_submodule("1").load_state_dict(source.classifier.state_dict())
        return model

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        inputs_embeds: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        auxiliary_labels: torch.Tensor | None = None,
        cu_seq_lens_q: torch.Tensor | None = None,
        max_length_q: int | None = None,
        last_hidden_state: torch.Tensor | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> ProteinClassifierOutput:
        """Classify proteins, padded or packed: one after the other in a single row, with `cu_seq_lens_q`.

        Args:
            input_ids: (B, T), token ids with the special tokens; (1, T) packed.
            attention_mask: (B, T), 1 for tokens, 0 for padding on either side; all tokens if None; none packed.
            inputs_embeds: (B, T, H), in place of `input_ids`.
            labels: Of the main task: (B,), the class of each protein, 0..C-1 or -100 if unknown; for several labels
                (B, C), 0 or 1; for a regression (B, C) in the units of the data; NaN if unknown. Gives `loss`.
            auxiliary_labels: (B, A), of the auxiliary tasks side by side, a column for a class or one for each label or
                number; NaN if unknown.
            cu_seq_lens_q: (B + 1,), int32, where each packed protein begins and, last, T. Wants `position_ids` (1, T),
                from 0 in each protein, and an attention that [`enable_packing`] has set.
            max_length_q: Tokens of the longest packed protein.
            last_hidden_state: (B, T, H), what [`summarize`] made of the backbone's; the backbone is then not run, and
                `attention_mask` (B, T) tells which of them count.
            kwargs: Passed to the backbone: `position_ids` and `token_type_ids` (B, T), `output_hidden_states`,
                `output_attentions`, ...

        Returns:
            `logits` (B, C), calibrated in evaluation mode and as the head gives them in training mode; and, as asked
            for here or in the configuration, `loss` () of these logits, `hidden_states`, `attentions`; the padding of
            both comes last.

        Raises:
            ValueError: No input, two of them, or a packed batch for a backbone that is not ready for it.
        """
        for flag in ("output_attentions", "output_hidden_states"):
            if kwargs.get(flag) is None and getattr(self.config, flag):
                kwargs[flag] = True
        if last_hidden_state is not None:
            output = BaseModelOutputWithPooling(last_hidden_state)
            given = (
                last_hidden_state.new_ones(last_hidden_state.shape[:2]) if attention_mask is None else attention_mask
            )
            mask = given.bool()
            if self.config.pooling == "pooler":
                output.pooler_output = self.backbone.pooler(last_hidden_state)
        elif (input_ids is None) == (inputs_embeds is None):
            raise ValueError("give input_ids or inputs_embeds" + ("" if input_ids is None else ", not both"))
        elif cu_seq_lens_q is not None:
            output, mask = self._packed(input_ids, inputs_embeds, cu_seq_lens_q, max_length_q, **kwargs)
        else:
            output, mask = self._padded(input_ids, inputs_embeds, attention_mask, **kwargs)
        pooled = self.pooling(output, mask)
        logits = _float32_head(self.head, pooled)  # (B, C)
        others = [_float32_head(head, pooled) for head in self.auxiliary_heads]
        if not self.training:  # here and nowhere else: every way to a score goes through forward() once
            logits = calibrate(logits, self.config.calibration_temperature, self.config.calibration_bias)
            beside = zip(others, self.config.auxiliary_tasks, strict=True)
            others = [calibrate(part, task.get("temperature", 1.0), task.get("bias")) for part, task in beside]
        auxiliary_logits = torch.cat(others, dim=-1) if others else None  # (B, A)
        loss = None
        if labels is not None or auxiliary_labels is not None:
            loss = self.loss_function(
                logits, labels, self.config, auxiliary_logits=auxiliary_logits, auxiliary_labels=auxiliary_labels
            )
        return ProteinClassifierOutput(
            loss=loss,
            logits=logits,
            auxiliary_logits=auxiliary_logits,
            hidden_states=output.hidden_states,
            attentions=output.attentions,
        )

    @property
    def loss_function(self) -> Any:
        """[`model_loss`], the weighted sum of the losses of all tasks, unless another one was set."""
        return getattr(self, "_loss_function", model_loss)

    @loss_function.setter
    def loss_function(self, value: Any) -> None:
        self._loss_function = value

    def _padded(
        self,
        input_ids: torch.Tensor | None,
        inputs_embeds: torch.Tensor | None,
        attention_mask: torch.Tensor | None,
        **kwargs: Any,
    ) -> tuple[ModelOutput, torch.Tensor]:
        """The backbone's output for padded proteins, and where their residues are, (B, T)."""
        tokens = input_ids if input_ids is not None else inputs_embeds
        assert tokens is not None  # forward() has seen to it
        if attention_mask is None:
            attention_mask = torch.ones(tokens.shape[:2], dtype=torch.long, device=tokens.device)
        else:
            order = _padding_last(attention_mask)
            tokens, attention_mask = _reordered(tokens, order), _reordered(attention_mask, order)
            for name in ("position_ids", "token_type_ids"):
                if kwargs.get(name) is not None:
                    kwargs[name] = _reordered(kwargs[name].expand(order.shape), order)
        check_length(self.config.backbone_config, tokens.shape[1], attention_mask)
        table: contextlib.AbstractContextManager[None] = contextlib.nullcontext()
        if input_ids is None and not self._reads_embeddings:
            table = _giving(self.get_input_embeddings(), tokens)
            input_ids = tokens = attention_mask.new_zeros(attention_mask.shape, dtype=torch.long)
        ids_or_embeds = (None, tokens) if input_ids is None else (tokens, None)
        around = {"attention_mask": attention_mask, "position_ids": kwargs.get("position_ids")}
        given = backbone_inputs(self.backbone, *ids_or_embeds, **around)
        with table:
            output = self.backbone(**given, attention_mask=attention_mask, return_dict=True, **kwargs)
        return output, residue_mask(attention_mask, *self.special_tokens)

    def _packed(
        self,
        input_ids: torch.Tensor | None,
        inputs_embeds: torch.Tensor | None,
        cu_seq_lens: torch.Tensor,
        longest: int | None,
        position_ids: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> tuple[ModelOutput, torch.Tensor]:
        """As `_padded`, for packed proteins, whose hidden states are unpacked for the pooling."""
        attention = self.backbone.config._attn_implementation
        if why_not_packed(self.backbone.config) or attention != PADDING_FREE:
            raise ValueError(f"a packed batch, and attention {attention!r}: proteins would see each other")
        if longest is None or position_ids is None:
            raise ValueError("a packed batch without max_length_q or position_ids")
        check_length(self.config.backbone_config, longest)
        given = (input_ids, inputs_embeds, position_ids, cu_seq_lens, longest)
        output = packed_output(self.backbone, *given, **kwargs)
        hidden, attention_mask = unpack(output.last_hidden_state, cu_seq_lens, longest)
        output.last_hidden_state = hidden
        if self.config.pooling == "pooler":
            output.pooler_output = self.backbone.pooler(hidden)  # of each protein's first token, not of the batch's
        return output, residue_mask(attention_mask, *self.special_tokens)

    def enable_packing(
        self, device: torch.device | None = None, autocast: torch.dtype | None = None, training: bool = False
    ) -> str | None:
        """Make the backbone ready for packed batches; padded ones continue to give the same numbers.

        Packed and padded proteins are compared on `device` first, see [`packing_fault`].

        Args:
            device: Where the model will compute; where it is if None. Under FSDP it is still on the CPU when asked.
            autocast: The type in which autocast will compute; None without autocast.
            training: Whether it is to be trained: with dropout of attention weights and gradients.

        Returns:
            None, or why batches are to be padded: this backbone cannot be packed, or not here, or it would be slow.
        """
        backbone, training = self.backbone, training and not self.config.freeze_backbone
        reason = why_padded(backbone.config, device or self.device, backbone.dtype, autocast, training)
        if reason is None or backbone.config._attn_implementation == PADDING_FREE:
            self.set_attn_implementation(PADDING_FREE if reason is None else "sdpa")
        return reason

    @property
    def max_positions(self) -> int | None:
        """Most tokens an input can have, special ones included; None where positions are relative or rotary."""
        return longest_input(self.config.backbone_config)

    def resize_position_embeddings(self, new_num_position_embeddings: int) -> None:
        """Keep the first rows of the absolute position table: what a run cannot reach costs memory and time.

        ProtBERT's 40,000 rows are 41 million parameters. Backbones without such a table are left alone.

        Raises:
            ValueError: More rows than the table has.
        """
        keep_first_positions(self.backbone, new_num_position_embeddings)

    def get_position_embeddings(self) -> nn.Embedding | None:
        return position_table(self.backbone)

    def get_input_embeddings(self) -> nn.Module:
        return self.backbone.get_input_embeddings()

    def set_input_embeddings(self, value: nn.Module) -> None:
        self.backbone.set_input_embeddings(value)

    def train(self, mode: bool = True) -> "ProteinClassifier":
        """As in torch, but what is frozen stays in evaluation mode: no dropout in what does not learn."""
        super().train(mode)
        for module in self._frozen():
            module.eval()
        return self

    def push_to_hub(
        self,
        repo_id: str,
        *,
        tokenizer: PreTrainedTokenizerBase | None = None,
        private: bool | None = True,
        token: str | bool | None = None,
        revision: str | None = None,
        max_shard_size: int | str = "50GB",
        tags: list[str] | None = None,
        **kwargs: Any,
    ) -> CommitInfo:
        """Publish the model on the Hub: weights, configuration, and the code to load it without this package.

        A card that is there is kept; else a short one is written. `protbert_classify.hub.push_model` publishes what a
        training wrote, with a card of its data and results.

        Args:
            repo_id: `owner/name`, or a name in the user's own namespace.
            tokenizer: Published with the model.
            private: Whether a new repository is; None for what the account has set.
            token: In place of HF_TOKEN or the one that `hf auth login` saved.
            revision: The branch; main if None.
            max_shard_size: Of a file of weights.
            tags: Of a new card.
            kwargs: `commit_message`, `commit_description`, `create_pr`.
        """
        api = HfApi(token=token)
        repo_id = open_repository(api, repo_id, private, revision).repo_id
        with tempfile.TemporaryDirectory() as folder:
            self.save_pretrained(folder, max_shard_size=max_shard_size)
            if tokenizer is not None:
                tokenizer.save_pretrained(folder)
            files = repository_files(folder)
            if not api.file_exists(repo_id, CARD, revision=revision):
                files[CARD] = short_card(repo_id, self.config.labels, tags).encode()
            return commit_files(api, repo_id, files, revision=revision, **kwargs)

    def _freeze(self) -> None:
        for module in self._frozen():
            module.requires_grad_(False)

    def _frozen(self) -> list[nn.Module]:
        return frozen_parts(self.backbone, self.config.freeze_backbone, self.config.freeze_layers)


class ProteinBackbone(PreTrainedModel):
    """What `AutoModel` loads of a classifier: its backbone alone, a `BertModel` or whatever it was built on.

    As `AutoModel` gives a `BertModel` for a `BertForSequenceClassification`. The head must be there, as for
    [`ProteinClassifier.from_pretrained`], which takes the same arguments.
    """

    config_class = ProteinClassifierConfig

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: Any, *model_args: Any, **kwargs: Any) -> PreTrainedModel:
        with_info = kwargs.pop("output_loading_info", False)
        model, info = ProteinClassifier.from_pretrained(
            pretrained_model_name_or_path, *model_args, output_loading_info=True, **kwargs
        )
        backbone = model.backbone.requires_grad_(True)  # what the classifier froze is its own matter
        return (backbone, _loading_info(info, set(), {"backbone.": ""})) if with_info else backbone

    @classmethod
    def _from_config(cls, config: ProteinClassifierConfig, **kwargs: Any) -> PreTrainedModel:
        return ProteinClassifier._from_config(config, **kwargs).backbone


_PARAMETERS = inspect.signature(ProteinClassifierConfig.__init__).parameters
CONFIG_FIELDS = (*(name for name in _PARAMETERS if name not in ("self", "kwargs", "labels")), "problem_type")
LABEL_FIELDS = ("num_labels", "id2label", "label2id")
OUTPUT_FIELDS = ("output_attentions", "output_hidden_states", "return_dict")
# what was fitted to the answers that a head was trained on, and what it is for a fresh one
FITTED_FIELDS: dict[str, Any] = {
    "thresholds": None,
    "target_mean": None,
    "target_std": None,
    "calibration_temperature": 1.0,
    "calibration_bias": None,
}
# another value needs other weights
HEAD_FIELDS = ("pooling", "head", "light_attention_kernel_size", "auxiliary_tasks")


def _float32_head(head: nn.Module, pooled: torch.Tensor) -> torch.Tensor:
    """A head's logits, (B, C), computed in its own precision: autocast would round them to eight bits."""
    weight = next(head.parameters(), pooled)
    with torch.autocast(pooled.device.type, enabled=False):
        return head(pooled.to(weight.dtype))


def _read_config(name: str | os.PathLike[str] | None, kwargs: dict[str, Any]) -> PretrainedConfig:
    """The configuration, the caller's own copied: it will be changed."""
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
    return AutoConfig.from_pretrained(name if given is None else given, **_hub_options(kwargs))


def _with_backbone(config: PretrainedConfig, backbone: PretrainedConfig | dict[str, Any] | None) -> PretrainedConfig:
    """The configuration of a classifier or an encoder with another one for the encoder, or some of its fields."""
    ours = isinstance(config, ProteinClassifierConfig)
    if isinstance(backbone, PretrainedConfig):
        if not ours:
            return backbone
        config.backbone_config = backbone
    for key, value in backbone.items() if isinstance(backbone, dict) else ():
        setattr(config.backbone_config if ours else config, key, value)
    return config


def _take_fields(kwargs: dict[str, Any], labels: list[str] | None) -> dict[str, Any]:
    """Fields of our configuration, taken out of the arguments; labels that were given twice must agree."""
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
    if labels is not None and (_labels_of(fields, labels) != list(labels) or count != len(labels)):
        raise ValueError(f"labels={labels} contradict num_labels or id2label: give one of them")
    return fields


def _labels_of(fields: dict[str, Any], others: list[str] | None = None) -> list[str] | None:
    """Names of the classes by `id2label` or, as transformers makes them up, `num_labels`; else `others`."""
    if fields.get("id2label") is not None:
        return [fields["id2label"][index] for index in sorted(fields["id2label"])]
    if others is None and fields.get("num_labels") is not None:
        return [f"LABEL_{index}" for index in range(fields["num_labels"])]
    return others


def _set_fields(config: PretrainedConfig, fields: dict[str, Any]) -> None:
    for key, value in fields.items():
        setattr(config, key, value)


def _override(config: ProteinClassifierConfig, fields: dict[str, Any]) -> None:
    """Set fields of a saved classifier. What was fitted to another number of labels, or problem type, is dropped.

    Raises:
        ValueError: A field with a wrong value.
    """
    before = config.num_labels, config.problem_type
    _set_fields(config, fields)
    if config.num_labels == 1 and "problem_type" not in fields and config.problem_type == SINGLE_LABEL:
        config.problem_type = REGRESSION  # as transformers decides
    if (config.num_labels, config.problem_type) != before:
        _set_fields(config, {name: value for name, value in FITTED_FIELDS.items() if name not in fields})
    config.check()
    config.tasks  # raises for what does not fit the labels


def _fresh(model: ProteinClassifier) -> set[str]:
    """Names of the weights that no encoder brings."""
    return {name for name in model.state_dict() if not name.startswith("backbone.")}


def _loading_info(info: dict[str, Any], fresh: set[str], prefixes: dict[str, str] | None = None) -> dict[str, Any]:
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


def _hub_options(kwargs: dict[str, Any]) -> dict[str, Any]:
    names = ("cache_dir", "force_download", "local_files_only", "revision", "subfolder", "token", "trust_remote_code")
    return {key: kwargs[key] for key in names if key in kwargs}


def _labels(config: PretrainedConfig) -> list[str]:
    return [config.id2label[index] for index in range(config.num_labels)]


def _keeps_head(
    name: str | os.PathLike[str] | None,
    config: PretrainedConfig,
    trained: dict[str, Any],
    labels: list[str] | None,
    fields: dict[str, Any],
) -> bool:
    """Whether a classifier is taken with its own head: its labels, pooling and head are what is asked for."""
    changed = [key for key in HEAD_FIELDS if key in fields and _unfitted(fields[key]) != _unfitted(trained.get(key))]
    if labels is None and changed:
        raise ValueError(
            f"{name} was trained with {changed[0]}={trained[changed[0]]!r}, not {fields[changed[0]]!r}: "
            "name its classes, labels=[...], to start a fresh head"
        )
    same_task = fields.get("problem_type") in (None, trained["problem_type"])
    return labels is None or (list(labels) == _labels(config) and same_task and not changed)


def _unfitted(value: Any) -> Any:
    """A field of the configuration; auxiliary tasks without what was fitted to validation proteins."""
    if not isinstance(value, list) or not all(isinstance(task, dict) for task in value):
        return value
    return [{name: of for name, of in task.items() if name not in VALIDATION_FITS} for task in value]


def _padding_last(attention_mask: torch.Tensor) -> torch.Tensor:
    """The order of the tokens with padding on the left moved to the right, (B, T).

    Absolute positions and the first token are then what they were trained as.

    Args:
        attention_mask: (B, T).
    """
    length = attention_mask.shape[1]
    padding = (attention_mask.cumsum(-1) == 0).sum(-1, keepdim=True)  # (B, 1), on the left
    return (torch.arange(length, device=attention_mask.device) + padding) % length


def _reordered(tokens: torch.Tensor, order: torch.Tensor) -> torch.Tensor:
    """Tokens (B, T) or (B, T, H) in another order, (B, T).

    By `gather`: torch.compile and torch.export make one graph of it for all shapes, of `take_along_dim` one for each.
    """
    if tokens.dim() == 3:
        order = order[..., None].expand(-1, -1, tokens.shape[2])
    return tokens.gather(1, order)


@contextlib.contextmanager
def _giving(table: nn.Module, embedded: torch.Tensor) -> Iterator[None]:
    """Make a table of embeddings give `embedded` (B, T, H), for a backbone that takes no `inputs_embeds` (ESM C)."""
    hook = table.register_forward_hook(lambda *_: embedded)
    try:
        yield
    finally:
        hook.remove()


def _is_sequence_classifier(config: PretrainedConfig) -> bool:
    return any(name.endswith("ForSequenceClassification") for name in config.architectures or [])
