"""The result of a training in a few lines, for a terminal."""

from typing import Any

from ..evaluation.metrics import NAMES, WATCHED, higher_is_better
from ..runs.best_baseline import BestBaseline
from .formatting import count
from .members import spread

SHOWN = 3  # metrics of a split


def training_summary(metrics: dict[str, Any], output_dir: str, baseline: BestBaseline | None = None) -> str:
    """The numbers of a run, and where the rest is.

    Args:
        metrics: The content of `metrics.json`.
        output_dir: Of the run.
        baseline: The best one on the same test proteins; None if none is known.
    """
    lines = [split_line(metrics, split) for split in ("validation", "test") if f"{split}_proteins" in metrics]
    if transferred := watched_metrics(metrics, "test_transferred"):
        lines.append(
            f"test, combined with the nearest training protein's label (predict --transfer_labels): {transferred}"
        )
    if "members" in metrics:
        lines.append(_members_line(metrics))
    if "test_proteins" not in metrics:
        lines.append("no test proteins: no test metrics, predictions or confusion matrix")
    if baseline is not None:
        lines.append(_baseline_line(metrics, baseline))
    lines.append(f"trained in {metrics['train_runtime']:,.0f} s; model in {output_dir}/model, the rest in {output_dir}")
    return "\n".join(lines)


def split_line(metrics: dict[str, Any], split: str) -> str:
    """The first metrics of a split in a line."""
    proteins = count(metrics[f"{split}_proteins"], "protein")
    return f"{split}: {proteins}, {watched_metrics(metrics, split)}{_ece(metrics, split)}"


def watched_metrics(metrics: dict[str, Any], prefix: str) -> str:
    """The first metrics whose names have a prefix, those of the problem type that they are of; empty if there are none.

    Args:
        metrics: The content of `metrics.json`.
        prefix: `validation`, `test` or `test_transferred`.
    """
    watched = next((names for names in WATCHED.values() if all(f"{prefix}_{name}" in metrics for name in names)), ())
    return ", ".join(f"{NAMES[name]} {metrics[f'{prefix}_{name}']:.3f}" for name in watched[:SHOWN])


def _baseline_line(metrics: dict[str, Any], baseline: BestBaseline) -> str:
    difference = metrics[f"test_{baseline.metric}"] - baseline.value
    better = difference > 0 if higher_is_better(baseline.metric) else difference < 0
    learned = baseline.learned_from
    others = "" if learned is None else f", trained on a different set of {count(learned, 'protein')}"
    verdict = "" if better else ": the model is not better"
    return f"best baseline: {baseline.name}, test {NAMES[baseline.metric]} {baseline.value:.3f}{others}{verdict}"


def _members_line(metrics: dict[str, Any]) -> str:
    """Means and standard deviations over the members of an ensemble; nothing is known without proteins kept aside."""
    members = metrics["members"]
    first = f"the model is the ensemble of {', '.join(members['names'])}"
    split = next((split for split in ("test", "validation") if f"{split}_proteins" in metrics), None)
    watched = next(
        (names for names in WATCHED.values() if all(f"{split}_{name}" in members["mean"] for name in names)), ()
    )
    if not watched:
        return first
    shown = ", ".join(f"{NAMES[name]} {spread(members, f'{split}_{name}')}" for name in watched[:SHOWN])
    return f"{first}; alone, on {split} proteins (mean ± standard deviation): {shown}"


def _ece(metrics: dict[str, Any], split: str) -> str:
    """The expected calibration error, where scores were calibrated."""
    before, after = metrics.get(f"{split}_uncalibrated_ece"), metrics.get(f"{split}_ece")
    return "" if before is None else f", {NAMES['ece']} {after:.3f} ({before:.3f} before calibration)"
