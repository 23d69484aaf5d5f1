"""Embeddings of a frozen backbone, computed once for each protein and kept on disk, so that epochs cost little.

Shapes: N proteins, B of a batch, T tokens of the longest, H hidden size of the backbone, t vectors of a protein: one
for a pooling that needs no more, else one a residue.
"""

import contextlib
import hashlib
import json
import logging
import os
import shutil
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import torch
from accelerate import PartialState
from accelerate.utils import broadcast_object_list
from datasets import Array2D, Dataset, Features, Value, concatenate_datasets
from tqdm.auto import tqdm

from ..data.collators import collate_labels
from ..errors import DataError, OptionError, ProteinClassifierError
from ..inference.engine import DEVICE_TOKENS, batches_at_a_time, default_tokens, run_batches
from ..inference.logits import encoded_batches
from ..model import ProteinClassifier
from ..model.attention import unpack
from ..model.packing import packed_output
from ..model.pooling import embeds, residue_mask

logger = logging.getLogger(__name__)

FORMAT = 1  # of the files and of how they are computed; files of another format are not read
# trained with the head, or without a part in the hidden states
NOT_EMBEDDING = ("pooler.", "contact_head.")
CHUNK_TOKENS = 8 * DEVICE_TOKENS  # embedded, in order of length, before they are written in that of the rows
ABANDONED = 24 * 3600  # seconds; a process that still embeds writes more often, even on a slow CPU


def embed(
    model: ProteinClassifier,
    encoded: Dataset,
    *,
    cache_root: str | os.PathLike[str] | None = None,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str | None = None,
) -> Dataset:
    """Embed each protein with the frozen backbone, or read the embeddings of the same proteins from disk.

    Each of several processes embeds its share; all must see the same disk.

    Args:
        model: With `freeze_backbone`; moved to `device`.
        encoded: (N,), `input_ids`, `length` and, for training, `labels`; see [`encode`].
        cache_root: Where embeddings are kept, a folder for each set; in the cache of `datasets` if None.
        dtype: What the backbone computes in: float32, or a half precision by autocast.
        device: What it computes on; that of the process if None.

    Returns:
        (N,), memory-mapped, in the order of `encoded`: `last_hidden_state` (t, H), float16 on disk; `length`, t; and
        `labels`, those of `encoded`. For [`EmbeddingCollator`] and so for `ProteinClassifier.forward`.

    Raises:
        OptionError: The backbone is not frozen.
        DataError: A hidden state that float16 cannot hold.
        ProteinClassifierError: No room on the disk.
    """
    if not model.config.freeze_backbone:
        raise OptionError("embeddings of a backbone that trains would be of no use; expected freeze_backbone")
    state = PartialState()
    folder, unfinished = _shared_folders(model, encoded, cache_root, dtype, state)
    if unfinished is not None:
        part = unfinished / f"part-{state.process_index:05d}-of-{state.num_processes:05d}.arrow"
        rows = _share(np.asarray(encoded["length"]), state)
        with _removed_on_failure(unfinished):
            _write(model.to(device or state.device), encoded, rows, part, dtype)
        state.wait_for_everyone()
        if state.is_main_process:
            _publish(unfinished, folder)
        state.wait_for_everyone()
    embeddings = _read(folder, encoded)
    if state.is_main_process:
        size = sum(os.path.getsize(file["filename"]) for file in embeddings.cache_files) / 1e9
        how = "taken from" if unfinished is None else "written to"
        logger.info("embeddings of %s proteins (%.2f GB) %s %s", f"{len(embeddings):,}", size, how, folder)
    return embeddings


def summarize(hidden: torch.Tensor, attention_mask: torch.Tensor, model: ProteinClassifier) -> torch.Tensor:
    """The vectors that the model's pooling needs, of one protein after the other.

    Args:
        hidden: (B, T, H), the backbone's last hidden state.
        attention_mask: (B, T), padded on the right.
        model: Whose pooling it is.

    Returns:
        (sum of t, H).
    """
    stored = embeds(model.config.pooling)
    if stored == "first":
        return hidden[:, 0]
    residues = residue_mask(attention_mask, *model.special_tokens)  # (B, T)
    if stored == "residues":
        return hidden[residues]
    weight = residues[..., None].float()
    return (hidden.float() * weight).sum(1) / weight.sum(1)


class EmbeddingCollator:
    """Pads embedded proteins to the most vectors of the batch."""

    def __call__(self, proteins: Sequence[Mapping[str, Any]]) -> dict[str, torch.Tensor]:
        """
        Args:
            proteins: Each with `last_hidden_state` (t, H) and, for training, `labels`.

        Returns:
            `last_hidden_state` (B, T, H), float32, `attention_mask` (B, T) and, if there, `labels` (B,), int64.
        """
        rows = [np.asarray(protein["last_hidden_state"]) for protein in proteins]
        longest, width = max(len(row) for row in rows), rows[0].shape[1]
        hidden = np.zeros((len(rows), longest, width), dtype=np.float32)
        mask = np.zeros((len(rows), longest), dtype=np.int64)
        for place, row in enumerate(rows):
            hidden[place, : len(row)] = row
            mask[place, : len(row)] = 1
        batch = {"last_hidden_state": torch.from_numpy(hidden), "attention_mask": torch.from_numpy(mask)}
        return {**batch, **collate_labels(proteins)}


