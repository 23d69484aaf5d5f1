"""`protbert-classify sagemaker train`: a training job."""

import argparse
import difflib
import os
from typing import Any

import yaml

from ...errors import OptionError
from ..parsing import positive
from .options import add_account, add_security, new_parser, pairs, security_of, session_of

CHANNELS = {"data": "train", "validation_data": "validation", "test_data": "test"}

DESCRIPTION = """\
Fine-tune on SageMaker: the training of 'protbert-classify train', on all GPUs of one or several machines.

  protbert-classify sagemaker train --role Proteins --data proteins.fasta --instance_type ml.g5.2xlarge --dry-run
  protbert-classify sagemaker train --role Proteins --data s3://bucket/proteins.fasta --use_spot_instances \\
      --model_name_or_path facebook/esm2_t12_35M_UR50D --num_train_epochs 3 --learning_rate 3e-5

Every option of train that is not listed here goes to the job. A file of options may come first (run.yaml). The job
installs this package as it is here. When it has ended, the last line printed is the address of its model in S3, which
'protbert-classify sagemaker deploy --model ADDRESS' serves. Ctrl-C leaves the job running and says how to stop it."""


def run(arguments: list[str]) -> int:
    arguments = list(arguments)
    file = arguments.pop(0) if arguments and arguments[0].endswith((".yaml", ".yml", ".json")) else None
    parser = _parser()
    from_file = _of_file(file) if file else {}
    jobs = {action.dest for action in parser._actions}
    parser.set_defaults(**{name: value for name, value in from_file.items() if name in jobs})
    options, others = parser.parse_known_args(arguments)
    if not options.role:
        raise OptionError("no --role; give the name or ARN of an IAM role that SageMaker may assume")
    hyperparameters = {name: value for name, value in from_file.items() if name not in jobs} | _of_line(others)
    _refuse_unknown(hyperparameters, jobs)
    inputs = _inputs(options, hyperparameters)
    from ...sagemaker.dry_run import DryRun, Finished
    from ...sagemaker.estimator import HuggingFaceEstimator

    dry_run = DryRun() if options.dry_run else None
    estimator = HuggingFaceEstimator(
        session=session_of(options, dry_run), hyperparameters=hyperparameters, **_settings(options)
    )
    try:
        name = estimator.fit(inputs, wait=not options.no_wait)
    except Finished:
        assert dry_run is not None
        print(dry_run.text())
        return 0
    if options.no_wait:
        print(name)
        return 0
    if estimator.outcome is not None:
        for metric, value in sorted(estimator.outcome.metrics.items()):
            print(f"{metric} {value:g}")
    print(estimator.model_data)
    return 0


def _settings(options: argparse.Namespace) -> dict[str, Any]:
    return {
        "instance_type": options.instance_type,
        "instance_count": options.instance_count,
        "processes_per_instance": options.processes_per_instance,
        "base_job_name": options.job_name,
        "image_uri": options.image_uri,
        "volume_size": options.volume_size,
        "max_run": options.max_run,
        "max_wait": options.max_wait,
        "use_spot_instances": options.use_spot_instances,
        "checkpoint_s3_uri": options.checkpoint_s3_uri,
        "keep_alive_period_in_seconds": options.keep_alive,
        "package": options.package,
        "push_to_hub": options.push_to_hub,
        "hub_token_secret": options.hub_token_secret,
        "environment": pairs(options.environment, "--environment"),
        **security_of(options),
    }


def _inputs(options: argparse.Namespace, hyperparameters: dict[str, Any]) -> dict[str, str]:
    """The channels: the data, and a pretrained model that is a folder or in S3; a Hub id stays an option."""
    inputs = {}
    for name, channel in CHANNELS.items():
        source = getattr(options, name) or hyperparameters.pop(name, None)
        if source is not None:
            inputs[channel] = str(source)
    model = str(hyperparameters.get("model_name_or_path", ""))
    if model.startswith("s3://") or os.path.exists(model):
        inputs["model"] = str(hyperparameters.pop("model_name_or_path"))
    if "train" not in inputs:
        raise OptionError("no --data; expected a file of labelled proteins, here or in S3")
    for channel, source in inputs.items():  # before seconds of imports
        if not source.startswith("s3://") and not os.path.exists(source):
            raise OptionError(f"channel {channel}: {source}: no such file; expected one, or an s3:// address")
    return inputs


