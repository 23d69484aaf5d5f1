"""`protbert-classify sagemaker`: training and deployment on Amazon SageMaker, one module an action."""

import difflib
from importlib import import_module

from ...errors import OptionError

ACTIONS = {
    "train": "fine-tune on machines of AWS, with the options of train and those of the job",
    "deploy": "create an endpoint, which answers requests and is billed until it is deleted",
    "predict": "classify the proteins of a file with an endpoint",
    "transform": "classify the proteins of a file on machines that stop automatically",
    "status": "list what is running and billed, or show one job or endpoint",
    "delete": "stop a job, or delete an endpoint with all that belongs to it",
    "policy": "print the IAM permissions that jobs, endpoints and their users need",
}


def run(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help"):
        width = max(map(len, ACTIONS))
        print("usage: protbert-classify sagemaker ACTION ...\n")
        print("Train and deploy on Amazon SageMaker, with the credentials that AWS' own tools use. Requires the extra")
        print(
            "sagemaker. Each command lists first what will be billed; --dry-run prints the exact requests and changes"
        )
        print("nothing.\n")
        print("\n".join(f"  {name:<{width}}  {text}" for name, text in ACTIONS.items()))
        print("\nprotbert-classify sagemaker ACTION --help shows the options of an action.")
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
        from ...sagemaker.session import NOT_INSTALLED

        raise OptionError(NOT_INSTALLED) from None
