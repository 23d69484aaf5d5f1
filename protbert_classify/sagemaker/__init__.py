"""Training and deployment on Amazon SageMaker (extra `sagemaker`), over version 3 of its SDK.

Importing this package imports none of the SDK: `container` runs inside jobs, which do not have it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .endpoint import Asynchronous, Serverless, delete_endpoint, deploy
    from .machines import Machines
    from .predictor import Predictor, attach
    from .security import Protection
    from .session import open_session
    from .training import HuggingFaceEstimator
    from .transform import Transformer, collect_transform

_MODULES = {
    **dict.fromkeys(("Asynchronous", "Serverless", "delete_endpoint", "deploy"), "endpoint"),
    **dict.fromkeys(("Predictor", "attach"), "predictor"),
    **dict.fromkeys(("Transformer", "collect_transform"), "transform"),
    "HuggingFaceEstimator": "training",
    "Machines": "machines",
    "Protection": "security",
    "open_session": "session",
}
__all__ = [
    "Asynchronous",
    "HuggingFaceEstimator",
    "Machines",
    "Predictor",
    "Protection",
    "Serverless",
    "Transformer",
    "attach",
    "collect_transform",
    "delete_endpoint",
    "deploy",
    "open_session",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_MODULES[name]}", __name__), name)
