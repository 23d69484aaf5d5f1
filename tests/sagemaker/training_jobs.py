"""Training jobs that really run: what SageMaker's machines do around the recorded command, without containers.

The paths under /opt/ml are moved to a folder a machine; the command, the drivers of the SDK, our wheel and its
installation by pip are those that the request and S3 have.
"""

import contextlib
import io
import json
import os
import random
import re
import signal
import socket
import subprocess
import sysconfig
import tarfile
import threading
import time
import venv
from datetime import UTC, datetime
from pathlib import Path

import psutil

from .cloud import REGION

TICK = 0.3  # seconds between two copies of checkpoints and log to AWS
GROUP = "/aws/sagemaker/TrainingJobs"


def install_image(folder):
    """An environment like a container's: all libraries of this one, but not our package. Returns its bin/."""
    folder = Path(folder)
    venv.create(folder, symlinks=True)
    libraries = folder / "libraries"
    libraries.mkdir()
    for entry in Path(sysconfig.get_paths()["purelib"]).iterdir():
        if "protbert_classify" not in entry.name and entry.suffix != ".pth":
            (libraries / entry.name).symlink_to(entry)
    site = next((folder / "lib").glob("python*/site-packages"))
    (site / "libraries.pth").write_text(f"{libraries}\n")
    for name, module in (("pip", "pip"), ("pip3", "pip"), ("torchrun", "torch.distributed.run")):
        script = folder / "bin" / name
        script.write_text(f'#!/bin/sh\nexec "{folder}/bin/python3" -m {module} "$@"\n')
        script.chmod(0o755)
    return folder / "bin"


class TrainingJobs:
    """Runs every training job of a `Cloud`.

    Args:
        cloud: The account.
        image: bin/ of the environment that a job has; see `install_image`.
        variables: Of all jobs, beside those of their requests; where a Hub on loopback is, for example.

    Attributes:
        processes: job -> its processes, one a machine.
    """

    def __init__(self, cloud, image, variables=None):
        self.cloud, self.image, self.variables = cloud, Path(image), variables or {}
        self.processes = {}
        cloud.after["CreateTrainingJob"] = self._created
        cloud.after["StopTrainingJob"] = lambda request, _: self.kill(request["TrainingJobName"])

    def kill(self, name):
        """Take the machines away at once, as an interrupted spot instance is after its two minutes."""
        self._signal(name, signal.SIGKILL)

    def freeze(self, name):
        """Let the machines stand still; what they have written is copied on."""
        self._signal(name, signal.SIGSTOP)

    def _signal(self, name, number):
        for process in self.processes[name]:
            try:
                family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
            except psutil.NoSuchProcess:
                continue  # it has ended
            for member in family:
                with contextlib.suppress(psutil.NoSuchProcess):
                    member.send_signal(number)

    def written(self, name, pattern):
        """The files below /opt/ml of a job that match."""
        return list(self.cloud.folder.glob(f"{name}/*/ml/{pattern}"))

    def log(self, name):
        """What all machines of a job wrote."""
        return "".join(path.read_text(errors="replace") for path in sorted(self.cloud.folder.glob(f"{name}/*/log")))

    def _created(self, request, backend):
        job = backend.training_jobs[request["TrainingJobName"]]
        job.training_job_status, job.secondary_status = "InProgress", "Starting"
        job.model_artifacts, job.environment = None, request.get("Environment")
        job.final_metric_data_list = []
        self.cloud.background(self._run, request, job)

    def _run(self, request, job):
        try:
            self._run_machines(request, job)
        except Exception as error:
            job.failure_reason = f"InternalServerError: {error!r}"
            job.training_job_status = job.secondary_status = "Failed"
            raise

    def _run_machines(self, request, job):
        name, count = request["TrainingJobName"], request["ResourceConfig"]["InstanceCount"]
        port = low_port()
        job.secondary_status = "Downloading"
        machines = [Machine(self, request, job, rank, count, port) for rank in range(count)]
        job.secondary_status = "Training"
        self.processes[name] = [machine.start() for machine in machines]
        codes = [machine.finish() for machine in machines]
        job.final_metric_data_list = _metrics(request, self.log(name))
        if any(code < 0 for code in codes):
            job.training_job_status = job.secondary_status = "Stopped"
            return
        job.secondary_status = "Uploading"
        output = f"{request['OutputDataConfig']['S3OutputPath'].rstrip('/')}/{name}/output"
        results = [machine.ml / "output/data" for machine in machines]
        if any(any(folder.iterdir()) for folder in results):
            self._send_archive(results, f"{output}/output.tar.gz")
        if any(codes):
            failure = machines[0].ml / "output/failure"
            reason = failure.read_text()[:1024].strip() if failure.exists() else ""
            job.failure_reason = f"AlgorithmError: {reason}, exit code: {max(codes)}"
            job.training_job_status = job.secondary_status = "Failed"
            return
        self._send_archive([machine.ml / "model" for machine in machines], f"{output}/model.tar.gz")
        job.model_artifacts = {"S3ModelArtifacts": f"{output}/model.tar.gz"}
        job.training_job_status = job.secondary_status = "Completed"

    def _send_archive(self, folders, uri):
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w:gz", compresslevel=1) as archive:
            for folder in folders:
                for path in sorted(folder.iterdir()):
                    archive.add(path, arcname=path.name)
        self.cloud.put(uri, buffer.getvalue())


