"""`protbert-classify sagemaker deploy`: a model behind an endpoint."""

import argparse
from typing import TYPE_CHECKING, Any

from ...errors import OptionError
from ..parsing import positive
from .options import add_account, add_security, new_parser, pairs, security_of, session_of

if TYPE_CHECKING:
    from ...sagemaker.predictor import Predictor

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
        predictor = _update(options, session)
    else:
        predictor = deploy(options.model, session=session, wait=not options.no_wait and not dry_run, **_wanted(options))
    if dry_run is not None:
        print(dry_run.text())
        return 0
    if options.autoscale is not None:
        predictor.autoscale(*options.autoscale)
    print(predictor.endpoint_name)
    return 0


def _wanted(options: argparse.Namespace) -> dict[str, Any]:
    from ...sagemaker.requests import Asynchronous, Serverless

    if options.autoscale is not None and options.no_wait:
        raise OptionError("--autoscale needs an endpoint that is there; leave --no_wait out")
    return {
        "endpoint_name": options.endpoint,
        "instance_type": options.instance_type,
        "instance_count": options.instance_count,
        "serverless": Serverless(memory=options.memory) if options.serverless else None,
        "asynchronous": Asynchronous(output=options.output) if options.asynchronous else None,
        "image_uri": options.image_uri,
        "environment": pairs(options.environment, "--environment"),
        **security_of(options),
    }


def _update(options: argparse.Namespace, session: Any) -> "Predictor":
    from ...sagemaker.predictor import attach

    if options.dry_run:
        raise OptionError("--update has no --dry-run; 'sagemaker status --endpoint NAME' shows what is there")
    if options.endpoint is None:
        raise OptionError("--update needs --endpoint, the one to change")
    predictor = attach(options.endpoint, session)
    predictor.update(model=options.model, image_uri=options.image_uri)
    return predictor


def _parser() -> argparse.ArgumentParser:
    parser = new_parser("deploy", DESCRIPTION)
    parser.add_argument("--model", required=True, help="model.tar.gz in S3, or the folder of a run or a model")
    parser.add_argument("--endpoint", help="its name (default: one with the time in it)")
    parser.add_argument("--instance_type", default="ml.m5.xlarge", help="default %(default)s, without a GPU")
    parser.add_argument("--instance_count", type=positive, default=1, help="default 1")
    parser.add_argument("--serverless", action="store_true", help="no instances; billed by the request")
    parser.add_argument("--memory", type=positive, default=6144, help="MB of a serverless one (default %(default)s)")
    parser.add_argument("--asynchronous", action="store_true", help="a queue before the instances; answers in S3")
    parser.add_argument("--output", metavar="S3", help="prefix of asynchronous answers (default: beside the model)")
    parser.add_argument(
        "--autoscale", type=int, nargs=2, metavar=("MIN", "MAX"), help="let AWS choose the number of instances"
    )
    parser.add_argument("--update", action="store_true", help="give an endpoint that is there the model")
    parser.add_argument("--image_uri", help="a container of one's own (default: AWS' newest of Hugging Face)")
    parser.add_argument("--environment", nargs="+", default=[], metavar="NAME=VALUE", help="of the container")
    parser.add_argument("--no_wait", action="store_true", help="leave while it is being created")
    add_account(parser)
    add_security(parser)
    return parser
