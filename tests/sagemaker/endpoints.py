"""Endpoints and batch transforms that really compute, with their states and answers as SageMaker has them."""

import json
import os
import time
from contextlib import AbstractContextManager, ExitStack
from unittest import mock

from moto.core.responses import EmptyResult
from moto.sagemaker.exceptions import ValidationError
from moto.sagemaker.responses import SageMakerResponse
from moto.sagemakerruntime.responses import SageMakerRuntimeResponse

from protbert_classify.sagemaker.packaging import pack_model

from .cloud import ACCOUNT
from .containers import STARTING, HooksInProcess, OwnImage, Stub
from .serving_toolkit import ServingToolkit
from .toolkits import toolkit_image

CHANGING = ("Creating",)


class Serving(AbstractContextManager):
    """Runs the containers of a `Cloud` while the `with` block is.

    Attributes:
        containers: name of an endpoint or a transform job -> its container, while it runs.
        stub: Of all endpoints whose image is `stub`.
        failure: What the next endpoint fails with, if anything.
        stays: The status that endpoints do not leave, if any.
        bodies: Of all requests to endpoints.
    """

    def __init__(self, cloud):
        self.cloud = cloud
        self.containers = {}
        self.stub = Stub()
        self.failure = self.stays = None
        self.bodies = []
        self.started = 0
        self.image = None
        self.stack = ExitStack()

    def __enter__(self):
        self.cloud.after["CreateEndpoint"] = self._created
        self.cloud.after["CreateTransformJob"] = self._transform_created
        serving = self

        def patch(owner, name, replacement):
            self.stack.enter_context(mock.patch.object(owner, name, replacement, create=True))

        original_create, original_delete = SageMakerResponse.create_endpoint, SageMakerResponse.delete_endpoint
        original_models = SageMakerResponse.create_model

        def delete_endpoint(response):
            name = response._get_param("EndpointName")
            endpoint = response.sagemaker_backend.endpoints.get(name)
            if endpoint is not None and endpoint.endpoint_status in CHANGING:
                raise ValidationError(f'Cannot update in-progress endpoint "{endpoint.arn}".')
            serving._stop(name)
            return original_delete(response)

        def create_model(response):
            answer = original_models(response)
            model = response.sagemaker_backend._models[response._get_param("ModelName")]
            model.enable_network_isolation = bool(response._get_param("EnableNetworkIsolation"))
            return answer

        def create_endpoint(response):
            name = response._get_param("EndpointName")
            if name in response.sagemaker_backend.endpoints:
                raise ValidationError(f'Cannot create already existing endpoint "{name}".')
            return original_create(response)

        patch(SageMakerResponse, "create_endpoint", create_endpoint)
        patch(SageMakerResponse, "delete_endpoint", delete_endpoint)
        patch(SageMakerResponse, "create_model", create_model)
        patch(SageMakerResponse, "stop_transform_job", lambda response: serving._transform_stopped(response))
        patch(SageMakerRuntimeResponse, "invoke_endpoint", lambda response: serving._invoked(response))
        patch(SageMakerRuntimeResponse, "invoke_endpoint_async", lambda response: serving._queued(response))
        return self

    def __exit__(self, *_):
        self.stays = None
        for thread in self.cloud.threads:
            thread.join(STARTING)
        for name in list(self.containers):
            self._stop(name)
        self.stack.close()

    def put_model(self, folder, key="models/model.tar.gz"):
        """Pack a model into the bucket; returns its address."""
        archive = self.cloud.folder / "packed.tar.gz"
        pack_model(str(folder), str(archive))
        return self.cloud.put(key, archive.read_bytes())

    def there(self):
        """Names of all endpoints, configurations and models of the account."""
        client = self.cloud.client("sagemaker")
        return (
            [item["EndpointName"] for item in client.list_endpoints()["Endpoints"]],
            [item["EndpointConfigName"] for item in client.list_endpoint_configs()["EndpointConfigs"]],
            [item["ModelName"] for item in client.list_models()["Models"]],
        )

    def _stop(self, name):
        container = self.containers.pop(name, None)
        if container is not None:
            container.stop()

    def _start(self, name, backend, model_name):
        """The container of a model, once it answers; in place of the one that the name had."""
        container = self._container(name, backend._models[model_name].primary_container)
        try:
            container.wait()
        except BaseException:
            container.stop()
            raise
        self._stop(name)
        self.containers[name] = container

    def _container(self, name, wanted):
        if wanted["Image"] == "stub":
            return self.stub
        self.started += 1
        folder = self.cloud.folder / f"{name}-{self.started}"
        archive, variables = self.cloud.get(wanted["ModelDataUrl"]), wanted.get("Environment", {})
        if wanted["Image"] == "hooks":
            return HooksInProcess(folder, archive)
        if "huggingface" not in wanted["Image"]:
            return OwnImage(folder, archive, variables)
        return ServingToolkit(folder, archive, variables, self._image())

    def _image(self):
        """The image of Hugging Face, made when the first container needs it."""
        if self.image is None:
            self.image = toolkit_image(self.cloud.folder / "image")
        return self.image

    def _created(self, request, backend):
        endpoint = backend.endpoints[request["EndpointName"]]
        endpoint.endpoint_status = "Creating"
        self.cloud.background(self._bring_up, endpoint, backend, request["EndpointConfigName"])

    def _bring_up(self, endpoint, backend, config_name):
        try:
            self._hold()
            variants = backend.endpoint_configs[config_name].production_variants
            self._start(endpoint.endpoint_name, backend, variants[0]["ModelName"])
            endpoint.endpoint_config_name = config_name
            endpoint.production_variants = endpoint._process_production_variants(variants)
            endpoint.failure_reason, endpoint.endpoint_status = None, "InService"
        except Exception as error:
            endpoint.failure_reason = str(error)
            endpoint.endpoint_status = "Failed"

    def _hold(self):
        while self.stays is not None:
            time.sleep(0.02)
        if self.failure is not None:
            raise RuntimeError(self.failure)

    def _invoked(self, response):
        name = response.path.split("/")[2]
        body = response.body if isinstance(response.body, bytes) else response.body.encode()
        self.bodies.append(body)
        if name not in self.containers:
            headers = {"status": 400, "x-amzn-ErrorType": "ValidationError", "Content-Type": "application/json"}
            return 400, headers, json.dumps({"Message": f"Endpoint {name} of account {ACCOUNT} not found."})
        status, kind, answer = self.containers[name].post(
            body, response.headers.get("Content-Type"), response.headers.get("Accept")
        )
        if status == 200:
            return 200, {"Content-Type": kind}, answer
        said = answer.decode()
        message = f'Received client error ({status}) from primary with message "{said}". See the log group.'
        failure = {"Message": message, "OriginalStatusCode": status, "OriginalMessage": said}
        headers = {"status": 424, "x-amzn-ErrorType": "ModelError", "Content-Type": "application/json"}
        return 424, headers, json.dumps(failure)

    def _queued(self, response):
        name = response.path.split("/")[2]
        source = response.headers["X-Amzn-SageMaker-InputLocation"]
        kind, accept = response.headers["X-Amzn-SageMaker-Content-Type"], response.headers["X-Amzn-SageMaker-Accept"]
        config = self.cloud.client("sagemaker").describe_endpoint(EndpointName=name)["EndpointConfigName"]
        described = self.cloud.client("sagemaker").describe_endpoint_config(EndpointConfigName=config)
        places = described["AsyncInferenceConfig"]["OutputConfig"]
        output = f"{places['S3OutputPath']}/{os.path.basename(source)}.out"
        failure = f"{places['S3FailurePath']}/{os.path.basename(source)}-error.out"
        self.cloud.background(self._answer_later, name, source, kind, accept, output, failure)
        headers = {"X-Amzn-SageMaker-OutputLocation": output, "X-Amzn-SageMaker-FailureLocation": failure}
        return 202, headers, json.dumps({"InferenceId": "1"})

    def _answer_later(self, name, source, kind, accept, output, failure):
        status, _, answer = self.containers[name].post(self.cloud.get(source), kind, accept)
        self.cloud.put(output if status == 200 else failure, answer)

    def _transform_created(self, request, backend):
        job = backend.transform_jobs[request["TransformJobName"]]
        job.transform_job_status = "InProgress"
        self.cloud.background(self._transform, request, job, backend)

    def _transform(self, request, job, backend):
        name, source = job.transform_job_name, request["TransformInput"]
        try:
            self._hold()
            self._start(name, backend, request["ModelName"])
            prefix = self.cloud.key(source["DataSource"]["S3DataSource"]["S3Uri"])
            place, accept = request["TransformOutput"]["S3OutputPath"], request["TransformOutput"]["Accept"]
            for key in self.cloud.keys(prefix):
                body = self.cloud.get(key)
                assert len(body) <= request["MaxPayloadInMB"] * 2**20
                status, _, answer = self.containers[name].post(body, source["ContentType"], accept)
                if status != 200:
                    raise RuntimeError(f"ClientError: {status}: {answer.decode()}")
                self.cloud.put(f"{place}/{key.removeprefix(prefix)}.out", answer)
            status = "Completed"
        except Exception as error:
            job.failure_reason, status = str(error), "Failed"
        self._stop(name)
        if job.transform_job_status == "InProgress":
            job.transform_job_status = status

    def _transform_stopped(self, response):
        job = response.sagemaker_backend.transform_jobs[response._get_param("TransformJobName")]
        job.transform_job_status = "Stopped"
        return EmptyResult()
