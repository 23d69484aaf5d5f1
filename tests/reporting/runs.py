"""Folders of runs as a training writes them, without a training."""

import csv
import json

import numpy as np

from protbert_classify.evaluation.metrics import classification_metrics

LABELS = ["Cytoplasm", "Mitochondrion", "Nucleus"]
CAP = 62


def write_run(folder, labels=LABELS, proteins=60, epochs=3, test=True, validation=True, seed=0):
    """Write a run of random proteins that are mostly called right; returns the folder."""
    generator = np.random.default_rng(seed)
    (folder / "model").mkdir(parents=True)
    write(folder, "model/config.json", {"id2label": {str(index): label for index, label in enumerate(labels)}})
    write(folder, "settings.json", {})
    metrics = {"train_proteins": 200, "train_runtime": 83.2, "epoch": float(epochs), "parameters": 4321}
    splits = {"train": split(generator, labels, 200)}
    if validation:
        splits["validation"] = split(generator, labels, 30)
        metrics.update(judged("validation", generator, labels, 30))
    if test:
        splits["test"] = split(generator, labels, proteins)
        metrics.update(judged("test", generator, labels, proteins, folder, splits["test"]["lengths"]))
    write(folder, "data.json", {"max_residues": CAP, "splits": splits})
    write(folder, "trainer_state.json", {"log_history": log(epochs, validation), "global_step": 10 * epochs})
    write(folder, "metrics.json", metrics)
    write(folder, "run.json", record(splits))
    return folder


def write(folder, name, value):
    (folder / name).write_text(json.dumps(value))


def split(generator, labels, proteins):
    counts = np.bincount(generator.integers(0, len(labels), proteins), minlength=len(labels))
    lengths = sorted(generator.integers(20, 300, proteins).tolist())
    return {"classes": dict(zip(labels, counts.tolist())), "lengths": lengths}


def judged(name, generator, labels, proteins, folder=None, lengths=None):
    references = generator.integers(0, len(labels), proteins)
    logits = generator.normal(size=(proteins, len(labels)))
    logits[np.arange(proteins), references] += 2
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    if folder is not None:
        write_calls(folder, [f"P{index:05d}" for index in range(proteins)], references, probabilities, labels, lengths)
    metrics = classification_metrics(probabilities.argmax(1), references, labels)
    return {f"{name}_proteins": proteins, **{f"{name}_{key}": value for key, value in metrics.items()}}


def write_calls(folder, ids, references, probabilities, labels, lengths):
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
