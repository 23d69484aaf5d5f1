"""The trainer's evaluation loop: validation and prediction, on the engine of `predict`.

Shapes: N proteins, C logits of the main task, A of the auxiliary ones.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from accelerate.utils import gather_object
from datasets import Dataset
from tqdm.auto import tqdm
from transformers import Trainer
from transformers.trainer_utils import EvalLoopOutput, EvalPrediction

from ..data.collators import PackingCollator, PaddingCollator
from ..evaluation.decision import decide
from ..evaluation.metrics import evaluation_metrics, watched_metrics
from ..inference.engine import count_batches, default_tokens
from ..inference.logits import batched_logits
from ..model.attention import PADDING_FREE
from ..model.losses import model_loss
from ..model.tasks import MULTI_LABEL, REGRESSION
from .embedding_cache import EmbeddingCollator
from .preparation import by_length, is_embedded
from .validation_fits import (
    answered_tasks,
    calibrated,
    held_out,
    reset_calibration,
    set_calibration,
    set_thresholds,
    set_validation_scores,
)


class EvaluationMixin(Trainer):
    """Replaces `Trainer`'s evaluation loop.

    Batches hold proteins of similar length up to a number of tokens, `tokens_per_batch` or what suits the device;
    `per_device_eval_batch_size` has no effect. Each process computes its share, and all get all logits.
    """

    tokens_per_batch: int | None
    packed: bool
    _own_metrics: bool
    calibration: dict[str, Any]
    prediction_sets: dict[str, dict[str, Any]]
    _validated: dict[int | None, np.ndarray | None]
    encoded: Callable[[Any], Any]
    _embedded: Callable[[Any], Dataset | None]
    _plain_model: Callable[[], Any]
    _padding: Callable[[], PaddingCollator]
    _packing: Callable[[], PackingCollator]

    def get_eval_dataloader(self, eval_dataset: Any = None) -> Any:
        proteins = self.eval_dataset if eval_dataset is None else eval_dataset
        if isinstance(proteins, str):
            proteins = self.eval_dataset[proteins]
        if proteins is None:
            raise ValueError("evaluation needs an eval_dataset")
        return Proteins(self.encoded(proteins))

    def get_test_dataloader(self, test_dataset: Any) -> Any:
        return Proteins(self.encoded(test_dataset))

    def evaluation_loop(
        self,
        dataloader: Any,
        description: str,
        prediction_loss_only: bool | None = None,
        ignore_keys: list[str] | None = None,
        metric_key_prefix: str = "eval",
    ) -> EvalLoopOutput:
        """As in `Trainer`, on the engine of `predict`.

        Returns:
            `predictions` are logits, (N, C) or (N, C + A), in the order of the dataset; `label_ids` those of the main
            task; `metrics`, while the model trains, those of the validation proteins that choose the checkpoint.
        """
        proteins = dataloader.dataset
        logits = self._logits(proteins, description)
        labels, auxiliary = labels_of(proteins, "labels"), labels_of(proteins, "auxiliary_labels")
        measured = logits, labels, auxiliary
        if self.is_in_train and proteins is self.eval_dataset:
            self._validated = {self.state.best_global_step: self._validated.get(self.state.best_global_step)}
            self._validated[self.state.global_step] = logits
            rows = ~self._held_out() if self.args.load_best_model_at_end else np.ones(len(logits), dtype=bool)
            measured = logits[rows], *(None if part is None else part[rows] for part in (labels, auxiliary))
            config = self._plain_model().config
            set_thresholds(config, answered_tasks(config, *measured))
        metrics = {}
        if labels is not None or auxiliary is not None:
            metrics = self._metrics(*measured)
        prefixed = {f"{metric_key_prefix}_{name}": value for name, value in metrics.items()}
        return EvalLoopOutput(predictions=logits, label_ids=labels, metrics=prefixed, num_samples=len(proteins))

    def _metrics(self, logits: np.ndarray, labels: np.ndarray | None, auxiliary: np.ndarray | None) -> dict[str, float]:
        config = self._plain_model().config
        main, *others = np.split(logits, [config.num_labels], axis=1)
        loss = model_loss(
            torch.from_numpy(main),
            None if labels is None else torch.from_numpy(labels),
            config,
            auxiliary_logits=torch.from_numpy(others[0]) if config.auxiliary else None,
            auxiliary_labels=None if auxiliary is None else torch.from_numpy(auxiliary),
        )
        metrics = {"loss": float(loss)}
        if self._own_metrics:
            return metrics | self.compute_metrics(EvalPrediction(predictions=logits, label_ids=labels))
        if labels is None:
            return metrics
        found = evaluation_metrics(decide(logits, config), labels, auxiliary)
        return metrics | {name: found[name] for name in watched_metrics(config.tasks) if name in found}

    def _logits(self, proteins: Dataset, description: str) -> np.ndarray:
        """Logits of encoded proteins on every process, (N, C) or (N, C + A); each computes its share."""
        model = self._plain_model().eval()
        embedded = self._embedded(proteins)
        source = proteins if embedded is None else embedded
        column = "last_hidden_state" if is_embedded(source) else "input_ids"
        lengths = np.asarray(source["length"])
        world, rank = self.args.world_size, self.args.process_index
        sharded = self.is_fsdp_enabled
        shares, tokens, rounds = self._shares(lengths)
        collate = self._eval_collator(model, is_embedded(source))
        rows = source.select_columns([column]).with_format("numpy")
        with tqdm(total=len(lengths), unit="protein", desc=description, disable=self._quiet(), leave=False) as bar:
            found = batched_logits(
                model,
                lengths[shares[rank]],
                lambda batch: collate([{column: row} for row in rows[shares[rank][batch]][column]]),
                tokens,
                lambda count: bar.update(count * world) and None,
                autocast=self._autocast(),
                forward=self.model_wrapped if sharded else None,
                finite=False,
                rounds=rounds,
            )
        parts = [found] if world == 1 else gather_object([found])
        logits = np.empty((len(lengths), parts[0].shape[1]), dtype=np.float32)
        for share, part in zip(shares, parts, strict=True):
            logits[share] = part
        return logits

    def _shares(self, lengths: np.ndarray) -> tuple[list[np.ndarray], int, int | None]:
        """The rows of each process, tokens of a batch, and how often each process computes; see [`run_batches`]."""
        world = self.args.world_size
        shares = [by_length(lengths)[start::world] for start in range(world)]
        tokens = self.tokens_per_batch or default_tokens(self._plain_model())
        if not self.is_fsdp_enabled:
            return shares, tokens, None
        return shares, tokens, max(count_batches(lengths[share], tokens) for share in shares)

    def _eval_collator(self, model: Any, embedded: bool) -> Any:
        if embedded:
            return EmbeddingCollator()
        packed = model.backbone.config._attn_implementation == PADDING_FREE
        return self._packing() if packed else self._padding()

    def _autocast(self) -> torch.dtype | None:
        return torch.bfloat16 if self.args.bf16 else torch.float16 if self.args.fp16 else None

    def _quiet(self) -> bool:
        return bool(self.args.disable_tqdm) or not self.is_local_process_zero()

    def _calibrates(self) -> bool:
        classifies = any(task.problem_type != REGRESSION for task in self._plain_model().config.tasks)
        return classifies and getattr(self.args, "calibrate", "none") != "none"

    def _held_out(self) -> np.ndarray:
        """(N,), bool: the validation proteins that do not choose the checkpoint; see [`held_out`].

        All of them if no checkpoint is chosen; none if the user's own metrics choose, which may want all.
        """
        if not self.args.load_best_model_at_end:
            return np.ones(len(self.eval_dataset), dtype=bool)
        if not self._calibrates() or self._own_metrics:
            return np.zeros(len(self.eval_dataset), dtype=bool)
        return held_out(len(self.eval_dataset))

    def _begin_fits(self) -> None:
        """Forget what was fitted to validation proteins with earlier weights."""
        self.calibration, self.prediction_sets, self._validated = {}, {}, {}
        reset_calibration(self._plain_model().config)

    def _settle_fits(self) -> None:
        """Calibrate the weights that the training ended with, then keep scores for sets, and fit the thresholds."""
        config = self._plain_model().config
        several = any(task.problem_type == MULTI_LABEL for task in config.tasks)
        if not isinstance(self.eval_dataset, Dataset) or not (several or self._calibrates()):
            return
        answers = labels_of(self.eval_dataset, "labels"), labels_of(self.eval_dataset, "auxiliary_labels")
        logits = self.validation_logits()
        if self._calibrates():
            tasks, held = answered_tasks(config, logits, *answers), self._held_out()
            self.calibration = set_calibration(config, tasks, self.args.calibrate, held)
            logits = calibrated(config, logits)
            self._validated = {self._last_step(): logits}
            tasks = answered_tasks(config, logits, *answers)
            self.prediction_sets = set_validation_scores(config, tasks, held, self.args.seed)
        set_thresholds(config, answered_tasks(config, logits, *answers))

    def validation_logits(self) -> np.ndarray:
        """Logits of the validation proteins by the weights that a training ended with, (N, C) or (N, C + A).

        They were computed when these weights were validated; after a resume, they may have to be computed again.
        """
        found = self._validated.get(self._last_step())
        return found if found is not None else self._logits(self.eval_dataset, "Evaluation")

    def _last_step(self) -> int | None:
        """The step that the weights are of."""
        best = self.args.load_best_model_at_end and self.state.best_model_checkpoint is not None
        return self.state.best_global_step if best else self.state.global_step


class Proteins:
    """Encoded proteins where `Trainer` has a loader: the engine makes batches itself.

    Args:
        dataset: With `input_ids` and `length`.
    """

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)


def labels_of(proteins: Dataset, column: str) -> np.ndarray | None:
    """`labels` or `auxiliary_labels` of encoded proteins, (N,) or (N, C); None if there are none."""
    return np.asarray(proteins.with_format("numpy")[column][:]) if column in proteins.column_names else None
