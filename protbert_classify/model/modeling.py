"""The classifier: any pretrained encoder, a pooling over residues, a head.

Shapes: B proteins, T tokens of the longest, H hidden size of the backbone, C classes.
"""

import copy
import inspect
import os
import re
import tempfile
from dataclasses import dataclass
from typing import Any

import torch
from huggingface_hub import CommitInfo, HfApi
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from transformers.modeling_outputs import BaseModelOutputWithPooling, SequenceClassifierOutput
from transformers.processing_utils import Unpack
from transformers.utils import ModelOutput, TransformersKwargs, can_return_tuple

from .adapter import Adapter, base_names, find_targets, freeze_base, insert, merge, quantize_base, sample
from .attention import PADDING_FREE, unpack
from .backbone import (
    check_length,
    frozen_parts,
    fuse_gelu,
    keep_first_positions,
    longest_input,
    position_table,
    random_backbone,
)
from .calibration import calibrate
from .configuration import ProteinClassifierConfig
from .four_bits import load_bitsandbytes
from .from_pretrained import FromPretrainedMixin, loading_info
from .heads import HEADS
from .layers import keep_first_layers, set_layer_count
from .losses import model_loss
from .packing import packed_output, why_not_packed, why_padded
from .padding import padded_output
from .pooling import POOLINGS, residue_mask
from .publishing import CARD, commit_files, open_repository, repository_files, short_card
from .repository_names import cached_commit


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


