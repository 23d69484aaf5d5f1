"""Training and deployment on Amazon SageMaker (extra `sagemaker`), over version 3 of its SDK.

`container` runs inside the jobs, which have no SDK: importing this package imports nothing of it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .deployment import Predictor, attach, deploy
    from .estimator import HuggingFaceEstimator
    from .transform import Transformer

_HOMES = {
    "HuggingFaceEstimator": "estimator",
    "Predictor": "deployment",
    "Transformer": "transform",
    "attach": "deployment",
    "deploy": "deployment",
}
__all__ = ["HuggingFaceEstimator", "Predictor", "Transformer", "attach", "deploy"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)
