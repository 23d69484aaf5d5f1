"""The card of a published model: what it was made of, how good it is and for what, as far as its run recorded it."""

import os
from typing import Any

from huggingface_hub import EvalResult, ModelCardData

from ..data.deeploc import URL as DEEPLOC_URL
from ..evaluation.calibration import calibration
from ..model import ProteinClassifierConfig
from ..model.publishing import TAGS, TASK
from ..version import __version__
from .card import DEEPLOC, Licences, citation, data_name, hub_id, link, render_card
from .class_figures import draw_confusion_matrix
from .facts import LOST, TRAINING, class_table, count, duration, split_table
from .figures import save_figure
from .judged import Judged, judged
from .run_folder import FIGURES, Run
from .score_figures import draw_reliability

TEMPLATE = "model_card.md.jinja"
# as the Hub knows them: key in metrics.json, metric, name
METRICS = (
    ("accuracy", "accuracy", "Accuracy"),
    ("mcc", "matthews_correlation", "MCC"),
    ("macro_f1", "f1", "Macro F1"),
)
# human CD4 (P01730), its first 53 residues: a signal peptide and the beginning of what lies outside
EXAMPLE = "MNRGVPFRHLLLVLQLALLPAATQGKKVVLGKKGDTVELTCTASQKKSIQFHW"
EXAMPLE_NAME = "CD4, human, N-terminal part"
MATRIX, RELIABILITY = f"{FIGURES}/confusion_matrix.png", f"{FIGURES}/reliability.png"
FEW = 30  # proteins of a class below which its numbers say little
OFF = (None, False, -1)  # an option with such a value did nothing
MODEL_OPTIONS = ("pooling", "head", "classifier_dropout", "freeze_backbone", "freeze_layers")

LIGHT_ATTENTION = ("Stärk et al. 2021, light attention", "10.1093/bioadv/vbab035")
BACKBONES = {
    "Rostlab/prot": ("Elnaggar et al. 2021, ProtTrans (ProtBERT, ProtT5)", "10.1109/TPAMI.2021.3095381"),
    "facebook/esm2": ("Lin et al. 2023, ESM-2", "10.1126/science.ade2574"),
}


def model_card(
    config: ProteinClassifierConfig, repo_id: str, run: Run | None = None, licences: Licences = Licences()
) -> str:
    """The card of a model, metadata and text.

    Args:
        config: Of the model.
        repo_id: `owner/name`, where it is published.
        run: The training that it comes from; without one, the sections about data, results and training are left out.
        licences: Of the model, its backbone and the data.

    Raises:
        DataError: The run's `metrics.json` is damaged.
    """
    found = judged(run) if run is not None else None
    metadata = _metadata(config, repo_id, run, found, licences)
    values = {
        "repo_id": repo_id,
        "name": repo_id.rpartition("/")[2],
        "labels": config.labels,
        "licences": licences,
        "backbone": _backbone(config, run),
        "results": _results(run, found) if run is not None and found is not None else None,
        "calibration": _calibration(run),
        "data": _data(run) if run is not None and "data_arguments" in run.record else None,
        "training": _training(run) if run is not None else None,
        "limits": {
            "longest": _longest(config),
            "lost": LOST[config.crop],
            "alike": config.crop == "head",  # as transformers' own truncation
            "few": _few(found),
        },
        "references": _references(config, run),
        "example": EXAMPLE,
        "citation": citation(repo_id),
        "version": __version__,
        "pictures": {"matrix": MATRIX, "reliability": RELIABILITY},
    }
    return render_card(TEMPLATE, metadata.to_yaml(), values)


def draw_card_pictures(run: Run | None, folder: str) -> dict[str, str]:
    """The pictures that the card shows: name in the repository -> path.

    Args:
        run: Without one, or without test proteins, there are none.
        folder: Where they are drawn.
    """
    found = judged(run) if run is not None else None
    figures: dict[str, Any] = {}
    if run is not None and found is not None:
        figures[MATRIX] = draw_confusion_matrix(found.metrics["confusion_matrix"], run.labels)
    if run is not None and run.predictions is not None:
        measured = calibration(run.predictions.probabilities, run.predictions.references)
        figures[RELIABILITY] = draw_reliability(measured)
    paths = {name: os.path.join(folder, name) for name in figures}
    for name, figure in figures.items():
        save_figure(figure, paths[name])
    return paths


def _metadata(
    config: ProteinClassifierConfig, repo_id: str, run: Run | None, found: Judged | None, licences: Licences
) -> ModelCardData:
    dataset = hub_id(_source(run), run.folder) if run is not None else None
    return ModelCardData(
        license=licences.model,
        library_name="transformers",
        pipeline_tag=TASK,
        base_model=_base_model(run),
        datasets=[dataset] if dataset else None,
        tags=[*TAGS, config.backbone_config.model_type],
        metrics=[metric for _, metric, _ in METRICS] if found else None,
        widget=[{"text": EXAMPLE, "example_title": EXAMPLE_NAME}],
        model_name=repo_id.rpartition("/")[2],
        eval_results=_eval_results(run, dataset, found) if run is not None and found is not None else None,
    )


def _eval_results(run: Run, dataset: str | None, found: Judged) -> list[EvalResult]:
    source = _source(run)
    name = data_name(source, run.folder) if source else "unknown"
    return [
        EvalResult(
            task_type=TASK,
            task_name="Protein classification",
            dataset_type=dataset or name,
            dataset_name=name,
            dataset_split=found.split,
            metric_type=metric,
            metric_name=title,
            metric_value=found.metrics[key],
        )
        for key, metric, title in METRICS
    ]


