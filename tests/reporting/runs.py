"""Folders of runs as a training writes them, without a training."""

import csv
import json

import numpy as np

from protbert_classify.evaluation.decision import Decision, decide_task
from protbert_classify.evaluation.metrics import classification_metrics, evaluation_metrics, watched_metrics
from protbert_classify.model.tasks import MULTI_LABEL, REGRESSION, SINGLE_LABEL, Task
from protbert_classify.runs.predictions import write_predictions

LABELS = ["Cytoplasm", "Mitochondrion", "Nucleus"]
CAP = 62


def write_run(folder, labels=LABELS, proteins=60, epochs=3, test=True, validation=True, seed=0):
    """Write a run of random proteins that are mostly predicted right; returns the folder."""
    generator = np.random.default_rng(seed)
    (folder / "model").mkdir(parents=True)
    write(folder, "model/config.json", {"id2label": {str(index): label for index, label in enumerate(labels)}})
    write(folder, "settings.json", {})
    metrics = {"train_proteins": 200, "train_runtime": 83.2, "epoch": float(epochs), "parameters": 4321}
    splits = {"train": split(generator, labels, 200)}
    if validation:
        splits["validation"] = split(generator, labels, 30)
        metrics.update(split_metrics("validation", generator, labels, 30))
    if test:
        splits["test"] = split(generator, labels, proteins)
        metrics.update(split_metrics("test", generator, labels, proteins, folder, splits["test"]["lengths"]))
    write(folder, "data.json", {"max_residues": CAP, "splits": splits})
    write(folder, "trainer_state.json", {"log_history": log(epochs, validation), "global_step": 10 * epochs})
    write(folder, "metrics.json", metrics)
    write(folder, "run.json", record(splits))
    return folder


PLACES = Task(
    name="compartment",
    problem_type=MULTI_LABEL,
    labels=["Cytoplasm", "Nucleus", "Cell membrane", "Mitochondrion", "Peroxisome"],
    thresholds=[0.45, 0.5, 0.4, 0.55, 0.3],
)
STABILITY = Task(
    name="stability", problem_type=REGRESSION, labels=["melting point", "half-life"], mean=[50.0, 0.0], std=[8.0, 2.0]
)
MELTING = Task(name="melting", problem_type=REGRESSION, labels=["melting point"], mean=[50.0], std=[8.0])
MEMBRANE = Task(name="membrane", problem_type=SINGLE_LABEL, labels=["M", "S"], unknown=["U"], weight=0.3)


def write_tasks_run(folder, tasks, proteins=80, epochs=3, test=True, validation=True, seed=0):
    """Write a run of any tasks, the main one first, whose random proteins are mostly predicted well."""
    generator = np.random.default_rng(seed)
    (folder / "model").mkdir(parents=True)
    metrics = {"train_proteins": 200, "train_runtime": 83.2, "epoch": float(epochs), "parameters": 4321}
    sizes = {"train": 200, **({"validation": 60} if validation else {}), **({"test": proteins} if test else {})}
    splits = {}
    for name, size in sizes.items():
        decision, references, beside = answered(generator, tasks, size)
        lengths = generator.integers(20, 300, size)
        has = np.isfinite(references) if tasks[0].problem_type == REGRESSION else present(references, tasks[0])
        classes = dict(zip(tasks[0].labels, has.sum(0).tolist()))
        splits[name] = {"classes": classes, "lengths": sorted(lengths.tolist())}
        if name != "train":
            found = evaluation_metrics(decision, references, beside)
            metrics |= {f"{name}_proteins": size, **{f"{name}_{key}": value for key, value in found.items()}}
        if name == "test":
            ids = [f"P{index:05d}" for index in range(size)]
            write_predictions(str(folder / "test_predictions.csv"), ids, lengths, decision, references, beside)
    write(folder, "data.json", {"max_residues": CAP, "splits": splits})
    write(folder, "trainer_state.json", {"log_history": tasks_log(epochs, tasks, validation), "global_step": 30})
    write(folder, "metrics.json", metrics)
    best = {"multi_label_classification": "mcc", "regression": "spearman", "single_label_classification": "mcc"}
    described = record(splits)
    described["training_arguments"]["metric_for_best_model"] = best[tasks[0].problem_type]
    write(folder, "run.json", {**described, "tasks": [task.to_dict() for task in tasks]})
    return folder


def present(references, task):
    return references[:, None] == np.arange(len(task.labels)) if references.ndim == 1 else references == 1


