"""Is the demo's network worth its minutes? `python -m benchmarks.demo_network`.

The demo's recipe, trained from scratch with several seeds, against logistic regression on composition features, on the
same test proteins of SCL2205 in the same run.
"""

import argparse
import statistics
import sys
import tempfile
import time
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import numpy as np
from datasets import DatasetDict
from sklearn.linear_model import LogisticRegression

from benchmarks.reporting import last_results, markdown_table, publish
from protbert_classify.baselines.composition import composition_features
from protbert_classify.data.deeploc import load_deeploc
from protbert_classify.data.scl2205 import write_scl2205
from protbert_classify.data.splitting import whole
from protbert_classify.evaluation.metrics import classification_metrics
from protbert_classify.training.options import parse_options
from protbert_classify.training.run import train

STRENGTHS = (0.3, 1.0, 3.0)  # inverse regularisation
TITLE = "The demo's network"
METRICS = ("accuracy", "mcc", "macro_f1")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="of the network (default 0 1 2)")
    parser.add_argument("--render", action="store_true", help="only write the table of the last results again")
    options = parser.parse_args()
    results = last_results("demo_network") if options.render else measure(options.seeds)
    publish("demo_network", TITLE, results, comparison(results))
    baseline, runs = results["logistic_regression"], results["network"].values()
    return 0 if all(run[m] > baseline[m] for run in runs for m in ("accuracy", "mcc")) else 1


def measure(seeds: list[int]) -> dict[str, Any]:
    """Fit the baseline, then train the network with each seed."""
    with tempfile.TemporaryDirectory() as folder:
        fasta, validation = write_scl2205(folder)
        splits = load_deeploc(fasta, validation=0)
        splits["validation"] = whole(load_deeploc(validation, validation=0))
        baseline = logistic_regression(splits)
        print("logistic regression", baseline, flush=True)
        runs = [network(fasta, validation, f"{folder}/seed{seed}", seed) for seed in seeds]
    return {"logistic_regression": baseline, "network": dict(zip(map(str, seeds), runs))}


def comparison(results: dict[str, Any]) -> str:
    """The table: the baseline and the mean and standard deviation over the network's seeds."""
    baseline, runs = results["logistic_regression"], list(results["network"].values())
    return markdown_table(
        ["", "accuracy", "MCC", "macro F1"],
        [
            ["logistic regression on composition", *(f"{baseline[name]:.3f}" for name in METRICS)],
            [
                f"the demo's network, mean ± standard deviation of {len(runs)} seeds",
                *(_spread([run[name] for run in runs]) for name in METRICS),
            ],
        ],
    )


def logistic_regression(splits: DatasetDict) -> dict[str, float]:
    """Composition of the whole protein and its ends, dipeptides and length.

    Square roots of the shares did better than the shares themselves, scaled or not; the strength of the regularisation
    is the best of several on the validation proteins, as for the network's epochs.
    """
    start = time.perf_counter()
    features = {name: composition_features(part["sequence"][:]) for name, part in splits.items()}
    labels = {name: np.asarray(part["location"][:]) for name, part in splits.items()}
    models = [
        LogisticRegression(C=strength, solver="newton-cholesky").fit(features["train"], labels["train"])
        for strength in STRENGTHS
    ]
    best = max(models, key=lambda model: model.score(features["validation"], labels["validation"]))
    predictions = best.predict(features["test"])
    seconds = time.perf_counter() - start
    metrics = classification_metrics(predictions, labels["test"], splits["test"].features["location"].names)
    return {
        **{name: metrics[name] for name in METRICS},
        "seconds": seconds,
        "proteins": float(len(predictions)),
        "inverse_regularisation": best.C,
    }


def network(fasta: Path, validation: Path, output_dir: str, seed: int) -> dict[str, float]:
    """The demo's training, as the command runs it."""
    with as_file(files("protbert_classify.commands") / "demo.yaml") as recipe:
        arguments = [str(recipe), "--data", str(fasta), "--validation_data", str(validation)]
        metrics = train(*parse_options([*arguments, "--output_dir", output_dir, "--seed", str(seed)]))
    run = {**{name: metrics[f"test_{name}"] for name in METRICS}, "seconds": metrics["train_runtime"]}
    print("network, seed", seed, run, flush=True)
    return run


def _spread(values: list[float]) -> str:
    spread = statistics.stdev(values) if len(values) > 1 else 0.0
    return f"{statistics.mean(values):.3f} ± {spread:.3f}"


if __name__ == "__main__":
    sys.exit(main())
