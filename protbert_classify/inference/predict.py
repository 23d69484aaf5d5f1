"""Proteins in, a table of predictions out: streamed, in parts that survive a kill, shared by several processes."""

import hashlib
import json
import logging

import numpy as np
from tqdm.auto import tqdm

from ..data.column_names import ColumnNames
from ..data.encoder import ProteinEncoder
from ..data.records import Record
from ..errors import OptionError
from ..evaluation.decision import decide
from ..evaluation.prediction_sets import check_sets, fewest_proteins, never_excluded
from ..homology.neighbours import IDENTITY, check_shares
from ..model import ProteinClassifier
from ..model.tasks import REGRESSION
from .logits import predict_logits
from .nearest_training import TrainingProteins
from .parts_folder import PartsFolder
from .parts_settings import part_size, settings_for
from .processes import Processes
from .saved_classifier import classifier_encoder, load_classifier
from .streaming import (
    PredictionSummary,
    check_table,
    count_unanswered,
    count_unlike,
    finished_before,
    predict_parts,
    records_from,
)
from .writers import BEFORE, Prediction, SetOptions, columns_for, predictions_of, table_for

logger = logging.getLogger(__name__)


def predict_file(
    model: str,
    source: str,
    output: str,
    *,
    columns: ColumnNames | None = None,
    strict: bool = False,
    min_score: float = 0.0,
    sets: float | None = None,
    sets_by_class: bool = False,
    training_proteins: str | None = None,
    min_identity: float | None = None,
    resume: bool = False,
    overwrite: bool = False,
    tokens_per_batch: int | None = None,
    device: str | None = None,
    precision: str = "float32",
    compiled: bool = False,
) -> PredictionSummary:
    """Classify the proteins of a source, in its order.

    Memory does not grow with the input: it is read, classified and written a part at a time. Parts are kept in a folder
    beside the output until all are there. Several processes (`accelerate launch`) share the parts; what each gets does
    not depend on how many they are.

    Args:
        model: The folder of a run or of a model, or a Hub id.
        source: See [`read_records`].
        output: A .csv, .tsv, .jsonl or .parquet file: `id, description, length`, the answers (see [`columns_for`]),
            `truncated`. It appears when it is whole.
        columns: Names of a table's columns.
        strict: Stop at the first record that cannot be classified; else it goes to `<output>.rejected.csv`.
        min_score: Labels with a lower score are not predicted, 0..1: `-` stands in their place, beside the score.
        sets: Write a column `set` with the classes that cannot be excluded at this error, between 0 and 1; see
            [`Decision.sets`].
        sets_by_class: See there.
        training_proteins: What the model was trained on; see [`read_records`]. Adds the columns `nearest`, the most
            similar of them, and `identity`, 0..1; both empty where none is similar.
        min_identity: Proteins without a training protein of this identity, 0..1, get `-` in place of labels.
        resume: Continue with the parts that an interrupted prediction left.
        overwrite: Forget them.
        tokens_per_batch: Tokens of a batch, at most; what suits the device if None.
        device: `cpu`, `cuda`, ...; the GPU if there is one.
        precision: What the model computes in; see [`set_precision`].
        compiled: With torch.compile.

    Raises:
        InputError: A model, a source or an option that cannot be used; with `strict`, a record.
        KeyboardInterrupt: Ctrl-C; the parts are kept.
    """
    parts = PartsFolder(output)
    check_table(source, output)
    if min_identity is not None:
        if training_proteins is None:
            raise OptionError(f"min_identity={min_identity}: requires training_proteins")
        check_shares(min_identity=min_identity)
    processes = Processes()
    if processes.is_main:
        parts.check(resume, overwrite)
    if resume and (before := finished_before(parts, processes.is_main)):
        return before
    records = records_from(source, columns, strict)
    device = processes.device(device)
    classifier, tokenizer = load_classifier(model, device, precision, compiled)
    if all(task.problem_type == REGRESSION for task in classifier.config.tasks):
        if min_score > 0:
            raise OptionError(f"min_score={min_score}: {model} predicts numbers, which have no scores; leave it out")
        if min_identity is not None:
            raise OptionError(f"min_identity={min_identity}: {model} predicts numbers, not labels; leave it out")
    options = SetOptions(sets, sets_by_class)
    if sets is not None:
        check_sets(classifier.config.task, sets)
    known = None if training_proteins is None else TrainingProteins(training_proteins, columns)
    table_columns = columns_for(classifier.config.tasks, sets is not None, known is not None)
    table = table_for(output, table_columns)
    settings = settings_for(
        classifier,
        classifier.name_or_path,
        _fingerprint(classifier),
        tokens_per_batch=tokens_per_batch,
        precision=precision,
        compiled=compiled,
        size=part_size(classifier),
    )
    if min_score > 0:
        settings["min_score"] = min_score
    if sets is not None:
        settings |= {"sets": sets, "sets_by_class": sets_by_class}
    if known is not None:
        settings |= {"training_proteins": known.digest, "min_identity": min_identity}
    if processes.is_main:
        parts.begin(settings, resume)
        _log_never_excluded(classifier, options)
    processes.wait()
    encoder = classifier_encoder(classifier, tokenizer)
    worker = _Worker(classifier, encoder, tokens_per_batch, min_score, options, known, min_identity)
    done = predict_parts(
        parts,
        records,
        table,
        worker.predict,
        size=settings["part_size"],
        source=source,
        strict=strict,
        main=processes.is_main,
        is_mine=processes.is_mine,
    )
    if not processes.is_main:
        return done
    # a number has no label to leave out; a column may be named otherwise than its task
    if classifier.config.task.problem_type != REGRESSION and (min_score > 0 or min_identity is not None):
        done = done._replace(unanswered=count_unanswered(output, table_columns[len(BEFORE)].name))
    if known is not None:
        done = done._replace(unlike=count_unlike(output, IDENTITY if min_identity is None else min_identity))
    return done