class Machine:
    """One of a job's: /opt/ml with its inputs, the command, and what is copied to S3 and CloudWatch meanwhile."""

    def __init__(self, jobs, request, job, rank, count, port):
        self.jobs, self.cloud, self.request, self.job = jobs, jobs.cloud, request, job
        self.name = request["TrainingJobName"]
        self.host = f"algo-{rank + 1}"
        self.folder = self.cloud.folder / self.name / self.host
        self.ml = self.folder / "ml"
        self.checkpoints = (request.get("CheckpointConfig") or {}).get("S3Uri")
        self.sent = {}
        self.read = 0
        self.ended = threading.Event()
        for part in ("input/data", "model", "output/data"):
            (self.ml / part).mkdir(parents=True)
        channels = {}
        for channel in request.get("InputDataConfig") or []:
            self._fetch(channel["DataSource"]["S3DataSource"]["S3Uri"], self.ml / "input/data" / channel["ChannelName"])
            channels[channel["ChannelName"]] = {"TrainingInputMode": "File", "S3DistributionType": "FullyReplicated"}
        if self.checkpoints:
            (self.ml / "checkpoints").mkdir()
            self._fetch(self.checkpoints, self.ml / "checkpoints", empty=True)
        hosts = [f"algo-{index + 1}" for index in range(count)]
        configure(
            self.ml,
            hyperparameters=request.get("HyperParameters") or {},
            inputdataconfig=channels,
            resourceconfig=resources(self.host, hosts, request["ResourceConfig"]["InstanceType"]),
        )
        self._move_drivers(port)

    def start(self):
        algorithm = self.request["AlgorithmSpecification"]
        command = [*algorithm["ContainerEntrypoint"], *algorithm["ContainerArguments"]]
        inherited = ("PATH", "HOME", "LANG", "TMPDIR", "HF_HOME", "HF_DATASETS_CACHE", "OMP_NUM_THREADS")
        environment = {name: os.environ[name] for name in inherited if name in os.environ}
        environment |= {
            "PATH": f"{self.jobs.image}:{os.environ['PATH']}",
            "TRAINING_JOB_NAME": self.name,
            "TRAINING_JOB_ARN": self.job.arn,
            "AWS_REGION": REGION,
            "PYTHONUNBUFFERED": "1",
            "PET_MASTER_PORT": str(low_port()),
            "PIP_NO_INDEX": "1",  # all that a job needs is in the image and in its wheel
        }
        if self.request.get("EnableNetworkIsolation"):
            nowhere = "http://127.0.0.1:9"
            environment |= dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), nowhere)
        else:
            account = self.cloud.environment
            environment |= {name: value for name, value in account.items() if name != "AWS_DEFAULT_REGION"}
        environment |= self.jobs.variables | (self.request.get("Environment") or {})
        self.output = open(self.folder / "log", "wb")  # noqa: SIM115 - closed when the job ends
        self.process = subprocess.Popen(
            [self._moved(word) for word in command],
            env={name: self._moved(value) for name, value in environment.items()},
            cwd="/",
            stdout=self.output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self.copying = threading.Thread(target=self._copy_on, daemon=True)
        self.copying.start()
        return self.process

    def finish(self):
        """Wait for the end; what was not copied by then is copied only if the machine was not taken away."""
        code = self.process.wait(self.request["StoppingCondition"]["MaxRuntimeInSeconds"])
        self.ended.set()
        self.copying.join()
        self.output.close()
        self._copy_log(final=True)
        if code >= 0:
            self._copy_checkpoints()
        return code

    def _copy_on(self):
        logs = self.cloud.log_group(GROUP)
        self.stream = f"{self.name}/{self.host}-{int(time.time())}"
        logs.create_log_stream(logGroupName=GROUP, logStreamName=self.stream)
        while not self.ended.wait(TICK):
            self._copy_log()
            self._copy_checkpoints()

    def _copy_log(self, final=False):
        text = (self.folder / "log").read_bytes()[self.read :]
        whole = text if final else text[: text.rfind(b"\n") + 1]
        self.read += len(whole)
        now = int(time.time() * 1000)
        events = [{"timestamp": now, "message": line or " "} for line in whole.decode(errors="replace").splitlines()]
        if events:
            self.cloud.client("logs").put_log_events(logGroupName=GROUP, logStreamName=self.stream, logEvents=events)

    def _copy_checkpoints(self):
        """What is new or changed, in any order, a file at a time: as SageMaker does."""
        if not self.checkpoints:
            return
        folder = self.ml / "checkpoints"
        paths = [path for path in folder.rglob("*") if path.is_file()]
        random.shuffle(paths)
        for path in paths:
            try:
                version = (path.stat().st_mtime_ns, path.stat().st_size)
                if self.sent.get(path) == version:
                    continue
                self.cloud.put(f"{self.checkpoints.rstrip('/')}/{path.relative_to(folder)}", path.read_bytes())
                self.sent[path] = version
            except OSError:
                continue  # removed meanwhile

    def _fetch(self, uri, folder, empty=False):
        keys = self.cloud.keys(uri)
        if not keys and not empty:
            raise RuntimeError(f"ClientError: no object under {uri}")
        for key in keys:
            path = folder / (key.removeprefix(self.cloud.key(uri)).lstrip("/") or Path(key).name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(self.cloud.get(key))

    def _move_drivers(self, port):
        """The SDK's drivers name /opt/ml, and the first machine by a name that only SageMaker's network knows."""
        for path in (self.ml / "input/data/sm_drivers").rglob("*"):
            if path.suffix in (".py", ".sh", ".json"):
                text = self._moved(path.read_text())
                text = re.sub(r'(SM_MASTER_ADDR = )"algo-1"', r'\1"127.0.0.1"', text)
                path.write_text(re.sub(r"(SM_MASTER_PORT = )7777", rf"\g<1>{port}", text))

    def _moved(self, text):
        return text.replace("/opt/ml", str(self.ml))


def configure(ml, **files):
    """Write what SageMaker tells a machine of its job, below /opt/ml/input/config."""
    (ml / "input/config").mkdir(parents=True)
    for name, content in files.items():
        (ml / "input/config" / f"{name}.json").write_text(json.dumps(content))


def resources(host, hosts, kind):
    """What SageMaker tells a machine of its cluster."""
    group = {"instance_group_name": "homogeneousCluster", "instance_type": kind, "hosts": hosts}
    return {
        "current_host": host,
        "current_instance_type": kind,
        "current_group_name": group["instance_group_name"],
        "hosts": hosts,
        "instance_groups": [group],
        "network_interface_name": "lo",
    }


def _metrics(request, log):
    """What CloudWatch makes of a log: the last value of each metric."""
    now, found = datetime.now(UTC), []
    for metric in request["AlgorithmSpecification"].get("MetricDefinitions") or []:
        values = re.findall(metric["Regex"], log, re.MULTILINE)
        if values:
            found.append({"MetricName": metric["Name"], "Value": float(values[-1]), "Timestamp": now})
    return found


def low_port():
    """A free port that the kernel gives to no client; multi-model-server refuses those above 32,767."""
    while True:
        port = random.randrange(15000, 32000)
        with socket.socket() as free:
            try:
                free.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue
