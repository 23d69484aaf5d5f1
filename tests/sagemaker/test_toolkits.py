"""What runs in SageMaker's Hugging Face images is run here, and so is what it makes of mistakes."""

import csv
import io
import json
import tarfile
import time

import pytest

from protbert_classify.sagemaker.packaging import pack_model, write_job
from tests.training.runs import SHAPE, fasta

from .serving_toolkit import ServingToolkit
from .stubs import PROTEINS, close
from .toolkits import toolkit_image
from .training_toolkit import TrainingToolkit

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("toolkits")]

VARIABLES = {"SAGEMAKER_PROGRAM": "inference.py", "SAGEMAKER_MODEL_SERVER_WORKERS": "1"}
QUESTION = json.dumps({"inputs": PROTEINS}).encode()
OPTIONS = {"backbone_config": SHAPE, "max_length": 64, "learning_rate": 0.01, "num_train_epochs": 2, "packing": "off"}

SLEEPER = """\
import time


def model_fn(model_dir):
    return None


def input_fn(body, kind):
    return float(body)


def predict_fn(seconds, model):
    time.sleep(seconds)
    return seconds


def output_fn(seconds, accept):
    return str(seconds)
"""


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    return toolkit_image(tmp_path_factory.mktemp("toolkits") / "image")


@pytest.fixture(scope="module")
def packed(model_folder, tmp_path_factory):
    """Bytes of a model.tar.gz."""
    path = tmp_path_factory.mktemp("packed") / "model.tar.gz"
    pack_model(model_folder, str(path))
    return path.read_bytes()


@pytest.fixture(scope="module")
def server(image, packed, tmp_path_factory):
    with ServingToolkit(tmp_path_factory.mktemp("server") / "one", packed, VARIABLES, image) as server:
        yield server.wait()


@pytest.fixture
def hooks(image, tmp_path):
    """Start a server with files of code/ alone."""
    started = []

    def serve(**files):
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
            for name, text in files.items():
                member = tarfile.TarInfo("code/" + name.replace("_", "."))
                member.size = len(text)
                tar.addfile(member, io.BytesIO(text.encode()))
        started.append(ServingToolkit(tmp_path / "hooks", buffer.getvalue(), VARIABLES, image))
        return started[-1]

    yield serve
    for server in started:
        server.stop()


def test_the_container_gives_the_scores_of_the_pipeline_in_every_format(server, pipe):
    expected = pipe(PROTEINS)
    status, kind, body = server.post(QUESTION, "application/json", "application/json")
    assert (status, kind) == (200, "application/json"), body
    assert close(json.loads(body), expected)

    lines = "".join(json.dumps({"id": f"P{n}", "sequence": text}) + "\n" for n, text in enumerate(PROTEINS)).encode()
    proteins = fasta([(f"P{n}", text) for n, text in enumerate(PROTEINS)]).encode()
    table = ("id,sequence\n" + "".join(f"P{n},{text}\n" for n, text in enumerate(PROTEINS))).encode()
    for question, sent in ((lines, "application/jsonlines"), (proteins, "text/x-fasta"), (table, "text/csv")):
        status, kind, body = server.post(question, sent, "application/jsonlines")
        assert (status, kind) == (200, "application/jsonlines"), (sent, body)
        rows = [json.loads(line) for line in body.decode().splitlines()]
        assert [row["id"] for row in rows] == [f"P{n}" for n in range(len(PROTEINS))]
        found = [{"label": row["location"], "score": row["score"]} for row in rows]
        assert close(found, expected), sent
    status, kind, body = server.post(proteins, "text/x-fasta", "text/csv")
    assert (status, kind) == (200, "text/csv")
    found = [float(row["score"]) for row in csv.DictReader(io.StringIO(body.decode()))]
    assert found == pytest.approx([call["score"] for call in expected], abs=1e-5)


