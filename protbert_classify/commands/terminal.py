"""The log and progress bars of a command."""

import logging
import os
import sys
from contextlib import nullcontext
from typing import TextIO


class _ToStderr(logging.StreamHandler[TextIO]):
    """Writes to what sys.stderr is at that moment: a notebook or a test has one for each cell or test."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)  # StreamHandler's would set the stream of now

    @property
    def stream(self) -> TextIO:  # type: ignore[override]
        return sys.stderr

    def format(self, record: logging.LogRecord) -> str:
        """The message; a warning says that it is one."""
        text = super().format(record)
        return f"warning: {text}" if record.levelno == logging.WARNING else text

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line; bars that are running go on below it."""
        bars = sys.modules["tqdm"].tqdm.external_write_mode(file=sys.stderr) if "tqdm" in sys.modules else nullcontext()
        with bars:
            super().emit(record)


def log_to_stderr() -> None:
    """Show the package's log; of several processes one speaks. Bars that last a moment are left out."""
    logger = logging.getLogger("protbert_classify")
    if not logger.handlers:
        logger.addHandler(_ToStderr())
    logger.propagate = False
    logger.setLevel(logging.INFO if int(os.environ.get("LOCAL_RANK", 0)) == 0 else logging.ERROR)
    os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")  # a dozen, of seconds; training keeps its own
    os.environ.setdefault("HF_HUB_VERBOSITY", "error")  # retries are not logged; the final error is
    for name in ("torchao", "torch.utils._pytree", "bitsandbytes"):  # what is said at the import, used or not
        logging.getLogger(name).setLevel(logging.ERROR)


def close_bars() -> None:
    """End the line of a bar that was cut off, so that a message has a line of its own."""
    if "tqdm" in sys.modules:
        for bar in list(sys.modules["tqdm"].tqdm._instances):
            bar.close()


def hide_short_progress_bars() -> None:
    """No bars for reading and writing weights, one each checkpoint; downloads from the Hub keep theirs."""
    import huggingface_hub.utils
    import transformers

    transformers.utils.logging.disable_progress_bar()  # switches those of the Hub off, too
    huggingface_hub.utils.enable_progress_bars()
