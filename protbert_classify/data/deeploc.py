"""DeepLoc 1.0 (Almagro Armenteros et al. 2017, doi:10.1093/bioinformatics/btx431): its FASTA as an Arrow dataset."""

import logging
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from glob import escape
from typing import Any, NamedTuple

import datasets
import pyarrow as pa
from datasets import ClassLabel, DatasetDict, Features
from datasets import List as ListOf
from datasets.builder import Key
from datasets.packaged_modules.fasta.fasta import Fasta, FastaConfig

from ..errors import DataError, OptionError
from ..homology.neighbours import COVERAGE, IDENTITY
from ..model.tasks import LABEL_SEPARATOR
from ..tasks.columns import infer_task
from .alphabet import space
from .fasta import DEEPLOC_HEADER, PARSER_VERSION, read_fasta
from .records import Accessions, Place, Record, protein_features
from .sources import dataset_errors, open_plain_or_gzip
from .split_strategies import IDENTICAL
from .splitting import add_validation, report_copies

logger = logging.getLogger(__name__)

URL = "https://services.healthtech.dtu.dk/services/DeepLoc-1.0/deeploc_data.fasta"
LOCATIONS = (
    "Cell.membrane",
    "Cytoplasm",
    "Endoplasmic.reticulum",
    "Extracellular",
    "Golgi.apparatus",
    "Lysosome/Vacuole",
    "Mitochondrion",
    "Nucleus",
    "Peroxisome",
    "Plastid",
)
MEMBRANE = ("M", "S", "U")  # membrane-bound, soluble, unknown
AMBIGUOUS = "Cytoplasm-Nucleus"
AMBIGUOUS_CHOICES = ("drop", "keep", "first")
BATCH = 10_000  # records a table

# Location-Membrane [test]: the membrane flag follows the last hyphen, since Cytoplasm-Nucleus-U exists.
_PARTS = {AMBIGUOUS: ("Cytoplasm", "Nucleus")}

RecordReader = Callable[[], Iterator[Record]]


class Label(NamedTuple):
    """The labels in a header; several locations only with `multi_label`."""

    locations: tuple[str, ...]
    membrane: str
    is_train: bool


@dataclass
class DeepLocConfig(FastaConfig):
    """Configuration of the builder.

    Args:
        ambiguous: How to treat the `Cytoplasm-Nucleus` proteins: `drop` (as in the paper), `keep` (a class of their
            own, the eleventh) or `first` (Cytoplasm, as code that splits at the first hyphen reads it). Has no effect
            with `multi_label`, where they have both locations.
        multi_label: Whether a protein may have several locations, `Cytoplasm;Nucleus-U`: `location` is then a list.
    """

    ambiguous: str = "drop"
    multi_label: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        check_ambiguous(self.ambiguous)

    @property
    def locations(self) -> tuple[str, ...]:
        return (*LOCATIONS, AMBIGUOUS) if self.ambiguous == "keep" and not self.multi_label else LOCATIONS

    @property
    def proteins(self) -> Features:
        """The columns."""
        location = ClassLabel(names=list(self.locations))
        answers = {
            "location": ListOf(location) if self.multi_label else location,
            "membrane": ClassLabel(names=list(MEMBRANE)),
        }
        return protein_features(answers)


