"""Whether a saved classifier was trained on given proteins, by the fingerprint in its run's record."""

import os
from typing import Any

import numpy as np
from datasets import Dataset, DatasetDict

from ..data.fingerprint import fingerprint
from ..data.splitting import STRATEGIES, sample
from ..model.tasks import Task
from ..model_source import resolve_model_path
from ..runs.files import MODEL, RECORD, read_json


def count_seen(model: str, splits: DatasetDict, task: Task) -> int:
    """How many of the proteins of `train` the classifier was trained on: all that its training would choose, or none.

    Only the whole of the training data, in the same order, is recognised: a run records one fingerprint of it.

    Args:
        model: The folder of a run or its `model/`; of any other model the training data is not known.
        splits: All proteins of a source, as `read_proteins` gives them.
        task: The main task of the classifier.
    """
    record = _record(model)
    if record is None or "train" not in splits:
        return 0
    options = record["data_arguments"]
    train = splits["train"]
    if options["validation_data"] is None and "validation" not in splits:
        train = _without_validation(train, options, task)
    train = sample(train, options["max_train_samples"], options["split_seed"], task)
    return len(train) if fingerprint(train, options["label_column"]) == record["data_fingerprint"]["train"] else 0


def _without_validation(train: Dataset, options: dict[str, Any], task: Task) -> Dataset:
    """What training leaves of its proteins when it takes some of them for validation, as `add_validation` does.

    Without its warning that a file is too small for that: nobody wants to train on these proteins.
    """
    if not options["validation"]:
        return train
    chosen = STRATEGIES["stratified"](train, task, options["validation"], options["split_seed"])
    return train.select(np.flatnonzero(~chosen))


def _record(model: str) -> dict[str, Any] | None:
    """`run.json` of the run that a model is of."""
    path = os.path.abspath(resolve_model_path(model))
    record = os.path.join(os.path.dirname(path), RECORD)
    return read_json(record) if os.path.basename(path) == MODEL and os.path.isfile(record) else None
