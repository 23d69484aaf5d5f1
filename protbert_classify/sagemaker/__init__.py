"""Training and deployment on Amazon SageMaker (extra `sagemaker`), over version 3 of its SDK.

Importing this package imports none of the SDK: `container` runs inside jobs, which do not have it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .endpoint import deploy
    from .machines import Machines
    from .predictor import Predictor
    from .session import open_session
    from .status import delete_endpoint
    from .training import HuggingFaceEstimator
    from .transform import Transformer, collect_transform

_MODULES = {
    "HuggingFaceEstimator": "training",
    "Machines": "machines",
    "Predictor": "predictor",
    "Transformer": "transform",
    "collect_transform": "transform",
    "delete_endpoint": "status",
    "deploy": "endpoint",
    "open_session": "session",
}
__all__ = [
    "HuggingFaceEstimator",
    "Machines",
    "Predictor",
    "Transformer",
    "collect_transform",
    "delete_endpoint",
    "deploy",
    "open_session",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_MODULES[name]}", __name__), name)
