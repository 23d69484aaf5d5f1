"""The Hugging Face inference container, for real: `serve` of the toolkit, and multi-model-server, which it starts."""

import contextlib
import time
from pathlib import Path

from .containers import STARTING, UNHEALTHY, ask, unpacked
from .namespace import Namespace
from .toolkits import outside
from .training_jobs import low_port


class ServingToolkit(contextlib.AbstractContextManager):
    """A container of the Hugging Face inference image: `serve`, multi-model-server in Java, and its Python worker.

    Args:
        folder: Of its /opt/ml and its log.
        archive: Bytes of model.tar.gz, which SageMaker unpacks in /opt/ml/model.
        variables: Of PrimaryContainer of CreateModel.
        image: What `toolkit_image` returned.

    Attributes:
        url: Where it answers, on loopback, once it is up.
    """

    def __init__(self, folder, archive, variables, image):
        port = low_port()
        self.url = f"http://127.0.0.1:{port}"
        unpacked(archive, Path(folder, "ml", "model"))
        environment = outside(
            SAGEMAKER_BIND_TO_PORT=str(port),
            MMS_INFERENCE_ADDRESS=self.url,  # both would be open to the network otherwise
            MMS_MANAGEMENT_ADDRESS=self.url,
        )
        self.namespace = Namespace(folder, image, ["serve"], {**environment, **variables})

    def __exit__(self, *_):
        self.stop()

    def wait(self, seconds=STARTING):
        """Until /ping says 200, which is all that SageMaker waits for.

        Raises:
            RuntimeError: It does not; what SageMaker says, and the end of the log as its cause.
        """
        deadline = time.monotonic() + seconds
        while self.namespace.process.poll() is None and time.monotonic() < deadline:
            if self.ping() == 200:
                return self
            time.sleep(0.1)
        raise RuntimeError(UNHEALTHY) from RuntimeError(self.log()[-4000:])

    def ping(self):
        """The status of /ping; None while nothing listens."""
        try:
            return ask(f"{self.url}/ping", timeout=10)[0]
        except OSError:
            return None

    def post(self, body, content_type=None, accept=None, timeout=300):
        """Invoke the model.

        Returns:
            Status, Content-Type and body of the answer.
        """
        return ask(f"{self.url}/invocations", body, content_type, accept, timeout)

    def log(self):
        return self.namespace.log()

    def stop(self):
        self.namespace.stop()
