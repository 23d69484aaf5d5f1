"""What a training prints: a line for each entry of its log, below the progress bar or without one."""

from collections.abc import Mapping
from typing import Any

from transformers import PrinterCallback, ProgressCallback, TrainerControl, TrainerState, TrainingArguments

from ..evaluation.metrics import NAMES

NOT_SHOWN = ("epoch", "total_flos", "_runtime", "_per_second")  # endings of names


def log_line(logs: Mapping[str, Any]) -> str:
    """An entry of Trainer's log as text; `METRICS` of `sagemaker.training` reads these lines.

    Example:
        >>> from protbert_classify.training.log_lines import log_line
        >>> log_line({"loss": 0.53219, "grad_norm": 1.25, "learning_rate": 3e-05, "epoch": 0.5})
        'epoch 0.5: loss 0.5322, grad norm 1.25, learning rate 3e-05'
        >>> log_line({"eval_loss": 0.41, "eval_accuracy": 0.875, "eval_mcc": 0.75, "eval_runtime": 0.2, "epoch": 1.0})
        'epoch 1: validation loss 0.41, accuracy 0.875, MCC 0.75'
    """
    prefix = next((name.removesuffix("loss") for name in logs if name.endswith("_loss")), "")  # eval_, train_, test_
    split = prefix.replace("eval", "validation").replace("train", "mean training").replace("_", " ")
    shown = {name.removeprefix(prefix): value for name, value in logs.items() if not name.endswith(NOT_SHOWN)}
    numbers = ", ".join(f"{NAMES.get(name, name.replace('_', ' '))} {_number(value)}" for name, value in shown.items())
    epoch = f"epoch {_number(logs['epoch'])}: " if "epoch" in logs else ""
    return f"{epoch}{split}{numbers}"


def _number(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


class PrintedLines(PrinterCallback):
    """transformers' callback for a training without a progress bar."""

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        if state.is_local_process_zero:
            print(log_line(logs or {}))


class ProgressLines(ProgressCallback):
    """transformers' callback for a training with a progress bar."""

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        if state.is_world_process_zero and self.training_bar is not None:
            self.training_bar.write(log_line(logs or {}))


LINES = {PrinterCallback: PrintedLines, ProgressCallback: ProgressLines}  # in place of what Trainer adds
