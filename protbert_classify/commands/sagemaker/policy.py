"""Print an IAM policy: for the role of training jobs, for the role of endpoints and transform jobs, for the user who
starts them, or the trust that lets SageMaker assume a role. Nothing is sent to AWS.

  protbert-classify sagemaker policy training --account 123456789012 --region us-east-1 --bucket my-bucket > t.json
  protbert-classify sagemaker policy user --account ... --region ... --bucket ... --roles Proteins
  protbert-classify sagemaker policy trust --account 123456789012 > trust.json
  aws iam create-role --role-name Proteins --assume-role-policy-document file://trust.json
  aws iam put-role-policy --role-name Proteins --policy-name training --policy-document file://t.json
"""

import argparse
import json


def run(options: argparse.Namespace) -> None:
    from ...sagemaker.policy import policy

    print(json.dumps(policy(**vars(options)), indent=2))


def add_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("kind", choices=("training", "serving", "user", "trust"), help="whose permissions")
    add("--account", required=True, help="number of the account, 12 digits")
    add("--region", help="such as us-east-1")
    add("--bucket", help="for data, code and models")
    add("--prefix", default="protbert-classify", help="prefix of the keys in the bucket (default %(default)s)")
    add("--inputs", nargs="+", default=[], metavar="S3", help="other S3 addresses that jobs must read")
    add("--kms_key", help="ARN of the KMS key, if one is used")
    add("--hub_token_secret", dest="secret", metavar="NAME", help="secret with the Hub's token, if a job publishes")
    add("--image_uri", dest="images", nargs="+", default=[], metavar="ECR", help="images of your own")
    add("--vpc", action="store_true", help="jobs and endpoints run in a VPC")
    add("--roles", nargs="+", default=[], metavar="ROLE", help="roles that the user may pass to SageMaker")
