"""The command line: one module a command, imported when it is called, so that --help costs nothing.

A command module has `HELP`, one line, and `run(arguments)`.
"""

import errno
import os
import re
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import TYPE_CHECKING

from ..errors import OptionError, ProteinClassifierError
from ..memory_allocator import keep_few_kernels, keep_freed_memory
from ..version import __version__
from .processes import is_distributed, is_first_process, leave_process_group
from .terminal import close_bars, log_to_stderr

if TYPE_CHECKING:
    from ..training.job import Job

FULL = (errno.ENOSPC, errno.EDQUOT)
FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)
FAILED_WRITES = ("PytorchStreamWriter", "inline_container.cc", "iostream error")  # torch.save, in words of its own
OPTION_NAME = re.compile(r"(?<=^--)[^=]+")
PROG = "protbert-classify"
PLUGINS = "--plugins"
# what several processes do together; of anything else the first does all
SHARED = ("train", "pretrain", "predict", "embed")
COMMANDS = {
    "train": "fine-tune a classifier on labelled proteins",
    "pretrain": "train an encoder further on unlabelled proteins, or from scratch",
    "evaluate": "measure a classifier on labelled proteins",
    "baselines": "measure simple classifiers on the proteins of a training",
    "layers": "find the layer of an encoder that predicts your labels best",
    "compare": "compare trainings on the same test proteins",
    "split": "divide labelled proteins so that related ones stay together",
    "leakage": "find test proteins that are similar to training proteins",
    "estimate": "estimate the memory and time of a training before you start it",
    "predict": "classify the proteins of a file: FASTA or a table in, a table out",
    "embed": "write the embeddings of the proteins of a file",
    "serve": "answer requests over HTTP: /ping and /invocations, as containers and clouds expect it",
    "sagemaker": "train, deploy and transform on Amazon SageMaker",
    "report": "write an HTML page about a finished training",
    "push": "publish a model, or labelled proteins, on the Hugging Face Hub",
    "demo": "train, test and save a small model on real proteins, in minutes on a laptop",
}


def main(arguments: Sequence[str] | None = None, job: "Job | None" = None) -> int:
    """Run a command and return its exit code: 0 done, 1 the environment, 2 bad input or options, 130 Ctrl-C.

    Args:
        arguments: Those of the process if None.
        job: The platform's, if this is a job of one.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if not arguments or arguments[0] in ("-h", "--help"):
        return _answer(_usage(), 0 if arguments else 2)
    if arguments[0] == "--version":
        return _answer(f"{PROG} {__version__}", 0)
    name, *rest = arguments
    if name not in COMMANDS:
        print(f"{PROG}: unknown command {name!r}; expected one of {', '.join(COMMANDS)}", file=sys.stderr)
        return 2
    return run_command(name, rest, job)


def load_plugins(arguments: Sequence[str]) -> list[str]:
    """Import the modules that `--plugins` names: the poolings, heads and losses that they register can then be used.

    Returns:
        The other arguments.

    Raises:
        OptionError: No module, or one that cannot be imported.
    """
    rest = list(arguments)
    while PLUGINS in rest:
        place = rest.index(PLUGINS)
        names = rest[place + 1 : place + 2]
        if not names or names[0].startswith("-"):
            raise OptionError(f"{PLUGINS}: expected a module, such as my_poolings for my_poolings.py in this folder")
        del rest[place : place + 2]
        if "" not in sys.path and os.getcwd() not in sys.path:
            sys.path.insert(0, os.getcwd())  # the console script does not look there
        try:
            import_module(names[0])
        except ImportError as error:
            raise OptionError(f"{PLUGINS} {names[0]}: {error}; expected a module here, or an installed one") from error
    return rest


def run_command(name: str, arguments: Sequence[str], job: "Job | None" = None) -> int:
    """Run one command; what goes wrong becomes one line on stderr and an exit code."""
    if name not in SHARED and not is_first_process():
        return 0
    of_job = {"job": job} if name == "train" and job is not None else {}
    words = with_underscores(arguments)
    return run_guarded(name, lambda: import_module(f".{name}", __name__).run(load_plugins(words), **of_job), job)


def with_underscores(arguments: Sequence[str]) -> list[str]:
    """Arguments in which `--output-dir` is written `--output_dir`, as the parsers have it; values stay as they are."""
    return [OPTION_NAME.sub(lambda name: name[0].replace("-", "_"), argument) for argument in arguments]


def run_guarded(name: str, run: Callable[[], int | None], job: "Job | None" = None) -> int:
    """Run something as a command, from a script of the user's, say; what goes wrong becomes one line and an exit code.

    Args:
        name: For messages.
        run: Returns the exit code, or None for 0.
        job: Is told what goes wrong, too.
    """
    log_to_stderr()
    keep_freed_memory()  # before anything large is allocated
    keep_few_kernels()
    try:
        code = run() or 0
        leave_process_group()  # only now: after a failure, others may still wait in an exchange
        return code
    except KeyboardInterrupt as interruption:
        return _fail(name, f"interrupted{f'; {interruption}' if interruption.args else ''}", 130, job)
    except ProteinClassifierError as error:
        return _fail(name, str(error), error.exit_code, job)
    except BrokenPipeError:
        _drop_output()
        return 1
    except MemoryError:
        return _fail(name, "out of memory; try smaller batches or a smaller --max_length", 1, job)
    except Exception as error:
        reason = _environment_failure(error)
        if reason is None:
            raise
        return _fail(name, reason, 1, job)


def _answer(text: str, code: int) -> int:
    try:
        print(text, flush=True)
    except BrokenPipeError:
        _drop_output()
    return code


def _drop_output() -> None:
    """The reader left, such as `head`: nothing more to say, not even that, at the end of the process."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _usage() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {text}" for name, text in COMMANDS.items()]
    return "\n".join(
        [
            f"usage: {PROG} COMMAND ...",
            "",
            "Classify proteins from their sequence with a fine-tuned protein language model.",
            "",
            *lines,
            "",
            f"{PROG} COMMAND --help lists the options of a command. Every command also takes {PLUGINS} MODULE: a",
            "Python module that registers your own poolings, heads or losses.",
        ]
    )


