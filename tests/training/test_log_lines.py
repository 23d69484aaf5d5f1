import pytest
from transformers import PrinterCallback, ProgressCallback

from protbert_classify.training.log_lines import log_line
from tests.training.child import build_trainer


@pytest.mark.parametrize(
    ("logs", "line"),
    [
        ({"loss": 0.53219, "grad_norm": 1.25, "epoch": 0.5}, "epoch 0.5: loss 0.5322, grad norm 1.25"),
        (
            {"eval_loss": 1.1e-5, "eval_macro_f1": 1.0, "eval_steps_per_second": 9.0, "epoch": 2.0},
            "epoch 2: validation loss 1.1e-05, macro F1 1",
        ),
        ({"eval_hard_loss": 0.5, "eval_hard_mcc": 0.25, "epoch": 1.0}, "epoch 1: validation hard loss 0.5, MCC 0.25"),
        ({"test_loss": 0.5, "test_mcc": 0.25, "test_runtime": 3.0}, "test loss 0.5, MCC 0.25"),
        (
            {"train_loss": 0.5, "total_flos": 10**9, "train_runtime": 3.0, "epoch": 2.0},
            "epoch 2: mean training loss 0.5",
        ),
    ],
)
def test_an_entry_of_the_log_is_a_line_of_text(logs, line):
    assert log_line(logs) == line


@pytest.mark.parametrize(("quiet", "stock"), [(True, PrinterCallback), (False, ProgressCallback)])
def test_a_training_prints_lines_and_no_dictionaries(tmp_path, capsys, quiet, stock):
    trainer = build_trainer(str(tmp_path), validation=12, eval_strategy="epoch", disable_tqdm=quiet)
    trainer.train()
    out = capsys.readouterr().out
    assert "epoch 0.125: loss " in out and "epoch 1: validation loss " in out and "{" not in out
    trainer.remove_callback(stock)  # as with Trainer's own
    assert not any(isinstance(callback, stock) for callback in trainer.callback_handler.callbacks)
