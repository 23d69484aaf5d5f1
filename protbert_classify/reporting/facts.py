"""A run in words and tables: what stands in a report beside the pictures."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..evaluation.calibration import calibration
from ..evaluation.mistakes import confident_mistakes, frequent_confusions
from .data_figures import cut_share
from .judged import Judged
from .lengths import length_ranges
from .run_folder import Run
from .score_figures import length_range

Rows = list[list[str]]

LOST = {"ends": "their middle", "head": "their end", "tail": "their beginning"}
# of more than a hundred arguments of Trainer's those that shape a run
TRAINING = (
    "num_train_epochs",
    "max_steps",
    "per_device_train_batch_size",
    "tokens_per_batch",
    "gradient_accumulation_steps",
    "learning_rate",
    "lr_scheduler_type",
    "warmup_steps",
    "weight_decay",
    "optim",
    "label_smoothing_factor",
    "bf16",
    "fp16",
    "packing",
    "metric_for_best_model",
    "early_stopping_patience",
    "seed",
)
MISTAKES = 20
NAMES = {"accuracy": "Accuracy", "mcc": "MCC", "macro_f1": "Macro F1"}
MEANINGS = {
    "accuracy": "share of right calls",
    "mcc": "Matthews correlation",
    "macro_f1": "mean F1 of the classes",
    "ece": "expected calibration error",
}


def headline(run: Run, found: Judged) -> list[dict[str, str]]:
    """The numbers on top of the page: `name`, `value`, `interval` and `meaning`."""
    cards = [
        {
            "name": name,
            "value": f"{found.metrics[key]:.3f}",
            "interval": _interval(*found.intervals[key]),
            "meaning": MEANINGS[key],
        }
        for key, name in NAMES.items()
    ]
    if run.predictions is not None:
        ece = calibration(run.predictions.probabilities, run.predictions.references)["ece"]
        cards.append({"name": "ECE", "value": f"{ece:.3f}", "interval": MEANINGS["ece"], "meaning": "0 is best"})
    return cards


def _interval(low: float, high: float) -> str:
    # resampling calls that are all right, or all wrong, gives the same again: no knowledge, not certainty
    return "no interval" if low == high else f"95%: {low:.3f} to {high:.3f}"


def summary(run: Run, found: Judged | None) -> list[str]:
    """The run in a few sentences."""
    sentences = [_training_sentence(run)]
    if found is None:
        sentences.append("There were neither test nor validation proteins: nothing is known about how good it is.")
    else:
        sentences += _quality_sentences(found)
    if run.predictions is not None:
        sentences.append(_score_sentence(run))
    if run.data is not None:
        cap = run.data["max_residues"]
        every = np.concatenate([split["lengths"] for split in run.data["splits"].values()])
        lost = LOST.get(run.record.get("data_arguments", {}).get("crop"), "a part")
        share = cut_share(every, cap)
        sentences.append(f"{share:.1%} of the proteins are longer than the cap of {cap:,} residues and lose {lost}.")
    return sentences


def _training_sentence(run: Run) -> str:
    proteins, epochs = run.metrics.get("train_proteins"), run.metrics.get("epoch")
    parts = [f"{backbone(run)}, trained"]
    if proteins is not None:
        parts.append(f"on {count(proteins, 'protein')}")
    parts.append(f"of {len(run.labels)} classes")
    if epochs is not None:
        parts.append(f"for {count(round(epochs, 2), 'epoch')}")
    if "train_runtime" in run.metrics:
        parts.append(f"in {duration(run.metrics['train_runtime'])}")
    return " ".join(parts) + "."


def backbone(run: Run) -> str:
    """What was trained, in a few words."""
    arguments = run.record.get("model_arguments", {})
    shape = arguments.get("backbone_config")
    if not isinstance(shape, dict):
        return str(arguments.get("model_name_or_path") or "A model")
    layers, width = shape.get("num_hidden_layers"), shape.get("hidden_size")
    size = f", {count(layers, 'layer')} of width {width}" if layers and width else ""
    return f"A network from scratch ({shape.get('model_type')}{size})"


def _quality_sentences(found: Judged) -> list[str]:
    proteins, per_class = found.metrics["proteins"], found.metrics["per_class"]
    right = sum(found.metrics["confusion_matrix"][index][index] for index in range(len(per_class)))
    largest = max(per_class, key=lambda name: per_class[name]["support"])
    sentences = [
        f"It calls {right:,} of {count(proteins, f'{found.split} protein')} right; calling all of them {largest} would "
        f"be right for {per_class[largest]['support']:,}."
    ]
    if found.split == "validation":
        sentences.append("There were no test proteins; its weights may have been chosen by those of validation.")
    never = never_called(found)
    scored = {n: values["f1"] for n, values in per_class.items() if values["f1"] is not None and n not in never}
    if len(scored) > 1:
        best, worst = max(scored, key=scored.__getitem__), min(scored, key=scored.__getitem__)
        sentences.append(
            f"Best called is {best} (F1 {scored[best]:.2f}, {count(per_class[best]['support'], 'protein')}), worst "
            f"{worst} (F1 {scored[worst]:.2f}, {count(per_class[worst]['support'], 'protein')})."
        )
    if never:
        verb = "is" if len(never) == 1 else "are"
        sentences.append(f"{len(never)} of {count(len(per_class), 'class')} {verb} never called: {', '.join(never)}.")
    return sentences


def never_called(found: Judged) -> list[str]:
    """The classes that have proteins, but no call."""
    called = np.asarray(found.metrics["confusion_matrix"]).sum(0)
    per_class = found.metrics["per_class"]
    return [name for name, calls in zip(per_class, called) if not calls and per_class[name]["support"]]


def _score_sentence(run: Run) -> str:
    predictions = run.predictions
    assert predictions is not None
    score = float(predictions.probabilities[np.arange(len(predictions.ids)), predictions.calls].mean())
    accuracy = float((predictions.calls == predictions.references).mean())
    difference = score - accuracy
    if abs(difference) < 0.005:
        return f"The mean score of its calls, {score:.2f}, is as high as its accuracy."
    direction = "high" if difference > 0 else "low"
    return (
        f"The mean score of its calls, {score:.2f}, is {abs(difference):.2f} too {direction} for an accuracy of "
        f"{accuracy:.2f}."
    )


def split_table(run: Run) -> Rows:
    """For each split: its name, proteins, shortest, median and longest in residues, and the share that is cut."""
    if run.data is None:
        return []
    cap = run.data["max_residues"]
    rows = []
    for name, split in run.data["splits"].items():
        lengths = np.asarray(split["lengths"])
        residues = (lengths.min(), np.median(lengths), lengths.max())
        rows.append([name, f"{len(lengths):,}", *(f"{r:,.0f}" for r in residues), f"{cut_share(lengths, cap):.1%}"])
    return rows


def length_table(run: Run) -> Rows:
    """For each range of length: residues, proteins, and accuracy with its interval."""
    rows = []
    for found in length_ranges(run):
        accuracy = _with_interval(found["accuracy"], (found["low"], found["high"]))
        rows.append([length_range(found), f"{found['proteins']:,}", accuracy])
    return rows


def class_table(found: Judged) -> Rows:
    """For each class: its name, proteins, and precision, recall and F1 with their intervals."""
    rows = []
    for index, (label, values) in enumerate(found.metrics["per_class"].items()):
        scores = [_with_interval(values[name], found.intervals[name][index]) for name in ("precision", "recall", "f1")]
        rows.append([label, f"{values['support']:,}", *scores])
    return rows


def _with_interval(value: float | None, interval: tuple[float, float] | None) -> str:
    if value is None or interval is None:
        return "–"
    low, high = interval
    return f"{value:.2f} (–)" if low == high else f"{value:.2f} ({low:.2f} to {high:.2f})"


def confusion_table(found: Judged) -> Rows:
    """The most frequent confusions: true and called class, proteins, and their share of the true class."""
    labels = list(found.metrics["per_class"])
    return [
        [labels[pair["true"]], labels[pair["called"]], f"{pair['proteins']:,}", f"{pair['share']:.0%}"]
        for pair in frequent_confusions(found.metrics["confusion_matrix"])
    ]


def mistake_table(run: Run) -> Rows:
    """The most confidently wrong calls: accession, residues, true class, called class, and the scores of both."""
    predictions = run.predictions
    if predictions is None:
        return []
    lengths = predictions.lengths
    found = confident_mistakes(
        predictions.ids, predictions.references, predictions.calls, predictions.probabilities, count=MISTAKES
    )
    return [
        [
            mistake["id"],
            "–" if lengths is None else f"{lengths[mistake['index']]:,}",
            run.labels[mistake["true"]],
            run.labels[mistake["called"]],
            f"{mistake['score']:.3f}",
            f"{mistake['score_of_true']:.3f}",
        ]
        for mistake in found
    ]


def arguments(run: Run) -> dict[str, Rows]:
    """Names and values of the arguments: of the model, the data, those that shape the training, and all others."""
    training = run.record.get("training_arguments", {})
    return {
        "Model": _pairs(run.record.get("model_arguments", {})),
        "Data": _pairs(run.record.get("data_arguments", {})),
        "Training": _pairs({name: training[name] for name in TRAINING if name in training}),
        "Other arguments of Trainer": _pairs({name: training[name] for name in training if name not in TRAINING}),
    }


def circumstances(run: Run) -> Rows:
    """What else it takes to repeat the run, and how long it took."""
    metrics, record = run.metrics, run.record
    rows = [[f"fingerprint of {name}", value] for name, value in record.get("data_fingerprint", {}).items()]
    rows.append(["revision of the backbone", str(record.get("backbone_revision") or "–")])
    rows.append(["device", f"{record.get('device', '–')}, {count(record.get('world_size', 1), 'process')}"])
    if "parameters" in metrics:
        rows.append(["parameters", f"{metrics['parameters']:,}, trained {metrics.get('trained_parameters', 0):,}"])
    if "train_runtime" in metrics:
        rate = metrics.get("train_samples_per_second", 0)
        rows.append(["training took", f"{duration(metrics['train_runtime'])}, {rate:,.0f} proteins a second"])
    rows.append(["versions", _value(record.get("versions", {}))])
    return rows


def duration(seconds: float) -> str:
    """As one would say it: 45 s, 12 min, 3.5 h."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def count(number: float, noun: str) -> str:
    """A number and what it counts: 1 protein, 2,147 proteins."""
    written = f"{int(number):,}" if number == int(number) else f"{number:g}"
    return f"{written} {noun}{'' if number == 1 else 'es' if noun.endswith('s') else 's'}"


def _pairs(values: Mapping[str, Any]) -> Rows:
    return [[name, _value(value)] for name, value in values.items()]


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {inner}" for name, inner in value.items())
    return "–" if value is None else str(value)
