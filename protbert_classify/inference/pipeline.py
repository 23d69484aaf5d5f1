"""`pipeline("protein-classification")`: sequences in, labels and scores out."""

from typing import Any

import torch
from transformers import Pipeline
from transformers.pipelines import PIPELINE_REGISTRY

from ..data.alphabet import clean
from ..model import ProteinClassifier
from .loading import classifier_encoder


class ProteinClassificationPipeline(Pipeline):
    """Classifies proteins given as strings, raw (`"MKT"`), spaced (`"M K T"`) or lower case.

    Args:
        top_k: Classes to return, best first; 1 by default, None for all.

    Returns:
        For a protein `{"label", "score"}`, or a list of them with `top_k` other than 1; for a list of proteins a list.

    Raises:
        SequenceError: A character that is no residue.
    """

    _load_tokenizer = True
    _load_processor = False
    _load_image_processor = False
    _load_feature_extractor = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.model.eval()  # a model that was just trained is handed over in training mode
        self.encoder = classifier_encoder(self.model, self.tokenizer)

    def _sanitize_parameters(self, top_k: int | None = 1, **kwargs: Any) -> tuple[dict, dict, dict]:
        return {}, {}, {"top_k": top_k}

    def preprocess(self, sequence: str, **kwargs: Any) -> dict[str, torch.Tensor]:
        ids = list(self.encoder(clean(sequence)))
        return {"input_ids": torch.tensor([ids]), "attention_mask": torch.ones(1, len(ids), dtype=torch.long)}

    def _forward(self, inputs: dict[str, torch.Tensor], **kwargs: Any) -> dict[str, torch.Tensor]:
        return {"logits": self.model(**inputs).logits}

    def postprocess(self, output: dict[str, torch.Tensor], top_k: int | None = 1) -> Any:
        scores = output["logits"][0].float().softmax(-1)
        best = scores.argsort(descending=True)[:top_k]
        calls = [{"label": self.model.config.id2label[int(i)], "score": float(scores[i])} for i in best]
        return calls[0] if top_k == 1 else calls


PIPELINE_REGISTRY.register_pipeline(
    "protein-classification",
    pipeline_class=ProteinClassificationPipeline,
    pt_model=ProteinClassifier,
    type="text",
)
