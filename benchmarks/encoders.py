"""What pretraining and ways of fine-tuning give: `python -m benchmarks.encoders --unlabelled DB.fasta.gz`.

Locations of SCL2205 from a thousand labelled proteins, three seeds each, and the baselines on the same proteins.

- AntiBERTy: two layers of a published model, the best of its layers for this (`benchmarks.layers`). It read antibodies.
- pretrained here: an ESM-2 of three layers, trained by `protbert-classify pretrain` on SCL2205's training proteins and
  on `--unlabelled` ones, such as the 20,000 of Debian's package mmseqs2-examples, without the neighbours of the test
  proteins.
- from scratch: the same ESM-2 with random weights.

Each starts a frozen, a LoRA and a full training by recipe, with mean pooling and with light attention. Only learning
rates are not those of the recipes, which are for large encoders. Computes in bfloat16 where the CPU can. The runs stay
in `--folder`, which continues with those that are there.
"""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import datasets
import numpy as np

from benchmarks.layers import antiberty_folder, save_antiberty
from benchmarks.paired import HEADING, differences, pairs_table
from benchmarks.reporting import last_results, markdown_table, mean_and_spread, publish
from benchmarks.results_page import write_page
from protbert_classify.baselines.baseline_run import run_baseline
from protbert_classify.data.scl2205 import read_scl2205, write_scl2205
from protbert_classify.evaluation.intervals import task_intervals
from protbert_classify.inference.precision import has_native_bf16
from protbert_classify.pretraining.options import parse_pretraining_options
from protbert_classify.pretraining.run import pretrain
from protbert_classify.reporting.formatting import with_interval
from protbert_classify.runs.files import STATE, read_json
from protbert_classify.tasks.targets import targets
from protbert_classify.training.load_data import load_data
from protbert_classify.training.options import parse_options
from protbert_classify.training.run import train

NAME, TITLE = "encoders", "Pretraining and fine-tuning"
ANTIBERTY, PRETRAINED, SCRATCH = "AntiBERTy, 2 layers", "pretrained here", "from scratch"
LIGHT = ("--pooling", "light_attention")
WAYS = {
    "frozen, mean": ("--recipe", "frozen"),
    "frozen, light attention": ("--recipe", "light-attention"),
    "LoRA, mean": ("--recipe", "lora"),
    "LoRA, light attention": ("--recipe", "lora", *LIGHT),
    "full, mean": ("--recipe", "full"),
    "full, light attention": ("--recipe", "full", *LIGHT),
}
STARTS = {ANTIBERTY: tuple(WAYS), PRETRAINED: tuple(WAYS), SCRATCH: ("full, mean", "full, light attention")}
BASELINES = {"composition": "logistic regression on composition", "nearest_neighbour": "nearest training protein"}
SETTINGS = ("train_proteins", "seeds", "unlabelled")
METRICS = {"accuracy": "accuracy", "mcc": "MCC", "macro_f1": "macro F1"}
MAX_LENGTH = 256  # tokens: the first and the last residues of a longer protein
SHAPE = {
    "model_type": "esm",
    "hidden_size": 256,
    "num_hidden_layers": 3,
    "num_attention_heads": 8,
    "intermediate_size": 1024,
    "max_position_embeddings": 512,
    "position_embedding_type": "rotary",
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
}
PRETRAINING = ("--num_train_epochs", "8", "--learning_rate", "1e-3", "--max_length", "128", "--split", "random")
RATES = {"LoRA": "2e-3", "full": "3e-4"}  # learning rates of the small encoder; the frozen recipes suit any
RATES_OF = {ANTIBERTY: {"LoRA": "1e-3", "full": "1e-4"}}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--starts", nargs="+", choices=list(STARTS), default=list(STARTS), help="default: all")
    parser.add_argument("--ways", nargs="+", choices=list(WAYS), default=list(WAYS), help="default: all")
    parser.add_argument("--unlabelled", nargs="*", default=[], metavar="FASTA", help="more proteins to pretrain on")
    parser.add_argument("--train_proteins", type=int, default=1000, help="labelled ones (default %(default)s)")
    parser.add_argument("--seeds", type=int, default=3, help="trainings of each way (default %(default)s)")
    parser.add_argument("--folder", help="keeps the runs, and continues with those that are there")
    options = parser.parse_args(arguments)
    datasets.disable_progress_bars()
    with tempfile.TemporaryDirectory() as temporary:
        found = measure(options, Path(options.folder or temporary))
    found["settings"] = {name: getattr(options, name) for name in SETTINGS}
    found["settings"]["unlabelled"] = [Path(path).name for path in options.unlabelled]
    before = last_results(NAME)
    if before.get("settings") != found["settings"]:
        before = {}  # rows of other proteins do not belong into one table
    runs = dict(before.get("runs", {}))
    for start, ways in found["runs"].items():
        runs[start] = {**runs.get(start, {}), **ways}
    together = {
        "runs": {start: runs[start] for start in STARTS if start in runs},
        "differences": {**before.get("differences", {}), **found["differences"]},
    }
    results = {name: value for name, value in {**before, **found, **together}.items() if name != "machine"}
    publish(NAME, TITLE, results, tables(results))
    write_page()
    return 0


def measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Train each way from each start, in a folder that may hold some of the runs."""
    fasta, validation = write_scl2205(folder / "data")
    data = ["--data", str(fasta), "--validation_data", str(validation), "--split", "identical"]
    data += ["--test_neighbours", "true", "--max_train_samples", str(options.train_proteins)]
    common = ["--max_length", str(MAX_LENGTH), "--disable_tqdm", "true", "--resume"]
    if has_native_bf16("cpu"):
        common += ["--bf16", "true"]
    results: dict[str, Any] = {"runs": {}}
    results["baselines"] = baselines([*data, "--output_dir", str(folder / "none")])
    for start in options.starts:
        if start == PRETRAINED:
            results["pretraining"] = pretrained(folder, options.unlabelled, common)
        begin = encoder(start, folder)
        results["runs"][start] = {}
        for way in STARTS[start]:
            if way in options.ways:
                rate = {**RATES, **RATES_OF.get(start, {})}.get(way.split(",")[0])
                rates = ["--learning_rate", rate] if rate else []
                chosen = [*data, *common, *begin, *WAYS[way], *rates]
                results["runs"][start][way] = [
                    one_run(chosen, run_folder(folder, start, way, seed), seed) for seed in range(options.seeds)
                ]
    results["differences"] = differences(pairs(folder, options.seeds))
    return results


def baselines(options: list[str]) -> dict[str, Any]:
    """The baselines on the same proteins: metrics of the test proteins, and their intervals."""
    splits, (task, *_) = load_data(parse_options(options)[1])
    assert splits.nearest is not None
    found = {}
    for name, title in BASELINES.items():
        metrics, decisions = run_baseline(name, splits, task)
        spans = task_intervals(decisions["test"], targets(splits["test"], task), groups=splits.nearest.group)
        found[title] = {metric: [metrics[f"test_{metric}"], spans[metric]] for metric in METRICS}
    return found


def pretrained(folder: Path, unlabelled: list[str], common: list[str]) -> dict[str, Any]:
    """Pretrain; the metrics of the pretraining."""
    splits = read_scl2205()
    files = {}
    for split in ("train", "test"):
        files[split] = folder / "data" / f"{split}.fasta"
        records = (f">{protein.accession}\n{protein.residues}\n" for protein in splits[split])
        files[split].write_text("".join(records), encoding="utf-8")
    source = ["--data", str(files["train"]), *unlabelled, "--exclude", str(files["test"])]
    where = ["--backbone_config", json.dumps(SHAPE), "--output_dir", str(folder / "pretraining")]
    chosen = [*source, *where, *common, *PRETRAINING]  # of an option that is there twice, the last one counts
    metrics = pretrain(*parse_pretraining_options(chosen))
    kept = ("parameters", "train_proteins", "validation_loss", "validation_frequency_loss", "validation_perplexity")
    return {name: metrics[name] for name in (*kept, "train_runtime")}


def encoder(start: str, folder: Path) -> list[str]:
    """The options of `train` that say where to start from."""
    if start == ANTIBERTY:
        return ["--model_name_or_path", save_antiberty(antiberty_folder(), folder / "antiberty"), "--layer", "2"]
    if start == PRETRAINED:
        return ["--model_name_or_path", str(folder / "pretraining" / "model")]
    return ["--backbone_config", json.dumps(SHAPE)]


def run_folder(folder: Path, start: str, way: str, seed: int) -> Path:
    return folder / f"{start}, {way}, {seed}".replace(", ", "-").replace(" ", "_")


def one_run(options: list[str], folder: Path, seed: int) -> dict[str, Any]:
    """One training: its metrics, and what the validation proteins said after each epoch."""
    metrics = train(*parse_options([*options, "--seed", str(seed), "--output_dir", str(folder)]))
    log = read_json(str(folder / STATE))["log_history"]
    accuracy = [entry["eval_accuracy"] for entry in log if "eval_accuracy" in entry]
    return {
        "validation": {name: metrics[f"validation_{name}"] for name in METRICS},
        "test": {name: metrics[f"test_{name}"] for name in METRICS},
        "seconds": metrics["train_runtime"],
        "epochs": accuracy,
        "trained_parameters": metrics["trained_parameters"],
    }


PAIRS = [
    *((f"{PRETRAINED} - {SCRATCH}, {way}", (SCRATCH, way), (PRETRAINED, way)) for way in STARTS[SCRATCH]),
    *(
        (f"{start}, LoRA - full, {pooling}", (start, f"full, {pooling}"), (start, f"LoRA, {pooling}"))
        for start in (PRETRAINED, ANTIBERTY)
        for pooling in ("mean", "light attention")
    ),
]


def pairs(folder: Path, seeds: int) -> dict[str, list[tuple[Path, Path]]]:
    """Title of a pair -> for each seed, the folders of its two runs."""
    return {
        title: [(run_folder(folder, *one, seed), run_folder(folder, *other, seed)) for seed in range(seeds)]
        for title, one, other in PAIRS
    }


def tables(results: dict[str, Any]) -> str:
    """The runs beside the baselines, pairs of runs, and the time to the same accuracy."""
    parts = [about(results["settings"])]
    parts += [pretraining_line(**results)] if "pretraining" in results else []
    parts += [runs_table(results), HEADING, pairs_table(results["differences"], METRICS)]
    if len((times := time_table(results["runs"])).splitlines()) > 2:
        parts += ["LoRA against full, to the same validation accuracy:", times]
    return "\n\n".join(parts)


def about(settings: dict[str, Any]) -> str:
    return (
        f"{settings['train_proteins']:,} labelled training proteins of SCL2205, its validation and its test proteins, "
        f"{MAX_LENGTH} tokens of each. ± is the standard deviation over {settings['seeds']} seeds. In brackets: 95% "
        "intervals over groups of related test proteins."
    )


def pretraining_line(pretraining: dict[str, Any], settings: dict[str, Any], **_: Any) -> str:
    found, others = pretraining, "".join(f", and those of {name}" for name in settings.get("unlabelled", ()))
    return (
        f"Pretrained here: {found['parameters']:,} parameters, {found['train_proteins']:,} proteins, "
        f"{found['train_runtime'] / 60:.0f} minutes; validation loss {found['validation_loss']:.3f} (residue "
        f"frequencies alone: {found['validation_frequency_loss']:.3f}). The proteins are SCL2205's training "
        f"proteins{others}, without neighbours of the test proteins."
    )


def runs_table(results: dict[str, Any]) -> str:
    lines = [
        ["baseline", title, "", *(_measured(row[metric]) for metric in METRICS)]
        for title, row in results["baselines"].items()
    ]
    for start, ways in results["runs"].items():
        for way, runs in ((way, ways[way]) for way in WAYS if way in ways):
            chosen = np.mean([run["validation"]["accuracy"] for run in runs])
            cells = [mean_and_spread([run["test"][metric] for run in runs]) for metric in METRICS]
            lines.append([start, way, f"{chosen:.3f}", *cells])
    header = ["initial weights", "training", "validation accuracy", *(f"test {title}" for title in METRICS.values())]
    return markdown_table(header, lines)


def time_table(runs: dict[str, Any]) -> str:
    """Seconds until LoRA and full reach the accuracy that both reach, the median of the seeds.

    An epoch, with its evaluation, takes as long as in the quickest of a way's trainings: others may have shared the
    machine.
    """
    lines = []
    for start, ways in runs.items():
        for pooling in ("mean", "light attention"):
            sides = [ways.get(f"{tuning}, {pooling}") for tuning in ("LoRA", "full")]
            if None in sides:
                continue
            goal = min(max(run["epochs"]) for side in sides for run in side)
            lora, full = (np.median([epochs_to(goal, run) for run in side]) * epoch_seconds(side) for side in sides)
            lines.append([start, pooling, f"{goal:.3f}", f"{lora:.0f}", f"{full:.0f}", f"{lora / full:.2f}"])
    return markdown_table(["initial weights", "pooling", "accuracy", "LoRA, seconds", "full, seconds", "ratio"], lines)


def epochs_to(goal: float, run: dict[str, Any]) -> int:
    """Up to the first one that reaches the accuracy."""
    return 1 + next(epoch for epoch, accuracy in enumerate(run["epochs"]) if accuracy >= goal)


def epoch_seconds(runs: list[dict[str, Any]]) -> float:
    return min(run["seconds"] / len(run["epochs"]) for run in runs)


def _measured(found: Sequence[Any]) -> str:
    value, interval = found
    return with_interval(value, interval, ".3f")


if __name__ == "__main__":
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    sys.exit(main())
