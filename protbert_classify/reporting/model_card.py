"""The card of a published model: its data, results, limits and training, as far as its run recorded them."""

import os
from typing import Any

from huggingface_hub import EvalResult, ModelCardData

from ..data.deeploc import URL as DEEPLOC_URL
from ..evaluation.metrics import NAMES, WATCHED
from ..model import ProteinClassifierConfig
from ..model.publishing import TAGS, TASK
from ..runs.files import FIGURES
from ..runs.finished_run import Run
from ..version import __version__
from . import identity_section, set_section
from .card import DEEPLOC, Licences, citation, data_name, hub_id, link, render_card
from .evaluated_split import SPLITS, EvaluatedSplit, evaluated_auxiliary_tasks, evaluated_split
from .figures import save_figure
from .formatting import capitalised, count, duration
from .members import MEANT, member_table
from .report_registry import report_of
from .run_description import LOST, TRAINING, model_arguments, split_table
from .score_quality import HEADER, NOTE, calibration_sentences, score_rows
from .task_report import CardFigure

TEMPLATE = "model_card.md.jinja"
# as the Hub knows metrics, where it does not by the names that they have here
HUB_METRICS = {
    "mcc": "matthews_correlation",
    "macro_f1": "f1",
    "micro_f1": "f1",
    "subset_accuracy": "accuracy",
    "spearman": "spearmanr",
    "pearson": "pearsonr",
    "r2": "r_squared",
}
# human CD4 (P01730), its first 53 residues: a signal peptide and the beginning of what lies outside
EXAMPLE = "MNRGVPFRHLLLVLQLALLPAATQGKKVVLGKKGDTVELTCTASQKKSIQFHW"
EXAMPLE_NAME = "CD4, human, N-terminal part"
FEW = 30  # proteins of a class below which its numbers say little
OFF = (None, False, -1)  # an option with such a value did nothing
LIGHT_ATTENTION_OPTIONS = ("light_attention_kernel_size", "light_attention_layers", "light_attention_dropout")
MODEL_OPTIONS = (
    *("pooling", *LIGHT_ATTENTION_OPTIONS, "head", "classifier_dropout", "loss", "layer"),
    *("freeze_backbone", "freeze_layers"),
)

LORA = {
    "lora": ("Hu et al. 2021, LoRA", "10.48550/arXiv.2106.09685"),
    "dora": ("Liu et al. 2024, DoRA", "10.48550/arXiv.2402.09353"),
    "ia3": ("Liu et al. 2022, IA³", "10.48550/arXiv.2205.05638"),
}
QLORA = ("Dettmers et al. 2023, QLoRA", "10.48550/arXiv.2305.14314")
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
    found = evaluated_split(run) if run is not None else None
    report = report_of(config.task)
    metadata = _metadata(config, repo_id, run, found, licences)
    values = {
        "repo_id": repo_id,
        "name": repo_id.rpartition("/")[2],
        "introduction": report.introduction(config.labels),
        "labels": config.labels,
        "code": report.code(config.task),
        "licences": licences,
        "backbone": _backbone(config, run),
        "ensemble": _ensemble(config, run, found),
        "results": _results(run, found) if run is not None and found is not None else None,
        "calibration": _calibration(run, found) if run is not None and found is not None else None,
        "similarity": _similarity(run, found) if run is not None and found is not None else None,
        "sets": _sets(run, found) if run is not None and found is not None else None,
        "auxiliary": _auxiliary(config, run, found),
        "data": _data(run) if run is not None and "data_arguments" in run.record else None,
        "training": _training(run, found) if run is not None else None,
        "limits": {
            "kind": report.limits(config.task, found),
            "scores": report.has_scores,
            "longest": _longest(config),
            "lost": LOST[config.crop],
            "alike": config.crop == "head",  # as transformers' own truncation
            "few": _few(found),
        },
        "references": _references(config, run),
        "example": EXAMPLE,
        "citation": citation(repo_id),
        "version": __version__,
    }
    return render_card(TEMPLATE, metadata.to_yaml(), values)


def draw_card_pictures(run: Run | None, folder: str) -> dict[str, str]:
    """The pictures that the card shows: name in the repository -> path.

    Args:
        run: Without one, or without test proteins, there are none.
        folder: Where they are drawn.
    """
    found = evaluated_split(run) if run is not None else None
    if found is None:
        return {}
    report = report_of(found.task)
    figures = [*report.card_figures(found), report.calibration_figure(found)]
    drawn = {_path(figure): figure for figure in figures if figure is not None}
    paths = {name: os.path.join(folder, name) for name in drawn}
    for name, figure in drawn.items():
        save_figure(figure.figure, paths[name])
    return paths


