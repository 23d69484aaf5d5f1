"""What runs in SageMaker's Hugging Face images is run here, and so is what it makes of mistakes."""

import csv
import io
import json

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


def test_the_training_toolkit_trains_one_model_on_two_machines_and_leaves_it_with_its_metrics(
    image, proteins, tmp_path
):
    source = tmp_path / "source"
    source.mkdir()
    write_job(str(source), OPTIONS)
    machines = [TrainingToolkit(tmp_path / str(host), image, source, proteins, host) for host in range(2)]
    codes, (first, second) = [machine.finish() for machine in machines], machines
    assert codes == [0, 0], first.log()[-4000:]
    assert "torchrun --nnodes 2 --nproc_per_node 1" in first.log()
    assert (first.ml / "model" / "model.safetensors").is_file()
    assert (first.ml / "model" / "code" / "inference.py").is_file()
    assert not any((second.ml / "model").iterdir()), "SageMaker joins what all machines leave"
    results = first.ml / "output" / "data"
    assert json.loads((results / "metrics.json").read_text())["test_accuracy"] > 0.5
    run = json.loads((results / "run.json").read_text())
    assert run["world_size"] == 2 and run["training_arguments"]["packing"] == "off"
    assert run["model_arguments"]["backbone_config"] == SHAPE
    assert not (first.ml / "output" / "failure").exists()