class DeepLoc(Fasta):
    """`datasets` builder for FASTA with DeepLoc's headers, `>ACCESSION Location-{M,S,U} [test]`.

    Files are plain or gzip-compressed, local or remote; without any, the official one is downloaded and cached. The
    splits `train` and `test` come from the headers; a split without records is missing. Works prepared
    (`download_and_prepare`, `as_dataset`) and streamed (`as_streaming_dataset`).

    Columns: `id`, `sequence` (upper case, spaced), `sequence_length`, `location` (a class, or a list of classes with
    `multi_label`), `membrane`, `is_train`.

    Args:
        data_files: Path or URL, or several.
        ambiguous: See [`DeepLocConfig`].
        multi_label: See [`DeepLocConfig`].

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from protbert_classify import DeepLoc
        >>> path = Path(tempfile.mkdtemp()) / "proteins.fasta"
        >>> _ = path.write_text(">P1 Nucleus-S\\nMKTAYI\\n>P2 Cytoplasm-U test\\nMRRKSK\\n")
        >>> builder = DeepLoc(data_files=str(path))
        >>> builder.download_and_prepare()
        >>> builder.as_dataset(split="test")["sequence"][:]
        ['M R R K S K']

    Raises:
        InputError: With file, record number and accession, for anything that is not as described.
    """

    # part of the cache's path: raise its second number when the columns change
    VERSION = datasets.Version(f"1.1.{PARSER_VERSION}")
    BUILDER_CONFIG_CLASS = DeepLocConfig

    def _info(self) -> datasets.DatasetInfo:
        return datasets.DatasetInfo(
            features=self.config.proteins,
            homepage=URL.rsplit("/", 1)[0],
            citation="doi:10.1093/bioinformatics/btx431",
        )

    def _split_generators(self, dl_manager: Any) -> list[datasets.SplitGenerator]:
        data_files = self.config.data_files or {"train": [URL]}
        sources = [str(file) for files in data_files.values() for file in files]
        streaming = dl_manager.is_streaming
        paths = dl_manager.download_and_extract(sources) if streaming else dl_manager.download(sources)
        opener = _open_streamed if streaming else open_plain_or_gzip
        files = [
            partial(read_fasta, path, os.path.basename(source.split("::")[0]), opener)
            for path, source in zip(paths, sources, strict=True)
        ]
        tables: Iterable[pa.Table]
        if streaming:
            tables = _Reread(self, files)
            present = {split for file in files for split in self._splits_of(file)}
        else:  # read once for both splits, before anything is written
            tables = tuple(self._read(files))
            present = {
                "train" if kept else "test" for table in tables for kept in table["is_train"].unique().to_pylist()
            }
        return [
            datasets.SplitGenerator(name=split, gen_kwargs={"tables": tables, "is_train": split == "train"})
            for split in ("train", "test")
            if split in present
        ]

    def _generate_tables(self, tables: Iterable[pa.Table], is_train: bool) -> Iterator[tuple[Key, pa.Table]]:
        for index, table in enumerate(tables):
            flags = table["is_train"]
            yield Key(0, index), table.filter(flags if is_train else pa.compute.invert(flags))

    def _read(self, files: Sequence[RecordReader]) -> Iterator[pa.Table]:
        """Check every record of all files; yield those that are kept, a batch at a time."""
        parse = _HeaderParser(self.config)
        accessions = Accessions()
        total = left_out = 0
        batch: list[tuple[Any, ...]] = []
        for file in files:
            for place, description, residues in file():
                total += 1
                label = parse(description, place)
                if accessions.is_copy(place, description, residues):
                    continue
                if not set(label.locations) <= set(self.config.locations):
                    left_out += 1
                    continue
                batch.append((place.accession, space(residues), len(residues), *label))
                if len(batch) == BATCH:
                    yield self._table(batch)
                    batch = []
        if batch:
            yield self._table(batch)
        # kept in the cache with the data, so that every load can say it again
        self.info.description = _summary(total, left_out, accessions.copies)

    def _table(self, batch: list[tuple[Any, ...]]) -> pa.Table:
        ids, sequences, lengths, locations, membranes, is_train = zip(*batch)
        index = {name: i for i, name in enumerate(self.config.locations)}
        columns = {
            "id": ids,
            "sequence": sequences,
            "sequence_length": lengths,
            "location": [
                sorted(index[name] for name in names) if self.config.multi_label else index[names[0]]
                for names in locations
            ],
            "membrane": [MEMBRANE.index(flag) for flag in membranes],
            "is_train": is_train,
        }
        return pa.table(
            {name: list(values) for name, values in columns.items()}, schema=self.info.features.arrow_schema
        )

    def _splits_of(self, file: RecordReader) -> set[str]:
        """The splits in a file, from its headers; stops as soon as both are seen."""
        parse = _HeaderParser(self.config)
        found: set[str] = set()
        for place, description, _ in file():
            label = parse(description, place)
            if set(label.locations) <= set(self.config.locations):
                found.add("train" if label.is_train else "test")
            if len(found) == 2:
                break
        return found


class _Reread:
    """Tables read again, a batch at a time, whenever they are iterated: what streaming needs."""

    def __init__(self, builder: DeepLoc, files: Sequence[RecordReader]) -> None:
        self.builder, self.files = builder, files

    def __iter__(self) -> Iterator[pa.Table]:
        return self.builder._read(self.files)


def _open_streamed(path: str, mode: str) -> Any:
    """`datasets` replaces the `open` of this module by one for remote and compressed files."""
    return open(path, mode)


class _HeaderParser:
    """Parses each description once: they repeat."""

    def __init__(self, config: DeepLocConfig) -> None:
        self.ambiguous, self.multi_label = config.ambiguous, config.multi_label
        self.known: dict[str, Label] = {}

    def __call__(self, description: str, place: Place) -> Label:
        if description not in self.known:
            self.known[description] = self._parse(description, place)
        return self.known[description]

    def _parse(self, description: str, place: Place) -> Label:
        match = DEEPLOC_HEADER.fullmatch(description.strip())
        if match is None:
            found = f"{description.strip()[:60]!r}" if description.strip() else "nothing"
            raise DataError(
                f"{place}: found {found} after the accession; expected Location-M, -S or -U and, perhaps, 'test'; "
                "other headers need a header_pattern"
            )
        names = match["location"].split(LABEL_SEPARATOR) if self.multi_label else [match["location"]]
        for name in names:
            if name not in LOCATIONS and name != AMBIGUOUS:
                several = "several at once need multi_label_classification; " if LABEL_SEPARATOR in name else ""
                raise DataError(
                    f"{place}: unknown location {name!r}; expected one of {', '.join(LOCATIONS)}, {AMBIGUOUS}; "
                    f"{several}other labels need a header_pattern"
                )
        return Label(self._locations(names), match["membrane"], match["test"] is None)

    def _locations(self, names: Sequence[str]) -> tuple[str, ...]:
        if not self.multi_label:
            return (LOCATIONS[1],) if names[0] == AMBIGUOUS and self.ambiguous == "first" else (names[0],)
        return tuple(dict.fromkeys(part for name in names for part in _PARTS.get(name, (name,))))


