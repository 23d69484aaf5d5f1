"""HF's Trainer with what classifying proteins needs."""

import logging
import os
from functools import partial
from typing import Any

import numpy as np
import torch
from accelerate.utils import broadcast_object_list
from accelerate.utils.memory import clear_device_cache, should_reduce_batch_size
from datasets import Dataset
from huggingface_hub import HfApi
from torch.nn import functional
from torch.utils.data import DataLoader, SequentialSampler
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_utils import EvalPrediction, PredictionOutput

from ..data.collators import PackingCollator, PaddingCollator, split_batch
from ..errors import OptionError
from ..evaluation.metrics import classification_metrics
from ..hub import hub_errors, push_saved
from ..model.attention import varlen_attention
from ..reporting.run_folder import RECORD, Run, read_run
from .checkpoints import checkpoints, mark_complete, newest_complete_checkpoint, remove_old_checkpoints
from .memory import fitting_tokens
from .outputs import naming
from .samplers import LengthGroupedBatches

logger = logging.getLogger(__name__)


class ProteinTrainer(Trainer):
    """Trains a [`ProteinClassifier`] on encoded proteins (`input_ids`, `length`, `labels`).

    What differs from `Trainer`:

    - The loss of a step is the mean over its proteins, whatever the accumulation and the number of processes.
    - `train_sampling_strategy="group_by_length"` means [`LengthGroupedBatches`]; `packing` lays the proteins of a
      batch into a single row.
    - A batch that does not fit into memory is computed in halves, with the same result.
    - Evaluation runs by length, predictions come back in the order of the dataset.
    - A checkpoint counts once it is whole, and `resume_from_checkpoint=True` takes the newest that is.

    Args:
        As for `Trainer`; the collator, the metrics and the loss have defaults.
    """

    def __init__(self, model: Any = None, args: TrainingArguments | None = None, **kwargs: Any) -> None:
        own_collator = kwargs.get("data_collator") is not None
        if not own_collator:
            kwargs["data_collator"] = PaddingCollator(model.config.pad_token_id or 0)
        if kwargs.get("compute_loss_func") is None:
            smoothing = args.label_smoothing_factor if args is not None else 0.0
            kwargs["compute_loss_func"] = ProteinLoss(smoothing)
        if kwargs.get("compute_metrics") is None:
            kwargs["compute_metrics"] = ScalarMetrics(model.config.labels)
        super().__init__(model=model, args=args, **kwargs)
        self.tokens_per_batch: int | None = None  # known once decided, at the latest when training begins
        self.packed = not own_collator and self._packs()
        self._accumulated: list[dict[str, Any]] = []  # batches whose gradients wait for the next optimizer step

    def _packs(self) -> bool:
        """Whether training packs: where it is asked for, or pays, and can be done."""
        choice = getattr(self.args, "packing", "off")
        if self.args.device.type == "cpu" and self.args.bf16:
            self.model.enable_packing()  # for its attention, the faster one there for padded batches, too
        half_precision_gpu = self.args.device.type == "cuda" and (self.args.bf16 or self.args.fp16)
        if choice == "off" or (choice == "auto" and not (half_precision_gpu and varlen_attention())):
            return False
        if self.args.train_sampling_strategy != "group_by_length":
            reason = f"train_sampling_strategy is {self.args.train_sampling_strategy}"
        elif self.args.n_gpu > 1:
            reason = "DataParallel cannot deal packed batches; use accelerate launch"
        else:
            reason = self.model.enable_packing()
        if reason is not None:
            logger.info("batches are padded: %s", reason)
        return reason is None

    def get_train_dataloader(self) -> DataLoader:
        if self.args.train_sampling_strategy != "group_by_length":
            if getattr(self.args, "tokens_per_batch", None):
                raise OptionError("tokens_per_batch wants train_sampling_strategy=group_by_length")
            return super().get_train_dataloader()
        if self.train_dataset is None:
            raise ValueError("training needs a train_dataset")
        batches = self._train_batches(np.asarray(self.train_dataset["length"]))
        self.add_callback(_SetEpoch(batches))
        loader = DataLoader(
            self._remove_unused_columns(self.train_dataset, description="training"),
            batch_sampler=batches,
            collate_fn=PackingCollator() if self.packed else self.data_collator,
            num_workers=self.args.dataloader_num_workers,
            pin_memory=self.args.dataloader_pin_memory,
            persistent_workers=self.args.dataloader_persistent_workers,
            prefetch_factor=self.args.dataloader_prefetch_factor,
        )
        return self.accelerator.prepare(loader)

    def _train_batches(self, lengths: np.ndarray) -> LengthGroupedBatches:
        seed = self.args.data_seed if self.args.data_seed is not None else self.args.seed
        layout = "packed into one row" if self.packed else "of similar length, padded"
        self.decide_tokens_per_batch(self.tokens_per_batch)
        logger.info("batches: %d proteins a device, %s", self._train_batch_size, layout)
        return LengthGroupedBatches(lengths, self._train_batch_size, self.args.world_size, seed)

    def decide_tokens_per_batch(self, found: int | None = None) -> None:
        """Turn the option into a number, the same on all processes.

        Args:
            found: What `auto` came to when a run began that is resumed now; other batches would be another training.
        """
        given = getattr(self.args, "tokens_per_batch", None)
        if given != "auto":
            self.tokens_per_batch = int(given) if given else None
            return
        if found is None:
            longest = int(np.max(self.train_dataset["length"]))
            fitting = fitting_tokens(self.model, longest, self.compute_loss_context_manager())
            found = int(self.accelerator.gather(torch.tensor([fitting], device=self.args.device)).min())
            logger.info("tokens_per_batch: %s fit into the memory of a device", f"{found:,}")
        self.tokens_per_batch = found

    def training_step(
        self, model: Any, inputs: dict[str, Any], num_items_in_batch: torch.Tensor | int | None = None
    ) -> torch.Tensor:
        """As in `Trainer`; what does not fit into memory is computed in halves, whose losses add up to the whole's."""
        waiting = self._accumulated
        batches, own = [inputs], 0  # from `own` on they are this step's
        losses: list[torch.Tensor] = []
        while len(losses) < len(batches):
            place = len(losses)
            loss = self._step_or_none(model, batches[place], num_items_in_batch)
            if loss is not None:
                losses.append(loss)
                continue
            proteins = len(batches[place]["labels"])
            logger.warning("out of memory with %d proteins in a batch: computing them in halves", proteins)
            # backward may have come half the way: the gradients that wait for the optimizer are computed anew
            own += len(waiting) + (place < own)
            batches = [*waiting, *batches[:place], *split_batch(batches[place], 2), *batches[place + 1 :]]
            waiting, losses = [], []
            model.zero_grad()
        self._accumulated = [] if self.accelerator.sync_gradients else [*waiting, *batches]
        return torch.stack(losses[own:]).sum()

    def _step_or_none(self, model: Any, inputs: dict[str, Any], num_items_in_batch: Any) -> torch.Tensor | None:
        try:
            return super().training_step(model, dict(inputs), num_items_in_batch)
        except RuntimeError as error:
            # the other processes would wait for this one in the middle of their backward
            if self.args.world_size > 1 or not should_reduce_batch_size(error) or len(split_batch(inputs, 2)) < 2:
                raise
        clear_device_cache()
        return None

    def _get_eval_sampler(self, eval_dataset: Dataset) -> SequentialSampler | None:
        # stock Trainer shuffles here under group_by_length, and predictions would lose their order
        return SequentialSampler(eval_dataset) if self.args.world_size <= 1 else None

    def evaluate(self, eval_dataset: Any = None, *args: Any, **kwargs: Any) -> dict[str, float]:
        dataset = self.eval_dataset if eval_dataset is None else eval_dataset
        if isinstance(dataset, Dataset):
            dataset = dataset.select(_by_length(dataset))
        return super().evaluate(dataset, *args, **kwargs)

    def predict(self, test_dataset: Dataset, *args: Any, **kwargs: Any) -> PredictionOutput:
        """As in `Trainer`: `predictions` (N, C) are logits, in the order of the dataset."""
        order = _by_length(test_dataset)
        output = super().predict(test_dataset.select(order), *args, **kwargs)
        back = np.argsort(order)
        label_ids = output.label_ids[back] if output.label_ids is not None else None
        return output._replace(predictions=output.predictions[back], label_ids=label_ids)

    def train(self, resume_from_checkpoint: str | bool | None = None, **kwargs: Any) -> Any:
        if resume_from_checkpoint is True:
            resume_from_checkpoint = newest_complete_checkpoint(self.args.output_dir)
            if resume_from_checkpoint is None:
                raise ValueError(f"{self.args.output_dir} has no complete checkpoint to resume from")
        return super().train(resume_from_checkpoint=resume_from_checkpoint, **kwargs)

    def push_to_hub(
        self,
        commit_message: str | None = "End of training",
        blocking: bool = True,
        token: str | None = None,
        revision: str | None = None,
        private: bool | None = None,
        **kwargs: Any,
    ) -> Any:
        """Publish the model as [`push_model`] does, in place of Trainer's folder of everything and its stock card.

        Of a run that was written to its end the card has everything; else what the trainer knows: the arguments, and
        the last evaluation.

        Args:
            commit_message: Of the commit.
            blocking: Wait until it is sent.
            token: In place of `hub_token`, HF_TOKEN or the one that `hf auth login` saved.
            revision: The branch; `hub_revision` if None.
            private: Whether a new repository is; `hub_private_repo` if None, and private if that is None, too.
            kwargs: `licences`, `create_pr`, `commit_description`.

        Returns:
            The commit, or a `Future` of it if not `blocking`; None on other processes than the first.
        """
        self.callback_handler.on_push_begin(self.args, self.state, self.control)
        token = token if token is not None else self.args.hub_token
        if self.hub_model_id is None:
            self.init_hf_repo(token=token, private=private)
        run, model = self._recorded_run(), os.path.join(str(self.args.output_dir), "model")
        if not broadcast_object_list([run is not None])[0]:
            self.save_model(model, _internal_call=True)  # on all processes: FSDP gathers the weights here
        if not self.is_world_process_zero():
            return None
        self._finish_current_push()
        options = {
            "private": self._is_private(private),
            "token": token,
            "revision": revision if revision is not None else self.args.hub_revision,
            "commit_message": commit_message,
            **kwargs,
        }
        send = partial(push_saved, model, run or self._unrecorded_run(), self.hub_model_id, **options)
        return send() if blocking else HfApi().run_as_future(send)

    def init_hf_repo(self, token: str | None = None, private: bool | None = None) -> None:
        """As in `Trainer`, but private unless `hub_private_repo` says otherwise."""
        name = self.args.hub_model_id or os.path.basename(os.path.abspath(self.args.output_dir))
        with hub_errors(name, token or self.args.hub_token):
            super().init_hf_repo(token=token, private=self._is_private(private))

    def _push_from_checkpoint(self, checkpoint_folder: str) -> None:
        """Nothing: a model is published when it is finished. Trainer would send all that lies in `output_dir`."""

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Any] | None = None) -> None:
        token, self.args.hub_token = self.args.hub_token, None  # the arguments are pickled beside the weights
        try:
            super()._save(output_dir, state_dict=state_dict)
        finally:
            self.args.hub_token = token

    def _is_private(self, private: bool | None) -> bool:
        return next((given for given in (private, self.args.hub_private_repo) if given is not None), True)

    def _recorded_run(self) -> Run | None:
        """The run in `output_dir`, if it is the one that this trainer went through, and finished."""
        folder = str(self.args.output_dir)
        if not os.path.isfile(os.path.join(folder, RECORD)):
            return None
        run = read_run(folder)
        return run if run.log and self.state.log_history[: len(run.log)] == run.log else None

    def _unrecorded_run(self) -> Run:
        """What is known of a training that wrote no run: its arguments and its log."""
        ends = [entry for entry in self.state.log_history if "train_runtime" in entry]
        return Run(
            folder=str(self.args.output_dir),
            labels=self.model.config.labels,
            metrics={**ends[-1], "parameters": self.model.num_parameters()} if ends else {},
            record={"training_arguments": self.args.to_dict(), "world_size": self.args.world_size},
            log=self.state.log_history,
            data=None,
            predictions=None,
        )

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        limit, self.args.save_total_limit = self.args.save_total_limit, None  # old ones go when this one is whole
        run_dir = self._get_output_dir(trial=trial)
        newest = os.path.join(run_dir, f"checkpoint-{self.state.global_step}")
        try:
            with naming(newest):
                super()._save_checkpoint(model, trial)
        finally:
            self.args.save_total_limit = limit
        self.accelerator.wait_for_everyone()
        if self.args.should_save:
            if newest in checkpoints(run_dir):
                mark_complete(newest, self.state.global_step)
                remove_old_checkpoints(run_dir, limit, self.state.best_model_checkpoint)


