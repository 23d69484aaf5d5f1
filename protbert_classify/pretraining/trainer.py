"""The Trainer for masked-language modelling: `ProteinTrainer` with another loss and other batches.

Shapes: B proteins, T tokens of the longest, V tokens of the vocabulary.
"""

from typing import Any

import numpy as np
import torch
from accelerate.utils import gather_object
from datasets import Dataset
from torch.nn import functional
from tqdm.auto import tqdm
from transformers import TrainingArguments
from transformers.trainer_utils import EvalLoopOutput

from ..data.encoding import encode
from ..data.masking import MaskingCollator
from ..data.tokenizer import load_tokenizer
from ..errors import ModelError, OptionError
from ..inference.engine import run_batches
from ..model import ProteinClassifier, ProteinClassifierConfig
from ..model.backbone import frozen_parts, fuse_gelu
from ..model.tasks import IGNORED
from ..model_source import check_max_length
from ..training.callbacks import SetEpoch
from ..training.preparation import has_ids
from ..training.resume import as_json, encoded_fingerprint, training_settings
from ..training.trainer import ProteinTrainer
from .metrics import MASKED_METRICS, MaskedSums, frequency_loss
from .training_arguments import PretrainingArguments


class MaskedLMTrainer(ProteinTrainer):
    """Trains a masked-language model on proteins: they are cropped and masked anew in each epoch.

    Batches by length, their parts that fit into memory, checkpoints, `resume` and `overwrite` are those of
    [`ProteinTrainer`]. What differs:

    - The loss of a step is the mean over its masked residues, whatever the accumulation and the number of processes.
    - Batches are padded; [`MaskingCollator`] makes them, from `max_length`, `mask_share` and the seed of the arguments.
    - An evaluation gives `eval_loss`, `eval_perplexity` and `eval_masked_accuracy`, with the same masks each time.

    Args:
        model: A masked-language model of transformers, see [`build_masked_lm`]; or `model_init`, a function that
            returns one.
        args: [`PretrainingArguments`].
        kwargs: As for `Trainer`: `train_dataset`, `eval_dataset` (raw proteins, of which only `sequence` is read),
            `processing_class` (the tokenizer; by default that of the model's folder), `callbacks`, ...

    Example:
        One step on two proteins, with a small network of random weights.

        >>> import tempfile
        >>> from datasets import Dataset
        >>> from transformers import BertConfig, BertForMaskedLM
        >>> from protbert_classify import MaskedLMTrainer, PretrainingArguments
        >>> from protbert_classify.data.tokenizer import protbert_tokenizer
        >>> shape = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}
        >>> model = BertForMaskedLM(BertConfig(vocab_size=30, max_position_embeddings=128, **shape))
        >>> proteins = Dataset.from_dict({"id": ["P1", "P2"], "sequence": ["MKTAYI", "MRRKSK"]})
        >>> arguments = PretrainingArguments(tempfile.mkdtemp(), max_steps=1, max_length=128, disable_tqdm=True)
        >>> tokenizer = protbert_tokenizer()
        >>> trainer = MaskedLMTrainer(model, arguments, train_dataset=proteins, processing_class=tokenizer)
        >>> trainer.train().global_step
        epoch 1: loss ...
        epoch 1: mean training loss ...
        1
    """

    args: Any

    def __init__(self, model: Any = None, args: TrainingArguments | None = None, **kwargs: Any) -> None:
        self._masked: MaskedSums | None = None  # of the last evaluation
        super().__init__(model, args if args is not None else PretrainingArguments(), **kwargs)

    def _complete(self) -> None:
        super()._complete()
        if isinstance(self.data_collator, MaskingCollator):
            self.add_callback(_SetEpochOfMasks(self.data_collator))

    def _fit_model(self, model: Any, args: Any) -> None:
        if model.get_output_embeddings() is None:
            raise ModelError(
                f"a {type(model).__name__} has no masked-language head; expected a model of AutoModelForMaskedLM"
            )
        check_max_length(model.config, args.max_length)
        for part in frozen_parts(model.base_model, whole=False, layers=0):
            part.requires_grad_(False)
        fuse_gelu(model.base_model)

    def _find_tokenizer(self) -> Any:
        name = self._plain_model().config.name_or_path
        if not name:
            raise ModelError("no tokenizer is known for this model, which was not loaded; pass one: processing_class=")
        return load_tokenizer(name)

    def _encode(self, proteins: Dataset) -> Dataset:
        """Proteins whole, as they are cropped later; `length` is that of what is read of them."""
        encoded = encode(proteins, self.processing_class, max_length=None)
        lengths = np.minimum(np.asarray(encoded["length"]), self.args.max_length)
        return encoded.remove_columns("length").add_column("length", lengths.tolist())

    def _check_encoded(self) -> None:
        """Nothing: the labels are the residues themselves."""

    def _settle_metric(self) -> None:
        name = str(self.args.metric_for_best_model).removeprefix("eval_")
        if name not in MASKED_METRICS:
            raise OptionError(f"metric_for_best_model={name!r}: expected one of {', '.join(MASKED_METRICS)}")
        self.args.greater_is_better = MASKED_METRICS[name]

    def _sized_model(self) -> ProteinClassifier:
        """A classifier on the same encoder, without weights: the head takes little beside it."""
        with torch.device("meta"):
            return ProteinClassifier(ProteinClassifierConfig(self._plain_model().config.to_dict(), labels=["-"]))

    def _padding(self) -> MaskingCollator:
        """What makes batches, with the masks of the first epoch."""
        if self.processing_class is None:
            self.processing_class = self._find_tokenizer()
        options = {"share": self.args.mask_share, "seed": self.args.seed, "pad_to_multiple_of": self._multiple()}
        return MaskingCollator(self.processing_class, self.args.max_length, **options)

    def _packs(self) -> bool:
        return False  # each family has a head of its own behind its encoder, and calls it with padded rows

    def _embedded(self, proteins: Any) -> None:
        """Nothing is frozen."""

    def compared_settings(self) -> dict[str, Any]:
        proteins = {"encoded train": self.train_dataset, "encoded validation": self.eval_dataset}
        settings = {
            **self.settings,
            **training_settings(self.args),
            "max_length": self.args.max_length,
            "mask_share": self.args.mask_share,
            **{name: encoded_fingerprint(part) for name, part in proteins.items() if has_ids(part)},
        }
        return as_json(settings)

    # ---- the loss ----

    def _loss(self, outputs: Any, labels: dict[str, Any], denominators: Any) -> torch.Tensor:
        """The mean cross-entropy of the residues to predict, in nats."""
        wanted = labels["labels"]
        total = functional.cross_entropy(
            outputs["logits"].flatten(0, 1).float(),  # (B * T, V)
            wanted.flatten(),
            ignore_index=IGNORED,
            reduction="sum",
            label_smoothing=self.args.label_smoothing_factor,
        )
        residues = (wanted != IGNORED).sum() if denominators is None else denominators
        return total / residues.clamp(min=1)  # none in proteins of X alone

    def _count_labels(self, batch: dict[str, Any]) -> torch.Tensor:
        return (batch["labels"] != IGNORED).sum().cpu()

    # ---- evaluation ----

    def evaluation_loop(
        self,
        dataloader: Any,
        description: str,
        prediction_loss_only: bool | None = None,
        ignore_keys: list[str] | None = None,
        metric_key_prefix: str = "eval",
    ) -> EvalLoopOutput:
        """As in `Trainer`, on the engine of `predict`; the residues to predict are the same each time."""
        proteins = dataloader.dataset
        self._masked = self._masked_sums(proteins, description)
        metrics = {f"{metric_key_prefix}_{name}": value for name, value in self._masked.metrics().items()}
        return EvalLoopOutput(predictions=None, label_ids=None, metrics=metrics, num_samples=len(proteins))

    def _masked_sums(self, proteins: Dataset, description: str) -> MaskedSums:
        """Sums over all proteins, on every process; each computes its share."""
        model, collate = self._plain_model().eval(), self._padding()
        forward = self.model_wrapped if self.is_fsdp_enabled else model
        lengths = np.asarray(proteins["length"])
        world, rank = self.args.world_size, self.args.process_index
        shares, tokens, rounds = self._shares(lengths)
        rows = proteins.select_columns(["input_ids"]).with_format("numpy")
        mine = shares[rank]

        def batch_of(places: list[int]) -> dict[str, Any]:
            return collate([{"input_ids": ids} for ids in rows[mine[places]]["input_ids"]])

        def compute(batch: dict[str, Any]) -> MaskedSums:
            wanted = batch.pop("labels")
            return _sums(forward(**batch).logits, wanted)

        total = MaskedSums(0.0, 0, np.zeros(model.config.vocab_size, dtype=np.int64))
        autocast = self._autocast()
        with (
            tqdm(total=len(lengths), unit="protein", desc=description, disable=self._quiet(), leave=False) as bar,
            torch.autocast(model.device.type, autocast, enabled=autocast is not None),
        ):
            batches = run_batches(
                lengths[mine],
                batch_of,
                compute,
                model.device,
                tokens,
                lambda count: bar.update(count * world) and None,
                rounds,
            )
            for _, found in batches:
                total = total + found
        parts = [total] if world == 1 else gather_object([total])
        return sum(parts[1:], parts[0])

    def frequency_loss(self) -> float | None:
        """What the last evaluation would give a model that knows only the residues' frequencies in training, in nats.

        A model with a higher loss has learned nothing from the order of the residues. None before an evaluation.
        """
        if self._masked is None:
            return None
        trained = np.zeros(len(self._masked.counts), dtype=np.int64)
        for rows in self.train_dataset.with_format("numpy").iter(batch_size=1000):
            for ids in rows["input_ids"]:
                trained += np.bincount(ids, minlength=len(trained))
        return frequency_loss(self._masked.counts, trained)

    def _begin_fits(self) -> None:
        """Nothing is fitted to validation proteins."""

    def _settle_fits(self) -> None:
        """Nothing is fitted to validation proteins."""

    def _issue_warnings_after_load(self, load_result: Any) -> None:
        """As in `Trainer`, but a weight of the head that is one of the encoder's stands once in a checkpoint."""
        tied = set(getattr(self.model, "all_tied_weights_keys", ()))
        if load_result.unexpected_keys or not set(load_result.missing_keys) <= tied:
            super()._issue_warnings_after_load(load_result)


class _SetEpochOfMasks(SetEpoch):
    """Another class than that of the batches: Trainer warns of two callbacks of one class."""


def _sums(logits: torch.Tensor, labels: torch.Tensor) -> MaskedSums:
    """Of the residues to predict: logits (B, T, V), labels (B, T)."""
    asked = labels != IGNORED
    scores, wanted = logits[asked].float(), labels[asked]
    loss = functional.cross_entropy(scores, wanted, reduction="sum")
    counts = torch.bincount(wanted, minlength=logits.shape[-1])
    return MaskedSums(float(loss), int((scores.argmax(-1) == wanted).sum()), counts.cpu().numpy())