@pytest.mark.parametrize(
    "body, kind, accept, message",
    [
        (b">P1\nMK1\n", "text/x-fasta", "text/csv", "request, record 1 (P1): '1' at position 3 is not a residue"),
        (b"no json", "application/json", "application/json", "request: not valid JSON"),
        (b"MKT", "image/png", "application/json", "content type 'image/png'"),
    ],
)
def test_every_refusal_is_400_with_our_line(server, body, kind, accept, message):
    status, _, answer = server.post(body, kind, accept)
    said = json.loads(answer)
    assert status == said["code"] == 400
    assert said["message"].startswith(message) and "\n" not in said["message"]


@pytest.mark.parametrize(
    "source, message",
    [
        ("def model_fn(model_dir):\n    raise ValueError('no weights')\n", "no weights"),
        ("raise ImportError('no such library')\n", "no such library"),
    ],
    ids=["model_fn raises", "import fails"],
)
def test_a_container_with_broken_hooks_is_healthy_and_refuses_every_request(hooks, source, message):
    """So InService does not mean that an endpoint can predict: it must be asked."""
    server = hooks(inference_py=source).wait()
    for _ in range(3):
        status, _, answer = server.post(QUESTION, "application/json", "application/json")
        assert status == 400 and message in json.loads(answer)["message"]
        assert server.ping() == 200


def test_a_container_that_cannot_install_its_requirements_never_answers(hooks):
    server = hooks(inference_py=SLEEPER, requirements_txt="no-such-package-of-proteins==1\n")
    with pytest.raises(RuntimeError, match="did not pass the ping health check"):
        server.wait()
    assert "failed to install required packages" in server.log()


def test_a_request_whose_client_is_gone_keeps_the_only_worker_until_it_is_computed(hooks):
    server = hooks(inference_py=SLEEPER).wait()
    assert server.post(b"0", "text/plain", "text/plain")[0] == 200
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        server.post(b"6", "text/plain", "text/plain", timeout=1)
    assert server.post(b"0", "text/plain", "text/plain")[0] == 200
    assert 5.5 < time.monotonic() - began < 60


@pytest.fixture
def source(tmp_path):
    """The source folder of a job."""
    folder = tmp_path / "source"
    folder.mkdir()
    write_job(str(folder), OPTIONS)
    return folder


def test_the_training_toolkit_leaves_a_model_and_its_metrics(image, source, proteins, tmp_path):
    job = TrainingToolkit(tmp_path / "job", image, source, {"train": proteins}).result()
    assert job.code == 0, job.log[-4000:]
    assert job.failure is None
    assert (job.ml / "model" / "model.safetensors").is_file()
    assert (job.ml / "model" / "code" / "inference.py").is_file()
    metrics = json.loads((job.ml / "output" / "data" / "metrics.json").read_text())
    assert metrics["test_accuracy"] > 0.5
    run = json.loads((job.ml / "output" / "data" / "run.json").read_text())
    assert run["training_arguments"]["packing"] == "off"
    assert run["model_arguments"]["backbone_config"] == SHAPE


def test_the_reason_of_a_failed_training_is_in_the_failure_file(image, source, cloud, tmp_path):
    wrong = tmp_path / "wrong.fasta"
    wrong.write_text(">P1 Nucleus-U\nMK1V\n")
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        tar.add(source, arcname=".")
    in_s3 = cloud.put("jobs/sourcedir.tar.gz", buffer.getvalue())
    job = TrainingToolkit(tmp_path / "job", image, in_s3, {"train": wrong}, variables=cloud.environment).result()
    assert job.code == 1
    assert job.failure.count("\n") == 1
    assert "wrong.fasta, record 1 (P1): '1' at position 3" in job.failure


def test_the_toolkits_own_torchrun_trains_one_model_on_two_machines(image, source, proteins, tmp_path):
    machines = [
        TrainingToolkit(tmp_path / str(host), image, source, {"train": proteins}, host=host, hosts=2)
        for host in range(2)
    ]
    first, second = [machine.result() for machine in machines]
    assert (first.code, second.code) == (0, 0), first.log[-4000:]
    assert "torchrun --nnodes 2 --nproc_per_node 1" in first.log
    assert json.loads((first.ml / "output" / "data" / "run.json").read_text())["world_size"] == 2
    assert (first.ml / "model" / "model.safetensors").is_file()
