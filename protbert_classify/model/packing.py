"""Which backbones pack proteins, how they are called, and whether they do it right on the device at hand.

Shapes: N proteins, T tokens of all of them together, H hidden size of the backbone.
"""

import copy
from typing import Any

import torch
from torch.nn import functional
from transformers import PretrainedConfig, PreTrainedModel
from transformers.utils import ModelOutput

from .attention import HALF, PADDING_FREE, why_no_kernel
from .backbone import random_backbone
from .token_dropout import backbone_inputs

# Their attention depends on nothing but position ids and boundaries, which a packed batch brings; with the name that
# the dropout of their attention weights has.
PACKABLE = {"bert": "attention_probs_dropout_prob", "esm": "attention_probs_dropout_prob", "esmc": "attention_dropout"}

PROBED_LENGTHS = (40, 3, 150, 7)  # tokens; short ones between long ones, and one longer than a kernel's block of 128
# Share of the spread of hidden states. Over shapes of BERT, ESM-2 and ESM C on a CPU, rounding comes to 1e-6 in float32
# and 0.014 in bfloat16; proteins that all see each other to 0.6 or more, one foreign token to 0.13 or more.
TOLERANCE, HALF_TOLERANCE = 1e-3, 0.05


def why_not_packed(config: PretrainedConfig) -> str | None:
    """Why proteins cannot be packed for a backbone, or None if they can.

    Relative position biases (T5) and sliding windows (ModernBERT) are laid out for padded rows.
    """
    if config.model_type not in PACKABLE:
        return f"a {config.model_type} cannot be packed, only {', '.join(PACKABLE)}"
    if config.model_type == "esm" and config.position_embedding_type != "rotary":
        return "this ESM's absolute positions do not begin at 0"
    if config.model_type == "esm" and config.token_dropout and config.emb_layer_norm_before:
        return "this ESM normalizes its embeddings, so that the factor of token dropout cannot be set for each protein"
    return None


def why_padded(
    config: PretrainedConfig,
    device: torch.device,
    dtype: torch.dtype,
    autocast: torch.dtype | None = None,
    training: bool = False,
) -> str | None:
    """Why batches of a backbone should be padded on a device, or None if they can be packed and that pays.

    Args:
        config: Of the backbone.
        device: Where it will compute.
        dtype: Of its weights.
        autocast: The type in which autocast will compute; None without autocast.
        training: Whether it is trained: with dropout of attention weights and gradients.
    """
    reason = why_not_packed(config)
    if reason is None and config._attn_implementation not in ("sdpa", PADDING_FREE):
        reason = f"attn_implementation={config._attn_implementation!r} was asked for"
    return (
        reason
        or _why_slow(config, device, autocast or dtype, training)
        or packing_fault(config, device, dtype, autocast, training)
    )


def _why_slow(config: PretrainedConfig, device: torch.device, dtype: torch.dtype, training: bool) -> str | None:
    """Why packed proteins would compute slower than padded ones, or None.

    Without a kernel, attention is called for each protein in turn. That pays on a CPU, which one protein keeps busy,
    but not on a device that waits for each call.
    """
    if device.type == "cpu":
        return None
    option = PACKABLE[config.model_type]
    dropout = getattr(config, option) if training else 0.0
    reason = why_no_kernel(device, dtype, dropout=0.0)
    if reason is None and dropout:
        reason = f"{why_no_kernel(device, dtype, dropout)}; with {option}=0 they would be packed"
    return reason


def packed_output(
    backbone: PreTrainedModel,
    input_ids: torch.Tensor | None,
    inputs_embeds: torch.Tensor | None,
    position_ids: torch.Tensor,
    cu_seq_lens: torch.Tensor,
    longest: int,
    **kwargs: Any,
) -> ModelOutput:
    """A backbone's output for packed proteins, whose `last_hidden_state` is (1, T, H).

    Args:
        backbone: Its attention is [`PADDING_FREE`].
        input_ids: (1, T), token ids.
        inputs_embeds: (1, T, H), in their place.
        position_ids: (1, T), from 0 in each protein.
        cu_seq_lens: (N + 1,), int32, where each protein begins and, last, T.
        longest: Tokens of the longest protein.
        kwargs: Passed to the backbone.
    """
    given = backbone_inputs(backbone, input_ids, inputs_embeds, position_ids=position_ids, cu_seq_lens=cu_seq_lens)
    boundaries = {"cu_seq_lens_q": cu_seq_lens, "cu_seq_lens_k": cu_seq_lens}
    lengths = {"max_length_q": longest, "max_length_k": longest}
    return backbone(**given, position_ids=position_ids, return_dict=True, **boundaries, **lengths, **kwargs)


