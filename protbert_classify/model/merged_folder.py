"""A saved model for places that do not have the base model of its adapter."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from .configuration import ProteinClassifierConfig
from .modeling import ProteinClassifier


@contextmanager
def merged_folder(folder: str) -> Iterator[str]:
    """The folder of a saved model; if it has an adapter, a temporary copy with the adapter merged into the weights.

    Raises:
        ValueError: The adapter's base model is missing, or another one.
    """
    if ProteinClassifierConfig.from_pretrained(folder).adapter is None:
        yield folder
        return
    model = ProteinClassifier.from_pretrained(folder).merge_adapter()
    with tempfile.TemporaryDirectory() as whole:
        for entry in os.scandir(folder):
            if entry.is_file() and not entry.name.endswith(".safetensors"):  # the tokenizer
                shutil.copy(entry.path, whole)
        model.save_pretrained(whole)
        yield whole
