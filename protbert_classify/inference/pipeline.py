"""`pipeline("protein-classification")`: sequences in, labels and scores out."""

import os
from collections.abc import Sized
from typing import Any, Literal

import torch
from transformers import Pipeline, PreTrainedModel, PreTrainedTokenizerBase
from transformers.pipelines import PIPELINE_REGISTRY

from ..data.alphabet import clean
from ..data.tokenizer import protein_tokenizer, tokenizer_for
from ..errors import ModelError, OptionError, SequenceError
from ..evaluation.decision import decide
from ..evaluation.prediction_sets import check_sets
from ..model import ProteinClassifier, ProteinClassifierConfig
from ..model.backbone import family
from .logits import finite_logits
from .saved_classifier import classifier_encoder

OPTIONS = ("top_k", "truncation_report", "auxiliary", "sets", "sets_by_class")


class ProteinClassificationPipeline(Pipeline):
    """Classifies proteins given as strings, raw (`"MKT"`), spaced (`"M K T"`) or lower case.

    The input is a protein, a list of them, a generator or a dataset (`KeyDataset(proteins, "sequence")`). The model is
    a [`ProteinClassifier`] or a `BertForSequenceClassification`; its tokenizer may be that of the backbone, and is
    found if it is not given.

    Args:
        top_k: How many labels to return, the highest score first; None for all. By default, those that are predicted:
            one, or for `multi_label_classification` each whose probability reaches its threshold. (Transformers'
            `text-classification` returns the best label alone by default, whatever the thresholds are.) A regression
            returns its numbers whatever is asked for.
        truncation_report: Return for each protein its `length` (residues) and whether it was `truncated`.
        auxiliary: Return the answers to the auxiliary tasks, too.
        sets: Return for each protein its `set` at this error, between 0 and 1: the classes that cannot be excluded, the
            highest score first. See [`Decision.sets`].
        sets_by_class: Keep the promise of the sets for the proteins of each class.

    Returns:
        For a protein `{"label", "score"}`, where the score is a probability or, for a regression, the number in the
        units of the data. A list of them with `top_k` other than 1, for `multi_label_classification` by default, and
        for several numbers. For a list of proteins a list. With `truncation_report`, `auxiliary` or `sets`, a
        dictionary with this under `predictions`, and with `length` and `truncated`, `auxiliary` (name of a task -> its
        answer, alike), or `set` (a list of labels).

    Example:
        A model that was just trained, here with random weights. A saved one:
        `pipeline("protein-classification", model="runs/mine/model")`.

        >>> from protbert_classify import ProteinClassificationPipeline, ProteinClassifier, ProteinClassifierConfig
        >>> shape = {"model_type": "bert", "vocab_size": 30, "hidden_size": 32, "num_attention_heads": 2}
        >>> config = ProteinClassifierConfig({**shape, "num_hidden_layers": 1}, labels=["Cytoplasm", "Nucleus"])
        >>> classify = ProteinClassificationPipeline(ProteinClassifier(config))
        >>> answers = classify("MKTAYIAKQR", top_k=None)
        >>> sorted(answer["label"] for answer in answers)
        ['Cytoplasm', 'Nucleus']

    Raises:
        SequenceError: A character that is not a residue, or an input that is not a string.
        OptionError: An unknown option, a `top_k` below 1, or `sets` of a model that cannot give them.
        ModelError: A score is NaN, or the model is of another class.
    """

    _load_tokenizer = True
    _load_processor = False
    _load_image_processor = False
    _load_feature_extractor = False

    def __init__(
        self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase | None = None, *args: Any, **kwargs: Any
    ) -> None:
        model = _classifier(model)
        super().__init__(model, _reading_proteins(tokenizer, model), *args, **kwargs)
        self.model.eval()  # a model that was just trained is handed over in training mode
        self.encoder = classifier_encoder(self.model, self.tokenizer)

    def __call__(
        self, inputs: Any, *, num_workers: int | None = None, batch_size: int | None = None, **options: Any
    ) -> Any:
        if isinstance(inputs, Sized) and not isinstance(inputs, str) and not len(inputs):
            self._sanitize_parameters(**options)
            return []
        return super().__call__(inputs, num_workers=num_workers, batch_size=batch_size, **options)

    def _sanitize_parameters(self, **options: Any) -> tuple[dict, dict, dict]:
        # what is not given stays as it was given when the pipeline was made
        unknown = sorted(options.keys() - set(OPTIONS))
        if unknown:
            raise OptionError(f"unknown option {unknown[0]}: expected {', '.join(OPTIONS)}, batch_size or num_workers")
        top_k = options.get("top_k", "predicted")
        if top_k not in (None, "predicted") and (type(top_k) is not int or top_k < 1):
            raise OptionError(f"top_k={top_k!r}: expected 1 or more, or None for all labels")
        if options.get("sets") is not None:
            check_sets(self.model.config.task, options["sets"])
        return {}, {}, options

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
        self,
        output: dict[str, torch.Tensor],
        top_k: int | None | Literal["predicted"] = "predicted",
        truncation_report: bool = False,
        auxiliary: bool = False,
        sets: float | None = None,
        sets_by_class: bool = False,
    ) -> Any:
        decision = decide(output["logits"].numpy(), self.model.config)
        predictions = decision.answer(0, top_k)
        if not truncation_report and not auxiliary and sets is None:
            return predictions
        result = {"predictions": predictions}
        if truncation_report:
            length = int(output["length"])
            result |= {"length": length, "truncated": self.encoder.is_cropped(length)}
        if auxiliary:
            result["auxiliary"] = {name: part.answer(0, top_k) for name, part in decision.auxiliary.items()}
        if sets is not None:
            result["set"] = decision.set_labels(sets, by_class=sets_by_class)[0]
        return result

    def save_pretrained(self, save_directory: str | os.PathLike[str], **kwargs: Any) -> None:
        """Save the model and its tokenizer to a folder from which `pipeline("protein-classification")` loads both.

        Args:
            save_directory: Made if it is not there.
            kwargs: What `PreTrainedModel.save_pretrained` takes.
        """
        self.model.save_pretrained(save_directory, **kwargs)
        self.tokenizer.save_pretrained(save_directory)

    def push_to_hub(self, repo_id: str, **kwargs: Any) -> Any:
        """Publish the model and its tokenizer; see [`ProteinClassifier.push_to_hub`]."""
        return self.model.push_to_hub(repo_id, tokenizer=self.tokenizer, **kwargs)


