import math

import pytest
import torch
from torch.nn import functional
from transformers.loss.loss_utils import ForSequenceClassificationLoss

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
