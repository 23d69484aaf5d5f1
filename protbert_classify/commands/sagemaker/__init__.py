"""`protbert-classify sagemaker`: training and deployment on Amazon SageMaker, one module an action.

The docstring of an action's module is the text of its `--help`. The module has `add_options(parser)`
and `run(options)`, which may return an exit code.
"""

import argparse
import difflib
from contextlib import suppress
from importlib import import_module

from ...errors import OptionError
from ...sagemaker.dry_run import DryRun, Finished
from ...sagemaker.session import require_sdk
from ..parsing import OneLineParser

ACTIONS = {
    "train": "fine-tune on machines of AWS, with the options of train and those of the job",
    "deploy": "create an endpoint, which answers requests and is billed until it is deleted",
    "predict": "classify the proteins of a file with an endpoint",
    "transform": "classify the proteins of a file on machines that stop automatically",
    "status": "list what is running and billed, or show one job or endpoint",
    "delete": "stop a job, or delete an endpoint with all that belongs to it",
    "policy": "print the IAM permissions that jobs, endpoints and their users need",
}
USAGE = f"""\
usage: protbert-classify sagemaker ACTION ...

Train and deploy on Amazon SageMaker, with the credentials that AWS' own tools use. Requires the extra
sagemaker. Each command lists first what will be billed; --dry-run prints the exact requests and changes
nothing.

{chr(10).join(f"  {name:<9}  {text}" for name, text in ACTIONS.items())}

protbert-classify sagemaker ACTION --help shows the options of an action."""


def run(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help"):
        print(USAGE)
        return 0 if arguments else 2
    action, *rest = arguments
    if action not in ACTIONS:
        near = difflib.get_close_matches(action, ACTIONS, n=1)
        meant = f"did you mean {near[0]}?" if near else f"expected one of {', '.join(ACTIONS)}"
        raise OptionError(f"unknown action {action!r}; {meant}")
    module, code = import_module(f".{action}", __name__), None
    options = getattr(module, "parse", OneLineParser.parse_args)(parser_of(action), rest)
    dry_run = DryRun() if getattr(options, "dry_run", False) else None
    if hasattr(options, "dry_run"):  # on the line, or in a file of options
        options.dry_run = dry_run
    with require_sdk(), suppress(Finished):  # the last request of a dry run
        code = module.run(options)
    if dry_run is not None:
        print(dry_run.text())
    return code or 0


def parser_of(action: str) -> OneLineParser:
    """The parser of an action's options."""
    module = import_module(f".{action}", __name__)
    parser = OneLineParser(
        prog=f"protbert-classify sagemaker {action}",
        description=module.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    module.add_options(parser)
    return parser
