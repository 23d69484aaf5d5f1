"""Token ids in, logits out. Imports nothing else of the package, so that its files can travel to the Hub alone.

The classes are loaded on first use: code that needs only [`Task`] does not wait for torch and transformers.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .configuration import ProteinClassifierConfig
    from .modeling import ProteinClassifier

__all__ = ["ProteinClassifier", "ProteinClassifierConfig"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals().update(_registered())
    return globals()[name]


def _registered() -> dict[str, Any]:
    """The public classes, made known to the Auto classes, which then need no remote code."""
    from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification

    config = import_module(".configuration", __name__).ProteinClassifierConfig
    modeling = import_module(".modeling", __name__)
    AutoConfig.register(config.model_type, config, exist_ok=True)
    AutoModel.register(config, modeling.ProteinBackbone, exist_ok=True)
    AutoModelForSequenceClassification.register(config, modeling.ProteinClassifier, exist_ok=True)
    return {"ProteinClassifier": modeling.ProteinClassifier, "ProteinClassifierConfig": config}
