"""LoRA and its kin: small trained weights beside the frozen linear layers of a backbone, through `peft`.

LoRA: Hu et al. 2021 (arXiv:2106.09685); DoRA: Liu et al. 2024 (arXiv:2402.09353); IA³: Liu et al. 2022
(arXiv:2205.05638).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import nn
from transformers import AutoConfig, PreTrainedModel
from transformers.utils import logging

from .backbone import encoder_class, encoder_layers, keep_first_positions, pooler_option, position_table
from .four_bits import FourBitLinear, round_to_four_bits
from .layers import keep_first_layers

IA3 = "ia3"
KINDS = ("lora", "dora", IA3)
OF_MATRICES = ("rank", "alpha", "dropout")  # fields that IA³ has no use for
BITS = (4, 32)
BERT_TARGETS = ("query", "key", "value", "dense")
# model type -> the linear layers, in the layers of the encoder, that get an adapter
TARGETS = {
    **dict.fromkeys(("bert", "electra", "esm", "roberta"), BERT_TARGETS),
    "esmc": ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"),
    "t5": ("q", "k", "v", "o"),
}
# IA³ scales keys, values and what comes into the last layer of each feed-forward network
IA3_TARGETS = {
    **dict.fromkeys(("bert", "electra", "esm", "roberta"), ("key", "value", "output.dense")),
    "esmc": ("k_proj", "v_proj", "down_proj"),
    "t5": ("k", "v", "wo"),
}
NOT_IN_FOUR_BITS = ("wo",)  # T5 converts the input of this layer to the type of its weight
FEED_FORWARD = ("output.dense", "down_proj", "wo")
NOT_FEED_FORWARD = "attention.output.dense"  # ends as BERT's feed-forward layer
ADAPTED = ("lora_", "ia3_")  # in the names of the weights that `peft` adds
TOLERANCE = 0.01  # relative, of the numbers by which a base model is known: it may be loaded in half precision
NO_PEFT = "an adapter needs the package peft: pip install 'protbert_classify[lora]'"


@dataclass(frozen=True, kw_only=True)
class Adapter:
    """An adapter, as a saved configuration has it.

    Args:
        base_model: The pretrained encoder, or classifier, that the adapter was trained on: a folder or a Hub id.
        base_revision: Its commit on the Hub; None for a folder.
        base_sample: Some of its weights, by which another one is noticed.
        kind: `lora`, `dora` or `ia3`, which learns a factor for each output of a layer, and has no rank, alpha or
            dropout.
        rank: Of the trained matrices.
        alpha: What they add is multiplied by `alpha / rank`.
        dropout: Before them, 0 up to below 1.
        targets: Names of the linear layers that get them; those of the backbone's family in [`TARGETS`], or in
            [`IA3_TARGETS`], if empty.
        bits: Of a frozen weight of these layers in training: 32, or 4 (QLoRA).

    Raises:
        ValueError: An unknown kind, a number out of its range, or 4 bits where they cannot be.
    """

    base_model: str
    base_revision: str | None = None
    base_sample: list[float] = field(default_factory=list)
    kind: str = "lora"
    rank: int = 8
    alpha: int = 16
    dropout: float = 0.0
    targets: list[str] = field(default_factory=list)
    bits: int = 32

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"lora_kind={self.kind!r}: expected one of {', '.join(KINDS)}")
        if self.rank < 1:
            raise ValueError(f"lora_rank={self.rank}: expected 1 or more")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"lora_dropout={self.dropout}: expected 0 up to below 1")
        if self.bits not in BITS:
            raise ValueError(f"lora_bits={self.bits}: expected 4 or 32")
        if self.bits == 4 and self.kind == IA3:
            raise ValueError("lora_bits=4: expected lora_kind lora or dora, found ia3")
        if self.bits == 4 and (
            found := [name for name in self.targets if name.rpartition(".")[-1] in NOT_IN_FOUR_BITS]
        ):
            raise ValueError(f"lora_bits=4: {', '.join(found)} needs 32; leave it out of lora_targets")

    @classmethod
    def from_dict(cls, saved: dict[str, Any]) -> "Adapter":
        """As [`Adapter.to_dict`] gave it.

        Raises:
            ValueError: A field that there is not, or none for the base model.
        """
        known = cls.__dataclass_fields__
        if unknown := [name for name in saved if name not in known]:
            raise ValueError(f"adapter: found the field {unknown[0]}; expected some of {', '.join(known)}")
        if "base_model" not in saved:
            raise ValueError("adapter: base_model is missing; expected a folder or a Hub id")
        return cls(**saved)

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)


def find_targets(backbone: PreTrainedModel, names: list[str], kind: str = "lora") -> list[str]:
    """The names of the linear layers that get an adapter.

    Args:
        backbone: The encoder.
        names: Those asked for; empty for the usual ones of its family.
        kind: Of the adapter.

    Raises:
        ValueError: Lists the names there are.
    """
    modules = encoder_layers(backbone).named_modules()
    linear = [name for name, module in modules if isinstance(module, nn.Linear)]
    known = {name.rpartition(".")[-1] for name in linear}
    model_type = backbone.config.model_type
    if not linear:
        raise ValueError(f"a backbone of type {model_type} without layers cannot have an adapter; expected tuning=full")
    usual = IA3_TARGETS if kind == IA3 else TARGETS
    if not names and model_type not in usual:
        expected = ", ".join(sorted(known))
        raise ValueError(f"lora_targets: none are known for a model of type {model_type}; expected some of {expected}")
    wanted = list(names or usual[model_type])
    unknown = [name for name in wanted if not any(f".{whole}".endswith(f".{name}") for whole in linear)]
    if kind == IA3 and {"output.dense", NOT_FEED_FORWARD} <= set(wanted):
        raise ValueError(
            f"lora_targets: ia3 scales what {NOT_FEED_FORWARD} gives but what output.dense takes; expected one of them"
        )
    if unknown:
        if any("," in name for name in unknown):
            raise ValueError(f"lora_targets={' '.join(unknown)}: separate the names with spaces")
        raise ValueError(
            f"lora_targets={' '.join(unknown)}: a model of type {model_type} has no such linear layers; expected some "
            f"of {', '.join(sorted(known))}"
        )
    return wanted


def insert(backbone: PreTrainedModel, adapter: Adapter) -> None:
    """Put an adapter, which changes nothing until it is trained, into the layers of a backbone.

    Raises:
        ImportError: `peft` is not installed.
        ValueError: A target that the backbone does not have.
    """
    try:  # transformers asks readers of published code for every package that is imported outside of a try
        from peft import IA3Config, LoraConfig, inject_adapter_in_model

        from .lora_linear import LoraLinear, note_activations
    except ImportError as error:
        raise ImportError(NO_PEFT, name="peft") from error
    targets = find_targets(backbone, list(adapter.targets), adapter.kind)
    config: Any
    if adapter.kind == IA3:
        ends_alike = any(name.endswith(NOT_FEED_FORWARD) for name, _ in encoder_layers(backbone).named_modules())
        config = IA3Config(
            target_modules=targets,
            exclude_modules=[NOT_FEED_FORWARD] if "output.dense" in targets and ends_alike else None,
            feedforward_modules=[name for name in targets if name in FEED_FORWARD],
        )
    else:
        config = LoraConfig(
            r=adapter.rank,
            lora_alpha=adapter.alpha,
            lora_dropout=adapter.dropout,
            target_modules=targets,
            use_dora=adapter.kind == "dora",
        )
        config._register_custom_module({nn.Linear: LoraLinear})
        note_activations(encoder_layers(backbone))
    inject_adapter_in_model(config, encoder_layers(backbone))


def quantize_base(backbone: PreTrainedModel) -> None:
    """Hold the frozen weights of the layers with an adapter in 4 bits.

    Raises:
        ImportError: `bitsandbytes` is not installed.
    """
    for module in adapted_layers(backbone).values():
        module.base_layer = FourBitLinear(module.base_layer)


def adapted_layers(backbone: PreTrainedModel) -> dict[str, Any]:
    """Name in the layers of the encoder -> a linear layer with its adapter, as `peft` has it."""
    try:
        from peft.tuners.tuners_utils import BaseTunerLayer
    except ImportError as error:
        raise ImportError(NO_PEFT, name="peft") from error
    modules = encoder_layers(backbone).named_modules()
    return {name: module for name, module in modules if isinstance(module, BaseTunerLayer)}


def base_names(backbone: PreTrainedModel) -> list[str]:
    """Names of the weights that come from the base model; the pooler belongs to the pooling."""
    return [name for name in backbone.state_dict() if not _is_adapted(name) and not name.startswith("pooler.")]


def _is_adapted(name: str) -> bool:
    return any(mark in name for mark in ADAPTED)


def freeze_base(backbone: PreTrainedModel) -> None:
    """Leave the adapter and the pooler as all that trains."""
    base = set(base_names(backbone))
    for name, parameter in backbone.named_parameters():
        if name in base:
            parameter.requires_grad_(False)


def sample(backbone: PreTrainedModel) -> list[float]:
    """The first number of each matrix of the layers: a training, or an adapter that was merged, has changed some."""
    weights = encoder_layers(backbone).state_dict().items()
    return [float(weight.flatten()[0]) for name, weight in weights if weight.ndim == 2 and not _is_adapted(name)]


def load_base(backbone: PreTrainedModel, adapter: Adapter, **kwargs: Any) -> None:
    """Fill the base weights of a backbone that has an adapter.

    Args:
        backbone: Its other weights stay as they are.
        adapter: Tells where the base model is.
        kwargs: What `from_pretrained` takes (`token`, `cache_dir`, ...).

    Raises:
        ValueError: The base model is missing, or is not the one that the adapter was trained on.
    """
    name, revision = adapter.base_model, adapter.base_revision or "main"
    options = {"revision": revision, "trust_remote_code": False, **kwargs}
    try:
        # without the type: "auto" would become the configuration's own
        config = AutoConfig.from_pretrained(name, **{key: options[key] for key in options if "dtype" not in key})
        options.update(pooler_option(config, "mean"))
        with no_load_report():
            base = encoder_class(config).from_pretrained(name, config=config, **options)
    except OSError as error:
        raise ValueError(
            f"the adapter's base model {name} cannot be loaded; expected it there, or its new place as base_model in "
            "the adapter's config.json"
        ) from error
    other = ValueError(f"{name} is not the base model that the adapter was trained on; expected that one, unchanged")
    if position_table(base) is not None:
        try:
            keep_first_positions(base, backbone.config.max_position_embeddings)
        except ValueError as error:
            raise other from error
    layers = backbone.config.num_hidden_layers
    if layers < base.config.num_hidden_layers:  # it was cut before it got the adapter
        keep_first_layers(base, layers)
    weights = base.state_dict()
    found = {key: weights.get(key.replace(".base_layer.", ".")) for key in base_names(backbone)}
    try:
        if any(weight is None for weight in found.values()):
            raise other
        backbone.load_state_dict(found, strict=False)
    except RuntimeError as error:  # other shapes
        raise other from error
    found_sample, expected = torch.tensor(sample(backbone)), torch.tensor(adapter.base_sample)
    if len(found_sample) != len(expected) or not torch.allclose(found_sample, expected, rtol=TOLERANCE, atol=1e-6):
        raise other
    if adapter.bits == 4:
        for module in adapted_layers(backbone).values():
            round_to_four_bits(module.base_layer)


@contextmanager
def no_load_report() -> Iterator[None]:
    """Do not list what a checkpoint has besides the encoder, such as the head of its pretraining."""
    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)


def merge(backbone: PreTrainedModel) -> None:
    """Add an adapter to the weights of the backbone, and leave the plain linear layers."""
    from .lora_linear import forget_activations  # which needs peft

    adapted = adapted_layers(backbone)
    layers = encoder_layers(backbone)
    forget_activations(layers)
    for name, module in adapted.items():
        if isinstance(module.base_layer, FourBitLinear):
            module.base_layer = module.base_layer.dequantized()
        module.merge()
        layers.set_submodule(name, module.get_base_layer())
    del layers.peft_config
