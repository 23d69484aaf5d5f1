"""Fine-tune on SageMaker: the training of 'protbert-classify train', on all GPUs of one or several machines.

  protbert-classify sagemaker train --role Proteins --data proteins.fasta --instance_type ml.g5.2xlarge --dry-run
  protbert-classify sagemaker train --role Proteins --data s3://bucket/proteins.fasta --use_spot_instances \\
      --model_name_or_path facebook/esm2_t12_35M_UR50D --num_train_epochs 3 --learning_rate 3e-5

Every option of train that is not listed here goes to the job. A file of options may come first (run.yaml). The job
has a copy of this package. When it has ended, the last line printed is the address of its model in S3, which
'protbert-classify sagemaker deploy --model ADDRESS' serves. After Ctrl-C the job continues.
"""

import argparse
import os

from ...errors import OptionError
from ..parsing import OneLineParser, positive
from .options import add_machines, arguments_of, given


def parse(parser: OneLineParser, words: list[str]) -> argparse.Namespace:
    """The options of the job; its `hyperparameters` are those of `train`, from a file and from the line."""
    if {"-h", "--help"} & set(words):
        parser.parse_args(["--help"])
    from ...training.options import CONFIG_ENDINGS, option_names, read_options_file, refuse_unknown  # takes seconds

    in_file = read_options_file(words.pop(0)) if words and words[0].endswith(CONFIG_ENDINGS) else {}
    of_job = [action.dest for action in parser._actions]
    of_train = [name for name in option_names() if name not in of_job]
    parser.set_defaults(**{name: value for name, value in in_file.items() if name in of_job})
    for name in of_train:
        parser.add_argument(f"--{name}", f"--{name.replace('_', '-')}", nargs="*", default=argparse.SUPPRESS)
    options, unknown = parser.parse_known_args(words)
    known = [*of_job, *of_train]
    refuse_unknown([*unknown, *(f"--{name}" for name in in_file if name not in known)], known)
    # as text: an option alone is a flag, several words are a list
    of_line = {
        name: words[0] if len(words) == 1 else words or True for name, words in given(options, *of_train).items()
    }
    options.hyperparameters = {name: value for name, value in in_file.items() if name in of_train} | of_line
    return options


def run(options: argparse.Namespace) -> None:
    inputs = _inputs(options)
    from ...sagemaker.training import HuggingFaceEstimator

    estimator = HuggingFaceEstimator(**arguments_of(HuggingFaceEstimator, options))
    name = estimator.fit(inputs, wait=not options.no_wait)
    if options.no_wait:
        print(name)
        return
    for metric, value in sorted(estimator.outcome.metrics.items() if estimator.outcome else ()):
        print(f"{metric} {value:g}")
    print(estimator.model_data)


def _inputs(options: argparse.Namespace) -> dict[str, str]:
    """The channels: the data, and a pretrained model that is a folder or in S3; a Hub id stays an option."""
    from ...sagemaker.container import CHANNELS

    inputs = {channel: getattr(options, name) for channel, name in CHANNELS.items()}
    model = str(options.hyperparameters.get("model_name_or_path", ""))
    if model.startswith("s3://") or os.path.exists(model):
        inputs["model"] = options.hyperparameters.pop("model_name_or_path")
    if inputs["train"] is None:
        raise OptionError("no --data; expected a file of labelled proteins, here or in S3")
    return {channel: str(source) for channel, source in inputs.items() if source is not None}


def add_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("proteins, each a file here or in S3").add_argument
    add("--data", help="labelled proteins, as for train")
    add("--validation_data", help="as for train")
    add("--test_data", help="as for train")
    add = parser.add_argument_group("job").add_argument
    add("--instance_type", default="ml.g5.2xlarge", help="a machine (default %(default)s, one GPU)")
    add("--instance_count", type=positive, default=1, help="machines of one training (default 1)")
    add("--processes_per_instance", type=positive, help="default: one per GPU, or one without a GPU")
    name = "beginning of the job's name (default %(default)s)"
    add("--job_name", dest="base_job_name", default="protbert-classify", help=name)
    add("--max_run", type=positive, default=86_400, help="maximum seconds of computing (default 86400)")
    add("--use_spot_instances", action="store_true", help="cheaper machines, which AWS may take back")
    add("--max_wait", type=positive, help="maximum seconds, including the wait for spot machines (default 2 x max_run)")
    add("--checkpoint_s3_uri", help="S3 folder for checkpoints; a job resumes from those in it")
    keep = "seconds to keep the machines for the next job, billed"
    add("--keep_alive", dest="keep_alive_period_in_seconds", type=positive, metavar="SECONDS", help=keep)
    add("--volume_size", type=positive, default=100, help="GiB of a machine's disk (default %(default)s)")
    add("--package", help="what pip installs instead of a copy of this package, such as protbert_classify==0.1.0")
    add("--no_wait", action="store_true", help="print the job's name and return")
    add = parser.add_argument_group("Hugging Face Hub").add_argument
    add("--push_to_hub", metavar="OWNER/NAME", help="publish the model from the job")
    add("--hub_token_secret", metavar="NAME", help="secret in AWS Secrets Manager with the Hub's token")
    add_machines(parser)
