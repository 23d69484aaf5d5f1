"""Create an endpoint that answers until it is deleted.

  protbert-classify sagemaker deploy --role Proteins --model s3://bucket/.../model.tar.gz --endpoint locations
  protbert-classify sagemaker deploy --role Proteins --model runs/mine --endpoint locations --serverless
  protbert-classify sagemaker predict --endpoint locations --input proteins.fasta --output predictions.csv
  protbert-classify sagemaker delete --endpoint locations

Instances are billed as long as the endpoint exists, used or not; a serverless endpoint is billed by the request. At the
end a protein is classified: if the model does not answer, or on Ctrl-C, everything that was created is deleted.
"""

import argparse

from ...errors import OptionError
from ..parsing import positive
from .options import add_machines, given, machines_of


def run(options: argparse.Namespace) -> None:
    from ...sagemaker.endpoint import Asynchronous, Serverless, deploy

    refused = {
        "memory": not options.serverless,
        "output": not options.asynchronous,
        "concurrency": not (options.serverless or options.asynchronous),
        "instance_type": options.serverless,
        "instance_count": options.serverless,
    }
    for name in given(options, *refused):
        if refused[name]:
            raise OptionError(f"--{name} does not belong to this kind of endpoint; --help shows which one takes it")
    settings = given(options, "memory", "concurrency", "output")
    predictor = deploy(
        options.model,
        endpoint_name=options.endpoint,
        serverless=Serverless(**settings) if options.serverless else None,
        asynchronous=Asynchronous(**settings) if options.asynchronous else None,
        wait=not options.no_wait and options.dry_run is None,
        **machines_of(options),
    )
    if options.dry_run is None:
        print(predictor.endpoint_name)


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", required=True, help="model.tar.gz in S3, or the folder of a run or a model")
    parser.add_argument("--endpoint", help="its name (default: a new one)")
    parser.add_argument("--instance_type", help="default ml.m5.xlarge, which has no GPU")
    parser.add_argument("--instance_count", type=positive, help="default 1")
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument("--serverless", action="store_true", help="no instances; billed by the request")
    kind.add_argument("--asynchronous", action="store_true", help="queue the requests and write the answers to S3")
    parser.add_argument("--memory", type=positive, help="MB of a serverless endpoint (default 6144)")
    parser.add_argument("--concurrency", type=positive, help="maximum requests at once, if serverless or asynchronous")
    parser.add_argument("--output", metavar="S3", help="prefix for asynchronous answers (default: beside the model)")
    parser.add_argument("--no_wait", action="store_true", help="do not wait for the endpoint and do not test it")
    add_machines(parser)
