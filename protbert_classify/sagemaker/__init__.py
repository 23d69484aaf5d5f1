"""Training and deployment on Amazon SageMaker (extra `sagemaker`), over version 3 of its SDK.

`container` runs inside the jobs, which have no SDK: importing this package imports nothing of it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .deletion import delete_endpoint
    from .deployment import deploy
    from .estimator import HuggingFaceEstimator
    from .lifecycle import endpoints
    from .predictor import Predictor, attach
    from .requests import Asynchronous, Serverless
    from .transform import Transformer
    from .transformation import attach_transform

_HOMES = {
    "Asynchronous": "requests",
    "HuggingFaceEstimator": "estimator",
    "Predictor": "predictor",
    "Serverless": "requests",
    "Transformer": "transform",
    "attach": "predictor",
    "attach_transform": "transformation",
    "delete_endpoint": "deletion",
    "deploy": "deployment",
    "endpoints": "lifecycle",
}
__all__ = [
    "Asynchronous",
    "HuggingFaceEstimator",
    "Predictor",
    "Serverless",
    "Transformer",
    "attach",
    "attach_transform",
    "delete_endpoint",
    "deploy",
    "endpoints",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)
