"""Proteins in, a table of predictions out: streamed, in parts that survive a kill, shared by several processes."""

import hashlib
import json
import logging
from collections.abc import Sequence

import numpy as np
from tqdm.auto import tqdm

from ..data.column_names import ColumnNames
from ..data.encoder import ProteinEncoder
from ..data.records import Record
from ..data.sources import check_there
from ..evaluation import label_transfer
from ..evaluation.decision import decide
from ..evaluation.prediction_sets import fewest_proteins, never_excluded
from ..homology.neighbours import IDENTITY, search_method
from ..model import ProteinClassifier
from ..model.tasks import REGRESSION, Task
from .answer_options import AnswerOptions
from .file_run import FileRun
from .logits import predict_logits
from .nearest_training import TrainingProteins, read_labelled_training_proteins, read_training_proteins
from .parts_settings import part_size, settings_for
from .saved_classifier import classifier_encoder, load_classifier
from .streaming import PredictionSummary, check_table, count_unanswered, count_unlike
from .writers import BEFORE, Prediction, columns_for, predictions_of, table_for

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
    transfer_labels: bool = False,
    header_pattern: str | None = None,
    label_column: str | Sequence[str] | None = None,
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
        transfer_labels: Weigh the labels of the nearest training protein against the model's scores, as
            [`label_transfer.transfer_labels`] does, and add a column with these labels. `training_proteins` must
            have labels, as for [`load_proteins`].
        header_pattern: Finds them in a FASTA file; see [`load_proteins`].
        label_column: Has them in a table; the name of the task, or those of its labels, if None.
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
    check_table(source, output)
    options = AnswerOptions(min_score, sets, sets_by_class, training_proteins, min_identity, transfer_labels)
    options.check()
    check_there(training_proteins)
    run = FileRun(source, output, columns, strict=strict, resume=resume, overwrite=overwrite)
    if run.before is not None:
        return run.before
    classifier, tokenizer = load_classifier(model, run.processes.device(device), precision, compiled)
    options.check_tasks(model, classifier.config.tasks)
    known = _training_proteins(options, classifier.config.task, columns, header_pattern, label_column)
    table_columns = columns_for(classifier.config.tasks, options)
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
    settings |= options.settings
    if known is not None:
        settings |= {"training_proteins": known.digest, "neighbours_by": search_method()}
    run.begin(settings)
    if run.is_main:
        _log_never_excluded(classifier, options)
    worker = _Worker(classifier, classifier_encoder(classifier, tokenizer), tokens_per_batch, options, known)
    done = run.finish(table, worker.predict, settings["part_size"])
    if not run.is_main:
        return done
    # a number has no label to leave out; a column may be named otherwise than its task
    if classifier.config.task.problem_type != REGRESSION and options.may_leave_out:
        done = done._replace(unanswered=count_unanswered(output, table_columns[len(BEFORE)].name))
    if known is not None:
        done = done._replace(unlike=count_unlike(output, IDENTITY if min_identity is None else min_identity))
    return done


def _training_proteins(
    options: AnswerOptions,
    task: Task,
    columns: ColumnNames | None,
    header_pattern: str | None,
    label_column: str | Sequence[str] | None,
) -> TrainingProteins | None:
    """Those to compare with, with labels if these are wanted."""
    if options.training_proteins is None:
        return None
    if not options.transfer_labels:
        return read_training_proteins(options.training_proteins, columns)
    return read_labelled_training_proteins(options.training_proteins, task, columns, label_column, header_pattern)


class _Worker:
    """Predicts records; identical proteins are computed once."""

    def __init__(
        self,
        classifier: ProteinClassifier,
        encoder: ProteinEncoder,
        tokens_per_batch: int | None,
        options: AnswerOptions,
        known: TrainingProteins | None,
    ) -> None:
        self.classifier = classifier
        self.encoder = encoder
        self.tokens_per_batch = tokens_per_batch
        self.options = options
        self.known = known

    def predict(self, records: list[Record], bar: tqdm) -> list[Prediction]:
        rows: dict[bytes, int] = {}
        row_of = [rows.setdefault(self.encoder(record.residues), len(rows)) for record in records]
        encoded = [np.frombuffer(ids, dtype=np.uint8) for ids in rows]
        logits = predict_logits(self.classifier, encoded, self.tokens_per_batch, bar.update)
        bar.update(len(records) - len(rows))
        truncated = (self.encoder.is_cropped(len(record.residues)) for record in records)
        decision = decide(logits, self.classifier.config)[row_of]
        nearest = None if self.known is None else self.known.nearest([record.residues for record in records])
        if nearest is not None and nearest.labels is not None:
            decision = label_transfer.transfer_labels(decision, nearest.labels, nearest.identity)
        return predictions_of(records, decision, truncated, self.options, nearest)


def _log_never_excluded(classifier: ProteinClassifier, options: AnswerOptions) -> None:
    """Say which classes are in every set."""
    if options.sets is None:
        return
    few = never_excluded(classifier.config.task, options.sets, options.sets_by_class)
    if few:
        of_each = " of each class" if options.sets_by_class else ""
        logger.warning(
            "sets=%g: too few validation proteins to exclude %s, so every set contains them; %d are needed%s",
            *(options.sets, ", ".join(few), fewest_proteins(options.sets), of_each),
        )


def _fingerprint(classifier: ProteinClassifier) -> str:
    """Of the configuration and the heads, which no two trainings share, in float32 whatever the precision."""
    config = {name: value for name, value in classifier.config.to_dict().items() if name != "_name_or_path"}
    digest = hashlib.sha256(json.dumps(config, sort_keys=True, default=str).encode())
    for network in classifier.networks:
        for name, weight in sorted(network.head.state_dict().items()):
            digest.update(name.encode() + weight.float().cpu().numpy().tobytes())
    return digest.hexdigest()[:16]
