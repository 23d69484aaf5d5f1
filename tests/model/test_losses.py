import math

import pytest
import torch
from torch.nn import functional
from transformers.loss.loss_utils import ForSequenceClassificationLoss

from protbert_classify import ProteinClassifierConfig
from protbert_classify.model.losses import LOSSES, count_known, model_loss, task_loss
from protbert_classify.model.tasks import Task

NAN = float("nan")
KINDS = ("single_label_classification", "multi_label_classification", "regression")


def task(problem_type, labels=3, **fields):
    return Task(name="t", problem_type=problem_type, labels=[f"L{i}" for i in range(labels)], **fields)


def example(problem_type, proteins=6, labels=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(proteins, labels, generator=generator)
    if problem_type == "single_label_classification":
        return logits, torch.randint(labels, (proteins,), generator=generator)
    values = torch.randn(proteins, labels, generator=generator)
    return logits, values if problem_type == "regression" else (values > 0).float()


class Config:
    def __init__(self, main, auxiliary=()):
        self.task, self.auxiliary, self.tasks = main, tuple(auxiliary), (main, *auxiliary)
        self.problem_type, self.num_labels = main.problem_type, main.num_logits


@pytest.mark.parametrize("problem_type", KINDS)
def test_the_loss_of_each_problem_type_is_that_of_transformers(problem_type):
    logits, labels = example(problem_type)
    expected = ForSequenceClassificationLoss(labels, logits, Config(task(problem_type)))
    assert model_loss(logits, labels, Config(task(problem_type))).item() == pytest.approx(expected.item(), abs=1e-6)


def test_each_class_counts_by_its_weight():
    logits, labels = example("single_label_classification")
    weights = [0.5, 2.0, 0.0]
    alone = functional.cross_entropy(logits, labels, reduction="none")
    expected = (alone * torch.tensor(weights)[labels]).sum() / len(labels)
    found = model_loss(logits, labels, Config(task("single_label_classification", class_weights=weights)))
    assert found.item() == pytest.approx(expected.item(), abs=1e-6)
    assert {0, 1, 2} == set(labels.tolist())


@pytest.mark.parametrize(
    ("problem_type", "weights"),
    [
        ("multi_label_classification", [1, 1, 1]),
        ("regression", [1, 1, 1]),
        ("single_label_classification", [1, 1, -1]),
        ("single_label_classification", [1, 1]),
        ("single_label_classification", [1, 1, NAN]),
    ],
)
def test_weights_of_classes_that_make_no_sense_are_refused(problem_type, weights):
    with pytest.raises(ValueError, match="class_weights"):
        task(problem_type, class_weights=weights)


def test_several_labels_are_learned_with_binary_cross_entropy_not_with_softmax():
    logits, labels = torch.zeros(2, 4), torch.tensor([[1.0, 0, 0, 1], [0, 1, 1, 1]])
    loss = model_loss(logits, labels, Config(task("multi_label_classification", 4)))
    assert loss.item() == pytest.approx(math.log(2))


def test_targets_of_a_regression_are_standardised_so_that_units_do_not_matter():
    metres, millimetres = torch.tensor([[1.0], [3.0]]), torch.tensor([[1000.0], [3000.0]])
    logits = torch.tensor([[0.5], [0.5]])
    losses = [
        model_loss(logits, labels, Config(task("regression", 1, mean=[2 * unit], std=[unit])))
        for labels, unit in ((metres, 1.0), (millimetres, 1000.0))
    ]
    assert losses[0].item() == pytest.approx(((0.5 + 1) ** 2 + (0.5 - 1) ** 2) / 2)
    assert losses[0].item() == pytest.approx(losses[1].item())


def test_focal_loss_is_the_cross_entropy_less_what_is_known_already():
    """By hand: probabilities 0.8, 0.5 and 0.25 of the true class."""
    logits = torch.log(torch.tensor([[0.8, 0.15, 0.05], [0.3, 0.5, 0.2], [0.25, 0.5, 0.25]]))
    labels = torch.tensor([0, 1, 2])
    found = LOSSES["focal"](logits, labels, task=task("single_label_classification"))
    expected = [-((1 - p) ** 2) * math.log(p) for p in (0.8, 0.5, 0.25)]
    assert found.tolist() == pytest.approx(expected, abs=1e-6)
    weighted = LOSSES["focal"](logits, labels, task=task("single_label_classification", class_weights=[1, 2, 3]))
    assert weighted.tolist() == pytest.approx([value * factor for value, factor in zip(expected, (1, 2, 3))], abs=1e-6)


def test_focal_loss_of_several_labels_is_that_of_each():
    probabilities = torch.tensor([[0.9, 0.2]])
    found = LOSSES["focal"](
        torch.logit(probabilities), torch.tensor([[1.0, 1.0]]), task=task("multi_label_classification", labels=2)
    )
    assert found[0].tolist() == pytest.approx([-0.01 * math.log(0.9), -0.64 * math.log(0.2)], abs=1e-6)


def test_logits_are_adjusted_by_the_shares_of_the_classes():
    """Menon et al. 2021, equation 10, with weights that are the inverse of the shares."""
    logits, labels = example("single_label_classification")
    shares = torch.tensor([0.7, 0.2, 0.1])
    adjusted = task("single_label_classification", class_weights=(5 / shares).tolist())
    expected = functional.cross_entropy(logits + shares.log(), labels, reduction="none")
    assert LOSSES["logit_adjusted"](logits, labels, task=adjusted).tolist() == pytest.approx(
        expected.tolist(), abs=1e-5
    )
    plain = LOSSES["logit_adjusted"](logits, labels, task=task("single_label_classification"))
    assert plain.tolist() == pytest.approx(
        functional.cross_entropy(logits, labels, reduction="none").tolist(), abs=1e-6
    )


@pytest.mark.parametrize(
    ("name", "expected"), [("cross_entropy", 1.0), ("compensated", 3.0), ("logit_adjusted", 1.0), ("focal", 1.0)]
)
def test_what_a_constant_network_learns(name, expected):
    """The odds of two classes with shares of 90% and 10% and weights of the inverse, by a network that sees nothing.

    They are equal with full weights; where half of them is taken back, the odds are the root of the true ones, 9.
    """
    labels = torch.tensor([0] * 9 + [1])
    kind = task("single_label_classification", labels=2, class_weights=[1 / 0.9, 1 / 0.1])
    bias = torch.zeros(2, requires_grad=True)
    optimizer = torch.optim.LBFGS([bias], max_iter=100)

    def closure():
        optimizer.zero_grad()
        loss = LOSSES[name](bias.expand(10, 2), labels, task=kind).mean()
        loss.backward()
        return loss

    with torch.no_grad():
        bias[0] = 2.0
    optimizer.step(closure)
    assert float((bias[0] - bias[1]).detach().exp()) == pytest.approx(expected, abs=1e-2)


@pytest.mark.parametrize(
    ("problem_type", "loss", "expected"),
    [
        ("regression", "focal", "expected mean_squared_error for regression"),
        ("multi_label_classification", "logit_adjusted", "expected binary_cross_entropy or focal for multi"),
        ("single_label_classification", "mean_squared_error", "expected one of cross_entropy, compensated, focal, "),
        ("single_label_classification", "hinge", "expected one of"),
    ],
)
def test_a_loss_of_another_problem_type_is_refused(problem_type, loss, expected):
    with pytest.raises(ValueError, match=f"loss='{loss}': {expected}"):
        ProteinClassifierConfig(labels=["A", "B"], problem_type=problem_type, loss=loss)


@pytest.mark.parametrize("problem_type", KINDS)
def test_unknown_labels_are_neither_learned_nor_counted(problem_type):
    logits, labels = example(problem_type)
    hidden = labels.clone().float()
    hidden[2:4] = NAN
    logits.requires_grad_()
    loss, count = task_loss(logits, hidden, task(problem_type))
    expected, known = task_loss(logits[[0, 1, 4, 5]], labels[[0, 1, 4, 5]], task(problem_type))
    assert loss.item() == pytest.approx(expected.item(), abs=1e-5)
    assert count == known == count_known(hidden, task(problem_type))
    loss.backward()
    assert logits.grad[2:4].abs().sum() == 0
    assert torch.isfinite(logits.grad).all()


def test_a_class_of_minus_100_is_unknown_as_in_torch():
    logits, labels = example("single_label_classification")
    labels[0] = -100
    found = model_loss(logits, labels, Config(task("single_label_classification")))
    assert found.item() == pytest.approx(functional.cross_entropy(logits, labels).item(), abs=1e-6)


def test_a_batch_without_a_known_label_costs_nothing():
    loss = model_loss(torch.randn(2, 3), torch.tensor([-100, -100]), Config(task("single_label_classification")))
    assert loss.item() == 0.0


@pytest.mark.parametrize("sizes", [(6,), (3, 3), (5, 1), (1, 2, 3)])
def test_masked_auxiliary_labels_weigh_the_same_however_a_step_is_cut_into_batches(sizes):
    main = task("single_label_classification")
    aux = Task(name="membrane", problem_type="single_label_classification", labels=["M", "S"], weight=0.5)
    number = Task(name="tm", problem_type="regression", labels=["x"], weight=2.0)
    config = Config(main, [aux, number])
    logits, labels = example("single_label_classification")
    others = torch.randn(6, 3, generator=torch.Generator().manual_seed(3))
    wanted = torch.tensor([[0, 1.0], [NAN, 2.0], [1, NAN], [NAN, NAN], [NAN, 0.5], [1, NAN]])
    whole = model_loss(logits, labels, config, others, wanted)
    counts = torch.tensor([6, 3, 3])
    parts, start = [], 0
    for size in sizes:
        rows = slice(start, start + size)
        parts.append(model_loss(logits[rows], labels[rows], config, others[rows], wanted[rows], denominators=counts))
        start += size
    by_hand = (
        functional.cross_entropy(logits, labels)
        + 0.5 * functional.cross_entropy(others[[0, 2, 5], :2], torch.tensor([0, 1, 1]))
        + 2.0 * ((others[[0, 1, 4], 2] - torch.tensor([1.0, 2.0, 0.5])) ** 2).mean()
    )
    assert whole.item() == pytest.approx(by_hand.item(), abs=1e-5)
    assert sum(parts).item() == pytest.approx(whole.item(), abs=1e-5)


def test_label_smoothing_is_that_of_torch_for_classes_and_pulls_labels_to_a_half():
    logits, labels = example("single_label_classification")
    found = model_loss(logits, labels, Config(task("single_label_classification")), label_smoothing=0.3)
    assert found.item() == pytest.approx(functional.cross_entropy(logits, labels, label_smoothing=0.3).item(), abs=1e-6)
    several = torch.tensor([[1.0, 0.0]])
    sure = torch.tensor([[20.0, -20.0]])
    smooth = model_loss(sure, several, Config(task("multi_label_classification", 2)), label_smoothing=0.2)
    assert smooth.item() == pytest.approx(0.1 * 20, abs=1e-3)


def test_a_loss_of_the_users_own_is_used_by_its_name():
    @LOSSES.register("absolute_error")
    def absolute_error(logits, labels, *, task, label_smoothing=0.0):
        return (logits - labels).abs()

    logits, labels = example("regression")
    found = model_loss(logits, labels, Config(task("regression", loss="absolute_error")))
    assert found.item() == pytest.approx((logits - labels).abs().mean().item(), abs=1e-6)