def _path(figure: CardFigure) -> str:
    """Of a picture in the repository."""
    return f"{FIGURES}/{figure.name}.png"


def _shown_figure(figure: CardFigure) -> dict[str, str]:
    return {"path": _path(figure), "alt": figure.alt}


def _metadata(
    config: ProteinClassifierConfig, repo_id: str, run: Run | None, found: EvaluatedSplit | None, licences: Licences
) -> ModelCardData:
    dataset = hub_id(_source(run), run.folder) if run is not None else None
    return ModelCardData(
        license=licences.model,
        library_name="transformers",
        pipeline_tag=TASK,
        base_model=_base_model(run),
        datasets=[dataset] if dataset else None,
        tags=[*TAGS, config.backbone_config.model_type, *(["ensemble"] if config.members else [])],
        metrics=list(dict.fromkeys(_hub_metric(key) for key in WATCHED[found.task.problem_type])) if found else None,
        widget=[{"text": EXAMPLE, "example_title": EXAMPLE_NAME}],
        model_name=repo_id.rpartition("/")[2],
        eval_results=_eval_results(run, dataset, found) if run is not None and found is not None else None,
    )


def _eval_results(run: Run, dataset: str | None, found: EvaluatedSplit) -> list[EvalResult]:
    source = _source(run)
    name = data_name(source, run.folder) if source else "unknown"
    return [
        EvalResult(
            task_type=TASK,
            task_name="Protein classification",
            dataset_type=dataset or name,
            dataset_name=name,
            dataset_split=found.split,
            metric_type=_hub_metric(key),
            metric_name=capitalised(NAMES[key]),
            metric_value=found.metrics[key],
        )
        for key in WATCHED[found.task.problem_type]
    ]


def _hub_metric(key: str) -> str:
    return HUB_METRICS.get(key, key)


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


def _ensemble(config: ProteinClassifierConfig, run: Run | None, found: EvaluatedSplit | None) -> dict[str, Any] | None:
    """The members: how many, and a row of numbers for each where they were measured; None of a single model."""
    if not config.members:
        return None
    header, rows = member_table(run, found) if run is not None and found is not None else ([], [])
    return {"members": len(config.members), "meant": MEANT, "header": header, "rows": rows}


def _results(run: Run, found: EvaluatedSplit) -> dict[str, Any]:
    """The numbers of the split that the model is evaluated on, and of the other one."""
    keys = WATCHED[found.task.problem_type]
    rows = []
    for split in SPLITS:
        if f"{split}_{keys[0]}" in run.metrics:
            values = [_number(key, run.metrics[f"{split}_{key}"]) for key in keys]
            if split == found.split:
                values = [f"**{v}**{_interval(key, found)}" for v, key in zip(values, keys)]
            rows.append([split, f"{run.metrics[f'{split}_proteins']:,}", *values])
    report = report_of(found.task)
    return {
        "split": found.split,
        "header": [NAMES[key] for key in keys],
        "rows": rows,
        "intervals": any(found.intervals.get(key) for key in keys),
        "drawn": identity_section.drawn_sentence(found) if found.intervals else "",
        "answers": report.answers,
        "classes": _class_rows(run, found),
        "figures": [_shown_figure(figure) for figure in report.card_figures(found)],
    }


def _class_rows(run: Run, found: EvaluatedSplit) -> dict[str, Any]:
    """The table of the classes or numbers: the name, how many to train, how many to judge, then the scores."""
    table = report_of(found.task).table(found)
    train = run.data["splits"].get("train", {}).get("classes", {}) if run.data else {}
    rows = [[row[0], f"{train[row[0]]:,}" if row[0] in train else "–", *row[1:]] for row in table.rows]
    return {"header": [table.header[0], "to train", found.split, *table.header[2:]], "rows": rows}


def _number(key: str, value: float) -> str:
    return f"{value:.3g}" if key == "mae" else f"{value:.3f}"  # an error has a unit, and may be of any size


def _interval(key: str, found: EvaluatedSplit) -> str:
    """In brackets behind the number; nothing where there is none."""
    pair = found.intervals.get(key)
    return f" ({_number(key, pair[0])} to {_number(key, pair[1])})" if pair else ""


