"""The layer that computes LoRA must give what `peft`'s gives, and keep less for the backward pass."""

import copy

import pytest
import torch
from accelerate import cpu_offload
from torch import nn
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.checkpoint import checkpoint
from transformers.activations import GELUActivation

peft = pytest.importorskip("peft", reason="the extra lora is not installed")

from peft.tuners.lora import Linear  # noqa: E402

from protbert_classify.model.four_bits import FourBitLinear  # noqa: E402
from protbert_classify.model.lora_linear import LoraLinear, forget_activations, note_activations  # noqa: E402

WIDE = 64


def network(layer=LoraLinear, bias=True, **options):
    """Linear, GELU, linear, linear, each linear layer with a trained adapter: ours, or peft's."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Linear(16, WIDE, bias), GELUActivation(), nn.Linear(WIDE, 16, bias), nn.Linear(16, 16, bias)
    )
    config = peft.LoraConfig(r=4, lora_alpha=8, target_modules=["0", "2", "3"], **options)
    config._register_custom_module({nn.Linear: layer})
    if layer is LoraLinear:
        note_activations(model)
    peft.inject_adapter_in_model(config, model)
    for name, weight in model.named_parameters():
        if "lora_" in name:
            nn.init.normal_(weight, std=0.3)
        else:
            weight.requires_grad_(False)
    return model


def vectors(*shape, dtype=torch.float32):
    return torch.randn(shape, generator=torch.Generator().manual_seed(1)).to(dtype)


def results(model, x, compute=None):
    """The output, and the gradients of the input and of the trained weights."""
    model.zero_grad()
    x = x.clone().requires_grad_()
    found = (compute or model)(x)
    found.float().square().sum().backward()
    return [found, x.grad, *(weight.grad for weight in model.parameters() if weight.requires_grad)]


def assert_same(found, expected, tolerance):
    assert len(found) == len(expected) == 8
    for one, other in zip(found, expected, strict=True):
        assert one.dtype == other.dtype
        torch.testing.assert_close(one, other, rtol=tolerance, atol=tolerance * float(other.detach().abs().max()))


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(5, 16), (2, 7, 16), (1, 1, 16)])
def test_values_and_gradients_are_those_of_peft(bias, shape):
    ours, theirs = network(bias=bias).double(), network(Linear, bias).double()
    assert {type(ours[at]) for at in (0, 2, 3)} == {LoraLinear} and type(theirs[0]) is Linear
    assert list(ours.state_dict()) == list(theirs.state_dict())
    x = vectors(*shape, dtype=torch.float64)
    assert_same(results(ours, x), results(theirs, x), 1e-6)  # the loss is a float


def test_beside_weights_of_four_bits_too():
    pytest.importorskip("bitsandbytes", reason="the extra qlora is not installed")
    ours, theirs = network(), network(Linear)
    for model in (ours, theirs):
        for at in (0, 2, 3):
            model[at].base_layer = FourBitLinear(model[at].base_layer)
    assert ours[0].is_plain()
    expected = results(theirs, vectors(2, 7, 16))
    assert_same(results(ours, vectors(2, 7, 16)), expected, 1e-5)
    assert not torch.allclose(results(network(), vectors(2, 7, 16))[0], expected[0], rtol=0.01)  # not rounded
    assert kept(ours, vectors(9, 16)) == [16, 16, WIDE]
    with torch.autocast("cpu", torch.bfloat16):
        assert_same(results(ours, vectors(2, 7, 16)), results(theirs, vectors(2, 7, 16)), 0.02)


def test_in_half_precision_the_types_are_those_of_peft():
    with torch.autocast("cpu", torch.bfloat16):
        ours, theirs = (results(network(layer), vectors(2, 7, 16)) for layer in (LoraLinear, Linear))
    assert ours[0].dtype == torch.bfloat16 and ours[-1].dtype == torch.float32
    assert_same(ours, theirs, 0.02)
    x = vectors(2, 7, 16, dtype=torch.bfloat16)
    assert_same(results(network().bfloat16(), x), results(network(Linear).bfloat16(), x), 0.05)


@pytest.mark.parametrize("half", [False, True])
def test_with_checkpointing_or_copied_the_gradients_are_the_same(half):
    model, x = network(), vectors(2, 7, 16)
    with torch.autocast("cpu", torch.bfloat16, enabled=half):
        expected = results(model, x)
        for reentrant in (True, False):
            assert_same(results(model, x, lambda x, r=reentrant: checkpoint(model, x, use_reentrant=r)), expected, 1e-5)
        assert_same(results(copy.deepcopy(model), x), expected, 1e-5)


def test_the_scaled_gradients_of_float16_are_those_of_peft():
    found = []
    for layer in (LoraLinear, Linear):
        model, scaler = network(layer), torch.amp.GradScaler("cpu", init_scale=4.0)
        optimizer = torch.optim.SGD([weight for weight in model.parameters() if weight.requires_grad], lr=0.01)
        with torch.autocast("cpu", torch.float16):
            loss = model(vectors(4, 16)).float().square().mean()
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        found.append([weight.detach() for weight in model.parameters() if weight.requires_grad])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=0.01, atol=0.001)
    assert not torch.equal(found[0][0], next(w for w in network().parameters() if w.requires_grad))


def test_it_compiles_in_one_graph():
    model = network()
    compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
    assert_same(results(model, vectors(2, 7, 16), compiled), results(model, vectors(2, 7, 16)), 1e-5)


def test_no_rows_give_no_rows():
    assert network()(torch.zeros(0, 16)).shape == (0, 16)
    assert network().to("meta")(torch.zeros(3, 16, device="meta")).shape == (3, 16)


def test_an_output_can_be_changed_in_place():
    changed = [
        results(network(layer), vectors(4, 16), lambda x, m=network(layer): m(x).mul_(2))
        for layer in (LoraLinear, Linear)
    ]
    torch.testing.assert_close(changed[0][0], changed[1][0])


@pytest.mark.parametrize("change", ["output", "input", "both"])
def test_a_changed_output_of_an_activation_function_is_not_computed_again(change):
    found = []
    for layer in (LoraLinear, Linear):
        model = network(layer)
        if change == "input":
            model[1].register_forward_pre_hook(lambda module, inputs: (2 * inputs[0],))
        elif change == "both":
            model[1].register_forward_hook(lambda module, inputs, output: 2 * output)

        def compute(x, model=model):
            hidden = model[1](model[0](x))
            return model[3](model[2](hidden.mul_(2) if change == "output" else hidden))

        found.append(results(model, vectors(4, 16), compute))
    assert_same(*found, 1e-5)


def test_the_activation_function_is_forgotten():
    model = network()
    assert hasattr(model[1](torch.ones(2, 3, requires_grad=True)), "made_from")
    forget_activations(model)
    assert not hasattr(model[1](torch.ones(2, 3, requires_grad=True)), "made_from")


def kept(model, x):
    """Shapes of what a forward pass keeps for the backward pass, without weights."""
    weights = {weight.untyped_storage().data_ptr() for weight in model.parameters()}
    found = {}

    def note(tensor):
        if (place := tensor.untyped_storage().data_ptr()) not in weights:
            found[place] = (tensor.shape[-1], tensor.detach())  # alive, so that no other tensor takes its place
        return tensor

    with saved_tensors_hooks(note, lambda tensor: tensor):
        found["output"] = (0, model(x.requires_grad_()))
    return sorted(width for width, _ in found.values() if width >= 16)


def test_the_output_of_an_activation_function_is_not_kept():
    assert kept(network(Linear), vectors(9, 16)) == [16, 16, WIDE, WIDE]
    assert kept(network(), vectors(9, 16)) == [16, 16, WIDE]


class Observed(LoraLinear):
    """Tells whether it left the last product to peft."""

    def is_plain(self):
        self.plain = super().is_plain()
        return self.plain


@pytest.mark.parametrize(
    ("options", "plain"), [({}, True), ({"lora_dropout": 0.5}, False), ({"use_dora": True}, False)]
)
def test_dropout_and_dora_are_left_to_peft(options, plain):
    ours, theirs = (network(layer, **options) for layer in (Observed, Linear))
    torch.manual_seed(2)
    found = results(ours, vectors(4, 16))
    torch.manual_seed(2)
    for one, other in zip(found, results(theirs, vectors(4, 16)), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-4)
    assert ours[0].plain is plain


@pytest.mark.parametrize("part", [lambda m: m.base_layer, lambda m: m.lora_A["default"], lambda m: m.lora_B["default"]])
def test_hooks_of_its_parts_are_called(part):
    model, called = network(), []
    part(model[0]).register_forward_pre_hook(lambda module, inputs: called.append("before"))
    part(model[2]).register_forward_hook(lambda module, inputs, output: called.append("after"))
    part(model[3]).register_full_backward_hook(lambda module, of_inputs, of_outputs: called.append("backward"))
    results(model, vectors(4, 16))
    assert called == ["before", "after", "backward"]


def test_weights_that_another_forward_fetches_are_fetched():
    model, x = network(), vectors(4, 16)
    expected = model(x)
    cpu_offload(model)
    torch.testing.assert_close(model(x), expected)


def test_an_adapter_with_a_bias_and_one_that_is_not_in_a_layer_are_left_to_peft():
    for layer, other in ((LoraLinear, Linear), (Linear, LoraLinear)):
        assert_same(
            results(network(layer, lora_bias=True), vectors(4, 16))[:8],
            results(network(other, lora_bias=True), vectors(4, 16))[:8],
            1e-5,
        )
    model = network()
    assert model[0].is_plain()
    model[0].set_adapter("default")
    model[0]._active_adapter = "another"
    torch.testing.assert_close(model[0](vectors(4, 16)), model[0].base_layer(vectors(4, 16)))


def test_a_replica_of_a_layer_that_trains_is_left_to_peft():
    layer = network()[0]
    assert layer._replicate_for_data_parallel().is_plain()
    layer.base_layer.weight.requires_grad_(True)
    replica = layer._replicate_for_data_parallel()
    replica.base_layer = layer.base_layer._replicate_for_data_parallel()
    replica.base_layer.weight = 1 * layer.base_layer.weight
    assert not list(replica.base_layer.parameters()) and not replica.is_plain()


def test_a_layer_that_trains_beside_its_adapter_has_its_gradient():
    ours, theirs = network(), network(Linear)
    for model in (ours, theirs):
        model[2].base_layer.requires_grad_(True)
        results(model, vectors(4, 16))
    expected = theirs[2].base_layer.weight.grad
    torch.testing.assert_close(ours[2].base_layer.weight.grad, expected, rtol=1e-5, atol=1e-5)


def test_a_merged_or_disabled_adapter_is_not_added_again():
    model, x = network(), vectors(4, 16)
    expected = model(x)
    for at in (0, 2, 3):
        model[at].merge()
    torch.testing.assert_close(model(x), expected, atol=1e-5, rtol=1e-5)
    for at in (0, 2, 3):
        model[at].unmerge()
        model[at].enable_adapters(False)
    plain = nn.Sequential(model[0].base_layer, GELUActivation(), model[2].base_layer, model[3].base_layer)
    torch.testing.assert_close(model(x), plain(x), atol=1e-5, rtol=1e-5)
