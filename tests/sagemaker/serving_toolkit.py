"""The Hugging Face inference container, for real: `serve` of the toolkit, and multi-model-server, which it starts."""

from pathlib import Path

from .containers import Listening, unpacked
from .namespace import Namespace
from .toolkits import outside
from .training_jobs import low_port


class ServingToolkit(Listening):
    """A container of the Hugging Face inference image: `serve`, multi-model-server in Java, and its Python worker.

    Args:
        folder: Of its /opt/ml and its log.
        archive: Bytes of model.tar.gz, which SageMaker unpacks in /opt/ml/model.
        variables: Of PrimaryContainer of CreateModel.
        image: What `toolkit_image` returned.
    """

    def __init__(self, folder, archive, variables, image):
        super().__init__(folder, low_port())
        unpacked(archive, Path(folder, "ml", "model"))
        environment = outside(
            SAGEMAKER_BIND_TO_PORT=str(self.port),
            MMS_INFERENCE_ADDRESS=self.url,  # both would be open to the network otherwise
            MMS_MANAGEMENT_ADDRESS=self.url,
        )
        self.process = Namespace(folder, image, ["serve"], {**environment, **variables}).process
