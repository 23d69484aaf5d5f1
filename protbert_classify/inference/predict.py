"""A FASTA file in, a table of calls out."""

import csv
import os
from collections.abc import Iterator
from itertools import islice

import numpy as np
from tqdm.auto import tqdm

from ..data.encoding import ProteinEncoder
from ..data.records import Record, read_fasta
from ..errors import OptionError
from ..model import ProteinClassifier
from .loading import classifier_encoder, load_classifier
from .logits import predict_logits, probabilities

CHUNK = 2048  # proteins sorted by length and classified together


def predict_file(
    model: str,
    source: str,
    output: str,
    *,
    tokens_per_batch: int | None = None,
    device: str | None = None,
    precision: str = "float32",
    compiled: bool = False,
) -> int:
    """Classify the proteins of a FASTA file, plain or .gz, in its order.

    Args:
        model: The folder of a run or of a model, or a Hub id.
        source: The FASTA file; all of it is checked before the first protein is classified.
        output: The CSV to write: `id, description, length, location, score`, a column a class, `truncated`. It appears
            when it is whole.
        tokens_per_batch: Tokens of a batch, at most; what suits the device if None.
        device: `cpu`, `cuda`, ...; the GPU if there is one.
        precision: What the model computes in; see [`set_precision`].
        compiled: With torch.compile.

    Returns:
        How many proteins were classified.

    Raises:
        InputError: A model or a record that cannot be used.
    """
    if not output.endswith(".csv"):
        raise OptionError(f"output {output}: expected a name that ends in .csv")
    total = sum(1 for _ in _records(source))
    classifier, tokenizer = load_classifier(model, device, precision, compiled)
    encoder = classifier_encoder(classifier, tokenizer)
    os.makedirs(os.path.dirname(output) or ".", exist_ok=True)
    part = output + ".part"
    try:
        with open(part, "w", newline="", encoding="utf-8") as file, tqdm(total=total, unit="protein") as bar:
            writer = csv.writer(file, lineterminator="\n")
            labels = classifier.config.labels
            writer.writerow(["id", "description", "length", "location", "score", *labels, "truncated"])
            records = _records(source)
            while chunk := list(islice(records, CHUNK)):
                writer.writerows(_rows(chunk, classifier, encoder, tokens_per_batch, bar))
        os.replace(part, output)
    finally:
        if os.path.exists(part):
            os.remove(part)
    return total


def _records(source: str) -> Iterator[Record]:
    if not os.path.isfile(source):
        raise OptionError(f"{source}: no such file; expected a FASTA file, plain or .gz")
    return read_fasta(source)


def _rows(
    chunk: list[Record], classifier: ProteinClassifier, encoder: ProteinEncoder, tokens_per_batch: int | None, bar: tqdm
) -> Iterator[list[str]]:
    """The lines of some proteins, in their order."""
    encoded = [np.frombuffer(encoder(record.residues), dtype=np.uint8) for record in chunk]
    scores = probabilities(predict_logits(classifier, encoded, tokens_per_batch, bar.update))
    for record, row in zip(chunk, scores, strict=True):
        best = int(row.argmax())
        length = len(record.residues)
        yield [
            record.place.accession,
            record.description,
            str(length),
            classifier.config.id2label[best],
            f"{row[best]:.6f}",
            *(f"{score:.6f}" for score in row),
            "yes" if encoder.is_cropped(length) else "no",
        ]
