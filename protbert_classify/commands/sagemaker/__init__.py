"""`protbert-classify sagemaker`: training and deployment on Amazon SageMaker, one module an action."""

import difflib
from importlib import import_module

from ...errors import OptionError

ACTIONS = {
    "train": "fine-tune on machines of AWS: the options of train, and those of the job",
    "deploy": "an endpoint that answers requests, and costs, until it is deleted",
    "predict": "classify the proteins of a file with an endpoint",
    "transform": "classify the proteins of a file on machines that end by themselves",
    "status": "what runs now, and costs; or how a job or an endpoint is",
    "delete": "stop a job, delete an endpoint with all that belongs to it",
    "policy": "the IAM permissions that jobs, endpoints and their users need",
    "wheels": "download what containers without a network install",
}


def run(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_usage())
        return 0 if arguments else 2
    action, *rest = arguments
    if action not in ACTIONS:
        near = difflib.get_close_matches(action, ACTIONS, n=1)
        meant = f"did you mean {near[0]}?" if near else f"expected one of {', '.join(ACTIONS)}"
        raise OptionError(f"unknown action {action!r}; {meant}")
    try:
        return int(import_module(f".{action}", __name__).run(rest))
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] not in ("boto3", "botocore", "sagemaker"):
            raise
        from ...sagemaker.aws import NOT_INSTALLED

        raise OptionError(NOT_INSTALLED) from None


def _usage() -> str:
    width = max(map(len, ACTIONS))
    lines = [f"  {name:<{width}}  {text}" for name, text in ACTIONS.items()]
    return "\n".join(
        [
            "usage: protbert-classify sagemaker ACTION ...",
            "",
            "Train and deploy on Amazon SageMaker, with the credentials that AWS' own tools use. Needs the extra",
            "sagemaker. What costs is said before it begins; --dry-run shows the exact request and changes nothing.",
            "",
            *lines,
            "",
            "protbert-classify sagemaker ACTION --help tells about one of them.",
        ]
    )
