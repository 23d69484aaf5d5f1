"""AWS on loopback: moto's server, recording every request, whose answers can be followed by real work."""

import io
import json
import logging
import os
import tarfile
import threading
import urllib.request
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from unittest import mock

import boto3
from botocore.exceptions import ClientError
from moto.core.responses import ActionResult, EmptyResult
from moto.iam.responses import IamResponse
from moto.sagemaker.responses import SageMakerResponse
from moto.server import ThreadedMotoServer

REGION, ACCOUNT = "us-east-1", "123456789012"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/protbert"
BUCKET = "proteins"


class Cloud(AbstractContextManager):
    """An AWS account, there while the `with` block is; AWS' own tools find it by their environment variables.

    Attributes:
        folder: Where jobs and endpoints run.
        bucket: In S3, for everything.
        requests: (operation, request) of every call to SageMaker, in order.
        after: operation -> what follows its success: called with the request and moto's SageMaker backend.
    """

    def __init__(self, folder, bucket=BUCKET):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.bucket = bucket
        self.requests = []
        self.after = {}
        self.threads = []
        self.stack = ExitStack()

    def __enter__(self):
        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        self.server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        self.server.start()
        self.stack.callback(self.server.stop)
        self.url = f"http://127.0.0.1:{self.server.get_host_and_port()[1]}"
        self.environment = {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_DEFAULT_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "NO_PROXY": "127.0.0.1,localhost",
        }
        self.stack.enter_context(mock.patch.dict(os.environ, self.environment))
        self.stack.enter_context(mock.patch.object(IamResponse, "simulate_principal_policy", _allowed, create=True))
        self.stack.enter_context(mock.patch.object(SageMakerResponse, "stop_training_job", _stopped, create=True))
        self.stack.enter_context(mock.patch.object(SageMakerResponse, "call_action", self._recorded()))
        self.client("s3").create_bucket(Bucket=self.bucket)
        self.client("iam").create_role(RoleName="protbert", AssumeRolePolicyDocument="{}")
        return self

    def __exit__(self, *_):
        for thread in self.threads:
            thread.join(120)
        self._forget()
        self.stack.close()

    def _forget(self):
        """moto's state is global to the process."""
        urllib.request.urlopen(urllib.request.Request(f"{self.url}/moto-api/reset", method="POST"), timeout=30).close()

    def client(self, name):
        """A client of the account, for what a test looks at or puts there."""
        return boto3.client(
            name,
            region_name=REGION,
            endpoint_url=self.url,
            aws_access_key_id="testing",
            aws_secret_access_key="testing",
        )

    def log_group(self, name):
        """A group of logs, there from now on; returns the client of logs."""
        logs = self.client("logs")
        if not logs.describe_log_groups(logGroupNamePrefix=name)["logGroups"]:
            try:
                logs.create_log_group(logGroupName=name)
            except ClientError as error:  # another thread was first
                if "already exists" not in str(error):
                    raise
        return logs

    def background(self, work, *arguments):
        """Do something in a thread that ends before the account does."""
        thread = threading.Thread(target=work, args=arguments, daemon=True)
        self.threads.append(thread)
        thread.start()

    def made(self, operation):
        """The requests of one operation, in order."""
        return [request for name, request in self.requests if name == operation]

    def key(self, uri):
        """The key of an address in the bucket; a key is itself."""
        return uri.removeprefix(f"s3://{self.bucket}/")

    def put(self, uri, content):
        """An object in the bucket, by its address or its key; returns its address."""
        self.client("s3").put_object(Bucket=self.bucket, Key=self.key(uri), Body=content)
        return f"s3://{self.bucket}/{self.key(uri)}"

    def get(self, uri):
        return self.client("s3").get_object(Bucket=self.bucket, Key=self.key(uri))["Body"].read()

    def archived(self, uri):
        """Name -> content of the files of a tar.gz."""
        with tarfile.open(fileobj=io.BytesIO(self.get(uri))) as tar:
            return {member.name: tar.extractfile(member).read() for member in tar if member.isfile()}

    def keys(self, uri=""):
        """All keys of the bucket that begin so."""
        prefix = self.key(uri)
        pages = self.client("s3").get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix)
        return [item["Key"] for page in pages for item in page.get("Contents", [])]

    def _recorded(self):
        original = SageMakerResponse.call_action

        def call_action(response):
            operation = response._get_action()
            request = json.loads(response.body or "{}")
            self.requests.append((operation, request))
            status, headers, body = original(response)
            if status < 300 and operation in self.after:
                self.after[operation](request, response.sagemaker_backend)
            if operation.startswith("Describe") and status < 300:
                body = json.dumps(_without_empty(json.loads(body)))  # moto says null where AWS says nothing
            return status, headers, body

        return call_action


def _without_empty(value):
    if isinstance(value, dict):
        return {name: _without_empty(item) for name, item in value.items() if item not in (None, {}, [])}
    return value


def _stopped(response):
    """moto 5.2.5 has no such operation."""
    job = response.sagemaker_backend.training_jobs[response._get_param("TrainingJobName")]
    job.training_job_status = job.secondary_status = "Stopped"
    return EmptyResult()


def _allowed(response):
    """moto 5.2.5 has no such operation; the SDK asks once an upload."""
    actions = response._get_param("ActionNames") or ["s3:PutObject"]
    results = [{"EvalActionName": action, "EvalDecision": "allowed"} for action in actions]
    return ActionResult({"IsTruncated": False, "EvaluationResults": results})
