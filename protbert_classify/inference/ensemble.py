"""Builds an ensemble of saved classifiers."""

import os
from collections.abc import Sequence

from transformers import PreTrainedTokenizerBase

from ..errors import OptionError
from ..model.ensemble import ProteinEnsemble
from .saved_classifier import load_classifier

Names = Sequence[str | os.PathLike[str]]


def build_ensemble(models: Names, output: str | os.PathLike[str] | None = None) -> ProteinEnsemble:
    """Build one model of several trained ones: its scores are the means of their calibrated scores.

    Args:
        models: Two or more: folders of runs or of models, or Hub ids. They have the same labels, tasks, tokenizer,
            longest input and shape of the backbone.
        output: Folder in which the ensemble and its tokenizer are saved; `from_pretrained`, `predict`, `serve` and
            the others take it as any other model.

    Returns:
        The ensemble, on the CPU. It takes as many times the compute and the memory of one model as it has members.

    Example:
        >>> import tempfile
        >>> from protbert_classify import ProteinClassifier, ProteinClassifierConfig, build_ensemble
        >>> from protbert_classify.data.tokenizer import protbert_tokenizer
        >>> shape = {"model_type": "bert", "vocab_size": 30, "hidden_size": 32, "num_attention_heads": 2}
        >>> config = ProteinClassifierConfig({**shape, "num_hidden_layers": 1}, labels=["Cytoplasm", "Nucleus"])
        >>> folders = [tempfile.mkdtemp(), tempfile.mkdtemp()]
        >>> for folder in folders:
        ...     ProteinClassifier(config).save_pretrained(folder)
        ...     _ = protbert_tokenizer().save_pretrained(folder)
        >>> ensemble = build_ensemble(folders, output=tempfile.mkdtemp())
        >>> len(ensemble.members)
        2

    Raises:
        ModelError: A model that cannot be loaded.
        OptionError: Fewer than two models, or models that do not fit together; the message says in what.
    """
    ensemble, tokenizer = load_ensemble(models)
    if output is not None:
        ensemble.save_pretrained(output)
        tokenizer.save_pretrained(output)
    return ensemble


def load_ensemble(models: Names) -> tuple[ProteinEnsemble, PreTrainedTokenizerBase]:
    """[`build_ensemble`] without saving, with the tokenizer of all members."""
    loaded = [load_classifier(name, "cpu") for name in models]
    try:
        ensemble = ProteinEnsemble.from_members([model for model, _ in loaded])
    except ValueError as error:
        names = ", ".join(os.fspath(name) for name in models)
        raise OptionError(f"no ensemble of {names}: {error}") from error
    tokenizer = loaded[0][1]
    for name, (_, other) in zip(models, loaded, strict=True):
        if _rules(other) != _rules(tokenizer):
            raise OptionError(f"no ensemble: {name} and {models[0]} have different tokenizers; expected the same")
    return ensemble, tokenizer


def _rules(tokenizer: PreTrainedTokenizerBase) -> str:
    """How a tokenizer makes ids of residues."""
    return tokenizer.backend_tokenizer.to_str()
