"""Training and deployment on Amazon SageMaker (extra `sagemaker`), over version 3 of its SDK.

`container` runs inside the jobs, which have no SDK: importing this package imports nothing of it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .aws import open_session
    from .deployment import deploy
    from .endpoints.capacity import Asynchronous, Serverless
    from .endpoints.deletion import delete_endpoint
    from .endpoints.lifecycle import list_endpoints
    from .endpoints.predictor import Predictor, attach
    from .estimator import HuggingFaceEstimator
    from .protection import Protection
    from .transform.transformation import attach_transform
    from .transformer import Transformer

_HOMES = {
    "Asynchronous": ".endpoints.capacity",
    "HuggingFaceEstimator": ".estimator",
    "Predictor": ".endpoints.predictor",
    "Protection": ".protection",
    "Serverless": ".endpoints.capacity",
    "Transformer": ".transformer",
    "attach": ".endpoints.predictor",
    "attach_transform": ".transform.transformation",
    "delete_endpoint": ".endpoints.deletion",
    "deploy": ".deployment",
    "list_endpoints": ".endpoints.lifecycle",
    "open_session": ".aws",
}
__all__ = [
    "Asynchronous",
    "HuggingFaceEstimator",
    "Predictor",
    "Protection",
    "Serverless",
    "Transformer",
    "attach",
    "attach_transform",
    "delete_endpoint",
    "deploy",
    "list_endpoints",
    "open_session",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name], __name__), name)
