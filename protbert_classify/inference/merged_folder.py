"""A saved model for places that do not have the base model of its adapter: the Hub, a container."""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

CONFIG = "config.json"


@contextmanager
def merged_folder(folder: str) -> Iterator[str]:
    """The folder of a saved model; if it has an adapter, a temporary copy with the adapter merged into the weights.

    Args:
        folder: With `config.json`, weights and tokenizer; it stays as it is.

    Raises:
        ModelError: The adapter's base model is missing or another one, or `peft` is not installed.
    """
    with open(os.path.join(folder, CONFIG), encoding="utf-8") as file:
        has_adapter = json.load(file).get("adapter") is not None
    if not has_adapter:
        yield folder
        return
    from .saved_classifier import load_with_tokenizer  # takes seconds

    model, _, _ = load_with_tokenizer(folder)  # which merges
    with tempfile.TemporaryDirectory() as whole:
        for entry in os.scandir(folder):
            if entry.is_file() and not entry.name.endswith(".safetensors"):  # the tokenizer
                shutil.copy(entry.path, whole)
        model.save_pretrained(whole)
        yield whole
