"""Classify proteins from their sequence with a fine-tuned protein language model.

The public names are loaded on first use, so that importing the package costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .version import __version__

if TYPE_CHECKING:
    from .data.deeploc import DeepLoc, load_deeploc
    from .data.loading import load_proteins
    from .data.scl2205 import write_scl2205
    from .inference.ensemble import build_ensemble
    from .inference.pipeline import ProteinClassificationPipeline
    from .model.configuration import ProteinClassifierConfig
    from .model.ensemble import ProteinEnsemble
    from .model.modeling import ProteinClassifier
    from .pretraining.proteins import load_unlabelled
    from .pretraining.trainer import MaskedLMTrainer
    from .pretraining.training_arguments import PretrainingArguments
    from .training.trainer import ProteinTrainer
    from .training.training_arguments import ProteinTrainingArguments

__all__ = [
    "DeepLoc",
    "MaskedLMTrainer",
    "PretrainingArguments",
    "ProteinClassificationPipeline",
    "ProteinClassifier",
    "ProteinClassifierConfig",
    "ProteinEnsemble",
    "ProteinTrainer",
    "ProteinTrainingArguments",
    "__version__",
    "build_ensemble",
    "load_deeploc",
    "load_proteins",
    "load_unlabelled",
    "write_scl2205",
]

_HOMES = {
    "DeepLoc": ".data.deeploc",
    "MaskedLMTrainer": ".pretraining.trainer",
    "PretrainingArguments": ".pretraining.training_arguments",
    "ProteinClassificationPipeline": ".inference.pipeline",
    "ProteinClassifier": ".model.modeling",
    "ProteinClassifierConfig": ".model.configuration",
    "ProteinEnsemble": ".model.ensemble",
    "ProteinTrainer": ".training.trainer",
    "ProteinTrainingArguments": ".training.training_arguments",
    "build_ensemble": ".inference.ensemble",
    "load_deeploc": ".data.deeploc",
    "load_proteins": ".data.loading",
    "load_unlabelled": ".pretraining.proteins",
    "write_scl2205": ".data.scl2205",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name], __name__), name)
    if _HOMES[name].startswith(
        (".model", ".training", ".pretraining.trainer")
    ):  # with a model comes the pipeline's task
        import_module(".inference.pipeline", __name__)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
