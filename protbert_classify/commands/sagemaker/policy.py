"""`protbert-classify sagemaker policy`: the permissions that are needed, and no others."""

import argparse
import json

from ...errors import OptionError
from .options import new_parser

DESCRIPTION = """\
Print a policy for IAM: of the role of training jobs, of the role of endpoints and transform jobs, of who calls them, or
of the trust that lets SageMaker take a role. Nothing is sent to AWS.

  protbert-classify sagemaker policy training --account 123456789012 --region us-east-1 --bucket my-bucket > t.json
  protbert-classify sagemaker policy user --account ... --region ... --bucket ... --roles Proteins
  protbert-classify sagemaker policy trust --account 123456789012 > trust.json
  aws iam create-role --role-name Proteins --assume-role-policy-document file://trust.json
  aws iam put-role-policy --role-name Proteins --policy-name training --policy-document file://t.json"""


def run(arguments: list[str]) -> int:
    options = _parser().parse_args(arguments)
    from ...sagemaker import policy

    if options.kind == "trust":
        print(json.dumps(policy.trust_policy(options.account), indent=2))
        return 0
    for name in ("region", "bucket"):
        if getattr(options, name) is None:
            raise OptionError(f"a policy of kind {options.kind} needs --{name}")
    place = (options.account, options.region, options.bucket, options.prefix)
    shared = {"inputs": options.inputs, "kms_key": options.kms_key}
    images, vpc = options.image_uri, options.vpc
    if options.kind == "training":
        document = policy.training_policy(*place, **shared, secret=options.hub_token_secret, images=images, vpc=vpc)
    elif options.kind == "serving":
        document = policy.serving_policy(*place, **shared, images=images, vpc=vpc)
    else:
        document = policy.user_policy(*place, **shared, roles=options.roles, names=options.names)
    print(json.dumps(document, indent=2))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = new_parser("policy", DESCRIPTION)
    parser.add_argument("kind", choices=("training", "serving", "user", "trust"), help="whose permissions")
    parser.add_argument("--account", required=True, help="number of the account, 12 digits")
    parser.add_argument("--region", help="such as us-east-1")
    parser.add_argument("--bucket", help="where data, code and models go")
    parser.add_argument("--prefix", default="protbert-classify", help="of keys in it (default %(default)s)")
    parser.add_argument("--inputs", nargs="+", default=[], metavar="S3", help="addresses that are read besides")
    parser.add_argument("--kms_key", help="ARN of the KMS key, if one is used")
    parser.add_argument("--hub_token_secret", metavar="NAME", help="of the secret with the Hub's token, if one is used")
    parser.add_argument(
        "--image_uri", nargs="+", default=[], metavar="ECR", help="containers of your own that jobs or endpoints run"
    )
    parser.add_argument("--vpc", action="store_true", help="jobs and endpoints are in a VPC")
    parser.add_argument("--roles", nargs="+", default=[], metavar="ROLE", help="that the user may give to SageMaker")
    parser.add_argument(
        "--names", default="*", metavar="BEGINNING*", help="only jobs and endpoints whose names begin so are the user's"
    )
    return parser
