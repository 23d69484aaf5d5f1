"""Describes a run in words and tables, whatever its task: what a report shows beside the figures."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..evaluation.metrics import NAMES
from ..homology.neighbours import describe_limits
from ..model.adapter import IA3, OF_MATRICES
from ..runs.finished_run import Run
from .data_figures import cut_share
from .formatting import Rows, count, duration
from .members import ensemble_sentences

LOST = {"ends": "their middle", "head": "their end", "tail": "their beginning"}
# of more than a hundred arguments of Trainer's those that shape a run
TRAINING = (
    "num_train_epochs",
    "max_steps",
    "per_device_train_batch_size",
    "tokens_per_batch",
    "gradient_accumulation_steps",
    "learning_rate",
    "head_learning_rate",
    "layer_decay",
    "lr_scheduler_type",
    "warmup_steps",
    "weight_decay",
    "optim",
    "label_smoothing_factor",
    "class_weights",
    "class_weights_beta",
    "class_sampling",
    "bf16",
    "fp16",
    "packing",
    "metric_for_best_model",
    "calibrate",
    "early_stopping_patience",
    "seed",
)
OPTIMISTIC = "There were no test proteins; its weights may have been chosen by those of validation."


def summary(run: Run, asked: str, quality: Sequence[str] | None) -> list[str]:
    """The run in a few sentences.

    Args:
        run: A finished training.
        asked: What the main task asks, such as `of 10 classes`.
        quality: Sentences about how good it is; None if no protein was kept aside.
    """
    sentences = [_training_sentence(run, asked), *ensemble_sentences(run), *_search_sentences(run)]
    if quality is None:
        sentences.append("There were neither test nor validation proteins: nothing is known about how good it is.")
    sentences += quality or []
    sentences += _split_sentences(run)
    if run.data is not None and not run.is_baseline:
        cap = run.data["max_residues"]
        every = np.concatenate([split["lengths"] for split in run.data["splits"].values()])
        lost = LOST.get(run.record.get("data_arguments", {}).get("crop"), "a part")
        share = cut_share(every, cap)
        sentences.append(f"{share:.1%} of the proteins are longer than the cap of {cap:,} residues and lose {lost}.")
    return sentences


def _search_sentences(run: Run) -> list[str]:
    """How the options were chosen, if they were searched."""
    search = run.record.get("search")
    if not search:
        return []
    metric = NAMES.get(search["metric"], search["metric"])
    trials = count(search["trials"], "trial")
    return [f"Its options are those of the best of {trials}, chosen by {metric} on the validation proteins."]


def _split_sentences(run: Run) -> list[str]:
    """How near the test proteins are to the training proteins, as far as the training looked."""
    notes = run.record.get("split_notes", {})
    sentences = []
    if notes.get("test_copies"):
        left_out = count(notes["test_copies"], "training protein")
        sentences.append(f"Left out of the training: {left_out} with the sequence of a test protein.")
    tested, near = run.metrics.get("test_proteins"), notes.get("test_neighbours")
    if tested and near is not None:
        limits = run.record.get("data_arguments", {})
        limits = describe_limits(limits["split_identity"], limits["split_coverage"], notes["neighbours_by"])
        sentences.append(f"{near / tested:.1%} of the test proteins have a neighbour in training ({limits}).")
    return sentences


def _training_sentence(run: Run, asked: str) -> str:
    proteins, epochs = run.metrics.get("train_proteins"), run.metrics.get("epoch")
    parts = [f"{backbone(run)}, trained"]
    if proteins is not None:
        parts.append(f"on {count(proteins, 'protein')}")
    parts.append(asked)
    if epochs is not None:
        parts.append(f"for {count(round(epochs, 2), 'epoch')}")
    if "train_runtime" in run.metrics:
        parts.append(f"in {duration(run.metrics['train_runtime'])}")
    return " ".join(parts) + "."


def backbone(run: Run) -> str:
    """What was trained, in a few words."""
    arguments = run.record.get("model_arguments", {})
    shape = arguments.get("backbone_config")
    cut = arguments.get("layer")
    if not isinstance(shape, dict):
        name = str(arguments.get("model_name_or_path") or "A model")
        return f"{name}, cut after layer {cut}" if cut else name
    layers, width = int(cut or 0) or shape.get("num_hidden_layers"), shape.get("hidden_size")
    size = f", {count(layers, 'layer')} of width {width}" if layers and width else ""
    return f"A network from scratch ({shape.get('model_type')}{size})"


def best_and_worst(per_class: Mapping[str, Mapping[str, Any]], never: Sequence[str]) -> list[str]:
    """Which classes are found best and worst, and which never.

    Args:
        per_class: Label -> `f1` and `support`.
        never: Labels that have proteins but are never predicted.
    """
    sentences = []
    scored = {n: values["f1"] for n, values in per_class.items() if values["f1"] is not None and n not in never}
    if len(set(scored.values())) > 1:
        best, worst = max(scored, key=scored.__getitem__), min(scored, key=scored.__getitem__)
        among = "worst of the predicted classes" if never else "worst"
        sentences.append(
            f"Best predicted is {best} (F1 {scored[best]:.2f}, {count(per_class[best]['support'], 'protein')}), "
            f"{among} {worst} (F1 {scored[worst]:.2f}, {count(per_class[worst]['support'], 'protein')})."
        )
    if never:
        one = "is" if len(never) == 1 else "are"
        classes = count(len(per_class), "class")
        sentences.append(f"{len(never)} of {classes} {one} never predicted: {', '.join(never)}.")
    return sentences


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


def arguments(run: Run) -> dict[str, Rows]:
    """Names and values of the arguments: of the model, the data, those that shape the training, and all others."""
    training = run.record.get("training_arguments", {})
    return {
        "Model": _pairs(model_arguments(run)),
        "Data": _pairs(run.record.get("data_arguments", {})),
        "Training": _pairs({name: training[name] for name in TRAINING if name in training}),
        "Other arguments of Trainer": _pairs({name: training[name] for name in training if name not in TRAINING}),
    }


def model_arguments(run: Run) -> dict[str, Any]:
    """The arguments of the model; those of an adapter only if one was trained that has them."""
    options = run.record.get("model_arguments", {})
    adapter, ia3 = options.get("tuning") == "lora", options.get("lora_kind") == IA3
    without = [name for name in options if name.startswith("lora_")] if not adapter else []
    without += [f"lora_{name}" for name in OF_MATRICES] if ia3 else []
    return {name: value for name, value in options.items() if name not in without}


def circumstances(run: Run) -> Rows:
    """What else it takes to repeat the run, and how long it took."""
    metrics, record = run.metrics, run.record
    rows = [[f"fingerprint of {name}", value] for name, value in record.get("data_fingerprint", {}).items()]
    rows.append(["revision of the backbone", str(record.get("backbone_revision") or "–")])
    rows.append(["device", f"{record.get('device', '–')}, {count(record.get('world_size', 1), 'process')}"])
    if "parameters" in metrics:
        rows.append(["parameters", f"{metrics['parameters']:,}, trained {metrics.get('trained_parameters', 0):,}"])
    if "train_runtime" in metrics:
        rate = metrics.get("train_samples_per_second")  # a baseline has none
        speed = "" if rate is None else f", {rate:,.0f} proteins a second"
        rows.append(["training took", f"{duration(metrics['train_runtime'])}{speed}"])
    rows.append(["versions", _value(record.get("versions", {}))])
    return rows


def _pairs(values: Mapping[str, Any]) -> Rows:
    return [[name, _value(value)] for name, value in values.items()]


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {inner}" for name, inner in value.items())
    return "–" if value is None else str(value)
