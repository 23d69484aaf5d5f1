"""`protbert-classify push`: a trained model, or labelled proteins, to the Hugging Face Hub."""

import argparse
import re
import tempfile

from .parsing import OneLineParser, add_data_options
from .terminal import hide_short_progress_bars

DESCRIPTION = """\
Publish a trained model on the Hugging Face Hub: its weights, its tokenizer, the code to load it without this package,
and a model card with its data, results and limits. Or publish labelled proteins as Parquet files with a dataset card.

  protbert-classify push --model runs/mine --repo_id me/my-classifier
  protbert-classify push --data proteins.fasta --repo_id me/my-proteins

A new repository is private unless you give --public. The token comes from HF_TOKEN or 'hf auth login'."""


def run(arguments: list[str]) -> int:
    from ..errors import OptionError

    try:
        options = _parser().parse_args(arguments)
    except OptionError as error:  # an unknown option is named, and what follows it might be a token
        raise OptionError(re.sub(r"hf_\w+", "hf_***", str(error))) from None
    _check(options)
    hide_short_progress_bars()
    if options.model is not None:
        return _push_model(options)
    return _push_dataset(options)


def _check(options: argparse.Namespace) -> None:
    from ..errors import OptionError

    if options.token is not None:
        raise OptionError("a token on a command line is seen by others; use HF_TOKEN or 'hf auth login'")
    if (options.model is None) == (options.data is None):
        raise OptionError("give either --model, to publish a model, or --data, to publish proteins")
    of_models = ("revision", "create_pr", "commit_message", "backbone_license")
    if options.data is not None and (given := [name for name in of_models if getattr(options, name)]):
        raise OptionError(f"{given[0]}: proteins are pushed to the main branch as they are; leave it out")


def _push_model(options: argparse.Namespace) -> int:
    from ..hub import push_model
    from ..reporting.card import Licences

    if options.dry_run:
        return _show_model(options)
    commit = push_model(
        options.model,
        options.repo_id,
        private=not options.public,
        licences=Licences(options.license, options.backbone_license, options.data_license),
        revision=options.revision,
        commit_message=options.commit_message,
        create_pr=options.create_pr,
    )
    print(commit.pr_url or commit.repo_url)
    return 0


def _show_model(options: argparse.Namespace) -> int:
    """What would be sent, and the card."""
    from ..hub import check_model, check_repo_id, describe_model, find_model
    from ..reporting.card import Licences

    check_repo_id(options.repo_id)
    model, run = find_model(options.model)
    check_model(model)
    licences = Licences(options.license, options.backbone_license, options.data_license)
    with tempfile.TemporaryDirectory() as pictures:
        card, files = describe_model(model, run, options.repo_id, licences, pictures)
    print(card)
    print(f"Besides this card would be sent: {', '.join(sorted(files))}")
    return 0


def _push_dataset(options: argparse.Namespace) -> int:
    from ..data.fingerprint import fingerprint
    from ..data.loading import read_proteins, reading_options
    from ..hub import check_repo_id, push_dataset
    from ..reporting.dataset_card import dataset_card

    check_repo_id(options.repo_id)
    proteins = read_proteins(options.data, **reading_options(options))
    licence = options.data_license or options.license
    if options.dry_run:
        fingerprints = {name: fingerprint(part, options.label_column) for name, part in proteins.items()}
        print(
            dataset_card(
                proteins, options.repo_id, options.data, fingerprints, licence, label_columns=options.label_column
            )
        )
        print(f"Besides this card would be sent, as Parquet: {', '.join(proteins)}")
        return 0
    commit = push_dataset(
        proteins,
        options.repo_id,
        source=options.data,
        private=not options.public,
        licence=licence,
        label_columns=options.label_column,
    )
    print(commit.repo_url)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = OneLineParser(
        prog="protbert-classify push",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--repo_id", required=True, help="owner/name on the Hub, or a name in your own namespace")
    parser.add_argument("--model", help="output_dir of a training, whose card has more details, or a model folder")
    parser.add_argument("--data", "--dataset", help="labelled proteins to publish, as for train; in place of --model")
    parser.add_argument("--public", action="store_true", help="make a new repository public (default: private)")
    parser.add_argument("--license", help="licence of the model, as the Hub names it: mit, apache-2.0, afl-3.0, ...")
    parser.add_argument("--backbone_license", help="licence of the pretrained encoder, for the card")
    parser.add_argument("--data_license", help="licence of the proteins, for the card")
    parser.add_argument("--revision", help="branch to push a model to (default main)")
    parser.add_argument("--create_pr", action="store_true", help="open a pull request in place of pushing a model")
    parser.add_argument("--commit_message", help="commit message for a model (default: Upload model)")
    parser.add_argument("--dry_run", action="store_true", help="show the card and the list of files, and send nothing")
    add_data_options(parser)
    parser.add_argument("--token", "--hf_token", "--hub_token", help=argparse.SUPPRESS)  # to say where it belongs
    return parser
