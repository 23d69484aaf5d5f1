"""Does a pretraining on the training proteins help a small encoder? `python -m benchmarks.pretraining`.

A BERT from scratch is pretrained on SCL2205's training proteins, without the test proteins and their neighbours, and
fine-tuned to predict locations with several seeds. The same network is trained without a pretraining, on the same
proteins with the same options and seeds. The test proteins of both are drawn again together for the intervals, related
ones as one. The options make it smaller; the runs stay in `--folder`, which continues with those that are there.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import datasets
import numpy as np

from benchmarks.reporting import markdown_table, publish
from protbert_classify.data.scl2205 import Protein, read_scl2205, write_scl2205
from protbert_classify.evaluation.comparison import compare
from protbert_classify.pretraining.options import parse_pretraining_options
from protbert_classify.pretraining.run import pretrain
from protbert_classify.reporting.formatting import with_interval
from protbert_classify.runs.common_test_proteins import common_test_proteins
from protbert_classify.runs.finished_run import read_run
from protbert_classify.training.options import parse_options
from protbert_classify.training.run import train

TITLE = "Pretraining a small encoder on its training proteins"
SCRATCH, PRETRAINED = "from scratch", "pretrained"
METRICS = {"mcc": "MCC", "accuracy": "accuracy", "macro_f1": "macro F1"}
WIDTH_OF_A_HEAD = 32


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    datasets.disable_progress_bars()
    with tempfile.TemporaryDirectory() as temporary:
        results = measure(options, Path(options.folder or temporary))
    table = markdown_table(["", "metric", SCRATCH, PRETRAINED, "difference"], rows(results["seeds"]))
    sizes = f"{results['parameters']:,} parameters, pretrained on {results['pretrained_on']:,} proteins"
    losses = " to ".join(f"{results[name]:.3f}" for name in ("validation_frequency_loss", "validation_loss"))
    text = f"{sizes}: validation loss from that of residue frequencies {losses}.\n\n{table}"
    if options.publish:
        publish("pretraining", TITLE, results, text)
    else:
        print(text)
    return 0


def measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Pretrain once, fine-tune each way with each seed, and compare."""
    fasta, validation = write_scl2205(folder / "data")
    splits = read_scl2205()
    chosen = np.random.default_rng(0).permutation(len(splits["train"]))[: options.proteins]
    unlabelled, test = folder / "data" / "unlabelled.fasta", folder / "data" / "test.fasta"
    _write(unlabelled, [splits["train"][row] for row in sorted(chosen)])
    _write(test, splits["test"])
    shape = json.dumps(backbone_shape(options))
    common = ["--max_length", str(options.max_length), "--disable_tqdm", "true", "--resume"]
    common += ["--learning_rate", str(options.learning_rate), "--per_device_train_batch_size", "32"]
    source = ["--data", str(unlabelled), "--exclude", str(test), "--backbone_config", shape]
    epochs = ["--num_train_epochs", str(options.pretraining_epochs)]
    metrics = pretrain(
        *parse_pretraining_options([*source, *common, *epochs, "--output_dir", str(folder / "pretraining")])
    )
    ways = {
        SCRATCH: ["--backbone_config", shape],
        PRETRAINED: ["--model_name_or_path", str(folder / "pretraining" / "model")],
    }
    data = ["--data", str(fasta), "--validation_data", str(validation), "--split", "identical"]
    data += ["--test_neighbours", "true", "--num_train_epochs", str(options.epochs)]
    if options.proteins is not None:
        data += ["--max_train_samples", str(options.proteins)]
    seeds = []
    for seed in range(options.seeds):
        folders = {way: folder / f"{way.replace(' ', '_')}-{seed}" for way in ways}
        for way, encoder in ways.items():
            more = ["--seed", str(seed), "--output_dir", str(folders[way])]
            train(*parse_options([*data, *encoder, *common, *more]))
        seeds.append(difference(*folders.values()))
    return {
        "seeds": seeds,
        "options": {name: value for name, value in vars(options).items() if name != "folder"},
        "parameters": metrics["parameters"],
        "pretrained_on": metrics["train_proteins"],
        **{name: metrics[name] for name in ("validation_loss", "validation_frequency_loss", "validation_perplexity")},
    }


def backbone_shape(options: argparse.Namespace) -> dict[str, Any]:
    """The network: BERT's, with as many positions as are read."""
    return {
        "model_type": "bert",
        "hidden_size": options.hidden_size,
        "num_hidden_layers": options.layers,
        "num_attention_heads": max(options.hidden_size // WIDTH_OF_A_HEAD, 1),
        "intermediate_size": 4 * options.hidden_size,
        "max_position_embeddings": options.max_length,
    }


def difference(first: Path, second: Path) -> dict[str, dict[str, Any]]:
    """Metric -> its values in two runs, and the interval of their difference."""
    found = common_test_proteins([read_run(first), read_run(second)])
    scratch, pretrained = found.decisions
    compared = compare(scratch, pretrained, found.references, groups=found.groups)
    overall = {one.name: one for one in compared.differences if one.label is None}
    return {
        name: {SCRATCH: overall[name].first, PRETRAINED: overall[name].second, "interval": overall[name].interval}
        for name in METRICS
    }


def rows(seeds: Sequence[dict[str, dict[str, Any]]]) -> list[list[str]]:
    """A row for each seed and metric with the interval over test proteins, then the spread over the seeds."""
    lines = [
        [f"seed {seed}", title, f"{one[name][SCRATCH]:.3f}", f"{one[name][PRETRAINED]:.3f}", _difference(one[name])]
        for name, title in METRICS.items()
        for seed, one in enumerate(seeds)
    ]
    if len(seeds) > 1:
        for name, title in METRICS.items():
            scratch, pretrained = (np.array([one[name][way] for one in seeds]) for way in (SCRATCH, PRETRAINED))
            spreads = [_spread(values) for values in (scratch, pretrained, pretrained - scratch)]
            lines.append(["all seeds, mean ± standard deviation", title, *spreads])
    return lines


def _difference(one: dict[str, Any]) -> str:
    return with_interval(one[PRETRAINED] - one[SCRATCH], one["interval"], "+.3f")


def _spread(values: np.ndarray) -> str:
    return f"{np.mean(values):.3f} ± {np.std(values, ddof=1):.3f}"


def _write(path: Path, proteins: Sequence[Protein]) -> None:
    path.write_text("".join(f">{protein.accession}\n{protein.residues}\n" for protein in proteins), encoding="utf-8")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--proteins", type=int, help="training proteins, with and without labels (default: all)")
    parser.add_argument("--hidden_size", type=int, default=256, help="of the encoder (default %(default)s)")
    parser.add_argument("--layers", type=int, default=6, help="of the encoder (default %(default)s)")
    parser.add_argument("--max_length", type=int, default=512, help="tokens of a protein (default %(default)s)")
    parser.add_argument("--learning_rate", type=float, default=5e-4, help="of all trainings (default %(default)s)")
    parser.add_argument("--pretraining_epochs", type=float, default=20, help="default %(default)s")
    parser.add_argument("--epochs", type=float, default=10, help="of fine-tuning (default %(default)s)")
    parser.add_argument("--seeds", type=int, default=3, help="fine-tunings each way (default %(default)s)")
    parser.add_argument("--folder", help="keeps the runs, and continues with those that are there")
    parser.add_argument("--publish", action="store_true", help="keep the table among those of the other benchmarks")
    return parser


if __name__ == "__main__":
    sys.exit(main())
