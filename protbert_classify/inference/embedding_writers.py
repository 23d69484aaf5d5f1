"""Tables of embeddings: Parquet, or one safetensors tensor with a table of its rows beside it.

Shapes: N proteins, R residues of a protein that the model reads, D values of a vector.
"""

import csv
import json
import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..errors import OptionError
from .streaming import check_paths
from .writers import AFTER, ARROW_TYPES, BEFORE, ParquetTable, Prediction, row_cells

EMBEDDING = "embedding"  # the column
TENSOR = "embeddings"
PROTEINS = ".proteins.csv"  # behind the name of a file of tensors: the proteins of its rows
DTYPES = {"float32": "F32", "float16": "F16"}  # by their names in safetensors


class EmbeddingTable(ParquetTable):
    """`id`, `description`, `length`, `embedding`, `truncated`: a row a protein; a vector is a list of fixed size.

    Args:
        size: D.
        dtype: Of the vectors: `float32` or `float16`.
        per_residue: A list of vectors in each row, (R, D), instead of one vector, (D,).
    """

    row_group = 1  # one for each part: what is read at once must not grow with the input
    options = {"use_dictionary": False}  # looking for equal numbers takes most of the time, and there are none

    def __init__(self, size: int, dtype: str = "float32", per_residue: bool = False) -> None:
        import pyarrow as pa

        vector = pa.list_(pa.type_for_alias(dtype), size)
        fields = [(column.name, ARROW_TYPES[column.kind]) for column in BEFORE]
        fields += [(EMBEDDING, pa.list_(vector) if per_residue else vector)]
        fields += [(column.name, ARROW_TYPES[column.kind]) for column in AFTER]
        self.schema = pa.schema(fields)
        self.size, self.dtype, self.per_residue = size, dtype, per_residue

    def _array(self, values: Sequence[Any], field: Any) -> Any:
        """Vectors, (D,) or (R, D) each, stay whole: taken apart, writing would take longer than computing them."""
        import pyarrow as pa

        if field.name != EMBEDDING:
            return super()._array(values, field)
        numbers = pa.array(np.concatenate(values).reshape(-1))
        if not self.per_residue:
            return pa.FixedSizeListArray.from_arrays(numbers, type=field.type)
        vectors = pa.FixedSizeListArray.from_arrays(numbers, type=field.type.value_type)
        borders = np.cumsum([0, *map(len, values)])
        return pa.ListArray.from_arrays(pa.array(borders, pa.int32()), vectors, type=field.type)


class TensorFile(EmbeddingTable):
    """The tensor `embeddings` (N, D), whose rows are those of a CSV: `id`, `description`, `length`, `truncated`.

    Args:
        output: The file of the tensor; the CSV is `<output>.proteins.csv`.
        size: D.
        dtype: Of the tensor.
    """

    def __init__(self, output: str, size: int, dtype: str = "float32") -> None:
        super().__init__(size, dtype)
        self.beside = output + PROTEINS

    def join(self, parts: Sequence[str], path: str) -> None:
        import pyarrow.parquet as pq

        columns = [*BEFORE, *AFTER]
        count = sum(pq.read_metadata(part).num_rows for part in parts)
        with open(path, "wb") as file, open(path + PROTEINS, "w", newline="", encoding="utf-8") as beside:
            rows = csv.writer(beside, lineterminator="\n")
            rows.writerow([column.name for column in columns])
            file.write(self._header(count))
            for part in parts:
                table = pq.read_table(part)
                file.write(table[EMBEDDING].combine_chunks().flatten().to_numpy())
                cells = (table[column.name].to_pylist() for column in columns)
                for name, description, length, truncated in zip(*cells, strict=True):
                    rows.writerow(row_cells(Prediction(name, description, length, (), truncated), columns))
        os.replace(path + PROTEINS, self.beside)  # before the tensor: what has its name is whole

    def _header(self, count: int) -> bytes:
        """As https://huggingface.co/docs/safetensors has it; the library writes only what is in memory."""
        size = count * self.size * (4 if self.dtype == "float32" else 2)
        tensor = {"dtype": DTYPES[self.dtype], "shape": [count, self.size], "data_offsets": [0, size]}
        text = json.dumps({TENSOR: tensor}).encode()
        text += b" " * (-len(text) % 8)  # so that the tensor is aligned
        return len(text).to_bytes(8, "little") + text


def check_embeddings(source: str, output: str, per_residue: bool) -> None:
    """Refuse an output whose ending is that of no format, or not of one for vectors of residues, or a bad path.

    Raises:
        OptionError: See there.
    """
    ending = _ending(output)
    if ending not in FORMATS:
        raise OptionError(f"output {output}: expected a name that ends in {' or '.join(FORMATS)}")
    if per_residue and ending == SAFETENSORS:
        raise OptionError(f"output {output}: vectors of residues go to a .parquet file; expected such a name")
    check_paths(source, output)
    if ending == SAFETENSORS:
        check_paths(source, output + PROTEINS)


def embedding_table(output: str, size: int, dtype: str, per_residue: bool) -> EmbeddingTable:
    """The format that a checked name's ending asks for; see [`EmbeddingTable`] and [`TensorFile`]."""
    if _ending(output) == SAFETENSORS:
        return TensorFile(output, size, dtype)
    return EmbeddingTable(size, dtype, per_residue)


PARQUET, SAFETENSORS = ".parquet", ".safetensors"
FORMATS = (PARQUET, SAFETENSORS)


def _ending(output: str) -> str:
    return os.path.splitext(output)[1].lower()