class ProteinLoss:
    """Cross-entropy summed over the proteins and divided by the number of them in the whole step.

    Trainer calls it with the count over all micro-batches and processes. A mean per micro-batch would weight proteins
    of smaller batches more, and summed over an accumulation it would grow with it.

    Args:
        label_smoothing: Share of the target spread over all classes, 0..1.
    """

    def __init__(self, label_smoothing: float = 0.0) -> None:
        self.label_smoothing = label_smoothing

    def __call__(
        self, outputs: Any, labels: torch.Tensor, num_items_in_batch: torch.Tensor | int | None = None
    ) -> torch.Tensor:
        logits = outputs["logits"] if isinstance(outputs, dict) else outputs[0]
        total = functional.cross_entropy(logits.float(), labels, reduction="sum", label_smoothing=self.label_smoothing)
        if num_items_in_batch is None:
            return total / labels.numel()
        # one number, or under DataParallel one for each GPU: then Trainer multiplies the loss by their count
        return total / torch.as_tensor(num_items_in_batch).sum()


class ScalarMetrics:
    """Trainer's `compute_metrics`: the numbers of [`classification_metrics`] that can be plotted.

    Args:
        labels: Names of the classes, in the order of the logits.
    """

    def __init__(self, labels: list[str]) -> None:
        self.labels = labels

    def __call__(self, prediction: EvalPrediction) -> dict[str, float]:
        metrics = classification_metrics(prediction.predictions.argmax(-1), prediction.label_ids, self.labels)
        return {name: metrics[name] for name in ("accuracy", "mcc", "macro_f1")}


class _SetEpoch(TrainerCallback):
    """Tells the batches which epoch begins: neither Accelerate nor Trainer reaches them after a resume."""

    def __init__(self, batches: LengthGroupedBatches) -> None:
        self.batches = batches

    def on_epoch_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self.batches.set_epoch(int(state.epoch or 0))


def _by_length(dataset: Dataset) -> np.ndarray:
    """Longest first: little padding, and memory runs out at once or never."""
    return np.argsort(-np.asarray(dataset["length"]), kind="stable")