def _refuse_unknown(hyperparameters: dict[str, Any], jobs: set[str]) -> None:
    """Name what may have been meant, among the options of a job and of a training."""
    from ...training.options import option_names

    known = option_names()
    for name in hyperparameters:
        if name not in known:
            near = difflib.get_close_matches(name, [*jobs, *known], n=1)
            meant = f"did you mean --{near[0]}?" if near else "'sagemaker train --help' and 'train --help' list them"
            raise OptionError(f"unknown option --{name}; {meant}")


def _of_file(path: str) -> dict[str, Any]:
    try:
        with open(path, encoding="utf-8") as file:
            values = yaml.safe_load(file)  # JSON is YAML
    except (OSError, yaml.YAMLError) as error:
        reason = error.strerror if isinstance(error, OSError) else " ".join(str(error).split())
        raise OptionError(f"{path}: {reason}; expected a YAML or JSON file of options") from None
    if not isinstance(values, dict):
        raise OptionError(f"{path}: found {type(values).__name__}; expected 'option: value' lines")
    return values


def _of_line(words: list[str]) -> dict[str, Any]:
    """`--option value` pairs; an option alone is a flag."""
    values: dict[str, Any] = {}
    words = [part for word in words for part in (word.split("=", 1) if word.startswith("--") else [word])]
    while words:
        name = words.pop(0)
        if not name.startswith("--"):
            first = "; a file of options comes first" if name.endswith((".yaml", ".yml", ".json")) else ""
            raise OptionError(f"found {name!r}; expected --option value{first}")
        flag = not words or words[0].startswith("--")
        values[name[2:].replace("-", "_")] = True if flag else _value(words.pop(0))
    return values


def _value(text: str) -> Any:
    """JSON that is a mapping is one; all else stays as it was written."""
    if not text.startswith("{"):
        return text
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return text


def _parser() -> argparse.ArgumentParser:
    parser = new_parser("train", DESCRIPTION)
    data = parser.add_argument_group("proteins, each a file here or in S3")
    data.add_argument("--data", help="labelled proteins, as for train")
    data.add_argument("--validation_data", help="as for train")
    data.add_argument("--test_data", help="as for train")
    job = parser.add_argument_group("job")
    job.add_argument("--instance_type", default="ml.g5.2xlarge", help="a machine (default %(default)s, one GPU)")
    job.add_argument("--instance_count", type=positive, default=1, help="machines of one training (default 1)")
    job.add_argument("--processes_per_instance", type=positive, help="default: one a GPU, or one")
    job.add_argument("--job_name", default="protbert-classify", help="its beginning (default %(default)s)")
    job.add_argument("--max_run", type=positive, default=86_400, help="seconds of computing at most (default a day)")
    job.add_argument("--use_spot_instances", action="store_true", help="cheaper machines, which AWS may take back")
    job.add_argument("--max_wait", type=positive, help="seconds in all, with spot instances (default 2 max_run)")
    job.add_argument("--checkpoint_s3_uri", help="keep checkpoints there, and resume from what is there")
    job.add_argument("--keep_alive", type=positive, metavar="SECONDS", help="keep machines for the next job, paid for")
    job.add_argument("--volume_size", type=positive, default=100, help="GiB of a machine's disk (default %(default)s)")
    job.add_argument("--image_uri", help="a container of one's own (default: the newest of AWS)")
    job.add_argument("--environment", nargs="+", default=[], metavar="NAME=VALUE", help="of the container")
    job.add_argument("--package", help="a requirement to install in place of this package as it is here")
    job.add_argument("--no_wait", action="store_true", help="print the job's name and leave")
    hub = parser.add_argument_group("Hugging Face Hub")
    hub.add_argument("--push_to_hub", metavar="OWNER/NAME", help="publish the model from the job")
    hub.add_argument("--hub_token_secret", metavar="NAME", help="of the secret in AWS Secrets Manager with the token")
    add_account(parser)
    add_security(parser)
    return parser
