"""An account on loopback, a session with it, and a model that tells proteins apart."""

import time

import pytest

from protbert_classify.data.tokenizer import protbert_tokenizer
from tests.inference.conftest import build_classifier
from tests.training.runs import easy_records, fasta

from .cloud import BUCKET, Cloud
from .endpoints import Serving
from .toolkits import missing


@pytest.fixture(scope="module")
def cloud(tmp_path_factory):
    with Cloud(tmp_path_factory.mktemp("cloud")) as cloud:
        yield cloud


@pytest.fixture(scope="module")
def session(cloud):
    from protbert_classify.sagemaker import open_session

    return open_session(BUCKET)


@pytest.fixture
def proteins(tmp_path):
    """Path of a labelled FASTA file."""
    path = tmp_path / "proteins.fasta"
    path.write_text(fasta(easy_records()))
    return str(path)


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory):
    """The folder of a run."""
    folder = tmp_path_factory.mktemp("trained")
    build_classifier().save_pretrained(folder / "model")
    protbert_tokenizer().save_pretrained(folder / "model")
    return str(folder)


@pytest.fixture(scope="module")
def serving(cloud):
    """What runs the containers of the account."""
    with Serving(cloud) as serving:
        yield serving


@pytest.fixture(scope="module")
def archive(serving, model_folder):
    """Address of the model's archive in S3."""
    return serving.put_model(model_folder)


@pytest.fixture
def clean(serving, monkeypatch):
    """Nothing that one test set is there for the next, and nothing is waited for longer than it takes."""
    from protbert_classify.sagemaker import predictor, status

    monkeypatch.setattr(status, "POLL", 0.05)
    monkeypatch.setattr(predictor, "ASYNC_POLL", 0.05)
    monkeypatch.setattr(predictor, "PAUSE", 0.01)
    serving.bodies.clear()
    serving.cloud.requests.clear()
    yield
    serving.failure = serving.stays = None
    serving.stub.__init__()


@pytest.fixture
def impatient(monkeypatch):
    """Looks at jobs and endpoints often, where AWS would be asked every half minute."""
    sleep = time.sleep
    monkeypatch.setattr(time, "sleep", lambda seconds: sleep(min(seconds, 0.2)))


@pytest.fixture
def pipe(model_folder):
    from protbert_classify import ProteinClassificationPipeline
    from protbert_classify.inference.saved_classifier import load_classifier

    model, tokenizer = load_classifier(model_folder, "cpu")
    return ProteinClassificationPipeline(model=model, tokenizer=tokenizer, device="cpu")


@pytest.fixture
def up(archive, session):
    """Deploy the archive; what a test does not delete is deleted after it."""
    from protbert_classify.sagemaker import deploy
    from protbert_classify.sagemaker.status import clean_up

    made = []

    def up(model=archive, **options):
        made.append(deploy(model, **{"role": "protbert", "session": session, **options}))
        return made[-1]

    yield up
    for predictor in made:
        clean_up(session, predictor.endpoint_name)


@pytest.fixture
def nothing_left(up, serving):
    """After the test, the account has the endpoints, configurations and models that it had before, and no others."""
    before = serving.there()
    yield
    assert serving.there() == before  # `up`, which is set up before this, has deleted nothing yet


@pytest.fixture(scope="session")
def toolkits():
    """For tests that run SageMaker's own toolkits: a reason to skip where these are not."""
    reason = missing()
    if reason is not None:
        pytest.skip(reason)
