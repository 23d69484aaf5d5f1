"""The containers that AWS offers, and which one an instance can run."""

import difflib
import re
from importlib.util import find_spec
from typing import Literal, NamedTuple

from ..errors import OptionError

Purpose = Literal["training", "inference", "transform"]


class Image(NamedTuple):
    """A container of AWS' Deep Learning Containers, as `sagemaker.core.image_uris` names it."""

    framework: str
    version: str
    base_framework_version: str | None
    py_version: str


# The newest that SDK 3.27 knows. Hugging Face's training image exists for GPUs only; on CPUs PyTorch's takes its place.
TRAINING_GPU = Image("huggingface", "5.3.0", "pytorch2.9.0", "py312")
TRAINING_CPU = Image("pytorch", "2.9.0", None, "py312")
INFERENCE = Image("huggingface", "5.5.3", "pytorch2.6.0", "py312")
PYTHON = "3.12"  # of all of them

# Families whose GPUs our images' CUDA (13 to train, 12.4 else) or their torch no longer know
TOO_OLD = {"training": ("p2", "p3", "p3dn", "g3", "g3s"), "inference": ("p2",), "transform": ("p2",)}

# What the API itself accepts, as botocore's model of it has it
SHAPES = {
    "training": "TrainingInstanceType",
    "inference": "ProductionVariantInstanceType",
    "transform": "TransformInstanceType",
}


def has_gpu(instance_type: str) -> bool:
    """Whether an instance has NVIDIA GPUs: families g and p."""
    return re.match(r"ml\.[gp]\d", instance_type) is not None


def encrypts_itself(instance_type: str) -> bool:
    """Whether an instance's disks are local and encrypt in hardware: SageMaker then refuses a key for its volume."""
    return re.match(r"ml\.(g[4-9]\w*|p[4-9]\w*|p3dn|[a-z]+\d+[a-z]*d[a-z]*)\.", instance_type) is not None


def check_instance(instance_type: str, purpose: Purpose) -> None:
    """Refuse an instance that SageMaker does not have, or that no image runs on.

    Raises:
        OptionError: With the names that are near it.
    """
    import botocore.session

    model = botocore.session.get_session().get_service_model("sagemaker")
    known = model.shape_for(SHAPES[purpose]).enum
    if instance_type not in known:
        complete = f"ml.{instance_type}"
        near = [complete] if complete in known else difflib.get_close_matches(str(instance_type), known, n=3)
        raise OptionError(
            f"instance type {instance_type!r}: SageMaker has none of this name for {purpose} that this boto3 knows"
            f"{'; did you mean ' + ', '.join(near) + '?' if near else ''}"
        )
    family = instance_type.split(".")[1]
    if re.match(r"(trn|inf)\d", family):
        raise OptionError(f"instance type {instance_type!r}: Neuron chips need a compiled model; choose a g, m or c")
    if re.fullmatch(r"[a-z]+\d+g[a-z]*", family):
        raise OptionError(f"instance type {instance_type!r}: the images are for x86, this is ARM; choose another")


def check_image_uri(uri: str | None) -> None:
    """Refuse what can be no address of a container; None is none of one's own.

    Raises:
        OptionError: It.
    """
    if uri is not None and not re.fullmatch(r"\S{1,255}", uri):
        raise OptionError(
            f"image_uri {uri!r}: expected an address in ECR, ACCOUNT.dkr.ecr.REGION.amazonaws.com/NAME:TAG"
        )


def is_aws_image(uri: str) -> bool:
    """Whether a container is one of AWS' for Hugging Face models, which installs what a model's `code/` names."""
    return "/huggingface-pytorch-" in uri


def image_uri(purpose: Purpose, instance_type: str, region: str, image: Image | None = None) -> str:
    """The address of a container.

    Args:
        purpose: `training`, `inference` or `transform`.
        instance_type: `ml.g5.xlarge`; decides between the builds for GPUs and for CPUs.
        region: `us-east-1`.
        image: In place of the newest one.

    Raises:
        OptionError: No such instance, no such image, or no build of it for this kind of instance or region.
    """
    check_instance(instance_type, purpose)
    if find_spec("sagemaker.core") is None:
        raise OptionError("the SageMaker SDK is not installed; expected: pip install 'protbert_classify[sagemaker]'")
    from sagemaker.core import image_uris

    gpu = has_gpu(instance_type)
    if image is None:
        if instance_type.split(".")[1] in TOO_OLD[purpose]:
            raise OptionError(
                f"instance type {instance_type!r}: its GPUs are too old for the newest image; choose g4dn, g5, g6, p4 "
                "or newer, or give an image"
            )
        image = INFERENCE if purpose != "training" else TRAINING_GPU if gpu else TRAINING_CPU
    try:
        return image_uris.retrieve(
            image.framework,
            region,
            version=image.version,
            base_framework_version=image.base_framework_version,
            py_version=image.py_version,
            instance_type=instance_type,
            image_scope="training" if purpose == "training" else "inference",
        )
    except (ValueError, KeyError) as error:
        built = f"{image.framework} {image.version} {image.base_framework_version or ''}".strip()
        raise OptionError(
            f"no {purpose} image {built} ({image.py_version}) for {'GPUs' if gpu else 'CPUs'} ({instance_type}) in "
            f"{region}: {' '.join(str(error).split()).split('. ')[0]}; give another, or an image_uri"
        ) from error
