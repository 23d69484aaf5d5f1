"""The AWS account of a page's reader, on loopback: its jobs train, and its endpoints classify."""

import os
import time
from contextlib import contextmanager
from unittest import mock

from tests.docs.pages import PROG

BUCKET, ROLE = "my-bucket", "Proteins"
MODEL, RUN = "model.tar.gz", "runs/protbert"  # the model in the bucket, and the run that it is of
HUB = ("HF_ENDPOINT", "HF_HUB_OFFLINE", "HF_HUB_DISABLE_XET")
AT_MOST = 0.2  # seconds between two looks at a job or an endpoint


@contextmanager
def reader_account(folder):
    """An account with a bucket, and in it a model."""
    from tests.sagemaker.cloud import Cloud
    from tests.sagemaker.containers import HooksInProcess
    from tests.sagemaker.endpoints import Serving
    from tests.sagemaker.training_jobs import TrainingJobs, install_image

    class Endpoints(Serving):
        """Their containers are functions of this process: tests of SageMaker run AWS' own."""

        def _container(self, name, wanted):
            self.started += 1
            return HooksInProcess(self.cloud.folder / f"{name}-{self.started}", self.cloud.get(wanted["ModelDataUrl"]))

    sleep = time.sleep
    with (
        Cloud(folder.absolute(), BUCKET) as cloud,
        Endpoints(cloud) as endpoints,
        mock.patch("time.sleep", lambda seconds: sleep(min(seconds, AT_MOST))),
    ):
        variables = {name: os.environ[name] for name in HUB}
        jobs = TrainingJobs(cloud, install_image(cloud.folder / "image"), variables)
        endpoints.put_model(RUN, MODEL)
        yield Account(cloud, jobs)


class Account:
    """What a page finds in the account."""

    def __init__(self, cloud, jobs):
        self.cloud, self.jobs = cloud, jobs

    def client(self, service, operation):
        """The method of a client of boto3."""
        return getattr(self.cloud.client(service), operation)

    def make_deletable(self, words):
        """A page deletes what its reader started at another time: start it before the command that deletes it."""
        if words[:3] == ["sagemaker", "delete", "--endpoint"]:
            self._start_endpoint(words[3])
        elif words[:3] == ["sagemaker", "delete", "--job"]:
            self._start_job(words[3])

    def _start_endpoint(self, name):
        from protbert_classify.sagemaker import deploy, open_session

        there = self.cloud.client("sagemaker").list_endpoints(NameContains=name)["Endpoints"]
        if not there:
            deploy(f"s3://{BUCKET}/{MODEL}", role=ROLE, session=open_session(BUCKET), endpoint_name=name)

    def _start_job(self, name):
        """One that computes nothing until it is stopped."""

        def run(request, backend):
            job = backend.training_jobs[name]
            job.training_job_status, job.secondary_status = "InProgress", "Training"
            self.jobs.processes[name] = []

        with mock.patch.dict(self.cloud.after, CreateTrainingJob=run):
            self.cloud.client("sagemaker").create_training_job(
                TrainingJobName=name,
                AlgorithmSpecification={"TrainingImage": "none", "TrainingInputMode": "File"},
                RoleArn=f"arn:aws:iam::123456789012:role/{ROLE}",
                OutputDataConfig={"S3OutputPath": f"s3://{BUCKET}/"},
                ResourceConfig={"InstanceType": "ml.g5.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 1},
                StoppingCondition={"MaxRuntimeInSeconds": 60},
                Tags=[{"Key": "created-by", "Value": PROG}],
            )