def packing_fault(
    config: PretrainedConfig,
    device: torch.device,
    dtype: torch.dtype,
    autocast: torch.dtype | None = None,
    training: bool = False,
) -> str | None:
    """What is wrong with packed attention on a device, or None: kernels differ between devices and versions of torch.

    Proteins go through one layer of the backbone's shape, packed and padded. Its weights are random and larger than
    pretrained ones, so that attention makes up much of the hidden states and a protein that sees another stands out,
    whatever the model's own weights are and wherever they are.

    Args:
        config: Of a backbone that can be packed.
        device: Where it will compute.
        dtype: Of its weights.
        autocast: The type in which autocast will compute; None without autocast.
        training: Whether to compare gradients, too.
    """
    try:
        backbone = _one_layer(config, device, dtype)
        with torch.autocast(device.type, autocast, enabled=autocast is not None), torch.set_grad_enabled(training):
            found, expected = _packed_and_padded(backbone)
            difference = _difference(found.detach(), expected.detach())
            if training:
                difference = torch.maximum(difference, _gradient_difference(backbone, found, expected))
    except (RuntimeError, TypeError) as error:  # no kernel for this device, or another signature
        return f"packed attention does not work here ({type(error).__name__}: {str(error).splitlines()[0]})"
    tolerance = HALF_TOLERANCE if (autocast or dtype) in HALF else TOLERANCE
    return None if difference < tolerance else f"packed and padded proteins differ by {float(difference):.1%} here"


def _one_layer(config: PretrainedConfig, device: torch.device, dtype: torch.dtype) -> PreTrainedModel:
    """A random backbone of one layer, which leaves the state of random numbers as it was."""
    shape = copy.deepcopy(config)
    shape.num_hidden_layers = 1
    shape.initializer_range = shape.hidden_size**-0.5  # queries, keys and values have about unit variance
    shape.max_position_embeddings = max(PROBED_LENGTHS)
    state = torch.get_rng_state()
    torch.default_generator.manual_seed(0)  # the CPU's alone, where weights are drawn
    try:
        return random_backbone(shape, pooling="mean").to(device, dtype).eval()
    finally:
        torch.set_rng_state(state)


def _packed_and_padded(backbone: PreTrainedModel) -> tuple[torch.Tensor, torch.Tensor]:
    """Hidden states of the same random proteins, (T, H), packed and padded."""
    lengths = torch.tensor(PROBED_LENGTHS)
    positions = torch.arange(max(PROBED_LENGTHS)).expand(len(lengths), -1)
    there = positions < lengths[:, None]
    ids = torch.randint(backbone.config.vocab_size, there.shape, generator=torch.Generator().manual_seed(0))
    ids = ids.where(there, backbone.config.pad_token_id or 0)
    ids, positions, there = (tensor.to(backbone.device) for tensor in (ids, positions, there))
    backbone.set_attn_implementation("sdpa")
    expected = backbone(input_ids=ids, attention_mask=there.long(), return_dict=True).last_hidden_state[there]
    backbone.set_attn_implementation(PADDING_FREE)
    borders = functional.pad(lengths.cumsum(0), (1, 0)).int().to(backbone.device)
    packed = (ids[there][None], None, positions[there][None], borders, max(PROBED_LENGTHS))
    return packed_output(backbone, *packed).last_hidden_state[0], expected


def _difference(found: torch.Tensor, expected: torch.Tensor) -> torch.Tensor:
    """The largest of the proteins' root mean square differences, as a share of the spread around the mean token.

    What all tokens have in common would hide that proteins see each other, and so would a mean over long proteins.
    """
    spread = (expected - expected.mean(0)).float().square().mean().sqrt()
    proteins = (found - expected).float().split(PROBED_LENGTHS)
    return torch.stack([protein.square().mean().sqrt() for protein in proteins]).max() / spread


def _gradient_difference(backbone: PreTrainedModel, found: torch.Tensor, expected: torch.Tensor) -> torch.Tensor:
    """The root mean square difference between gradients of the token embeddings, as a share of theirs."""
    weights = torch.randn(found.shape, generator=torch.Generator().manual_seed(1)).to(found.device)
    table = backbone.get_input_embeddings().weight
    packed, padded = (torch.autograd.grad((hidden * weights).sum(), table)[0].float() for hidden in (found, expected))
    return (packed - padded).norm() / padded.norm()
