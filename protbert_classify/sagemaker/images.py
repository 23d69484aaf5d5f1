"""AWS' container images, and which of them an instance can run.

Their Dockerfiles are public: https://github.com/aws/deep-learning-containers.
"""

import difflib
import re
from typing import Literal, NamedTuple

from ..errors import OptionError

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

# botocore's name for the instance types that the API accepts
SHAPES = {
    "training": "TrainingInstanceType",
    "inference": "ProductionVariantInstanceType",
    "transform": "TransformInstanceType",
}


def has_gpu(instance_type: str) -> bool:
    """Whether an instance has NVIDIA GPUs: the families g and p."""
    return re.match(r"ml\.[gp]\d", instance_type) is not None


def encrypts_itself(instance_type: str) -> bool:
    """Whether an instance has local disks that encrypt in hardware: SageMaker then refuses a key for its volume."""
    return re.match(r"ml\.(g[4-9]\w*|p[4-9]\w*|p3dn|[a-z]+\d+[a-z]*d[a-z]*)\.", instance_type) is not None


def check_instance(instance_type: str, purpose: Purpose) -> None:
    """Refuse an instance type that SageMaker does not have, or that no image runs on.

    Raises:
        OptionError: With similar names.
    """
    import botocore.session

    model = botocore.session.get_session().get_service_model("sagemaker")
    known = model.shape_for(SHAPES[purpose]).enum
    if instance_type not in known:
        complete = f"ml.{instance_type}"
        near = [complete] if complete in known else difflib.get_close_matches(str(instance_type), known, n=3)
        raise OptionError(
            f"instance type {instance_type!r} is not a valid one for {purpose}"
            f"{'; did you mean ' + ', '.join(near) + '?' if near else ''}"
        )
    family = instance_type.split(".")[1]
    if re.match(r"(trn|inf)\d", family) or re.fullmatch(r"[a-z]+\d+g[a-z]*", family):
        raise OptionError(f"instance type {instance_type!r}: the images are for x86 and NVIDIA; choose a g, p, m or c")


def image_uri(purpose: Purpose, instance_type: str, region: str, image: Image | None = None) -> str:
    """The address of an image, the newest if None, in its build for GPUs or for CPUs, whichever the instance has.

    Raises:
        OptionError: No such instance or image, or no build of it for this kind of instance or region.
    """
    check_instance(instance_type, purpose)
    from sagemaker.core import image_uris

    gpu = has_gpu(instance_type)
    if image is None:
        if purpose == "training" and re.match(r"ml\.(p[23]|g3)", instance_type):  # CUDA 13 does not know their GPUs
            raise OptionError(
                f"instance type {instance_type!r}: its GPUs are too old; choose g4dn, g5, g6, p4 or newer"
            )
        image = INFERENCE if purpose != "training" else TRAINING_GPU if gpu else TRAINING_CPU
    try:
        return image_uris.retrieve(
            region=region,
            instance_type=instance_type,
            image_scope="training" if purpose == "training" else "inference",
            **image._asdict(),
        )
    except (ValueError, KeyError) as error:
        built = f"{image.framework} {image.version} {image.base_framework_version or ''}".strip()
        raise OptionError(
            f"no {purpose} image {built} ({image.py_version}) for {'GPUs' if gpu else 'CPUs'} ({instance_type}) in "
            f"{region}: {' '.join(str(error).split()).split('. ')[0]}; give another, or an image_uri"
        ) from error
