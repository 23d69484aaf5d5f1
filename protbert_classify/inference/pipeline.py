"""`pipeline("protein-classification")`: sequences in, labels and scores out."""

from typing import Any

import torch
from transformers import Pipeline
from transformers.pipelines import PIPELINE_REGISTRY

from ..data.alphabet import clean
from ..errors import SequenceError
from ..model import ProteinClassifier
from .loading import classifier_encoder
from .logits import finite_logits


class ProteinClassificationPipeline(Pipeline):
    """Classifies proteins given as strings, raw (`"MKT"`), spaced (`"M K T"`) or lower case.

    The input is a protein, a list of them, a generator or a dataset (`KeyDataset(proteins, "sequence")`).

    Args:
        top_k: Classes to return, best first; 1 by default, None for all.
        truncation_report: Tell of each protein its `length` (residues) and whether it was `truncated`.

    Returns:
        For a protein `{"label", "score"}`, or a list of them with `top_k` other than 1; for a list of proteins a list.
        With `truncation_report`, `{"calls", "length", "truncated"}` around it.

    Raises:
        SequenceError: A character that is no residue, or something that is no string.
        ModelError: A score is no number.
    """

    _load_tokenizer = True
    _load_processor = False
    _load_image_processor = False
    _load_feature_extractor = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.model.eval()  # a model that was just trained is handed over in training mode
        self.encoder = classifier_encoder(self.model, self.tokenizer)

    def _sanitize_parameters(self, **options: Any) -> tuple[dict, dict, dict]:
        # what is not given in a call stays as it was given when the pipeline was made
        return {}, {}, {name: options[name] for name in ("top_k", "truncation_report") if name in options}

    def preprocess(self, sequence: Any, **kwargs: Any) -> dict[str, torch.Tensor]:
        if not isinstance(sequence, str):
            raise SequenceError(f"found {type(sequence).__name__}, expected a sequence: a string such as 'MKT'")
        residues = clean(sequence)
        ids = list(self.encoder(residues))
        return {
            "input_ids": torch.tensor([ids]),
            "attention_mask": torch.ones(1, len(ids), dtype=torch.long),
            "length": torch.tensor([len(residues)]),
        }

    def _forward(self, inputs: dict[str, torch.Tensor], **kwargs: Any) -> dict[str, torch.Tensor]:
        length = inputs.pop("length")
        return {"logits": finite_logits(self.model, inputs), "length": length}

    def postprocess(
        self, output: dict[str, torch.Tensor], top_k: int | None = 1, truncation_report: bool = False
    ) -> Any:
        scores = output["logits"][0].softmax(-1)
        best = scores.argsort(descending=True)[:top_k]
        every = [{"label": self.model.config.id2label[int(i)], "score": float(scores[i])} for i in best]
        calls = every[0] if top_k == 1 else every
        if not truncation_report:
            return calls
        length = int(output["length"])
        return {"calls": calls, "length": length, "truncated": self.encoder.is_cropped(length)}


PIPELINE_REGISTRY.register_pipeline(
    "protein-classification",
    pipeline_class=ProteinClassificationPipeline,
    pt_model=ProteinClassifier,
    type="text",
)
