"""Proteins in, a table of calls out: streamed, in parts that survive a kill, shared by several processes."""

import csv
import hashlib
import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from itertools import chain, islice
from typing import Any, NamedTuple

import numpy as np
from accelerate import PartialState
from tqdm.auto import tqdm

from ..data.encoding import ProteinEncoder
from ..data.records import Record, checked
from ..data.sources import Columns
from ..data.unlabelled import STANDARD_INPUT, count_records, read_unlabelled
from ..errors import InputError, OptionError, ProteinClassifierError
from ..model import ProteinClassifier
from .loading import classifier_encoder, load_classifier
from .logits import predict_logits, probabilities
from .parts import Parts
from .precision import has_gpu_backend
from .tables import Call, Table, call_of, table_for

logger = logging.getLogger(__name__)

FORMAT = 1  # of the parts: another number, and none of a former version is gone on with
PART = 1024  # proteins of a part on a CPU, for a model of PART_PARAMETERS; a kill loses no more than one
PART_PARAMETERS = 30_000_000
SMALLEST_PART = 128
DEVICE_PART = 4096


class Prediction(NamedTuple):
    """How a prediction ended.

    Args:
        classified: Proteins in the output; None if it was whole already.
        rejected: Records that could not be classified, as far as this process tells of them.
        rejected_file: Has these.
        main: Whether this is the process, of several, that tells.
    """

    classified: int | None
    rejected: int
    rejected_file: str
    main: bool


class _Part(NamedTuple):
    """Some records of the input, in its order, without the rejected ones."""

    number: int
    records: list[Record]
    digest: str


def predict_file(
    model: str,
    source: str,
    output: str,
    *,
    columns: Columns | None = None,
    strict: bool = False,
    resume: bool = False,
    overwrite: bool = False,
    tokens_per_batch: int | None = None,
    device: str | None = None,
    precision: str = "float32",
    compiled: bool = False,
) -> Prediction:
    """Classify the proteins of a source, in its order.

    Memory does not grow with the input: it is read, classified and written a part at a time. Parts stand in a folder
    beside the output until all are there. Several processes (`accelerate launch`) share the parts; what each gets does
    not depend on how many they are.

    Args:
        model: The folder of a run or of a model, or a Hub id.
        source: See [`read_unlabelled`].
        output: A .csv, .tsv, .jsonl or .parquet file: `id, description, length, location, score`, a column a class,
            `truncated`. It appears when it is whole.
        columns: Names of a table's columns.
        strict: Stop at the first record that cannot be classified; else it goes to `<output>.rejected.csv`.
        resume: Go on with the parts that an interrupted prediction left.
        overwrite: Forget them.
        tokens_per_batch: Tokens of a batch, at most; what suits the device if None.
        device: `cpu`, `cuda`, ...; the GPU if there is one.
        precision: What the model computes in; see [`set_precision`].
        compiled: With torch.compile.

    Raises:
        InputError: A model, a source or an option that cannot be used; with `strict`, a record.
        KeyboardInterrupt: Ctrl-C; the parts are kept.
    """
    parts, rejected = Parts(output), f"{output}.rejected.csv"
    table_for(output, [])  # the ending first: nothing is worse than to hear of it after an hour
    _check_paths(source, output)
    processes = PartialState(cpu=not has_gpu_backend()) if int(os.environ.get("WORLD_SIZE", 1)) > 1 else None
    main = processes is None or processes.is_main_process
    if main:
        parts.check(resume, overwrite)
        if resume and not os.path.isdir(parts.folder) and os.path.isfile(output):
            return Prediction(None, _count_rejected(rejected), rejected, main)
    records = _begun(read_unlabelled(source, columns))
    if strict and source != STANDARD_INPUT:
        for record in read_unlabelled(source, columns):
            checked(record)
    if processes is not None and device is None and processes.device.type != "cpu":
        device = str(processes.device)
    classifier, tokenizer = load_classifier(model, device, precision, compiled)
    table = table_for(output, classifier.config.labels)
    settings = _settings(classifier, output, tokens_per_batch, precision, compiled)
    if main:
        os.makedirs(os.path.dirname(output) or ".", exist_ok=True)
        parts.begin(settings, resume)
    if processes is not None:
        processes.wait_for_everyone()
    with _kept_if_any(parts, main):
        rejects = _Rejects(os.path.join(parts.folder, "rejected.csv") if main else os.devnull, strict)
        worker = _Worker(classifier, classifier_encoder(classifier, tokenizer), tokens_per_batch)
        count = classified = 0
        with rejects, _bar(source, main) as bar:
            for part in _parts_of(records, settings["part_size"], rejects):
                count, classified = count + 1, classified + len(part.records)
                if processes is not None and part.number % processes.num_processes != processes.process_index:
                    bar.update(len(part.records))  # others are as fast
                elif parts.has(part.number, part.digest):
                    _skip(bar, len(part.records))
                else:
                    calls = worker.calls(part.records, bar)
                    parts.write(part.number, part.digest, partial(table.write_part, calls=calls))
        if main:
            _publish(parts, table, count, rejects, rejected)
    return Prediction(classified, rejects.count if main else 0, rejected, main)


class _Worker:
    """Makes calls of records: identical proteins are computed once."""

    def __init__(
        self, classifier: ProteinClassifier, encoder: ProteinEncoder, tokens_per_batch: int | None
    ) -> None:
        self.classifier = classifier
        self.encoder = encoder
        self.tokens_per_batch = tokens_per_batch

    def calls(self, records: list[Record], bar: tqdm) -> list[Call]:
        rows: dict[bytes, int] = {}
        row_of = [rows.setdefault(self.encoder(record.residues), len(rows)) for record in records]
        encoded = [np.frombuffer(ids, dtype=np.uint8) for ids in rows]
        scores = probabilities(predict_logits(self.classifier, encoded, self.tokens_per_batch, bar.update))
        bar.update(len(records) - len(rows))
        labels, cropped = self.classifier.config.labels, self.encoder.is_cropped
        pairs = zip(records, row_of, strict=True)
        return [call_of(record, scores[row], labels, cropped(len(record.residues))) for record, row in pairs]


