"""What keeps a small network from learning its proteins by heart? `python -m benchmarks.regularisation`.

The demo's network on SCL2205, three seeds each, on a CPU: as it is, and with one thing more. None of these is an option
of `train`; each is a trainer of a few lines.
"""

import argparse
import copy
import tempfile
from collections.abc import Mapping, Sequence
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel

from benchmarks.paired import HEADING, differences, pairs_table
from benchmarks.reporting import RESULTS, last_results, markdown_table, publish
from benchmarks.results_page import write_page
from protbert_classify import ProteinTrainer
from protbert_classify.data.scl2205 import write_scl2205
from protbert_classify.data.tokenizer import protbert_tokenizer
from protbert_classify.evaluation.metrics import NAMES
from protbert_classify.runs.files import METRICS as METRICS_FILE
from protbert_classify.runs.files import read_json
from protbert_classify.training.build_model import build_model
from protbert_classify.training.load_data import load_data
from protbert_classify.training.options import parse_options
from protbert_classify.training.run import build_trainer, save_run

NAME, TITLE = "regularisation", "Regularisation of a small network"
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


USUAL = "as it is"
WAYS: dict[str, type[ProteinTrainer]] = {
    USUAL: ProteinTrainer,
    "mean of the weights": WeightAveraging,
    "R-drop": RDrop,
    "masked residues": MaskedResidues,
    "moving ends": MovingEnds,
}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ways", nargs="+", choices=list(WAYS), default=list(WAYS), metavar="WAY", help="default: all")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--folder", help="keeps the runs that are finished, and leaves them out")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(options.folder or temporary)
        data = [str(path) for path in write_scl2205(folder / "data")]
        found = {way: [one_run(data, folder, way, seed) for seed in range(options.seeds)] for way in options.ways}
        compared = differences(pairs(folder, options.seeds))
    before = last_results(NAME) if (RESULTS / f"{NAME}.json").exists() else {}
    every = {**before.get("ways", {}), **found}
    ways = {way: every[way] for way in WAYS if way in every}
    different = {**before.get("differences", {}), **compared}
    shown = {name: NAMES[name] for name in METRICS}
    parts = [about(options.seeds), table(ways), HEADING, pairs_table(different, shown)]
    publish(NAME, TITLE, {"ways": ways, "differences": different}, "\n\n".join(parts))
    write_page()


def pairs(folder: Path, seeds: int) -> dict[str, list[tuple[Path, Path]]]:
    """Title of a pair -> for each seed, the folders of the plain training and of the one with one thing more."""
    return {
        f"{way} - {USUAL}": [(run_folder(folder, USUAL, seed), run_folder(folder, way, seed)) for seed in range(seeds)]
        for way in WAYS
        if way != USUAL
    }


def run_folder(folder: Path, way: str, seed: int) -> Path:
    return folder / f"{way}-{seed}".replace(" ", "_")


def about(seeds: int) -> str:
    return (
        "The demo's network on SCL2205's eight locations, trained as it is and with one thing more; mean ± standard "
        f"deviation over {seeds} seeds. Mean of the weights: of those before each of the last {AVERAGED:.0%} of the "
        f"steps. R-drop: two passes of each batch with other dropout are to agree, which doubles the work. Masked "
        f"residues: {MASKED:.0%} are read as X. Moving ends: up to {CUT:.0%} of the residues are cut off each end."
    )


def one_run(data: list[str], folder: Path, way: str, seed: int, *more: str) -> dict[str, Any]:
    """The metrics of one training."""
    output = run_folder(folder, way, seed)
    if not (output / METRICS_FILE).exists():
        where = ["--data", data[0], "--validation_data", data[1], "--output_dir", str(output), "--overwrite"]
        with as_file(files("protbert_classify.commands") / "demo.yaml") as demo:
            options = parse_options(
                [str(demo), *where, "--test_neighbours", "false", *PLAIN, "--seed", str(seed), *more]
            )
        model_args, data_args, training_args = copy.deepcopy(options)
        splits, tasks = load_data(data_args)
        model = build_model(model_args, data_args, tasks)
        trainer = build_trainer(model, protbert_tokenizer(), training_args, splits, WAYS[way])
        save_run(trainer, splits, options, trainer.train().metrics)
    metrics = read_json(str(output / METRICS_FILE))
    return {split: {name: metrics[f"{split}_{name}"] for name in METRICS} for split in ("validation", "test")}


def table(ways: dict[str, list[dict[str, Any]]]) -> str:
    """A row for each way: means and standard deviations over the seeds."""
    columns = [(split, name) for split in ("validation", "test") for name in METRICS]
    lines = [
        [way, *(_spread([run[split][name] for run in runs]) for split, name in columns)] for way, runs in ways.items()
    ]
    return markdown_table(["", *(f"{split} {NAMES[name]}" for split, name in columns)], lines)


def _spread(values: Sequence[float]) -> str:
    return f"{np.mean(values):.3f} ± {np.std(values, ddof=1):.3f}"


if __name__ == "__main__":
    main()
