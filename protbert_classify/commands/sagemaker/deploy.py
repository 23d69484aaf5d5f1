"""Create an endpoint that answers until it is deleted.

  protbert-classify sagemaker deploy --role Proteins --model s3://bucket/.../model.tar.gz --endpoint locations
  protbert-classify sagemaker deploy --role Proteins --model runs/mine --endpoint locations --serverless
  protbert-classify sagemaker predict --endpoint locations --input proteins.fasta --output predictions.csv
  protbert-classify sagemaker delete --endpoint locations

Instances are billed as long as the endpoint exists, used or not; a serverless endpoint is billed by the request. A new
endpoint is tested with a protein. If the model does not answer, or on Ctrl-C, everything that was created is deleted.
"""

import argparse
from functools import partial

from ..parsing import positive
from .options import add_machines, arguments_of, given


def run(options: argparse.Namespace) -> None:
    from ...sagemaker.endpoint import deploy
    from ...sagemaker.machines import Machines

    predictor = deploy(
        options.model,
        endpoint_name=options.endpoint,
        wait=not options.no_wait and options.dry_run is None,
        **given(options, "kind", "memory", "concurrency", "output"),
        **arguments_of(Machines, options),
    )
    if options.dry_run is None:
        print(predictor.endpoint_name)


def add_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--model", required=True, help="model.tar.gz in S3, or the folder of a run or a model")
    add("--endpoint", help="its name (default: a new one)")
    add("--instance_type", help="default ml.m5.xlarge, which has no GPU")
    add("--instance_count", type=positive, help="default 1")
    kind = parser.add_mutually_exclusive_group()
    choose = partial(kind.add_argument, dest="kind", action="store_const")
    choose("--serverless", const="serverless", help="no instances; billed by the request")
    choose("--asynchronous", const="asynchronous", help="queue the requests and write the answers to S3")
    add("--memory", type=positive, help="MB of a serverless endpoint (default 6144)")
    add("--concurrency", type=positive, help="maximum requests at once, if serverless or asynchronous")
    add("--output", metavar="S3", help="prefix for asynchronous answers (default: beside the model)")
    add("--no_wait", action="store_true", help="do not wait for the endpoint and do not test it")
    add_machines(parser)