def _calibration(run: Run, found: EvaluatedSplit) -> dict[str, Any] | None:
    """Whether scores can be taken for probabilities: how they were calibrated, their errors, and a picture."""
    report = report_of(found.task)
    figure = report.calibration_figure(found)
    if figure is None:
        return None
    words = {"text": report.calibration_text(found), "how": calibration_sentences(run, found)}
    return {**words, "header": HEADER, "rows": score_rows(found), "note": NOTE, **_shown_figure(figure)}


def _similarity(run: Run, found: EvaluatedSplit) -> dict[str, Any] | None:
    """Metrics by similarity to training proteins, or that it is not known; None without test proteins."""
    if found.split != "test":
        return None
    header, rows = identity_section.identity_table(run)
    near = [*identity_section.distance_sentences(run), *identity_section.transfer_sentences(run)]
    sentences = near if rows else [identity_section.UNKNOWN]
    return {
        "title": identity_section.TITLE,
        "text": " ".join(sentences),
        "header": header,
        "rows": rows,
        "note": identity_section.NOTE,
    }


def _sets(run: Run, found: EvaluatedSplit) -> dict[str, Any] | None:
    """How often prediction sets have the true class; None for a model without sets."""
    rows = set_section.set_rows(found)
    if not rows:
        return None
    words = " ".join([set_section.WORDS, *set_section.set_sentences(run, found)])
    shown = {"title": set_section.TITLE, "header": set_section.HEADER, "note": set_section.NOTE}
    return {**shown, "text": words, "rows": rows}


def _auxiliary(config: ProteinClassifierConfig, run: Run | None, found: EvaluatedSplit | None) -> list[dict[str, Any]]:
    """The auxiliary tasks: what they ask, and their numbers where they were measured."""
    measured = evaluated_auxiliary_tasks(run, found.split) if run is not None and found is not None else []
    numbers = {
        part.task.name: [
            f"{NAMES[key]} **{_number(key, part.metrics[key])}**{_interval(key, part)}"
            for key in WATCHED[part.task.problem_type]
        ]
        for part in measured
    }
    return [
        {"name": task.name, "labels": list(task.labels), "numbers": numbers.get(task.name)} for task in config.auxiliary
    ]


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


def _training(run: Run, found: EvaluatedSplit | None) -> dict[str, Any]:
    """What it takes to repeat the run, and what that took."""
    model, data, arguments = (run.record.get(f"{name}_arguments", {}) for name in ("model", "data", "training"))
    poolings = () if model.get("pooling") == "light_attention" else LIGHT_ATTENTION_OPTIONS
    shown = {
        **{name: model.get(name) for name in MODEL_OPTIONS if name not in poolings},
        **_adapter(run),
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
        "evaluation": _last_evaluation(run) if found is None else {},
    }


def _adapter(run: Run | None) -> dict[str, Any]:
    """The options of the adapter that was trained; none without one."""
    given = {} if run is None else model_arguments(run)
    options = {name: value for name, value in given.items() if name.startswith("lora_") and value != []}
    return {"tuning": given["tuning"], **options} if options else {}


def _last_evaluation(run: Run) -> dict[str, str]:
    """The metrics that Trainer logged last, of a training that was not evaluated afterwards."""
    keys = WATCHED[run.task.problem_type]
    entry: dict[str, Any] = next((entry for entry in reversed(run.log) if f"eval_{keys[0]}" in entry), {})
    return {capitalised(NAMES[key]): _number(key, entry[f"eval_{key}"]) for key in keys if f"eval_{key}" in entry}


def _shown(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _longest(config: ProteinClassifierConfig) -> str | None:
    """Residues of the longest protein that is read whole."""
    tokens = config.max_sequence_length
    return f"{tokens - sum(config.special_token_counts):,}" if tokens else None


def _few(found: EvaluatedSplit | None) -> list[str]:
    """Classes or numbers with too few evaluated proteins to say much."""
    if found is None:
        return []
    parts = {**found.metrics.get("per_class", {}), **found.metrics.get("per_target", {})}
    return [label for label, values in parts.items() if values.get("support", values.get("n")) < FEW]


def _references(config: ProteinClassifierConfig, run: Run | None) -> list[tuple[str, str]]:
    """What to cite besides the model, each with its DOI."""
    base = _base_model(run) or ""
    references = [reference for start, reference in BACKBONES.items() if base.startswith(start)]
    if config.pooling == "light_attention":
        references.append(LIGHT_ATTENTION)
    if adapter := _adapter(run):
        references.append(LORA[adapter["lora_kind"]])
        if adapter.get("lora_bits") == 4:  # runs of earlier versions do not have it
            references.append(QLORA)
    if _source(run) == DEEPLOC_URL:
        references.append(DEEPLOC)
    return references