def _fail(name: str, message: str, code: int, job: "Job | None") -> int:
    close_bars()
    if int(os.environ.get("LOCAL_RANK", 0)) == 0:  # of several processes one speaks
        print(f"{PROG} {name}: {message}", file=sys.stderr)
        if job is not None:
            job.report_failure(f"{name}: {message}")
    return code


def _environment_failure(error: Exception) -> str | None:
    """One line for what the machine, not the program or its input, did wrong; None for anything else."""
    text = " ".join(str(error).split())
    note = next(iter(getattr(error, "__notes__", ())), None)  # the path, where training knew it
    if isinstance(error, OSError) and error.errno is not None:
        return _file_failure(error, str(error.filename or note or ""))
    # torch and safetensors report a failed write under their own types
    if any(sign in text for sign in FAILED_WRITES) or type(error).__name__ == "SafetensorError":
        return (
            f"{f'{note}: ' if note else ''}could not write or read weights ({text[:200]}); is the disk full? "
            "the last complete checkpoint is usable"
        )
    if "by peer" in text and is_distributed():  # of gloo; that one has said why
        return "another of the processes ended"
    if "out of memory" in text.lower():
        return f"out of memory ({text[:120]}); try smaller batches or a smaller --max_length"
    return None


def _file_failure(error: OSError, path: str) -> str:
    path = path.removesuffix(".part")
    folder = os.path.dirname(os.path.abspath(path))
    if error.errno in (errno.ENOENT, errno.ENOTDIR) and path and not os.path.isdir(folder):
        there = folder
        while not os.path.exists(there):
            there = os.path.dirname(there)
        if not os.path.isdir(there):
            return f"{there}: not a folder; choose another"
        return f"{folder}: no such folder; create it, or choose another"
    where = f"{path}: " if path else ""
    if error.errno in FORBIDDEN:
        unreadable = os.path.isfile(path) and not os.access(path, os.R_OK)
        advice = "ask its owner to let you read it" if unreadable else "choose another place"
        return f"{where}{str(error.strerror).lower()}; {advice}"
    if error.errno in FULL:
        return f"{where}{error.strerror}; free some space; what was complete before is still there"
    if error.errno in (errno.EFBIG, errno.EIO):
        return f"{where}{error.strerror}; what was complete before is still there"
    return f"{where}{error.strerror}"