class _Rejects:
    """The records that cannot be classified, written as they come.

    Args:
        path: Of the CSV.
        strict: Raise instead.
    """

    def __init__(self, path: str, strict: bool) -> None:
        self.path = path
        self.strict = strict
        self.count = 0

    def __enter__(self) -> "_Rejects":
        self.file = open(self.path, "w", newline="", encoding="utf-8")
        self.writer = csv.writer(self.file, lineterminator="\n")
        self.writer.writerow(["record", "id", "description", "reason"])
        return self

    def __exit__(self, *error: object) -> None:
        self.file.close()

    def keep(self, records: Iterator[Record]) -> Iterator[Record]:
        """Those of the records that can be classified."""
        for record in records:
            try:
                yield checked(record)
            except InputError as error:
                if self.strict:
                    raise
                self.count += 1
                place = record.place
                reason = str(error).removeprefix(f"{place}: ")
                self.writer.writerow([place.number, place.accession, record.description, reason])


def _begun(records: Iterator[Record]) -> Iterator[Record]:
    """The records, the first of them read: what is no source is refused before a model is loaded."""
    return chain([next(records)], records)


def _parts_of(records: Iterator[Record], size: int, rejects: _Rejects) -> Iterator[_Part]:
    good = rejects.keep(records)
    number = 0
    while some := list(islice(good, size)):
        yield _Part(number, some, _digest(some))
        number += 1


def _digest(records: list[Record]) -> str:
    """What a part was made of, to tell whether it is still the same."""
    digest = hashlib.blake2b(digest_size=12)
    for place, description, residues in records:
        digest.update(f"{place.accession}\t{description}\t{residues}\n".encode())
    return digest.hexdigest()


def _settings(
    classifier: ProteinClassifier, output: str, tokens_per_batch: int | None, precision: str, compiled: bool
) -> dict[str, Any]:
    """What shapes the calls; part_size because batches are made within a part."""
    return {
        "format": FORMAT,
        "model": _fingerprint(classifier),
        "device": classifier.device.type,
        "precision": precision,
        "compile": compiled,
        "tokens_per_batch": tokens_per_batch,
        "part_size": _part_size(classifier),
    }


def _fingerprint(classifier: ProteinClassifier) -> str:
    """Of the configuration and the head, which no two trainings share, in float32 whatever the precision."""
    config = {name: value for name, value in classifier.config.to_dict().items() if name != "_name_or_path"}
    digest = hashlib.sha256(json.dumps(config, sort_keys=True, default=str).encode())
    for name, weight in sorted(classifier.head.state_dict().items()):
        digest.update(name.encode() + weight.float().cpu().numpy().tobytes())
    return digest.hexdigest()[:16]


def _part_size(classifier: ProteinClassifier) -> int:
    """Proteins of a part: a large one has less padding, a small one is sooner done."""
    if classifier.device.type != "cpu":
        return DEVICE_PART
    parameters = sum(parameter.numel() for parameter in classifier.parameters())
    return max(SMALLEST_PART, min(PART, PART * PART_PARAMETERS // parameters))


def _check_paths(source: str, output: str) -> None:
    folder = os.path.dirname(os.path.abspath(output))
    while not os.path.lexists(folder):  # it will be made
        folder = os.path.dirname(folder)
    if not os.path.isdir(folder) or not os.access(folder, os.W_OK):
        raise ProteinClassifierError(f"output {output}: {folder} is no folder that can be written to")
    if source == STANDARD_INPUT:
        if int(os.environ.get("WORLD_SIZE", 1)) > 1:
            raise OptionError("input -: several processes cannot share standard input; expected a file")
    elif os.path.exists(output) and os.path.exists(source) and os.path.samefile(source, output):
        raise OptionError(f"output {output} is the input; expected another name")


@contextmanager
def _kept_if_any(parts: Parts, main: bool) -> Iterator[None]:
    """What a failure leaves: the parts that are done, and how to go on with them."""
    try:
        yield
    except BaseException as error:
        done = parts.count
        if main and not done:
            parts.discard()
        if isinstance(error, KeyboardInterrupt) and done:
            raise KeyboardInterrupt(f"the same command with --resume goes on after part {done}") from None
        raise


def _publish(parts: Parts, table: Table, count: int, rejects: _Rejects, rejected: str) -> None:
    """Join the parts, move the output and the rejected records into place, and remove what they came from."""
    whole = os.path.join(parts.folder, "whole")
    table.join(parts.await_all(count), whole)
    if rejects.count:
        os.replace(rejects.path, rejected)
    elif os.path.exists(rejected):
        os.remove(rejected)  # of a former input
    os.replace(whole, parts.output)
    parts.discard()


def _count_rejected(path: str) -> int:
    if not os.path.isfile(path):
        return 0
    with open(path, newline="", encoding="utf-8") as file:
        return sum(1 for _ in csv.reader(file)) - 1


def _bar(source: str, main: bool) -> tqdm:
    total = count_records(source) if main else None
    return tqdm(total=total, unit="protein", disable=not main, smoothing=0.05, dynamic_ncols=True)


def _skip(bar: tqdm, proteins: int) -> None:
    """Count proteins of a former run without taking them for speed."""
    bar.initial += proteins
    bar.n += proteins
    bar.refresh()
