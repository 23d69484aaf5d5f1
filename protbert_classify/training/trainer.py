"""The Trainer for protein classifiers: it takes raw proteins, and trains alike on every device."""

import logging
import math
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from torch.utils.data import DataLoader
from transformers import TrainingArguments
from transformers.trainer_utils import SaveStrategy

from ..cost.devices import free_memory
from ..cost.micro_batch import fitting_tokens
from ..data.collators import PackingCollator, PaddingCollator
from ..data.tokenizer import tokenizer_for
from ..errors import DataError, OptionError, first_line
from ..evaluation.best_evaluation import metric_key
from ..evaluation.metrics import BEST_METRIC, higher_is_better, watched_metrics
from ..inference.engine import PAD_TO_ON_CPU, default_tokens
from ..memory_allocator import keep_freed_memory
from ..model.attention import varlen_attention
from ..model.four_bits import FourBitLinear
from ..model.losses import model_loss
from ..runs.checkpoints import (
    checkpoint_path,
    checkpoints,
    mark_complete,
    newest_complete_checkpoint,
    remove_old_checkpoints,
)
from ..runs.files import naming
from ..runs.lock import FolderLock
from .callbacks import (
    AfterFirstStep,
    EarlyStopping,
    LogLossOfShortRun,
    SaveOnInterrupt,
    SetEpoch,
    StopOnDivergence,
    TrainingTotals,
    check_weights,
    is_best,
)
from .embedding_cache import EmbeddingCollator, embed
from .evaluation_loop import EvaluationMixin
from .hub_mixin import HubMixin
from .learning_rates import parameter_learning_rates, set_learning_rates
from .log_lines import LINES
from .preparation import (
    check_for_problem_type,
    draws_per_epoch,
    encode_proteins,
    fit_model,
    has_ids,
    is_embedded,
    is_raw,
    keep_weight_names,
)
from .resume import ResumableRun, choose_best_again, find_best_again, run_settings, stopped_early
from .samplers import LengthGroupedBatches
from .training_arguments import ProteinTrainingArguments
from .training_step import TrainingStepMixin

logger = logging.getLogger(__name__)


