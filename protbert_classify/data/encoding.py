"""Datasets of proteins to token ids and labels."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from datasets import Dataset, Features, List, Value
from datasets.fingerprint import Hasher
from transformers import PreTrainedTokenizerBase

from ..errors import SequenceError
from ..model.tasks import Task
from ..tasks.targets import auxiliary_targets, has_targets, targets
from ..version import __version__
from .encoder import ProteinEncoder
from .fasta import PARSER_VERSION

ENCODING_VERSION = 2  # raise it when `encode` would give other numbers than before: caches are then made again


def encode(
    dataset: Dataset,
    tokenizer: PreTrainedTokenizerBase,
    *,
    max_length: int | None = 512,
    crop: str = "ends",
    tasks: Sequence[Task] = (),
) -> Dataset:
    """Encode the `sequence` column and the answers to tasks.

    Args:
        dataset: N proteins, with `sequence` and, for labels, the columns of the tasks.
        tokenizer: Where the ids come from.
        max_length: Tokens of the longest output, special ones included; None for no limit.
        crop: `ends`, `head` or `tail`; see [`ProteinEncoder`].
        tasks: Those of a model, the main one first. One whose columns are missing has no labels.

    Returns:
        `input_ids` (a byte each), `length` (tokens) and, if their columns are there, `labels` of the main task (a
        class, or C numbers) and `auxiliary_labels` (A' numbers, NaN where unknown); rows in the same order.

    Raises:
        SequenceError: A character that is not a residue, with the row and accession.
        DataError: An answer that a task cannot use, such as a class that is not among its labels.
    """
    encoder = ProteinEncoder(tokenizer, max_length, crop)
    answers = _answers(dataset, tasks)
    features = {"input_ids": List(Value("uint8")), "length": Value("int32")}
    features |= {name: _feature(values) for name, values in answers.items()}

    def encode_batch(table: pa.Table, rows: list[int]) -> pa.Table:
        sequences = table["sequence"].cast(pa.large_binary()).to_pylist()
        encoded = _encode_rows(encoder, sequences, rows, table)
        lengths = [len(ids) for ids in encoded]
        offsets = pa.array([0, *lengths], pa.int32()).to_numpy().cumsum(dtype="int32")
        values = pa.Array.from_buffers(pa.uint8(), int(offsets[-1]), [None, pa.py_buffer(b"".join(encoded))])
        columns = {
            "input_ids": pa.ListArray.from_arrays(offsets, values),
            "length": pa.array(lengths, pa.int32()),
        }
        columns |= {name: _arrow(numbers[rows]) for name, numbers in answers.items()}
        return pa.table(columns)

    if not len(dataset):  # map would leave the new columns out
        return Dataset.from_dict({name: [] for name in features}, Features(features)).with_format("numpy")
    encoded = dataset.with_format("arrow").map(
        encode_batch,
        with_indices=True,
        batched=True,
        remove_columns=dataset.column_names,
        features=Features(features),
        new_fingerprint=_fingerprint(dataset, encoder, tasks),
        desc="encoding",
    )
    return encoded.with_format("numpy")


def _answers(dataset: Dataset, tasks: Sequence[Task]) -> dict[str, np.ndarray]:
    """`labels`, (N,) int64 or (N, C) float32, and `auxiliary_labels`, (N, A') float32, as far as there are any."""
    if not tasks:
        return {}
    answers = {}
    if has_targets(dataset, tasks[0]):
        answers["labels"] = targets(dataset, tasks[0])
    auxiliary = auxiliary_targets(dataset, tasks[1:])
    if auxiliary is not None:
        answers["auxiliary_labels"] = auxiliary
    return answers


def _feature(values: np.ndarray) -> Value | List:
    return Value("int64") if values.ndim == 1 else List(Value("float32"), length=values.shape[1])


def _arrow(values: np.ndarray) -> pa.Array:
    if values.ndim == 1:
        return pa.array(values)
    return pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), values.shape[1])


def _fingerprint(dataset: Dataset, encoder: ProteinEncoder, tasks: Sequence[Task]) -> str:
    """What the cached result of [`encode`] is found by.

    `datasets` would hash the function, but not the code that it calls: a cache would outlive a correction.
    """
    hasher = Hasher()
    hasher.update([__version__, ENCODING_VERSION, PARSER_VERSION, dataset._fingerprint])
    hasher.update([encoder.table, encoder.prefix, encoder.suffix, encoder.room, encoder.crop])
    hasher.update([task.to_dict() for task in tasks])
    return hasher.hexdigest()


def _encode_rows(encoder: ProteinEncoder, sequences: list[bytes], rows: list[int], table: pa.Table) -> list[bytes]:
    try:
        return [encoder(sequence) for sequence in sequences]
    except SequenceError:
        for index, sequence in enumerate(sequences):  # again, one by one, to name the row
            try:
                encoder(sequence)
            except SequenceError as error:
                accession = table["id"][index].as_py() if "id" in table.column_names else "no accession"
                raise SequenceError(f"row {rows[index] + 1} ({accession}): {error}") from None
        raise