def cache_key(model: ProteinClassifier, encoded: Dataset, dtype: torch.dtype = torch.float32) -> str:
    """SHA-256 of all that shapes embeddings: the backbone and its weights, the tokens, what is stored and how.

    Labels, pooling and head do not matter.
    """
    # the name is where it came from, not what it is
    config = {name: value for name, value in model.backbone.config.to_dict().items() if name != "_name_or_path"}
    about = [FORMAT, embeds(model.config.pooling), list(model.special_tokens), str(dtype), config]
    digest = hashlib.sha256(json.dumps(about, sort_keys=True, default=str).encode())
    for name, tensor in model.backbone.state_dict().items():
        if not name.startswith(NOT_EMBEDDING):
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
            digest.update(tensor.cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    ids, lengths = hashlib.sha256(), hashlib.sha256()
    for table in encoded.select_columns("input_ids").with_format("arrow").iter(batch_size=1000):
        for proteins in table["input_ids"].chunks:
            ids.update(proteins.flatten().to_numpy())
            lengths.update(proteins.value_lengths().to_numpy())
    digest.update(ids.digest() + lengths.digest())
    return digest.hexdigest()


def _shared_folders(
    model: ProteinClassifier,
    encoded: Dataset,
    cache_root: str | os.PathLike[str] | None,
    dtype: torch.dtype,
    state: PartialState,
) -> tuple[Path, Path | None]:
    """The folder of the embeddings and, if it is not there yet, the one to write, which no other run shares.

    The main process decides for all: looking for themselves, they could find different things.
    """
    decision: list[Any] = [None, None]
    if state.is_main_process:
        root = Path(cache_root or Path(datasets.config.HF_DATASETS_CACHE) / "protbert_classify" / "embeddings")
        folder = root / cache_key(model, encoded, dtype)
        decision = [folder, None]
        if not folder.is_dir():
            root.mkdir(parents=True, exist_ok=True)
            _remove_abandoned(root)
            _check_room(root, int(_counts(model, np.asarray(encoded["length"])).sum()) * model.config.hidden_size * 2)
            decision[1] = folder.with_suffix(f".{uuid.uuid4().hex}.tmp")
    folder, unfinished = broadcast_object_list(decision)
    return folder, unfinished


def _remove_abandoned(root: Path) -> None:
    """Delete what killed runs left behind."""
    for folder in root.glob("*.tmp"):
        with contextlib.suppress(OSError):  # another run removes it, or renames it
            if time.time() - max(path.stat().st_mtime for path in (folder, *folder.iterdir())) > ABANDONED:
                shutil.rmtree(folder)


def _check_room(root: Path, needed: int) -> None:
    free = shutil.disk_usage(root).free
    if needed > free:
        raise ProteinClassifierError(
            f"the embeddings need {needed / 1e9:.1f} GB, and {root} has {free / 1e9:.1f} GB free; "
            "free some space, or set HF_DATASETS_CACHE to a larger disk"
        )


def _counts(model: ProteinClassifier, lengths: np.ndarray) -> np.ndarray:
    """Vectors of each protein, t."""
    residues = embeds(model.config.pooling) == "residues"
    return lengths - sum(model.special_tokens) if residues else np.ones_like(lengths)


def _share(lengths: np.ndarray, state: PartialState) -> range:
    """The rows of this process: in one piece, and about as many tokens as those of any other."""
    ends = np.cumsum(lengths)
    borders = np.searchsorted(ends, ends[-1] * np.arange(1, state.num_processes) / state.num_processes)
    start, stop = [0, *borders.tolist(), len(lengths)][state.process_index : state.process_index + 2]
    return range(start, stop)


@contextlib.contextmanager
def _removed_on_failure(folder: Path) -> Iterator[None]:
    folder.mkdir(exist_ok=True)
    try:
        yield
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _write(model: ProteinClassifier, encoded: Dataset, rows: range, path: Path, dtype: torch.dtype) -> None:
    """Embed some rows into a file, a chunk at a time: memory does not grow with the data."""
    schema = _features(model).arrow_schema
    lengths = np.asarray(encoded["length"])[rows.start : rows.stop]
    with (
        _ready(model, dtype),
        open(path, "wb") as file,
        pa.ipc.new_stream(file, schema) as stream,
        tqdm(total=len(rows), unit="protein", desc="embedding", disable=not PartialState().is_main_process) as bar,
    ):
        for chunk in np.split(np.array(rows), np.flatnonzero(np.diff(np.cumsum(lengths) // CHUNK_TOKENS)) + 1):
            if len(chunk):
                proteins = encoded[chunk[0] : chunk[-1] + 1]["input_ids"]
                stream.write_batch(_embed_chunk(model, proteins, schema, dtype, bar))
        file.flush()
        os.fsync(file.fileno())  # the folder's name promises whole files, even after a power cut


def _embed_chunk(
    model: ProteinClassifier, proteins: Sequence[np.ndarray], schema: pa.Schema, dtype: torch.dtype, bar: tqdm
) -> pa.RecordBatch:
    """The embeddings of some proteins, batched by length, in their own order."""
    counts = _counts(model, np.array([len(protein) for protein in proteins]))
    ends = np.cumsum(counts)
    values = np.empty((ends[-1], model.config.hidden_size), dtype=np.float16)
    compute, tokens = partial(_embed_batch, model, dtype), default_tokens(model)
    lengths, collate = encoded_batches(model, proteins)
    together = batches_at_a_time(model)
    for rows, vectors in run_batches(lengths, collate, compute, model.device, tokens, bar.update, at_a_time=together):
        for row, piece in zip(rows, np.split(vectors, np.cumsum(counts[rows])[:-1]), strict=True):
            values[ends[row] - counts[row] : ends[row]] = piece
    if not np.isfinite(values).all():
        raise DataError("the backbone's hidden states go beyond float16 (65,504); train without embeddings")
    return pa.record_batch([_array(values, ends, schema), pa.array(counts, pa.int32())], schema=schema)


def _embed_batch(model: ProteinClassifier, dtype: torch.dtype, batch: dict[str, Any]) -> np.ndarray:
    """(sum of t, H), float16."""
    half = dtype != torch.float32
    with torch.autocast(model.device.type, dtype if half else None, enabled=half):
        if "cu_seq_lens_q" in batch:
            borders, longest = batch["cu_seq_lens_q"], batch["max_length_q"]
            packed = packed_output(
                model.backbone, batch["input_ids"], None, batch["position_ids"], borders, longest
            ).last_hidden_state
            hidden, mask = unpack(packed, borders, longest)
        else:
            hidden, mask = model.backbone(**batch, return_dict=True).last_hidden_state, batch["attention_mask"]
        return summarize(hidden, mask, model).half().cpu().numpy()


@contextlib.contextmanager
def _ready(model: ProteinClassifier, dtype: torch.dtype) -> Iterator[None]:
    """In evaluation mode, and packing where that pays; afterwards the model is as it was."""
    training, attention = model.training, model.backbone.config._attn_implementation
    model.eval().enable_packing(autocast=dtype if dtype != torch.float32 else None)
    try:
        yield
    finally:
        model.train(training)
        model.set_attn_implementation(attention)


def _features(model: ProteinClassifier) -> Features:
    # a name that forward() knows: Trainer drops other columns
    return Features(
        {"last_hidden_state": Array2D((None, model.config.hidden_size), "float16"), "length": Value("int32")}
    )


def _array(values: np.ndarray, ends: np.ndarray, schema: pa.Schema) -> pa.ExtensionArray:
    """(sum of t, H) as one (t, H) a protein, without a copy."""
    width = values.shape[1]
    inner = pa.array(np.arange(0, values.size + 1, width, dtype=np.int32))
    outer = pa.array(np.append(0, ends).astype(np.int32))
    vectors = pa.ListArray.from_arrays(inner, pa.array(values.reshape(-1)))
    column = schema.field("last_hidden_state").type
    return pa.ExtensionArray.from_storage(column, pa.ListArray.from_arrays(outer, vectors))


def _publish(unfinished: Path, folder: Path) -> None:
    """Declare embeddings whole: their folder appears at once or not at all."""
    try:
        unfinished.rename(folder)
    except OSError:
        if not folder.is_dir():
            raise
        shutil.rmtree(unfinished)  # another run was first with the same


def _read(folder: Path, encoded: Dataset) -> Dataset:
    parts = [Dataset.from_file(str(path)) for path in sorted(folder.glob("part-*.arrow"))]
    found = sum(map(len, parts))
    if found != len(encoded):
        raise ProteinClassifierError(
            f"{folder}: embeddings of {found} proteins, expected {len(encoded)}; delete the folder, and with several "
            "machines keep the cache of datasets, HF_DATASETS_CACHE, on a disk that all of them see"
        )
    embeddings = concatenate_datasets([part for part in parts if len(part)])
    for name in ("labels", "auxiliary_labels"):  # of today, whatever they were when the proteins were embedded
        if name in encoded.column_names:
            column = encoded.with_format("arrow")[:][name]
            embeddings = embeddings.add_column(name, column, feature=encoded.features[name])
    return embeddings.with_format("numpy")