class ProteinTrainer(TrainingStepMixin, EvaluationMixin, HubMixin):
    """Trains a [`ProteinClassifier`] on proteins as `load_deeploc`, `load_proteins` or `load_dataset` give them.

    What differs from `Trainer`:

    - Raw proteins (columns `sequence` and the task's) are encoded; the tokenizer is the backbone's own.
    - The loss of a step is the mean over its known labels, whatever the accumulation and the number of processes.
    - `train_sampling_strategy="group_by_length"` means [`LengthGroupedBatches`]. A step's batch is computed in parts of
      at most `tokens_per_batch` tokens, packed into one row where `packing` allows; the result is the same.
    - Validation and prediction run on the engine of `predict`: batches by length, in the order of the dataset.
    - A frozen backbone embeds each protein once (`cache_embeddings`).
    - Of checkpoints with the same best metric, the one with the lowest validation loss is kept.
    - Once trained, a classification is calibrated on validation proteins (`calibrate`), and several labels get
      thresholds. The validation scores for prediction sets are kept. Training such a model further begins without all
      of this.
    - Training stops if the loss becomes NaN, on Ctrl-C it writes a checkpoint first, and it stops early
      (`early_stopping_patience`). A checkpoint counts once it is whole; `resume` and `overwrite` say what happens to a
      former run in `output_dir`.

    Args:
        model: A [`ProteinClassifier`]; or `model_init`, a function that returns one.
        args: [`ProteinTrainingArguments`]; `TrainingArguments` work, too.
        kwargs: As for `Trainer`: `train_dataset`, `eval_dataset`, `processing_class` (the tokenizer), `callbacks`, ...
            The collator, the loss and the metrics have defaults.

    Attributes:
        settings: What must be the same when a run is resumed, in addition to what the trainer compares.
        tokens_per_batch: Tokens of a forward pass, at most, once that is known; None for no limit.
        calibration: Once trained, what calibrates each task, and what that was fitted to; see [`set_calibration`].
        prediction_sets: Once trained, how many validation proteins the prediction sets of each task are made from; see
            [`set_validation_scores`].

    Example:
        One step on two proteins, with a small network of random weights.

        >>> import tempfile
        >>> from datasets import ClassLabel, Dataset
        >>> from protbert_classify import ProteinClassifier, ProteinClassifierConfig, ProteinTrainer
        >>> from protbert_classify import ProteinTrainingArguments
        >>> labels = ["Cytoplasm", "Nucleus"]
        >>> proteins = Dataset.from_dict({"id": ["P1", "P2"], "sequence": ["MKTAYI", "MRRKSK"], "location": [0, 1]})
        >>> proteins = proteins.cast_column("location", ClassLabel(names=labels))
        >>> shape = {"model_type": "bert", "vocab_size": 30, "hidden_size": 32, "num_attention_heads": 2}
        >>> model = ProteinClassifier(ProteinClassifierConfig({**shape, "num_hidden_layers": 1}, labels=labels))
        >>> arguments = ProteinTrainingArguments(tempfile.mkdtemp(), num_train_epochs=1, disable_tqdm=True)
        >>> trainer = ProteinTrainer(model, arguments, train_dataset=proteins)
        >>> trainer.train().global_step
        epoch 1: loss ...
        epoch 1: mean training loss ...
        1
    """

    model: Any
    processing_class: Any
    train_dataset: Any
    eval_dataset: Any

    def __init__(self, model: Any = None, args: TrainingArguments | None = None, **kwargs: Any) -> None:
        args = args if args is not None else ProteinTrainingArguments()
        self._own_collator = kwargs.get("data_collator") is not None
        self._own_loss = kwargs.get("compute_loss_func") is not None
        self._own_metrics = kwargs.get("compute_metrics") is not None
        self._raw_train = kwargs.get("train_dataset")
        self.settings: dict[str, Any] = {}
        self.tokens_per_batch: int | None = None
        self.packed = False
        self._accumulated: list[dict[str, Any]] = []  # batches whose gradients wait for the next optimizer step
        self._embeddings: dict[str, Dataset] = {}  # fingerprint of encoded proteins -> what the frozen backbone makes
        self.calibration, self.prediction_sets = {}, {}
        self._validated = {}  # step -> logits of the validation proteins
        self._began = False
        self._found_tokens: int | None = None
        self.totals = TrainingTotals()
        if model is not None:
            keep_weight_names(model)
            self._fit_model(model, args)
        if not self._own_collator:
            kwargs["data_collator"] = PaddingCollator(0)  # replaced once the model is known
        if kwargs.get("eval_dataset") is None:
            _without_validation(args)
        with warnings.catch_warnings():
            # transformers' own smoothing is disabled for several labels; that of our losses is not
            warnings.filterwarnings("ignore", message="Label smoothing is not compatible")
            super().__init__(model=model, args=args, **kwargs)
        if any(isinstance(module, FourBitLinear) for module in self.model.modules()):
            self._check_four_bits()
        for stock, ours in LINES.items():
            if any(type(callback) is stock for callback in self.callback_handler.callbacks):
                self.remove_callback(stock)
                self.add_callback(ours)
        if self.args.device.type == "cpu":
            keep_freed_memory()
        self._complete()

    def _check_four_bits(self) -> None:
        """Refuse what cannot copy or shard such weights."""
        if self.is_fsdp_enabled:
            raise OptionError(
                "lora_bits=4: FSDP cannot shard such weights; expected 32, or multi_gpu.yaml for accelerate"
            )
        if self.args.n_gpu > 1:
            raise OptionError("lora_bits=4: expected one GPU, or accelerate launch with multi_gpu.yaml")

    def _complete(self) -> None:
        """Set up what depends on the model: tokenizer, collator, encoded proteins, the metric to choose by."""
        if self.processing_class is None and any(map(_needs_tokenizer, self._datasets())):
            self.processing_class = self.callback_handler.processing_class = self._find_tokenizer()
        if not self._own_collator:
            self.data_collator = self._padding()
        if not self._own_loss:
            self.compute_loss_func = model_loss  # tells Trainer that the loss is scaled; see compute_loss
        self.train_dataset = self.encoded(self.train_dataset)
        if isinstance(self.eval_dataset, dict):
            self.eval_dataset = {name: self.encoded(part) for name, part in self.eval_dataset.items()}
        else:
            self.eval_dataset = self.encoded(self.eval_dataset)
        self._settle_metric()
        self._check_encoded()

    def _settle_metric(self) -> None:
        """Replace `metric_for_best_model="auto"` by the usual metric of the problem type, and refuse an unknown one.

        Raises:
            OptionError: Lists the metrics there are.
        """
        args, config = self.args, self.model.config
        if isinstance(args, ProteinTrainingArguments) and args.metric_for_best_model in (None, "auto"):
            args.metric_for_best_model = BEST_METRIC[config.problem_type]
        if args.metric_for_best_model is None or self._own_metrics:
            return
        name = str(args.metric_for_best_model).removeprefix("eval_")
        known = ["loss", *watched_metrics(config.tasks)]
        if isinstance(self.eval_dataset, dict):  # Trainer puts the name of a dataset before each metric
            known += [f"{dataset}_{metric}" for dataset in self.eval_dataset for metric in known]
        if name not in known:
            raise OptionError(f"metric_for_best_model={name!r}: expected one of {', '.join(known)}")
        if isinstance(args, ProteinTrainingArguments):
            args.greater_is_better = higher_is_better(name)

    def _datasets(self) -> list[Any]:
        evaluated = self.eval_dataset
        return [self.train_dataset, *(evaluated.values() if isinstance(evaluated, dict) else [evaluated])]

    def encoded(self, proteins: Any) -> Any:
        """Encode raw proteins; other proteins are returned as they are."""
        if not _needs_tokenizer(proteins):
            return proteins
        if self.processing_class is None:
            self.processing_class = self._find_tokenizer()
        with self.args.main_process_first(desc="encoding"):
            return self._encode(proteins)

    # ---- what a trainer of other models than classifiers replaces ----

    def _fit_model(self, model: Any, args: TrainingArguments) -> None:
        weights = (getattr(args, name, 0.0) for name in ("class_weights", "class_weights_beta"))
        check_for_problem_type(model.config.problem_type, args)
        fit_model(model, self._raw_train, *weights)

    def _find_tokenizer(self) -> Any:
        return tokenizer_for(self.model)

    def _encode(self, proteins: Dataset) -> Dataset:
        return encode_proteins(proteins, self.processing_class, self._plain_model())

    def _check_encoded(self) -> None:
        if _lacks_labels(self.train_dataset):
            raise DataError(
                f"the training proteins have no column {self.model.config.task_name!r}, which the model's task reads: "
                "rename it, or give the model another task_name"
            )

    def _sized_model(self) -> Any:
        """The classifier by which memory is estimated."""
        return self._plain_model()

    def _plain_model(self) -> Any:
        return self.accelerator.unwrap_model(self.model)

    def _padding(self) -> PaddingCollator:
        config = self._plain_model().config
        longest = config.max_sequence_length
        return PaddingCollator(config.pad_token_id or 0, self._multiple(), longest)

    def _packing(self) -> PackingCollator:
        return PackingCollator(self._multiple(), self._plain_model().config.max_sequence_length)

    def _multiple(self) -> int | None:
        return PAD_TO_ON_CPU if self.args.device.type == "cpu" else None

    def call_model_init(self, trial: Any = None) -> Any:
        self._embeddings.clear()  # those of the model before, whose pooling may have been another one
        model = super().call_model_init(trial)
        keep_weight_names(model)
        self._fit_model(model, self.args)
        return model

    # ---- training ----

    def train(self, resume_from_checkpoint: str | bool | None = None, **kwargs: Any) -> Any:
        """Train, from a checkpoint if there is one to resume from.

        Args:
            resume_from_checkpoint: A checkpoint; or True for the newest complete one, as `resume` in the arguments.
            kwargs: As for `Trainer.train`.

        Returns:
            `TrainOutput`; its loss and times are those of the whole training, resumed or not.

        Raises:
            OptionError: `output_dir` holds another run and neither `resume` nor `overwrite` says what to do with it;
                other data or options than the resumed run began with; the loss or the weights are NaN.
            KeyboardInterrupt: After Ctrl-C; a checkpoint was written first.
        """
        searching = kwargs.get("trial") is not None  # each trial of a hyperparameter search has a folder of its own
        if self.model is None and not searching:  # after a search
            self.model = self.call_model_init()
        with FolderLock(str(self.args.output_dir), self.is_world_process_zero() and not searching) as lock:
            folder = None if searching else ResumableRun(self.args, self.compared_settings(), lock, self._began)
            checkpoint = None if folder is None else folder.checkpoint(resume_from_checkpoint)
            self._found_tokens = folder.found_tokens() if folder is not None and checkpoint is not None else None
            callbacks = self._own_callbacks(folder)
            try:
                output = super().train(resume_from_checkpoint=checkpoint, **kwargs)
            except KeyboardInterrupt:  # a second Ctrl-C, or a first one before the former run is replaced
                raise self._interruption(callbacks) from None
            finally:
                callbacks[0].release()
                for callback in callbacks:
                    self.callback_handler.callbacks.remove(callback)
        if callbacks[0].interrupted:
            raise self._interruption(callbacks)
        check_weights(self.model, self.args, self.state)
        self._settle_fits()
        return output

    def _own_callbacks(self, folder: ResumableRun | None) -> list[Any]:
        """The callbacks of one training, in this order: the second checks what the first asks to be saved."""
        overwriting = bool(getattr(self.args, "overwrite", False)) and not self._began
        interrupt = SaveOnInterrupt(after_first_step=overwriting)  # an earlier checkpoint would replace the former run
        self.totals = TrainingTotals(self.args.metric_for_best_model)
        callbacks: list[Any] = [interrupt, StopOnDivergence(), self.totals, LogLossOfShortRun()]
        if folder is not None:
            callbacks.insert(2, AfterFirstStep(partial(self._begin, folder)))
        patience = getattr(self.args, "early_stopping_patience", 0)
        if patience and self.args.load_best_model_at_end:
            callbacks.append(EarlyStopping(patience))
        for callback in callbacks:
            self.add_callback(callback)
        return callbacks

    def _begin(self, folder: ResumableRun) -> None:
        folder.begin(self.tokens_per_batch)
        self._began = True

    def _interruption(self, callbacks: Sequence[Any]) -> KeyboardInterrupt:
        folder = str(self.args.output_dir)
        replacing = any(isinstance(callback, AfterFirstStep) and not callback.done for callback in callbacks)
        if replacing and getattr(self.args, "overwrite", False):
            return KeyboardInterrupt(f"before the first step was done: {folder} is unchanged")
        checkpoint = newest_complete_checkpoint(folder)
        if checkpoint is None:
            return KeyboardInterrupt("before the first checkpoint; train again to start from the beginning")
        return KeyboardInterrupt(f"train again with resume to continue from {os.path.basename(checkpoint)}")

    def compared_settings(self) -> dict[str, Any]:
        """What must be the same when a run is resumed: what shapes the weights."""
        proteins = {"encoded train": self.train_dataset, "encoded validation": self.eval_dataset}
        return {**self.settings, **run_settings(self._plain_model().config, self.args, proteins)}

    def _init_training_state(self, *args: Any, **kwargs: Any) -> Any:
        epochs = super()._init_training_state(*args, **kwargs)
        self._begin_fits()
        if not self.state.global_step:
            return epochs
        chosen_by, folder = self.totals.restore(self.state).get("metric"), str(self.args.output_dir)
        metric = self.args.metric_for_best_model
        if metric is not None and chosen_by != metric:
            choose_best_again(self.state, metric, bool(self.args.greater_is_better), folder)
        find_best_again(self.state, folder)
        if stopped_early(self.state, getattr(self.args, "early_stopping_patience", 0)):
            return math.ceil(self.state.num_train_epochs), 0  # no epoch is left: what was interrupted came after it
        return epochs

    def _determine_best_metric(self, metrics: dict[str, float], trial: Any) -> bool:
        """As in `Trainer`, but where the metric ties, the lower validation loss is the best.

        Returns:
            Whether `save_strategy="best"` saves now: also where Ctrl-C ends the training.
        """
        name = metric_key(self.args.metric_for_best_model)
        if metrics.get(name) == self.state.best_metric and is_best(metrics, self.args, self.state):
            self.state.best_metric = None
        best = super()._determine_best_metric(metrics, trial)
        if best and self.args.save_strategy == SaveStrategy.BEST:  # transformers 5.3 notes it for steps and epoch only
            step = self.state.best_global_step = self.state.global_step
            self.state.best_model_checkpoint = checkpoint_path(self._get_output_dir(trial=trial), step)
        return best or any(getattr(callback, "interrupted", False) for callback in self.callback_handler.callbacks)

    def _finalize_training(self, trial: Any, num_train_samples: int, start_time: float) -> Any:
        """As in `Trainer`, but loss and times are those of the whole training, and the loss that of all processes."""
        self._tr_loss: Any = self.accelerator.reduce(self._tr_loss, "mean")
        self._total_loss_scalar += self.totals.loss
        self._initial_global_step = 0
        # with a limit of 1, Trainer would now remove all but the best checkpoint: also the one that Ctrl-C wrote
        limit, self.args.save_total_limit = self.args.save_total_limit, None
        try:
            return super()._finalize_training(trial, num_train_samples, start_time - self.totals.seconds)
        finally:
            self.args.save_total_limit = limit

    def get_train_dataloader(self) -> DataLoader:
        if self.train_dataset is None:
            raise ValueError("training needs a train_dataset")
        embedded = self._embedded(self.train_dataset)
        if embedded is None and is_embedded(self.train_dataset):
            embedded = self.train_dataset
        self.packed = embedded is None and not self._own_collator and self._packs()
        self._decide_tokens_per_batch()
        self._log_batches(embedded is not None)
        if self.args.train_sampling_strategy != "group_by_length":
            return self._stock_dataloader(embedded)
        proteins = self.train_dataset if embedded is None else embedded
        seed = self.args.data_seed if self.args.data_seed is not None else self.args.seed
        batches = LengthGroupedBatches(
            np.asarray(proteins["length"]), self._train_batch_size, self.args.world_size, seed, self._draws_per_epoch()
        )
        self.add_callback(SetEpoch(batches))
        loader = DataLoader(
            self._remove_unused_columns(proteins, description="training"),
            batch_sampler=batches,
            collate_fn=self._train_collator(embedded is not None),
            num_workers=self.args.dataloader_num_workers,
            pin_memory=self.args.dataloader_pin_memory,
            persistent_workers=self.args.dataloader_persistent_workers,
            prefetch_factor=self.args.dataloader_prefetch_factor,
        )
        return self.accelerator.prepare(loader)

    def _draws_per_epoch(self) -> np.ndarray | None:
        """How often each training protein shall come in an epoch, (N,); None for once each."""
        power = getattr(self.args, "class_sampling", 0.0)
        if not power or "labels" not in self.train_dataset.column_names:
            return None
        return draws_per_epoch(np.asarray(self.train_dataset["labels"]), self._plain_model().config.labels, power)

    def create_optimizer(self, model: Any = None) -> Any:
        """As in `Trainer`, with `head_learning_rate` and `layer_decay`.

        Raises:
            OptionError: An optimizer that needs other options, or a package that is not installed.
        """
        fresh = self.optimizer is None
        with _options_of("optim"):
            optimizer = super().create_optimizer(*(() if model is None else (model,)))
        head, decay = getattr(self.args, "head_learning_rate", None), getattr(self.args, "layer_decay", 1.0)
        if fresh and (head is not None or decay != 1):
            rates = parameter_learning_rates(self._plain_model(), self.args.learning_rate, head, decay)
            set_learning_rates(optimizer, rates)
        return optimizer

    def create_scheduler(self, *args: Any, **kwargs: Any) -> Any:
        """As in `Trainer`.

        Raises:
            OptionError: A scheduler that needs other options.
        """
        with _options_of("lr_scheduler_type"):
            return super().create_scheduler(*args, **kwargs)

    def _embedded(self, proteins: Any) -> Dataset | None:
        """The cached embeddings of the training or validation proteins; None if they are not cached."""
        model = self._plain_model()
        wanted = model.config.freeze_backbone and getattr(self.args, "cache_embeddings", False)
        again = any(proteins is kept for kept in (self.train_dataset, self.eval_dataset))
        if not (wanted and again) or self._own_collator or not has_ids(proteins):
            return None
        key = proteins._fingerprint
        if key not in self._embeddings:
            precision = self._autocast() or torch.float32
            self._embeddings[key] = embed(model, proteins, dtype=precision, device=self.args.device)
        return self._embeddings[key]

    def _stock_dataloader(self, embedded: Dataset | None) -> DataLoader:
        """`Trainer`'s own, for random and sequential order."""
        before = self.train_dataset, self.data_collator
        if embedded is not None:
            self.train_dataset = embedded
        self.data_collator = self._train_collator(embedded is not None)
        try:
            return super().get_train_dataloader()
        finally:
            self.train_dataset, self.data_collator = before

    def _train_collator(self, embedded: bool) -> Any:
        if self._own_collator:
            return self.data_collator
        return EmbeddingCollator() if embedded else self._packing() if self.packed else self.data_collator

    def _log_batches(self, embedded: bool) -> None:
        layout = "embedded" if embedded else "packed into one row" if self.packed else "padded"
        grouped = "of similar length, " if self.args.train_sampling_strategy == "group_by_length" else ""
        tokens = self.tokens_per_batch
        parts = "" if tokens is None else f", computed in parts of up to {tokens:,} tokens"
        logger.info("batches: %d proteins a device, %s%s%s", self._train_batch_size, grouped, layout, parts)

    def _packs(self) -> bool:
        """Whether batches are packed: if asked for, or if it pays, and if the model supports it."""
        choice = getattr(self.args, "packing", "off")
        # the model may still be elsewhere: FSDP moves it later
        enable = partial(self._plain_model().enable_packing, self.args.device, self._autocast(), training=True)
        if self.args.device.type == "cpu" and self.args.bf16:
            enable()  # for its attention, the faster one there for padded batches, too
        half_precision_gpu = self.args.device.type == "cuda" and (self.args.bf16 or self.args.fp16)
        if choice == "off" or (choice == "auto" and not (half_precision_gpu and varlen_attention())):
            return False
        if self.args.n_gpu > 1:
            reason = "DataParallel cannot deal packed batches; use accelerate launch"
        else:
            reason = enable()
        if reason is not None:
            logger.info("batches are padded: %s", reason)
        return reason is None

    def _decide_tokens_per_batch(self) -> None:
        """Turn the option into a number, the same on all processes; a resumed run keeps what it began with."""
        given = getattr(self.args, "tokens_per_batch", None)
        if given != "auto" or self._own_collator:
            self.tokens_per_batch = int(given) if given and given != "auto" else None
        elif self._found_tokens is not None:
            self.tokens_per_batch = self._found_tokens
        elif self.args.device.type == "cpu":
            self.tokens_per_batch = default_tokens(self._plain_model())
        else:
            found = torch.tensor([self._fitting_tokens()], device=self.args.device)
            self.tokens_per_batch = int(self.accelerator.gather(found).min())

    def _fitting_tokens(self) -> int:
        return fitting_tokens(
            self._sized_model(),
            int(np.max(self.train_dataset["length"])),
            half_precision=bool(self.args.bf16 or self.args.fp16),
            gradient_checkpointing=bool(self.args.gradient_checkpointing),
            fused_attention=True,
            free_bytes=free_memory(self.args.device, self._plain_model()),
            packed=self.packed,
            shards=self.args.world_size if self.is_fsdp_enabled else 1,
            data_parallel=self.args.world_size > 1 and not self.is_fsdp_enabled,
        )

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        steps_loss = torch.as_tensor(self.totals.steps_loss, device=self.args.device)
        self.totals.steps_loss = float(self.accelerator.reduce(steps_loss, "mean"))
        limit, self.args.save_total_limit = self.args.save_total_limit, None  # old ones go when this one is whole
        run_dir = self._get_output_dir(trial=trial)
        newest = os.path.join(run_dir, f"checkpoint-{self.state.global_step}")
        try:
            with naming(newest):
                super()._save_checkpoint(model, trial)
        finally:
            self.args.save_total_limit = limit
        self.accelerator.wait_for_everyone()
        if self.args.should_save and newest in checkpoints(run_dir):
            mark_complete(newest, self.state.global_step)
            remove_old_checkpoints(run_dir, limit, self.state.best_model_checkpoint)


@contextmanager
def _options_of(name: str) -> Iterator[None]:
    """Name the option with which transformers could not make a part of the training."""
    try:
        yield
    except (ImportError, TypeError, ValueError) as error:
        raise error if isinstance(error, OptionError) else OptionError(f"{name}: {first_line(error)}") from error


def _needs_tokenizer(proteins: Any) -> bool:
    return isinstance(proteins, Dataset) and is_raw(proteins)


def _without_validation(args: TrainingArguments) -> None:
    """Without validation proteins there is no best checkpoint and no early stopping: the last weights are kept."""
    if isinstance(args, ProteinTrainingArguments):
        args.eval_strategy = type(args.eval_strategy)("no")
        args.load_best_model_at_end = False


def _lacks_labels(proteins: Any) -> bool:
    columns = proteins.column_names if isinstance(proteins, Dataset) else ("labels",)
    return "input_ids" in columns and "labels" not in columns
