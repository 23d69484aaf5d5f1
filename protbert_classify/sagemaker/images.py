"""AWS' container images, and which of them an instance can run.

Their Dockerfiles are public: https://github.com/aws/deep-learning-containers.
"""

import difflib
import re
from typing import Literal, NamedTuple

from ..errors import OptionError
from .session import Session

Purpose = Literal["training", "inference", "transform"]


class Image(NamedTuple):
    """An image of AWS' Deep Learning Containers, in the terms of `sagemaker.core.image_uris`."""

    framework: str
    version: str
    base_framework_version: str | None
    py_version: str


# The newest that SDK 3.27 knows. Hugging Face's training image exists for GPUs only; PyTorch's is for CPUs.
TRAINING_GPU = Image("huggingface", "5.3.0", "pytorch2.9.0", "py312")
TRAINING_CPU = Image("pytorch", "2.9.0", None, "py312")
INFERENCE = Image("huggingface", "5.5.3", "pytorch2.6.0", "py312")


def has_gpu(instance_type: str) -> bool:
    """Whether an instance has NVIDIA GPUs: the families g and p."""
    return re.match(r"ml\.[gp]\d", instance_type) is not None


def encrypts_itself(instance_type: str) -> bool:
    """Whether an instance has local disks that encrypt in hardware: SageMaker then refuses a key for its volume."""
    return re.match(r"ml\.(g[4-9]\w*|p[4-9]\w*|p3dn|[a-z]+\d+[a-z]*d[a-z]*)\.", instance_type) is not None


def check_instance(session: Session, instance_type: str, purpose: Purpose) -> None:
    """Refuse an instance type that SageMaker does not have, and name similar ones."""
    shape = f"{'ProductionVariant' if purpose == 'inference' else purpose.capitalize()}InstanceType"
    known = session.sagemaker_client.meta.service_model.shape_for(shape).enum
    if instance_type not in known:
        near = ", ".join(difflib.get_close_matches(f"ml.{str(instance_type).removeprefix('ml.')}", known))
        meant = f"; did you mean {near}?" if near else ""
        raise OptionError(f"instance type {instance_type!r} is not a valid one for {purpose}{meant}")


def image_uri(purpose: Purpose, instance_type: str, region: str, image: Image | None = None) -> str:
    """The address of an image, the newest if None, in its build for GPUs or for CPUs, whichever the instance has."""
    from sagemaker.core import image_uris

    gpu = has_gpu(instance_type)
    if re.match(r"ml\.((trn|inf)\d|[a-z]+\d+g[a-z]*\.)", instance_type):
        raise OptionError(f"instance type {instance_type!r}: the images are for x86 and NVIDIA; choose a g, p, m or c")
    if image is None:
        if purpose == "training" and re.match(r"ml\.(p[23]|g3)", instance_type):  # CUDA 13 does not know their GPUs
            raise OptionError(f"instance type {instance_type!r}: its GPUs are too old; choose g4dn, g5, g6 or p4")
        image = INFERENCE if purpose != "training" else TRAINING_GPU if gpu else TRAINING_CPU
    try:
        return image_uris.retrieve(
            region=region,
            instance_type=instance_type,
            image_scope="training" if purpose == "training" else "inference",
            **image._asdict(),
        )
    except (ValueError, KeyError) as error:
        wanted = f"{image.framework} {image.version} for {'GPUs' if gpu else 'CPUs'} ({instance_type}) in {region}"
        why = " ".join(str(error).split()).split(". ")[0]
        raise OptionError(f"no {purpose} image {wanted}: {why}; give another, or an image_uri") from error
