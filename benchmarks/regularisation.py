"""What keeps a small network from learning its proteins by heart? `python -m benchmarks.regularisation`.

The demo's network on SCL2205, three seeds each, on a CPU: as it is, and with one thing more. None of these is an option
of `train`; each is a trainer of a few lines.
"""

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel
from transformers import set_seed

from benchmarks.demo_ways import DemoWays
from protbert_classify import ProteinTrainer
from protbert_classify.data.tokenizer import protbert_tokenizer
from protbert_classify.training.build_model import build_model
from protbert_classify.training.load_data import load_data
from protbert_classify.training.options import parse_options
from protbert_classify.training.run import build_trainer, save_run

METRICS = ("accuracy", "mcc", "macro_f1")
AVERAGED = 0.4  # of the steps, the last ones
MASKED, CUT = 0.1, 0.1  # of the residues
PLAIN = ("--use_cpu", "true", "--packing", "off")  # what these trainers can change
AGREEMENT = 1.0  # weight of the divergence of two passes


class WeightAveraging(ProteinTrainer):
    """The mean of the weights before each of the last steps (Izmailov et al. 2018, arXiv:1803.05407)."""

    def train(self, *args: Any, **kwargs: Any) -> Any:
        self.average = AveragedModel(self.model)
        found = super().train(*args, **kwargs)
        self.model.load_state_dict(self.average.module.state_dict())
        self._validated.clear()  # what the last weights said
        self._begin_fits()
        self._settle_fits()
        return found

    def training_step(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        if self.state.global_step > (1 - AVERAGED) * self.state.max_steps:
            self.average.update_parameters(self.model)
        return super().training_step(*args, **kwargs)


class RDrop(ProteinTrainer):
    """Two passes with other dropout are to agree (Liang et al. 2021, arXiv:2106.14448)."""

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        if not model.training:
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        (first, one), (second, other) = (
            super(RDrop, self).compute_loss(model, dict(inputs), True, num_items_in_batch) for _ in range(2)
        )
        p, q = (functional.log_softmax(outputs["logits"], dim=-1) for outputs in (one, other))
        apart = functional.kl_div(p, q, reduction="batchmean", log_target=True)
        apart = apart + functional.kl_div(q, p, reduction="batchmean", log_target=True)
        return (first + second) / 2 + AGREEMENT * apart / 2


class MaskedResidues(ProteinTrainer):
    """Some residues are read as X, others in each epoch."""

    def compute_loss(self, model: Any, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        if model.training:
            tokenizer = self.processing_class
            unknown = tokenizer.convert_tokens_to_ids("X")
            special = torch.isin(inputs["input_ids"], torch.tensor(tokenizer.all_special_ids))
            chosen = (torch.rand(inputs["input_ids"].shape) < MASKED) & ~special
            inputs = {**inputs, "input_ids": inputs["input_ids"].masked_fill(chosen, unknown)}
        return super().compute_loss(model, inputs, *args, **kwargs)


class MovingEnds(ProteinTrainer):
    """A random piece is cut off each end, another one in each epoch."""

    def get_train_dataloader(self) -> Any:
        usual: Any = self.data_collator
        self.data_collator: Any = lambda proteins: usual([self._cut(protein) for protein in proteins])
        try:
            return super().get_train_dataloader()
        finally:
            self.data_collator = usual

    def _cut(self, protein: Mapping[str, Any]) -> dict[str, Any]:
        ids = np.asarray(protein["input_ids"])
        first, last = torch.randint(0, int(CUT * len(ids)) + 1, (2,)).tolist()
        return {**protein, "input_ids": np.concatenate([ids[:1], ids[1 + first : len(ids) - 1 - last], ids[-1:]])}


WAYS: dict[str, type[ProteinTrainer]] = {
    "as it is": ProteinTrainer,
    "mean of the weights": WeightAveraging,
    "R-drop": RDrop,
    "masked residues": MaskedResidues,
    "moving ends": MovingEnds,
}


def train(way: str, options: list[str]) -> None:
    """As `protbert-classify train` does, with the trainer of a way."""
    chosen = parse_options([*options, *PLAIN])
    model_args, data_args, training_args = copy.deepcopy(chosen)
    splits, tasks = load_data(data_args)
    set_seed(training_args.seed)
    model = build_model(model_args, data_args, tasks)
    trainer = build_trainer(model, protbert_tokenizer(), training_args, splits, WAYS[way])
    save_run(trainer, splits, chosen, trainer.train().metrics)


BENCHMARK = DemoWays(
    name="regularisation",
    title="Regularisation of a small network",
    about=(
        "The demo's network on SCL2205's eight locations, trained as it is and with one thing more; mean ± standard "
        "deviation over seeds. The mean of the weights is that of the weights before each of the last "
        f"{AVERAGED:.0%} of the steps. R-drop makes two passes of each batch, with different dropout, agree; this "
        f"doubles the work. Masked residues: {MASKED:.0%} are read as X. Moving ends: up to {CUT:.0%} of the residues "
        "are cut off each end."
    ),
    ways=tuple(WAYS),
    train=train,
    columns={"validation": METRICS, "test": METRICS},
    compared=METRICS,
)

if __name__ == "__main__":
    BENCHMARK.main(__doc__)
