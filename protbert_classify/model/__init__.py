"""Token ids in, logits out. Imports nothing else of the package, so that its files can travel to the Hub alone."""

from transformers import AutoConfig, AutoModelForSequenceClassification

from .configuration import ProteinClassifierConfig
from .modeling import ProteinClassifier

__all__ = ["ProteinClassifier", "ProteinClassifierConfig"]

# With the package imported, the Auto classes know our models without remote code.
AutoConfig.register(ProteinClassifierConfig.model_type, ProteinClassifierConfig, exist_ok=True)
AutoModelForSequenceClassification.register(ProteinClassifierConfig, ProteinClassifier, exist_ok=True)
