"""`protbert-classify sagemaker wheels`: what a container without a network installs."""

import argparse

from .options import new_parser

DESCRIPTION = """\
Download wheels of all that this package needs but torch, which the containers have, for network isolation.

  protbert-classify sagemaker wheels --output_dir wheels
  protbert-classify sagemaker train --network_isolation --wheels wheels --model_name_or_path encoder/ --data ...
  protbert-classify sagemaker deploy --network_isolation --wheels wheels --model runs/mine ...

They have the versions that are installed here, come from the index of pip's configuration, and travel with the job, or
with a model that is a folder here; the model of such a job has them already."""


def run(arguments: list[str]) -> int:
    options = _parser().parse_args(arguments)
    from ...sagemaker.vendoring import vendor

    vendor(options.output_dir, options.python)
    print(options.output_dir)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = new_parser("wheels", DESCRIPTION)
    parser.add_argument("--output_dir", required=True, help="a new or empty folder, or one of wheels, to replace")
    parser.add_argument("--python", default="3.12", help="version in the container (default %(default)s)")
    return parser
