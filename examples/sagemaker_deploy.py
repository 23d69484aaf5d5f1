"""Deploy a model on Amazon SageMaker, classify two proteins with it, and delete the endpoint again.

    python examples/sagemaker_deploy.py --role MyRole --model s3://my-bucket/.../model.tar.gz

Needs `pip install 'protbert_classify[sagemaker]'` and AWS credentials. The endpoint is paid for while the `with` block
is, some minutes; `protbert-classify sagemaker deploy` makes one that stays.
"""

import argparse
import logging
import sys

from protbert_classify.commands.terminal import log_to_stderr
from protbert_classify.errors import ProteinClassifierError
from protbert_classify.sagemaker import deploy, open_session

PROTEINS = {
    "insulin, human": (
        "MALWMRLLPLLALLALWGPDPAAAFVNQHLCGSHLVEALYLVCGERGFFYTPKTRREAEDLQVGQVELGGGPGAGSLQPLALEGSLQKRGIVEQCCTSICSLYQLENYCN"
    ),
    "histone H4, human": (
        "MSGRGKGGKGLGKGGAKRHRKVLRDNIQGITKPAIRRLARRGGVKRISGLIYEETRGVLKVFLENVIRDAVTYTEHAKRKTVTAMDVVYALKRQGRTLYGFGG"
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--role", required=True, help="name or ARN of an IAM role")
    parser.add_argument("--model", required=True, help="model.tar.gz in S3, or the folder of a run")
    parser.add_argument("--bucket", help="in S3 (default: SageMaker's own)")
    parser.add_argument("--instance_type", default="ml.m5.xlarge", help="default %(default)s, without a GPU")
    options = parser.parse_args()
    log_to_stderr()
    logging.getLogger("sagemaker").setLevel(logging.ERROR)  # what the SDK says of itself

    session = open_session(options.bucket)
    with deploy(options.model, role=options.role, session=session, instance_type=options.instance_type) as predictor:
        for name, call in zip(PROTEINS, predictor.predict(list(PROTEINS.values()))):
            print(f"{name}: {call['label']} ({call['score']:.2f})")


if __name__ == "__main__":
    try:
        main()
    except ProteinClassifierError as error:
        sys.exit(str(error))