class _Worker:
    """Predicts records; identical proteins are computed once."""

    def __init__(
        self,
        classifier: ProteinClassifier,
        encoder: ProteinEncoder,
        tokens_per_batch: int | None,
        min_score: float,
        sets: SetOptions,
        known: TrainingProteins | None = None,
        min_identity: float | None = None,
    ) -> None:
        self.classifier = classifier
        self.encoder = encoder
        self.tokens_per_batch = tokens_per_batch
        self.min_score = min_score
        self.sets = sets
        self.known = known
        self.min_identity = min_identity

    def predict(self, records: list[Record], bar: tqdm) -> list[Prediction]:
        rows: dict[bytes, int] = {}
        row_of = [rows.setdefault(self.encoder(record.residues), len(rows)) for record in records]
        encoded = [np.frombuffer(ids, dtype=np.uint8) for ids in rows]
        logits = predict_logits(self.classifier, encoded, self.tokens_per_batch, bar.update)
        bar.update(len(records) - len(rows))
        truncated = (self.encoder.is_cropped(len(record.residues)) for record in records)
        decision = decide(logits, self.classifier.config)[row_of]
        nearest = None if self.known is None else self.known.nearest([record.residues for record in records])
        return predictions_of(records, decision, truncated, self.min_score, self.sets, nearest, self.min_identity)


def _log_never_excluded(classifier: ProteinClassifier, sets: SetOptions) -> None:
    """Say which classes are in every set."""
    if sets.error is None:
        return
    few = never_excluded(classifier.config.task, sets.error, sets.by_class)
    if few:
        logger.warning(
            "sets=%g: too few validation proteins to exclude %s, so every set contains them; %d are needed%s",
            *(sets.error, ", ".join(few), fewest_proteins(sets.error), " of each class" if sets.by_class else ""),
        )


def _fingerprint(classifier: ProteinClassifier) -> str:
    """Of the configuration and the heads, which no two trainings share, in float32 whatever the precision."""
    config = {name: value for name, value in classifier.config.to_dict().items() if name != "_name_or_path"}
    digest = hashlib.sha256(json.dumps(config, sort_keys=True, default=str).encode())
    for network in classifier.networks:
        for name, weight in sorted(network.head.state_dict().items()):
            digest.update(name.encode() + weight.float().cpu().numpy().tobytes())
    return digest.hexdigest()[:16]