def _summary(total: int, left_out: int, copies: int) -> str:
    parts = [f"{total:,} records read"]
    if left_out:
        parts.append(f"{left_out:,} {AMBIGUOUS} left out (ambiguous='drop')")
    if copies:
        parts.append(f"{copies:,} identical duplicates dropped")
    return ", ".join(parts)


def check_ambiguous(choice: str) -> None:
    """Raise OptionError for none of [`AMBIGUOUS_CHOICES`]."""
    if choice not in AMBIGUOUS_CHOICES:
        raise OptionError(f"ambiguous={choice!r}: expected one of {', '.join(AMBIGUOUS_CHOICES)}")


def ambiguous_of(labels: Sequence[str]) -> str:
    """How a model with these labels had the `Cytoplasm-Nucleus` proteins read: `keep` or `drop`."""
    return "keep" if AMBIGUOUS in labels else "drop"


def load_deeploc(
    source: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | None = None,
    *,
    validation: float = 0.1,
    split: str = IDENTICAL,
    split_identity: float = IDENTITY,
    split_coverage: float = COVERAGE,
    ambiguous: str = "drop",
    seed: int = 42,
    multi_label: bool = False,
) -> DatasetDict:
    """Load DeepLoc or any FASTA with its headers.

    Args:
        source: FASTA file (plain or .gz), URL, or several; the official file if None.
        validation: Share of the training proteins, about the same of each location, for `validation`; 0 for none.
        split: How they are chosen: `homology`, `identical` or `random`; see [`load_proteins`].
        split_identity: For `homology`, minimum identity of neighbours; see [`find_neighbours`].
        split_coverage: For `homology`, minimum share of the shorter of two neighbours that is aligned.
        ambiguous: `drop`, `keep` or `first`, for the `Cytoplasm-Nucleus` proteins; see [`DeepLocConfig`].
        seed: Of the validation split.
        multi_label: Whether a protein may have several locations; see [`DeepLocConfig`].

    Returns:
        `train`, `validation` and `test`, as far as the data has them, with the columns of [`DeepLoc`].

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from protbert_classify import load_deeploc
        >>> path = Path(tempfile.mkdtemp()) / "proteins.fasta"
        >>> _ = path.write_text(">P1 Nucleus-S\\nMKTAYI\\n>P2 Cytoplasm-U test\\nMRRKSK\\n")
        >>> proteins = load_deeploc(path, validation=0)
        >>> proteins["train"]["id"][:], proteins["test"]["id"][:]
        (['P1'], ['P2'])

    Raises:
        InputError: A file that is not as expected: file, record, accession, what was found.
        ProteinClassifierError: The download failed.
    """
    splits = read_deeploc(source, ambiguous=ambiguous, multi_label=multi_label)
    task = infer_task(splits, "location")
    limits = {"identity": split_identity, "coverage": split_coverage}
    splits = add_validation(splits, validation, seed, task, split, **limits)
    report_copies(splits, task)
    return splits


def read_deeploc(
    source: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | None = None,
    *,
    ambiguous: str = "drop",
    multi_label: bool = False,
) -> DatasetDict:
    """[`load_deeploc`] without the validation split: `train` and `test` as the headers have them."""
    sources = [source] if isinstance(source, (str, os.PathLike)) else list(source or [])
    if source is not None and not sources:
        raise DataError("no files given; expected at least one, or None for the official file")
    files = [_data_file(os.fspath(file)) for file in sources]
    named = ", ".join(map(str, sources or [URL]))
    if source is None:
        logger.info("DeepLoc 1.0 from %s; downloaded once", URL)
    with dataset_errors(named):
        # no files, not [URL]: once prepared, the official data is found without a network
        builder = DeepLoc(data_files=files or None, ambiguous=ambiguous, multi_label=multi_label)
        builder.download_and_prepare()
    splits = builder.as_dataset()
    logger.info("%s", builder.info.description)
    if not splits:
        raise DataError(f"{named}: no protein is left; {builder.info.description}")
    return splits


def _data_file(source: str) -> str:
    """A path as `datasets` takes it, where brackets are patterns; URLs as they are."""
    if "://" in source:
        return source
    if not os.path.isfile(source):
        found = "is a folder" if os.path.isdir(source) else "no such file"
        raise DataError(f"{source}: {found}; expected a FASTA file")
    return escape(os.path.abspath(source))