def _classifier(model: PreTrainedModel) -> PreTrainedModel:
    """A classifier of ours, compiled or wrapped as it may be; made of a `BertForSequenceClassification`.

    Raises:
        ModelError: Another model.
    """
    from transformers import BertForSequenceClassification

    if model.config.model_type == ProteinClassifierConfig.model_type:
        return model
    if isinstance(model, BertForSequenceClassification):
        return ProteinClassifier.from_bert(model)
    expected = "expected a ProteinClassifier or a BertForSequenceClassification"
    raise ModelError(f"the model is a {type(model).__name__}: {expected}")


def _reading_proteins(tokenizer: PreTrainedTokenizerBase | None, model: ProteinClassifier) -> PreTrainedTokenizerBase:
    """The tokenizer, or if it is the backbone's own, which wants spaces and capitals, ours made of it.

    Without one, that of the folder or repository which the model is from.
    """
    if tokenizer is None:
        return tokenizer_for(model)
    raw, spaced = tokenizer(["MKT", "m k t"], add_special_tokens=False)["input_ids"]
    if raw == spaced and len(raw) == 3:
        return tokenizer
    rare = family(model.config.backbone_config, tokenizer.get_vocab()).rare_to_x
    return protein_tokenizer(tokenizer, map_rare=rare)


PIPELINE_REGISTRY.register_pipeline(
    "protein-classification",
    pipeline_class=ProteinClassificationPipeline,
    pt_model=ProteinClassifier,
    type="text",
)
