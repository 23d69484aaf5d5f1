import pytest
import torch
from torch.nn import functional
from transformers.modeling_outputs import BaseModelOutputWithPooling

from protbert_classify import ProteinClassifierConfig
from protbert_classify.model.pooling import POOLINGS, residue_mask


def build(name, shape, **fields):
    torch.manual_seed(0)
    return POOLINGS[name](ProteinClassifierConfig(shape, pooling=name, **fields)).eval()


def hidden_states(lengths, tokens, width=32):
    """Random states, garbage in the padding too, and the mask of the tokens, padded on the right."""
    states = torch.randn(len(lengths), tokens, width, generator=torch.Generator().manual_seed(3))
    attention_mask = (torch.arange(tokens) < torch.tensor(lengths)[:, None]).long()
    return BaseModelOutputWithPooling(last_hidden_state=states), residue_mask(attention_mask, 1, 1)


@pytest.mark.parametrize(
    "attention_mask, prefix, suffix, expected",
    [
        ([1, 1, 1, 1, 0, 0], 1, 1, [0, 1, 1, 0, 0, 0]),
        ([0, 0, 1, 1, 1, 1], 1, 1, [0, 0, 0, 1, 1, 0]),
        ([1, 1, 1, 1, 1, 1], 1, 1, [0, 1, 1, 1, 1, 0]),
        ([1, 1, 1, 1, 0, 0], 0, 1, [1, 1, 1, 0, 0, 0]),  # T5: nothing before the residues
        ([1, 1, 1, 0, 0, 0], 1, 1, [0, 1, 0, 0, 0, 0]),
        ([1, 1, 0, 0, 0, 0], 1, 1, [0, 0, 0, 0, 0, 0]),  # no residue at all
    ],
)
def test_only_residues_are_pooled(attention_mask, prefix, suffix, expected):
    assert residue_mask(torch.tensor([attention_mask]), prefix, suffix).int().tolist() == [expected]


def test_mean_is_that_of_the_residues_alone(tiny_shape):
    states = torch.tensor(
        [
            [[9.0, 9.0], [1.0, 2.0], [3.0, 6.0], [9.0, 9.0], [7.0, 7.0]],
            [[9.0, 9.0], [5.0, -1.0], [9.0, 9.0], [7.0, 7.0], [7.0, 7.0]],
        ]
    )
    mask = residue_mask(torch.tensor([[1, 1, 1, 1, 0], [1, 1, 1, 0, 0]]), 1, 1)
    pooled = build("mean", tiny_shape)(BaseModelOutputWithPooling(last_hidden_state=states), mask)
    assert pooled.tolist() == [[2.0, 4.0], [5.0, -1.0]]


def test_mean_of_no_residue_is_zero_and_no_nan(tiny_shape):
    output, mask = hidden_states([2], 4)
    assert build("mean", tiny_shape)(output, mask).abs().max() == 0


def test_cls_is_the_first_tokens_state(tiny_shape):
    output, mask = hidden_states([4, 6], 6)
    assert torch.equal(build("cls", tiny_shape)(output, mask), output.last_hidden_state[:, 0])


def test_pooler_is_the_backbones_own(tiny_shape):
    vector = torch.randn(2, 32)
    output = BaseModelOutputWithPooling(last_hidden_state=torch.randn(2, 5, 32), pooler_output=vector)
    assert torch.equal(build("pooler", tiny_shape)(output, torch.ones(2, 5).bool()), vector)


def naive_light_attention(pooling, residues):
    """Figure 1 of the paper for one protein (L, H), residue by residue."""
    length, width = residues.shape
    kernel = pooling.features.kernel_size[0]

    def convolve(layer, position):
        total = layer.bias.clone()
        for offset in range(kernel):
            neighbour = position + offset - kernel // 2
            if 0 <= neighbour < length:
                total = total + layer.weight[:, :, offset] @ residues[neighbour]
        return total

    features = torch.stack([convolve(pooling.features, position) for position in range(length)])
    scores = torch.stack([convolve(pooling.attention, position) for position in range(length)])
    weights = functional.softmax(scores, dim=0)  # over the residues, each channel on its own
    return torch.cat([(features * weights).sum(0), features.max(0).values])


@pytest.mark.parametrize("kernel", [1, 3, 9])
def test_light_attention_is_the_papers_on_each_protein_alone(tiny_shape, kernel):
    pooling = build("light_attention", tiny_shape, light_attention_kernel_size=kernel)
    lengths = [3, 8, 14]  # tokens: 1, 6 and 12 residues, shorter and longer than the kernel
    output, mask = hidden_states(lengths, 17)
    with torch.no_grad():
        pooled = pooling(output, mask)
        for row, length in enumerate(lengths):
            expected = naive_light_attention(pooling, output.last_hidden_state[row, 1 : length - 1])
            assert torch.allclose(pooled[row], expected, atol=1e-6)
    assert pooling.output_size == pooled.shape[1] == 64


def test_layers_before_light_attention_read_each_protein_alone(tiny_shape):
    pooling = build("light_attention", tiny_shape, light_attention_kernel_size=3, light_attention_layers=2)
    lengths = [3, 8, 14]
    output, mask = hidden_states(lengths, 17)
    with torch.no_grad():
        pooled = pooling(output, mask)
        for row, length in enumerate(lengths):
            residues = output.last_hidden_state[row, 1 : length - 1]
            for layer in pooling.layers:
                normed = functional.layer_norm(residues, (32,), layer.norm.weight, layer.norm.bias)
                sides = functional.pad(normed, (0, 0, 1, 1))  # (L + 2, H)
                weight = layer.convolution.weight
                convolved = sum(sides[offset : offset + length - 2] @ weight[:, :, offset].T for offset in range(3))
                residues = residues + layer.dense(functional.gelu(convolved + layer.convolution.bias))
            residues = pooling.norm(residues)
            expected = torch.cat([naive_light_attention(pooling, residues), residues.mean(0)])
            assert torch.allclose(pooled[row], expected, atol=1e-5)


@pytest.mark.parametrize("name, layers", [("mean", 0), ("light_attention", 0), ("light_attention", 2)])
def test_what_is_no_residue_cannot_change_the_pooled_vector(tiny_shape, name, layers):
    pooling = build(name, tiny_shape, light_attention_layers=layers)
    output, mask = hidden_states([5, 9], 9)
    with torch.no_grad():
        before = pooling(output, mask)
        output.last_hidden_state[~mask] = 1e3
        assert torch.equal(pooling(output, mask), before)


def test_light_attention_drops_features_in_training_only(tiny_shape):
    pooling = build("light_attention", tiny_shape, light_attention_dropout=0.5)
    output, mask = hidden_states([9], 9)
    assert torch.equal(pooling(output, mask), pooling(output, mask))
    pooling.train()
    assert not torch.equal(pooling(output, mask), pooling(output, mask))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_light_attention_of_half_precision_is_finite(tiny_shape, dtype):
    pooling = build("light_attention", tiny_shape).to(dtype)
    output, mask = hidden_states([3, 9], 12)
    output.last_hidden_state = output.last_hidden_state.to(dtype)
    pooled = pooling(output, mask)
    assert pooled.dtype == dtype
    assert pooled.isfinite().all()
