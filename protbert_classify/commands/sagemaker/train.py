"""`protbert-classify sagemaker train`: a training job."""

import argparse
import difflib
import os
from typing import Any

from ...errors import OptionError
from ..parsing import positive
from .options import add_account, add_security, new_parser, security_of, session_of

CHANNELS = {"data": "train", "validation_data": "validation", "test_data": "test"}
DESCRIPTION = """\
Fine-tune on SageMaker: the training of 'protbert-classify train', on all GPUs of one or several machines.

  protbert-classify sagemaker train --role Proteins --data proteins.fasta --instance_type ml.g5.2xlarge --dry-run
  protbert-classify sagemaker train --role Proteins --data s3://bucket/proteins.fasta --use_spot_instances \\
      --model_name_or_path facebook/esm2_t12_35M_UR50D --num_train_epochs 3 --learning_rate 3e-5

Every option of train that is not listed here goes to the job. A file of options may come first (run.yaml). The job
has a copy of this package. When it has ended, the last line printed is the address of its model in S3, which
'protbert-classify sagemaker deploy --model ADDRESS' serves. After Ctrl-C the job continues."""


def run(arguments: list[str]) -> int:
    parser, words = _parser(), list(arguments)
    if {"-h", "--help"} & set(words):
        parser.print_help()
        return 0
    from ...training.options import CONFIG_ENDINGS, option_names, read_options_file

    in_file = read_options_file(words.pop(0)) if words and words[0].endswith(CONFIG_ENDINGS) else {}
    jobs = {action.dest for action in parser._actions}
    parser.set_defaults(**{name: value for name, value in in_file.items() if name in jobs})
    options, others = parser.parse_known_args(words)
    hyperparameters = {name: value for name, value in in_file.items() if name not in jobs} | _of_line(others)
    for name in hyperparameters:
        if name not in option_names():
            near = difflib.get_close_matches(name, [*jobs, *option_names()], n=1)
            meant = f"did you mean --{near[0]}?" if near else "'sagemaker train --help' and 'train --help' list them"
            raise OptionError(f"unknown option --{name}; {meant}")
    inputs = _inputs(options, hyperparameters)
    from ...sagemaker.dry_run import DryRun, Finished
    from ...sagemaker.training import HuggingFaceEstimator

    dry_run = DryRun() if options.dry_run else None
    settings = {name: getattr(options, name) for name in SETTINGS}
    session = session_of(options, dry_run)
    estimator = HuggingFaceEstimator(
        session=session, hyperparameters=hyperparameters, **settings, **security_of(options)
    )
    try:
        name = estimator.fit(inputs, wait=not options.no_wait)
    except Finished:
        print(dry_run.text() if dry_run is not None else "")
        return 0
    if options.no_wait:
        print(name)
        return 0
    for metric, value in sorted(estimator.outcome.metrics.items() if estimator.outcome else ()):
        print(f"{metric} {value:g}")
    print(estimator.model_data)
    return 0


def _inputs(options: argparse.Namespace, hyperparameters: dict[str, Any]) -> dict[str, str]:
    """The channels: the data, and a pretrained model that is a folder or in S3; a Hub id stays an option."""
    given = {channel: getattr(options, name) for name, channel in CHANNELS.items()}
    model = str(hyperparameters.get("model_name_or_path", ""))
    if model.startswith("s3://") or os.path.exists(model):
        given["model"] = hyperparameters.pop("model_name_or_path")
    if given["train"] is None:
        raise OptionError("no --data; expected a file of labelled proteins, here or in S3")
    for channel, source in given.items():  # before seconds of imports, and before credentials are asked for
        if source is not None and not str(source).startswith("s3://") and not os.path.exists(source):
            raise OptionError(f"channel {channel}: {source}: no such file; expected one, or an s3:// address")
    return {channel: str(source) for channel, source in given.items() if source is not None}


def _of_line(words: list[str]) -> dict[str, Any]:
    """The options of `train` on the command line, as text; an option alone is a flag, several words are a list."""
    values: dict[str, Any] = {}
    name = None
    for word in (part for text in words for part in (text.split("=", 1) if text.startswith("--") else [text])):
        if word.startswith("--"):
            name = word[2:].replace("-", "_")
            values[name] = True
        elif name is None:
            first = "; a file of options comes first" if word.endswith((".yaml", ".yml", ".json")) else ""
            raise OptionError(f"found {word!r}; expected --option value{first}")
        else:
            before = values[name]
            values[name] = word if before is True else [*(before if isinstance(before, list) else [before]), word]
    return values


SETTINGS = (
    *("instance_type", "instance_count", "processes_per_instance", "base_job_name", "volume_size", "max_run"),
    *("max_wait", "use_spot_instances", "checkpoint_s3_uri", "keep_alive_period_in_seconds", "package"),
    *("push_to_hub", "hub_token_secret"),
)


def _parser() -> argparse.ArgumentParser:
    parser = new_parser("train", DESCRIPTION)
    data = parser.add_argument_group("proteins, each a file here or in S3")
    data.add_argument("--data", help="labelled proteins, as for train")
    data.add_argument("--validation_data", help="as for train")
    data.add_argument("--test_data", help="as for train")
    job = parser.add_argument_group("job")
    job.add_argument("--instance_type", default="ml.g5.2xlarge", help="a machine (default %(default)s, one GPU)")
    job.add_argument("--instance_count", type=positive, default=1, help="machines of one training (default 1)")
    job.add_argument("--processes_per_instance", type=positive, help="default: one per GPU, or one without a GPU")
    job.add_argument(
        "--job_name",
        dest="base_job_name",
        default="protbert-classify",
        help="beginning of the job's name (default %(default)s)",
    )
    job.add_argument("--max_run", type=positive, default=86_400, help="most seconds of computing (default 86400)")
    job.add_argument("--use_spot_instances", action="store_true", help="cheaper machines, which AWS may take back")
    job.add_argument(
        "--max_wait", type=positive, help="most seconds with the wait for spot machines (default 2 max_run)"
    )
    job.add_argument("--checkpoint_s3_uri", help="keep checkpoints there, and resume from those that are there")
    keep = "seconds to keep the machines for the next job, billed"
    job.add_argument("--keep_alive", dest="keep_alive_period_in_seconds", type=positive, metavar="SECONDS", help=keep)
    job.add_argument("--volume_size", type=positive, default=100, help="GiB of a machine's disk (default %(default)s)")
    job.add_argument("--package", help="a requirement to install in place of this package as it is here")
    job.add_argument("--no_wait", action="store_true", help="print the job's name and return")
    hub = parser.add_argument_group("Hugging Face Hub")
    hub.add_argument("--push_to_hub", metavar="OWNER/NAME", help="publish the model from the job")
    hub.add_argument("--hub_token_secret", metavar="NAME", help="secret in AWS Secrets Manager with the Hub's token")
    add_account(parser)
    add_security(parser)
    return parser