def _source(run: Run | None) -> str | None:
    """The file or Hub dataset that was trained on; None if that was not recorded."""
    arguments = run.record.get("data_arguments") if run is not None else None
    return None if arguments is None else str(arguments.get("data") or DEEPLOC_URL)


def _base_model(run: Run | None) -> str | None:
    if run is None:
        return None
    return hub_id(run.record.get("model_arguments", {}).get("model_name_or_path"), run.folder)


def _backbone(config: ProteinClassifierConfig, run: Run | None) -> dict[str, Any]:
    """The encoder in words: where it comes from, and its size."""
    shape = config.backbone_config
    arguments = run.record.get("model_arguments", {}) if run is not None else {}
    return {
        "hub_id": _base_model(run),
        "scratch": isinstance(arguments.get("backbone_config"), dict),
        "kind": shape.model_type,
        "size": f"{count(shape.num_hidden_layers, 'layer')} of width {shape.hidden_size:,}",
        "parameters": f"{run.metrics['parameters']:,}" if run is not None and "parameters" in run.metrics else None,
        "pooling": config.pooling.replace("_", " "),
        "head": config.head,
    }


def _results(run: Run, found: Judged) -> dict[str, Any]:
    """The numbers of the split that the model is judged by, and beside them those of the other one."""
    rows = []
    for split in ("test", "validation"):
        if f"{split}_accuracy" in run.metrics:
            values = [f"{run.metrics[f'{split}_{key}']:.3f}" for key, _, _ in METRICS]
            if split == found.split:
                values = [f"**{v}** ({_interval(found.intervals[key])})" for v, (key, _, _) in zip(values, METRICS)]
            rows.append([split, f"{run.metrics[f'{split}_proteins']:,}", *values])
    train = run.data["splits"].get("train", {}).get("classes", {}) if run.data else {}
    # the class, how many to train, how many to judge, then the scores
    classes = [[row[0], f"{train[row[0]]:,}" if row[0] in train else "–", *row[1:]] for row in class_table(found)]
    return {"split": found.split, "rows": rows, "classes": classes}


def _interval(pair: tuple[float, float]) -> str:
    return f"{pair[0]:.3f} to {pair[1]:.3f}"


def _calibration(run: Run | None) -> dict[str, str] | None:
    if run is None or run.predictions is None:
        return None
    predictions = run.predictions
    scores = predictions.probabilities.max(1)
    return {
        "ece": f"{calibration(predictions.probabilities, predictions.references)['ece']:.3f}",
        "score": f"{scores.mean():.2f}",
        "accuracy": f"{(predictions.calls == predictions.references).mean():.0%}",
    }


def _data(run: Run) -> dict[str, Any]:
    """Where the proteins come from, and each split: proteins, lengths and fingerprint."""
    source = _source(run)
    return {
        "name": data_name(source, run.folder) if source else None,
        "link": link(source, run.folder) if source else None,
        "cap": f"{run.data['max_residues']:,}" if run.data else None,
        "rows": split_table(run),
        "fingerprints": run.record.get("data_fingerprint", {}),
    }


def _training(run: Run) -> dict[str, Any]:
    """What it takes to repeat the run, and what that took."""
    model, data, arguments = (run.record.get(f"{name}_arguments", {}) for name in ("model", "data", "training"))
    shown = {
        **{name: model.get(name) for name in MODEL_OPTIONS},
        **{name: data.get(name) for name in ("max_length", "crop")},
        **{name: arguments.get(name) for name in TRAINING},
    }
    return {
        "options": {name: _shown(value) for name, value in shown.items() if value not in OFF or name == "seed"},
        "device": run.record.get("device"),
        "processes": count(run.record.get("world_size", 1), "process"),
        "time": duration(run.metrics["train_runtime"]) if "train_runtime" in run.metrics else None,
        "epochs": f"{run.metrics['epoch']:g}" if "epoch" in run.metrics else None,
        "versions": run.record.get("versions", {}),
        "evaluation": _last_evaluation(run),
    }


def _last_evaluation(run: Run) -> dict[str, str]:
    """The metrics that Trainer logged last, of a training that was not judged afterwards."""
    if judged(run) is not None:
        return {}
    entry: dict[str, Any] = next((entry for entry in reversed(run.log) if "eval_accuracy" in entry), {})
    return {title: f"{entry[f'eval_{key}']:.3f}" for key, _, title in METRICS if f"eval_{key}" in entry}


def _shown(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _longest(config: ProteinClassifierConfig) -> str | None:
    """Residues of the longest protein that is read whole."""
    tokens = config.max_sequence_length
    return f"{tokens - sum(config.special_token_counts):,}" if tokens else None


def _few(found: Judged | None) -> list[str]:
    """Classes of which too few proteins were judged to say much."""
    if found is None:
        return []
    return [label for label, values in found.metrics["per_class"].items() if values["support"] < FEW]


def _references(config: ProteinClassifierConfig, run: Run | None) -> list[tuple[str, str]]:
    """What to cite besides the model, each with its DOI."""
    base = _base_model(run) or ""
    references = [reference for start, reference in BACKBONES.items() if base.startswith(start)]
    if config.pooling == "light_attention":
        references.append(LIGHT_ATTENTION)
    if _source(run) == DEEPLOC_URL:
        references.append(DEEPLOC)
    return references
