"""The trainers of the benchmark do what they are named for."""

import pytest
import torch

from benchmarks import regularisation
from tests.training.trainers import arguments, raw_proteins


def trainer(kind, model, folder, **options):
    options = {"calibrate": "none", "eval_strategy": "no", "save_strategy": "no", **options}
    return kind(model, arguments(folder, **options), train_dataset=raw_proteins(60))


def test_the_mean_is_that_of_the_weights_before_each_of_the_last_steps(tiny_classifier, tmp_path):
    seen = []

    class Seen(regularisation.WeightAveraging):
        def training_step(self, *args, **kwargs):
            seen.append(self.model.head[-1].weight.detach().clone())
            return super().training_step(*args, **kwargs)

    model = tiny_classifier()
    trained = trainer(Seen, model, tmp_path, num_train_epochs=2)
    trained.train()
    steps = trained.state.global_step
    last = seen[int((1 - regularisation.AVERAGED) * steps) + 1 :]
    assert 1 < len(last) < steps
    torch.testing.assert_close(model.head[-1].weight, torch.stack(last).mean(0), atol=1e-6, rtol=0)


def test_ends_are_cut_and_the_special_tokens_and_the_labels_stay(tiny_classifier, tmp_path):
    moving = trainer(regularisation.MovingEnds, tiny_classifier(), tmp_path)
    protein = {"input_ids": [2, *range(100, 200), 3], "labels": 1}
    cuts = [moving._cut(protein) for _ in range(50)]
    for cut in cuts:
        ids = cut["input_ids"].tolist()
        assert (ids[0], ids[-1], cut["labels"]) == (2, 3, 1)
        assert ids[1:-1] == list(range(ids[1], ids[-2] + 1)) and len(ids) >= 82
    assert len({len(cut["input_ids"]) for cut in cuts}) > 3 and len({int(cut["input_ids"][1]) for cut in cuts}) > 3
    usual = moving.data_collator
    shorter = [batch["attention_mask"].sum().item() for _ in range(2) for batch in moving.get_train_dataloader()]
    assert moving.data_collator is usual  # validation proteins stay whole
    whole = sum(map(len, moving.train_dataset["input_ids"]))
    first, second = sum(shorter[: len(shorter) // 2]), sum(shorter[len(shorter) // 2 :])
    assert 0.8 * whole < first < whole and 0.8 * whole < second < whole and first != second


def test_masked_residues_are_read_as_x_and_nothing_else_changes(tiny_classifier, tmp_path):
    masking = trainer(regularisation.MaskedResidues, tiny_classifier(), tmp_path)
    read = []
    hook = masking.model.register_forward_pre_hook(
        lambda _, __, inputs: read.append(inputs["input_ids"]), with_kwargs=True
    )
    batch = next(iter(masking.get_train_dataloader()))
    ids = batch["input_ids"].clone()
    masking.model.train()
    masking.compute_loss(masking.model, dict(batch))
    masking.model.eval()
    masking.compute_loss(masking.model, dict(batch))
    hook.remove()
    x = masking.processing_class.convert_tokens_to_ids("X")
    changed = read[0] != ids
    assert 0.03 < changed.float().mean() < 0.2 and (read[0][changed] == x).all()
    assert not changed[ids <= 4].any()  # special tokens and padding
    assert torch.equal(read[1], ids)  # validation


def test_r_drop_adds_what_two_passes_disagree_in(tiny_classifier, tmp_path):
    dropping = trainer(regularisation.RDrop, tiny_classifier(classifier_dropout=0.5), tmp_path)
    batch = next(iter(dropping.get_train_dataloader()))
    dropping.model.eval()
    exact = dropping.compute_loss(dropping.model, dict(batch))
    assert torch.equal(exact, super(regularisation.RDrop, dropping).compute_loss(dropping.model, dict(batch)))
    dropping.model.train()
    torch.manual_seed(0)
    found = dropping.compute_loss(dropping.model, dict(batch))
    torch.manual_seed(0)
    plain = [super(regularisation.RDrop, dropping).compute_loss(dropping.model, dict(batch)) for _ in range(2)]
    assert found > sum(plain) / 2


@pytest.mark.slow
def test_each_way_trains_and_is_not_trained_again(tmp_path):
    small = ("--max_train_samples", "200", "--num_train_epochs", "4")
    benchmark = regularisation.BENCHMARK
    found = benchmark.measure(benchmark.ways, 1, tmp_path, *small)
    runs = {way: run for way, (run,) in found["ways"].items()}
    assert all(0.1 < run["test"]["accuracy"] < 0.9 for run in runs.values())
    assert len({run["validation"]["mcc"] for run in runs.values()}) > 2  # they are not all the same training
    assert benchmark.measure(["as it is"], 1, tmp_path, *small)["ways"] == {"as it is": [runs["as it is"]]}
    (pair,) = found["differences"]["R-drop - as it is"]
    assert pair["mcc"][0] == pytest.approx(runs["R-drop"]["test"]["mcc"] - runs["as it is"]["test"]["mcc"])
