"""The trainer's training step: a batch in parts that fit into memory, and the loss over all tasks."""

import contextlib
import logging
import math
from collections.abc import Callable
from typing import Any

import torch
from accelerate.utils.memory import clear_device_cache, should_reduce_batch_size
from transformers import Trainer

from ..data.collators import split_batch, split_by_tokens
from ..model.losses import count_known, model_loss, split_auxiliary
from ..model.tasks import IGNORED
from .callbacks import TrainingTotals

logger = logging.getLogger(__name__)

LABELS = ("labels", "auxiliary_labels")


def _unlabelled(inputs: dict[str, Any]) -> dict[str, Any]:
    """The same proteins without a known label: they cost nothing."""
    unknown = {name: _unknown(inputs[name]) for name in LABELS if name in inputs}
    return {**inputs, **unknown}


def _unknown(labels: torch.Tensor) -> torch.Tensor:
    return torch.full_like(labels, math.nan if labels.is_floating_point() else IGNORED)


class TrainingStepMixin(Trainer):
    """Replaces `Trainer`'s training step, so that what a step learns does not depend on the device's memory."""

    tokens_per_batch: int | None
    totals: TrainingTotals
    _own_loss: bool
    _accumulated: list[dict[str, Any]]
    _plain_model: Callable[[], Any]
    _multiple: Callable[[], int | None]

    def training_step(
        self, model: Any, inputs: dict[str, Any], num_items_in_batch: torch.Tensor | int | None = None
    ) -> torch.Tensor:
        """As in `Trainer`, a batch in parts of at most `tokens_per_batch` tokens, whose losses add up to the whole's.

        A part that does not fit into memory is computed in halves, with the same result; that needs one process.
        """
        waiting = self._accumulated
        batches, own = self._parts(inputs), 0  # from `own` on they are this step's
        losses: list[torch.Tensor] = []
        while len(losses) < len(batches):
            place = len(losses)
            with self._sync_only_last(model, place, len(batches)):
                loss = self._step_or_none(model, batches[place], num_items_in_batch)
            if loss is not None:
                losses.append(loss)
                continue
            proteins = len(batches[place]["labels"])
            logger.warning("out of memory with %d proteins in a batch: computing them in halves", proteins)
            # backward may have come half the way: the gradients that wait for the optimizer are computed again
            own += len(waiting) + (place < own)
            halves = split_batch(batches[place], 2, self._multiple())
            batches = [*waiting, *batches[:place], *halves, *batches[place + 1 :]]
            waiting, losses = [], []
            model.zero_grad()
        self._accumulated = [] if self.accelerator.sync_gradients else [*waiting, *batches]
        loss = torch.stack(losses[own:]).sum()
        self.totals.steps_loss += loss
        return loss

    def _parts(self, inputs: dict[str, Any]) -> list[dict[str, Any]]:
        multiple, tokens = self._multiple(), self.tokens_per_batch
        parts = [inputs] if tokens is None else split_by_tokens(inputs, tokens, multiple)
        if self.is_fsdp_enabled and self.args.world_size > 1:  # all processes gather weights equally often
            most = int(self.accelerator.gather(torch.tensor([len(parts)], device=self.args.device)).max())
            parts = split_batch(inputs, most, multiple)
            parts += [_unlabelled(parts[-1])] * (most - len(parts))  # a batch of one protein less has a part less
        return parts

    def _sync_only_last(self, model: Any, place: int, count: int) -> contextlib.AbstractContextManager[Any]:
        """Processes exchange gradients once a batch, not once a part."""
        return contextlib.nullcontext() if place == count - 1 else self.accelerator.no_sync(model)

    def _step_or_none(self, model: Any, inputs: dict[str, Any], num_items_in_batch: Any) -> torch.Tensor | None:
        try:
            return super().training_step(model, dict(inputs), num_items_in_batch)
        except RuntimeError as error:
            # the other processes would wait for this one in the middle of their backward
            if self.args.world_size > 1 or not should_reduce_batch_size(error) or len(inputs["labels"]) < 2:
                raise
        clear_device_cache()
        return None

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """The weighted sum over tasks of the mean over the known labels of the whole step, see [`model_loss`]."""
        if self._own_loss:
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        labels = {name: inputs[name] for name in LABELS if name in inputs}
        outputs = model(**{name: value for name, value in inputs.items() if name not in LABELS})
        loss = self._loss(outputs, labels, num_items_in_batch)
        if num_items_in_batch is not None and self.args.average_tokens_across_devices:
            loss = loss * self.accelerator.num_processes  # whose gradients are averaged
        return (loss, outputs) if return_outputs else loss

    def _loss(self, outputs: Any, labels: dict[str, Any], denominators: Any) -> torch.Tensor:
        """The loss of some outputs, a sum over labels divided by `denominators`; the mean if these are None."""
        return model_loss(
            outputs["logits"],
            labels.get("labels"),
            self._plain_model().config,
            auxiliary_logits=outputs.get("auxiliary_logits"),
            auxiliary_labels=labels.get("auxiliary_labels"),
            denominators=denominators,
            label_smoothing=self.args.label_smoothing_factor,
        )

    def _count_labels(self, batch: dict[str, Any]) -> torch.Tensor:
        """What `denominators` of [`_loss`] is the sum of over the batches of a step, on all processes."""
        return known_labels(batch, self._plain_model().config)

    def _get_num_items_in_batch(self, batch_samples: list[Any], device: torch.device) -> Any:
        """(tasks,), labels of each task that are known in a step, over its batches and all processes."""
        if self._own_loss:
            return super()._get_num_items_in_batch(batch_samples, device)
        if not batch_samples:
            return None
        counts = torch.stack([self._count_labels(batch) for batch in batch_samples]).sum(0).to(device)
        if self.args.world_size > 1 and self.args.average_tokens_across_devices:
            counts = self.accelerator.reduce(counts, "sum")
        return counts


def known_labels(batch: dict[str, Any], config: Any) -> torch.Tensor:
    """(tasks,), how many labels of each task are known in a batch."""
    zero = torch.zeros((), dtype=torch.long)
    main = count_known(batch["labels"], config.task) if "labels" in batch else zero
    if "auxiliary_labels" not in batch:
        return torch.stack([main.cpu(), *(zero for _ in config.auxiliary)])
    columns = split_auxiliary(batch["auxiliary_labels"], config.auxiliary, targets=True)
    others = [count_known(column, task).cpu() for column, task in zip(columns, config.auxiliary, strict=True)]
    return torch.stack([main.cpu(), *others])
