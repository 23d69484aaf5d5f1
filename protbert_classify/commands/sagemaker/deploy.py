"""`protbert-classify sagemaker deploy`: a model behind an endpoint."""

import argparse
from typing import TYPE_CHECKING, Any

from ...errors import OptionError
from ..parsing import positive
from .options import add_account, add_security, new_parser, pairs, security_of, session_of

if TYPE_CHECKING:
    from ...sagemaker.endpoints.predictor import Predictor

DESCRIPTION = """\
Put a model behind an endpoint that answers until it is deleted.

  protbert-classify sagemaker deploy --role Proteins --model s3://bucket/.../model.tar.gz --endpoint locations
  protbert-classify sagemaker deploy --role Proteins --model runs/mine --endpoint locations --serverless
  protbert-classify sagemaker predict --endpoint locations --input proteins.fasta --output calls.csv
  protbert-classify sagemaker delete --endpoint locations

Instances are paid for as long as the endpoint is there, used or not; a serverless one by the request; one with a queue
(--asynchronous) may go down to no instance (--autoscale 0 4). If the model does not start, or on Ctrl-C, all that was
created is deleted again."""


def run(arguments: list[str]) -> int:
    options = _parser().parse_args(arguments)
    from ...sagemaker.deployment import deploy
    from ...sagemaker.dry_run import DryRun

    dry_run = DryRun() if options.dry_run else None
    session = session_of(options, dry_run)
    if options.update:
        predictor = _update(options, session, wait=not options.no_wait and dry_run is None)
    else:
        wanted = _wanted(options)
        predictor = deploy(options.model, session=session, wait=not options.no_wait and dry_run is None, **wanted)
    print(dry_run.text() if dry_run is not None else predictor.endpoint_name)
    return 0


def _wanted(options: argparse.Namespace) -> dict[str, Any]:
    from ...sagemaker.endpoints.capacity import Asynchronous, Serverless
    from ...sagemaker.hosting import CPU_INSTANCE

    if options.model is None:
        raise OptionError("no --model; expected a model.tar.gz in S3, or the folder of a run or a model")
    _refuse(
        {
            "--serverless with --asynchronous": options.serverless and options.asynchronous,
            "--autoscale with --no_wait": options.autoscale is not None and options.no_wait,
            "--instance_type with --serverless": options.instance_type is not None and options.serverless,
            "--instance_count with --serverless": options.instance_count is not None and options.serverless,
        }
    )
    needed = {"memory": "serverless", "output": "asynchronous"}
    for name, other in needed.items():
        if getattr(options, name) is not None and not getattr(options, other):
            raise OptionError(f"--{name} is of --{other} endpoints; add that, or leave it out")
    if options.concurrency is not None and not (options.serverless or options.asynchronous):
        raise OptionError("--concurrency is of --serverless and --asynchronous endpoints; add one, or leave it out")
    given = {name: getattr(options, name) for name in ("memory", "concurrency", "output")}
    given = {name: value for name, value in given.items() if value is not None}
    return {
        "endpoint_name": options.endpoint,
        "instance_type": options.instance_type or CPU_INSTANCE,
        "instance_count": options.instance_count or 1,
        "serverless": Serverless(**given) if options.serverless else None,
        "asynchronous": Asynchronous(**given) if options.asynchronous else None,
        "image_uri": options.image_uri,
        "environment": pairs(options.environment, "--environment"),
        "scaling": None if options.autoscale is None else tuple(options.autoscale),
        **security_of(options),
    }


def _refuse(refused: dict[str, bool]) -> None:
    for what, given in refused.items():
        if given:
            raise OptionError(f"{what} cannot be; leave one out")


def _update(options: argparse.Namespace, session: Any, wait: bool) -> "Predictor":
    from ...sagemaker.endpoints.predictor import attach

    if options.endpoint is None:
        raise OptionError("--update needs --endpoint, the one to change")
    fixed = ["serverless", "asynchronous", "output", "memory", "concurrency", "autoscale"]
    fixed += ["kms_key", "subnets", "security_group_ids", "network_isolation", "tags"]
    _refuse({f"--update with --{name}": bool(getattr(options, name)) for name in fixed})
    predictor = attach(options.endpoint, session)
    predictor.update(
        wait=wait,
        model=options.model,
        wheels=options.wheels,
        instance_type=options.instance_type,
        instance_count=options.instance_count,
        image_uri=options.image_uri,
        environment=pairs(options.environment, "--environment") or None,
    )
    return predictor


def _parser() -> argparse.ArgumentParser:
    parser = new_parser("deploy", DESCRIPTION)
    parser.add_argument("--model", help="model.tar.gz in S3, or the folder of a run or a model; or none, to --update")
    parser.add_argument("--endpoint", help="its name (default: one with the time in it)")
    parser.add_argument("--instance_type", help="default ml.m5.xlarge, which has no GPU")
    parser.add_argument("--instance_count", type=positive, help="default 1")
    parser.add_argument("--serverless", action="store_true", help="no instances; billed by the request")
    parser.add_argument("--memory", type=positive, help="MB of a serverless one (default 6144)")
    parser.add_argument("--concurrency", type=positive, help="requests at once, of one with a queue or serverless")
    parser.add_argument("--asynchronous", action="store_true", help="a queue before the instances; answers in S3")
    parser.add_argument("--output", metavar="S3", help="prefix of asynchronous answers (default: beside the model)")
    parser.add_argument(
        "--autoscale", type=int, nargs=2, metavar=("MIN", "MAX"), help="let AWS choose the number of instances"
    )
    parser.add_argument("--update", action="store_true", help="change one that is there: model, instances, image")
    parser.add_argument("--image_uri", help="a container of one's own (default: AWS' newest of Hugging Face)")
    parser.add_argument("--environment", nargs="+", default=[], metavar="NAME=VALUE", help="of the container")
    parser.add_argument("--no_wait", action="store_true", help="leave while it is being created")
    add_account(parser)
    add_security(parser)
    return parser
