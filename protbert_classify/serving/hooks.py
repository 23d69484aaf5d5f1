"""The hooks of the Hugging Face inference container: `model_fn`, `input_fn`, `predict_fn`, `output_fn`.

`code/inference.py` beside the weights has one line, `from protbert_classify.serving.hooks import *`, and
`code/requirements.txt` names this package. The container's toolkit calls the hooks one after the other and answers
their exceptions with status 400; newer versions of it also pass a `context`. The extra `serve` is not needed.
"""

from typing import Any, NamedTuple

import torch

from ..evaluation.decision import Decision
from ..inference.saved_classifier import load_classifier
from .decoding import decoded
from .limits import Limits
from .requests import Query, read_query
from .responses import accepted_type, answer
from .served import ServedModel

__all__ = ["input_fn", "model_fn", "output_fn", "predict_fn"]


class Predictions(NamedTuple):
    """What `predict_fn` hands to `output_fn`."""

    query: Query
    decision: Decision
    truncated: list[bool]


def model_fn(model_dir: str, context: Any = None) -> ServedModel:
    """Load the model of a container.

    Args:
        model_dir: The folder that model.tar.gz was unpacked to: a run or a model.
        context: The container's; says which GPU this worker has.

    Raises:
        ModelError: There is no model.
    """
    gpu = context.system_properties.get("gpu_id") if context is not None else None
    device = f"cuda:{gpu}" if gpu is not None and torch.cuda.is_available() else None
    return ServedModel(*load_classifier(model_dir, device, "auto"))


def input_fn(input_data: str | bytes, content_type: str, context: Any = None) -> Query:
    """Read a request in one of the server's formats, compressed with gzip or not.

    Raises:
        InputError: A request that cannot be read; the message says what was found and what was expected.
    """
    body = input_data.encode() if isinstance(input_data, str) else bytes(input_data)
    return read_query(decoded(body, Limits().body), content_type)


def predict_fn(data: Query, model: ServedModel, context: Any = None) -> Predictions:
    """Classify the proteins of a request.

    Raises:
        InputError: Parameters that the model cannot satisfy.
    """
    model.check(data)
    logits = model.logits([model.encode(record) for record in data.records])
    return Predictions(data, model.decide(logits), model.truncated(data.records))


def output_fn(prediction: Predictions, accept: str, context: Any = None) -> str:
    """Write the answer in a format that the client accepts.

    Raises:
        InputError: An unknown format, or parameters that it does not have.
    """
    return answer(prediction.query, prediction.decision, prediction.truncated, accepted_type(accept))
