"""`protbert-classify sagemaker deploy`: a model behind an endpoint."""

import argparse

from ...errors import OptionError
from ..parsing import positive
from .options import add_account, add_security, new_parser, security_of, session_of

DESCRIPTION = """\
Create an endpoint that answers until it is deleted.

  protbert-classify sagemaker deploy --role Proteins --model s3://bucket/.../model.tar.gz --endpoint locations
  protbert-classify sagemaker deploy --role Proteins --model runs/mine --endpoint locations --serverless
  protbert-classify sagemaker predict --endpoint locations --input proteins.fasta --output predictions.csv
  protbert-classify sagemaker delete --endpoint locations

Instances are billed as long as the endpoint exists, used or not; a serverless endpoint is billed by the request. At the
end a protein is classified: if the model does not answer, or on Ctrl-C, everything that was created is deleted."""


def run(arguments: list[str]) -> int:
    options = _parser().parse_args(arguments)
    from ...sagemaker.dry_run import DryRun
    from ...sagemaker.endpoint import CPU_INSTANCE, Asynchronous, Serverless, deploy

    refused = {
        "--memory": options.memory and not options.serverless,
        "--output": options.output and not options.asynchronous,
        "--concurrency": options.concurrency and not (options.serverless or options.asynchronous),
        "--instance_type": options.instance_type and options.serverless,
        "--instance_count": options.instance_count and options.serverless,
    }
    for name, given in refused.items():
        if given:
            raise OptionError(f"{name} does not belong to this kind of endpoint; --help shows which one takes it")
    given = {name: getattr(options, name) for name in ("memory", "concurrency", "output")}
    given = {name: value for name, value in given.items() if value is not None}
    dry_run = DryRun() if options.dry_run else None
    predictor = deploy(
        options.model,
        session=session_of(options, dry_run),
        endpoint_name=options.endpoint,
        instance_type=options.instance_type or CPU_INSTANCE,
        instance_count=options.instance_count or 1,
        serverless=Serverless(**given) if options.serverless else None,
        asynchronous=Asynchronous(**given) if options.asynchronous else None,
        wait=not options.no_wait and dry_run is None,
        **security_of(options),
    )
    print(dry_run.text() if dry_run is not None else predictor.endpoint_name)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = new_parser("deploy", DESCRIPTION)
    parser.add_argument("--model", required=True, help="model.tar.gz in S3, or the folder of a run or a model")
    parser.add_argument("--endpoint", help="its name (default: a new one)")
    parser.add_argument("--instance_type", help="default ml.m5.xlarge, which has no GPU")
    parser.add_argument("--instance_count", type=positive, help="default 1")
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument("--serverless", action="store_true", help="no instances; billed by the request")
    kind.add_argument("--asynchronous", action="store_true", help="queue the requests and write the answers to S3")
    parser.add_argument("--memory", type=positive, help="MB of a serverless endpoint (default 6144)")
    parser.add_argument("--concurrency", type=positive, help="most requests at once, if serverless or asynchronous")
    parser.add_argument("--output", metavar="S3", help="prefix for asynchronous answers (default: beside the model)")
    parser.add_argument("--no_wait", action="store_true", help="do not wait for the endpoint and do not test it")
    add_account(parser)
    add_security(parser)
    return parser