class ProteinClassifier(FromPretrainedMixin):
    """A protein language model with a classification head.

    `from_pretrained` loads a fine-tuned classifier, or starts a fresh head on a pretrained encoder if given `labels`.

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
        if config.members:
            raise ValueError("a configuration of an ensemble; expected ProteinEnsemble(config), or from_pretrained")
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
        if config.adapter:
            insert(self.backbone, Adapter.from_dict(config.adapter))
        self.post_init()
        self._freeze()

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
        else:
            output, mask = self.read_residues(
                input_ids, attention_mask, inputs_embeds, cu_seq_lens_q, max_length_q, **kwargs
            )
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

    def read_residues(
        self,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        inputs_embeds: torch.Tensor | None = None,
        cu_seq_lens_q: torch.Tensor | None = None,
        max_length_q: int | None = None,
        **kwargs: Any,
    ) -> tuple[ModelOutput, torch.Tensor]:
        """The backbone's output for padded or packed proteins, and where their residues are: what `pooling` takes.

        Args:
            input_ids: (B, T); see `forward`, as for the other arguments.
            attention_mask: (B, T).
            inputs_embeds: (B, T, H).
            cu_seq_lens_q: (B + 1,).
            max_length_q: Tokens of the longest packed protein.
            kwargs: Passed to the backbone.

        Returns:
            The output, with `last_hidden_state` (B, T, H) also for packed proteins, and (B, T), bool, true for
            residues; the padding of both comes last.

        Raises:
            ValueError: No input, two of them, or a packed batch for a backbone that is not ready for it.
        """
        if (input_ids is None) == (inputs_embeds is None):
            raise ValueError("give input_ids or inputs_embeds" + ("" if input_ids is None else ", not both"))
        if cu_seq_lens_q is not None:
            return self._packed(input_ids, inputs_embeds, cu_seq_lens_q, max_length_q, **kwargs)
        return self._padded(input_ids, inputs_embeds, attention_mask, **kwargs)

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
        check_length(self.config.backbone_config, tokens.shape[1], attention_mask)
        given = (input_ids, inputs_embeds, attention_mask)
        output, mask = padded_output(self.backbone, *given, reads_embeddings=self._reads_embeddings, **kwargs)
        return output, residue_mask(mask, *self.special_tokens)

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

    def add_lora(self, base_model: str, base_revision: str | None = None, **options: Any) -> None:
        """Freeze the backbone and put an adapter into it, which trains together with the pooling and the head.

        The adapter is LoRA, DoRA or IA³, see [`Adapter`]. A model with one is saved without the weights of its base
        model.

        Args:
            base_model: Where the weights of the backbone are from: a folder or a Hub id.
            base_revision: Its branch, tag or commit on the Hub; main if None. The commit is saved.
            options: `kind` (`lora`, `dora` or `ia3`), `rank`, `alpha`, `dropout`, `targets` and `bits`, see
                [`Adapter`].

        Raises:
            ImportError: `peft` is not installed, or `bitsandbytes`, which 4 bits need.
            ValueError: An unknown target or kind, a number out of its range, or a model that has an adapter already.
        """
        if self.config.adapter:
            raise ValueError("the model has an adapter already: merge it first, with merge_adapter()")
        is_folder = os.path.isdir(base_model)
        targets = find_targets(self.backbone, list(options.pop("targets", None) or ()), options.get("kind", "lora"))
        adapter = Adapter(
            base_model=os.path.abspath(base_model) if is_folder else base_model,
            base_revision=None if is_folder else cached_commit(base_model, base_revision or "main") or base_revision,
            base_sample=sample(self.backbone),
            targets=targets,
            **options,
        )
        self.config.adapter = adapter.to_dict()
        try:
            self.config.check()
            if adapter.bits == 4:
                load_bitsandbytes()  # before anything changes
            insert(self.backbone, adapter)
            if adapter.bits == 4:
                quantize_base(self.backbone)
        except (ImportError, ValueError):
            self.config.adapter = None
            raise
        self._freeze()

    def merge_adapter(self) -> "ProteinClassifier":
        """Add the adapter to the weights of the backbone: a plain classifier with the same logits.

        Returns:
            The model itself; one without an adapter stays as it is.

        Raises:
            ImportError: `peft` is not installed.
        """
        if self.config.adapter:
            merge(self.backbone)
            self.config.adapter = None
            del self._keys_to_ignore_on_save, self._keys_to_ignore_on_load_missing
            self.requires_grad_(True)
            self._freeze()
        return self

    def freeze(self, backbone: bool = False, layers: int = 0) -> None:
        """Choose what stays as it is in training; the rest trains.

        Args:
            backbone: The whole backbone: only the pooling and the head train.
            layers: The embeddings and the first so many layers.

        Raises:
            ValueError: Not so many layers, or the model has an adapter, which trains in all of them.
        """
        before = self.config.freeze_backbone, self.config.freeze_layers
        self.config.freeze_backbone, self.config.freeze_layers = backbone, layers
        try:
            self.config.check()
        except ValueError:
            self.config.freeze_backbone, self.config.freeze_layers = before
            raise
        self.requires_grad_(True)
        self._freeze()

    @property
    def networks(self) -> tuple["ProteinClassifier", ...]:
        """The networks that it computes with: itself, or the members of an ensemble."""
        return (self,)

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

    def keep_first_layers(self, count: int) -> None:
        """Cut the backbone after a layer: a smaller and faster model, whose pooling reads what that layer gives.

        A norm that the backbone applies after its last layer is applied after this one.

        Args:
            count: Layers to keep, from 1; as many as there are change nothing.

        Raises:
            ValueError: Not so many layers, more of them frozen, a backbone whose layers cannot be cut, or an adapter.
        """
        if self.config.adapter:
            raise ValueError("the model has an adapter: merge it first, with merge_adapter()")
        if self.config.freeze_layers > count >= 1:
            raise ValueError(f"freeze_layers={self.config.freeze_layers}: expected 0 to {count}, the layers that stay")
        keep_first_layers(self.backbone, count)
        if self.config.num_hidden_layers != count:  # a configuration of its own
            set_layer_count(self.config.backbone_config, count)

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

        An adapter is merged into the published weights. A card that is there is kept; else a short one is written.
        `protbert_classify.hub.push_model` publishes what a training wrote, with a card of its data and results.

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
            whole = copy.deepcopy(self).merge_adapter() if self.config.adapter else self
            whole.save_pretrained(folder, max_shard_size=max_shard_size)
            if tokenizer is not None:
                tokenizer.save_pretrained(folder)
            files = repository_files(folder)
            if not api.file_exists(repo_id, CARD, revision=revision):
                files[CARD] = short_card(repo_id, self.config.labels, tags, len(self.networks)).encode()
            return commit_files(api, repo_id, files, revision=revision, **kwargs)

    def _freeze(self) -> None:
        for module in self._frozen():
            module.requires_grad_(False)
        if self.config.adapter:
            freeze_base(self.backbone)
            # saved are the trained weights only; those of the base model are loaded from where it is
            base = [f"backbone.{name}" for name in base_names(self.backbone)]
            self._keys_to_ignore_on_save = base
            self._keys_to_ignore_on_load_missing = [
                *type(self)._keys_to_ignore_on_load_missing,
                *(f"^{re.escape(name)}$" for name in base),
            ]

    def _frozen(self) -> list[nn.Module]:
        return frozen_parts(self.backbone, self.config.freeze_backbone, self.config.freeze_layers)


class ProteinBackbone(PreTrainedModel):
    """What `AutoModel` loads of a classifier: its backbone alone, a `BertModel` or whatever it was built on.

    As `AutoModel` gives a `BertModel` for a `BertForSequenceClassification`. An adapter is merged into it. The head
    must be there, as for [`ProteinClassifier.from_pretrained`], which takes the same arguments.
    """

    config_class = ProteinClassifierConfig

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: Any, *model_args: Any, **kwargs: Any) -> PreTrainedModel:
        with_info = kwargs.pop("output_loading_info", False)
        model, info = ProteinClassifier.from_pretrained(
            pretrained_model_name_or_path, *model_args, output_loading_info=True, **kwargs
        )
        if model.config.members:
            raise ValueError(f"{pretrained_model_name_or_path} is an ensemble: load the backbone of a member")
        backbone = model.merge_adapter().backbone.requires_grad_(True)  # what the classifier froze is its own matter
        return (backbone, loading_info(info, set(), {"backbone.": ""})) if with_info else backbone

    @classmethod
    def _from_config(cls, config: ProteinClassifierConfig, **kwargs: Any) -> PreTrainedModel:
        return ProteinClassifier._from_config(config, **kwargs).backbone


def _float32_head(head: nn.Module, pooled: torch.Tensor) -> torch.Tensor:
    """A head's logits, (B, C), computed in its own precision: autocast would round them to eight bits."""
    weight = next(head.parameters(), pooled)
    with torch.autocast(pooled.device.type, enabled=False):
        return head(pooled.to(weight.dtype))
