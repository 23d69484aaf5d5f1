"""Proteins in, their embeddings out: streamed and shared by several processes, as predictions are."""

import hashlib
import json
from typing import Any

import numpy as np
import torch
from tqdm.auto import tqdm

from ..data.column_names import ColumnNames
from ..data.encoder import ProteinEncoder
from ..data.records import Record
from ..errors import OptionError
from ..model import ProteinClassifier
from ..model_source import check_max_length, resolve_model_path
from .embedding_writers import DTYPES, check_embeddings, embedding_table
from .embeddings import embed_proteins
from .file_run import FileRun
from .parts_settings import part_size, settings_for
from .saved_classifier import classifier_encoder
from .saved_encoder import load_encoder
from .streaming import PredictionSummary
from .writers import Prediction

PROTEIN, RESIDUE = "protein", "residue"
RESIDUE_PART = 128  # proteins of a part: ESM-2 650M makes about 2 MB of vectors of one


def embed_file(
    model: str,
    source: str,
    output: str,
    *,
    per: str = PROTEIN,
    pooling: str | None = None,
    layer: int | None = None,
    dtype: str = "float32",
    max_length: int | None = None,
    columns: ColumnNames | None = None,
    strict: bool = False,
    resume: bool = False,
    overwrite: bool = False,
    tokens_per_batch: int | None = None,
    device: str | None = None,
    precision: str = "float32",
    compiled: bool = False,
) -> PredictionSummary:
    """Embed the proteins of a source, in its order.

    Memory does not grow with the input, parts survive a kill, and several processes share them, as in [`predict_file`].

    Args:
        model: The folder of a run or of a model, or a Hub id: a fine-tuned model, or a bare encoder such as ESM-2.
        source: See [`read_records`].
        output: A .parquet file: `id, description, length, embedding, truncated`; or, per protein, a .safetensors file
            with the tensor `embeddings` (N, D), whose rows are those of `<output>.proteins.csv`. N proteins, vectors of
            D values. It appears when it is whole.
        per: `protein` for a vector (D,) each, or `residue` for (R, D), a vector for each residue that the model reads.
        pooling: How the hidden states of residues become the vector of a protein. If None, as in the training of a
            fine-tuned model, so that the vector is what its head reads; `mean` for a bare encoder.
        layer: The layer whose hidden states become the vectors, counted from 1; the last one if None.
        dtype: Of the vectors: `float32` or `float16`.
        max_length: Tokens of the longest input, special ones included: longer proteins are cropped. If None, that of
            the training of a fine-tuned model, and all positions of a bare encoder.
        columns: Names of a table's columns.
        strict: Stop at the first record that cannot be embedded; else it goes to `<output>.rejected.csv`.
        resume: Continue with the parts that an interrupted run left.
        overwrite: Forget them.
        tokens_per_batch: Tokens of a batch, at most; what suits the device if None.
        device: `cpu`, `cuda`, ...; the GPU if there is one.
        precision: What the model computes in; see [`set_precision`].
        compiled: With torch.compile.

    Returns:
        How many proteins were embedded (as `classified`) and how many records were rejected.

    Raises:
        InputError: A model (an ensemble or a decoder, say), a source or an option that cannot be used; with `strict`,
            a record.
        KeyboardInterrupt: Ctrl-C; the parts are kept.
    """
    if per not in (PROTEIN, RESIDUE):
        raise OptionError(f"per={per!r}: expected {PROTEIN} or {RESIDUE}")
    if dtype not in DTYPES:
        raise OptionError(f"dtype={dtype!r}: expected {' or '.join(DTYPES)}")
    per_residue = per == RESIDUE
    if per_residue and pooling is not None:
        raise OptionError(f"pooling={pooling!r}: vectors of residues are not pooled; leave it out")
    check_embeddings(source, output, per_residue)
    run = FileRun(source, output, columns, strict=strict, resume=resume, overwrite=overwrite)
    if run.before is not None:
        return run.before
    if per_residue and layer is not None:
        pooling = "mean"  # none is used, but one of another layer would be refused
    encoder, tokenizer = load_encoder(model, pooling, run.processes.device(device), precision, compiled, layer)
    if max_length is not None:
        check_max_length(encoder.config.backbone_config, max_length)
    encode = classifier_encoder(encoder, tokenizer, max_length)  # refuses a wrong length before anything is written
    size = encoder.config.hidden_size if per_residue else encoder.pooling.output_size
    settings = settings_for(
        encoder,
        resolve_model_path(model),
        _fingerprint(encoder),
        tokens_per_batch=tokens_per_batch,
        precision=precision,
        compiled=compiled,
        size=RESIDUE_PART if per_residue else part_size(encoder),
    )
    settings |= {"per": per, "pooling": encoder.config.pooling, "dtype": dtype}
    settings |= {name: value for name, value in (("layer", layer), ("max_length", max_length)) if value is not None}
    run.begin(settings)
    worker = _Worker(
        encoder,
        encode,
        per_residue=per_residue,
        dtype=getattr(torch, dtype),
        tokens_per_batch=tokens_per_batch,
    )
    return run.finish(embedding_table(output, size, dtype, per_residue), worker.embed, settings["part_size"])


class _Worker:
    """Embeds records; identical proteins are computed once."""

    def __init__(self, model: ProteinClassifier, encoder: ProteinEncoder, **options: Any) -> None:
        self.model = model
        self.encoder = encoder
        self.options = options

    def embed(self, records: list[Record], bar: tqdm) -> list[Prediction]:
        rows: dict[bytes, int] = {}
        row_of = [rows.setdefault(self.encoder(record.residues), len(rows)) for record in records]
        encoded = [np.frombuffer(ids, dtype=np.uint8) for ids in rows]
        vectors = embed_proteins(self.model, encoded, progress=bar.update, **self.options)
        bar.update(len(records) - len(rows))
        return [
            Prediction(
                place.accession,
                description,
                len(residues),
                [vectors[row]],
                self.encoder.is_cropped(len(residues)),
            )
            for (place, description, residues), row in zip(records, row_of, strict=True)
        ]


def _fingerprint(model: ProteinClassifier) -> str:
    """Of the backbone and the pooling: their configuration, the pooling's weights and a row of each of the backbone's.

    A row is enough, as every training changes it, and takes no time.
    """
    config = {name: value for name, value in model.backbone.config.to_dict().items() if name != "_name_or_path"}
    about = [config, model.config.pooling, model.special_tokens]
    digest = hashlib.sha256(json.dumps(about, sort_keys=True, default=str).encode())
    rows = {
        name: weight[-1] if weight.dim() > 1 else weight
        for name, weight in model.backbone.named_parameters()
        if type(weight) is torch.nn.Parameter  # int8 is in a class of its own
    }
    for name, weight in sorted({**rows, **model.pooling.state_dict(prefix="pooling.")}.items()):
        digest.update(name.encode() + weight.detach().float().cpu().numpy().tobytes())
    return digest.hexdigest()[:16]
