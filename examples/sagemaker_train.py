"""Fine-tune a protein classifier on Amazon SageMaker, and leave its model in S3.

    python examples/sagemaker_train.py --role MyRole --data proteins.fasta --bucket my-bucket

Needs `pip install 'protbert_classify[sagemaker]'` and AWS credentials. The machine is paid for while the job runs, and
ends by itself. `protbert-classify sagemaker train` does the same with every option.
"""

import argparse
import logging
import sys

from protbert_classify.commands.terminal import log_to_stderr
from protbert_classify.errors import ProteinClassifierError
from protbert_classify.sagemaker import HuggingFaceEstimator, open_session


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--role", required=True, help="name or ARN of an IAM role")
    parser.add_argument("--data", required=True, help="labelled proteins, a file here or in S3")
    parser.add_argument("--bucket", help="in S3 (default: SageMaker's own)")
    parser.add_argument("--instance_type", default="ml.g5.12xlarge", help="default %(default)s: four GPUs")
    parser.add_argument("--model_name_or_path", default="Rostlab/prot_bert_bfd", help="pretrained encoder")
    parser.add_argument("--num_train_epochs", type=float, default=3)
    options = parser.parse_args()
    log_to_stderr()
    logging.getLogger("sagemaker").setLevel(logging.ERROR)  # what the SDK says of itself

    estimator = HuggingFaceEstimator(
        role=options.role,
        session=open_session(options.bucket),
        instance_type=options.instance_type,
        use_spot_instances=True,  # cheaper; what AWS takes back resumes from its last checkpoint
        hyperparameters={
            "model_name_or_path": options.model_name_or_path,
            "num_train_epochs": options.num_train_epochs,
            "tokens_per_batch": "auto",
        },
    )
    estimator.fit({"train": options.data})
    print(estimator.outcome)
    bucket = f" --bucket {options.bucket}" if options.bucket else ""
    print(f"python examples/sagemaker_deploy.py --role {options.role}{bucket} --model {estimator.model_data}")


if __name__ == "__main__":
    try:
        main()
    except ProteinClassifierError as error:
        sys.exit(str(error))