def answered(generator, tasks, proteins):
    """Decision, references and auxiliary references of random proteins; some auxiliary answers are unknown."""
    parts = [one_answered(generator, task, proteins) for task in tasks]
    (decision, references), *others = parts
    if not others:
        return decision, references, None
    beside = {answers.task.name: answers for answers, _ in others}
    columns = [np.asarray(known, dtype=np.float32).reshape(proteins, -1) for _, known in others]
    targets = np.concatenate(columns, axis=1)
    targets[generator.random(proteins) < 0.2] = np.nan
    return Decision(decision.task, decision.scores, decision.chosen, beside), references, targets


def one_answered(generator, task, proteins):
    shape = (proteins, len(task.labels))
    noise = generator.normal(size=shape)
    if task.problem_type == SINGLE_LABEL:
        references = generator.integers(0, shape[1], proteins)
        return decide_task(noise + 2 * np.eye(shape[1])[references], task), references
    if task.problem_type == MULTI_LABEL:
        rates = np.linspace(0.55, 0.06, shape[1])
        references = (generator.random(shape) < rates).astype(np.float32)
        references[~references.any(1), 0] = 1
        return decide_task(1.2 * noise + 4 * references - 2.2, task), references
    true = generator.normal(size=shape)
    logits = 0.7 * true + 0.4 * noise
    return decide_task(logits, task), (true * task.std + task.mean).astype(np.float32)


def tasks_log(epochs, tasks, validation):
    entries = []
    for epoch in range(1, epochs + 1):
        entries.append({"epoch": epoch - 0.5, "loss": 2.0 / epoch, "step": 10 * epoch - 5})
        if validation:
            names = watched_metrics(tasks)
            scores = {f"eval_{name}": 0.3 + 0.05 * place + epoch / 20 for place, name in enumerate(names)}
            scores |= {name: 9.0 / epoch for name in scores if name.endswith("mae")}
            entries.append({"epoch": float(epoch), "eval_loss": 2.1 / epoch, **scores, "step": 10 * epoch})
    return [*entries, {"epoch": float(epochs), "train_loss": 1.0, "train_runtime": 83.2}]


def write(folder, name, value):
    (folder / name).write_text(json.dumps(value))


def split(generator, labels, proteins):
    counts = np.bincount(generator.integers(0, len(labels), proteins), minlength=len(labels))
    lengths = sorted(generator.integers(20, 300, proteins).tolist())
    return {"classes": dict(zip(labels, counts.tolist())), "lengths": lengths}


def split_metrics(name, generator, labels, proteins, folder=None, lengths=None):
    references = generator.integers(0, len(labels), proteins)
    logits = generator.normal(size=(proteins, len(labels)))
    logits[np.arange(proteins), references] += 2
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    if folder is not None:
        write_test_table(
            folder, [f"P{index:05d}" for index in range(proteins)], references, probabilities, labels, lengths
        )
    metrics = classification_metrics(probabilities.argmax(1), references, labels)
    return {f"{name}_proteins": proteins, **{f"{name}_{key}": value for key, value in metrics.items()}}


def write_test_table(folder, ids, references, probabilities, labels, lengths):
    with open(folder / "test_predictions.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "length", "location", "predicted", "score", *labels])
        for accession, length, reference, row in zip(ids, lengths, references, probabilities):
            names = [labels[reference], labels[row.argmax()]]
            writer.writerow([accession, length, *names, f"{row.max():.6f}", *(f"{value:.6f}" for value in row)])


def log(epochs, validation):
    entries = []
    for epoch in range(1, epochs + 1):
        entries.append({"epoch": epoch - 0.5, "loss": 2.0 / epoch, "step": 10 * epoch - 5})
        if validation:
            gain = epoch / 20
            scores = {"eval_accuracy": 0.5 + gain, "eval_mcc": 0.4 + gain, "eval_macro_f1": 0.3 + gain}
            entries.append({"epoch": float(epoch), "eval_loss": 2.1 / epoch, **scores, "step": 10 * epoch})
    return [*entries, {"epoch": float(epochs), "train_loss": 1.0, "train_runtime": 83.2}]


def record(splits):
    return {
        "model_arguments": {"model_name_or_path": None, "pooling": "mean", "backbone_config": {"model_type": "bert"}},
        "data_arguments": {"data": "proteins.fasta", "crop": "ends", "max_length": CAP + 2},
        "training_arguments": {
            **{"learning_rate": 0.01, "num_train_epochs": 3, "seed": 42, "metric_for_best_model": "mcc"},
            **{"load_best_model_at_end": True, "adam_beta1": 0.9},
        },
        "data_fingerprint": {name: f"{index:064x}" for index, name in enumerate(splits)},
        "backbone_revision": None,
        "world_size": 1,
        "device": "x86_64",
        "versions": {"protbert_classify": "0.1.0", "torch": "2.13.0"},
    }
