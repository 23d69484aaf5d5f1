"""`protbert-classify layers`: which layer of an encoder knows most of what is to be predicted."""

import argparse
import os
import shlex
from typing import Any

from .parsing import OneLineParser, add_compute_options, add_data_options, add_split_options, positive

DESCRIPTION = """\
Probe every layer of a protein language model: for each, a linear model learns your labels from the mean hidden state
of a protein, and is measured on validation proteins. The last layer is not always the best.

  protbert-classify layers --data proteins.fasta --model facebook/esm2_t12_35M_UR50D
  protbert-classify train --data proteins.fasta --model_name_or_path facebook/esm2_t12_35M_UR50D --layer 8

The proteins go through the model once, and its weights do not change. The table is printed, and written to
OUTPUT/layers.csv and, with a figure, to OUTPUT/layers.html. train --layer N cuts the model after layer N, which makes
it smaller and faster; train --layer auto probes the layers first and takes the best. The choice matters most for
a frozen encoder (train --tuning frozen), as fine-tuning adapts the layers.

Use the same data options as for train, so that the splits are the same. Test proteins are not looked at."""


def run(arguments: list[str]) -> int:
    options = _parser().parse_args(arguments)
    from ..data.sources import check_there
    from ..errors import OptionError, first_line
    from ..inference.saved_encoder import load_encoder
    from ..layers.probe import probe_layers
    from ..model.layers import check_layers
    from ..model_source import check_max_length
    from ..reporting.layers_page import write_layers_page
    from ..reporting.layers_table import layers_text, write_layers_table
    from ..training.arguments import DataArguments
    from ..training.load_data import load_data
    from ..training.option_ranges import check_ranges
    from .terminal import hide_short_progress_bars

    hide_short_progress_bars()
    fields = DataArguments.__dataclass_fields__
    given = {name: value for name, value in vars(options).items() if name in fields and value is not None}
    data_args = DataArguments(**{"test_neighbours": False, **given})  # test proteins are not looked at
    check_ranges(data_args)
    for source in (data_args.data, data_args.validation_data, data_args.test_data):
        check_there(source)
    _check_folder(options.output)
    encoder, tokenizer = load_encoder(options.model, "mean", options.device, options.precision, options.compile)
    backbone = encoder.config.backbone_config
    try:
        check_layers(backbone, backbone.num_hidden_layers, options.model)
    except ValueError as error:
        raise OptionError(first_line(error)) from error
    longest = options.max_length or encoder.config.max_sequence_length
    if longest is None:
        longest = min(data_args.max_length, encoder.max_positions or data_args.max_length)
    check_max_length(backbone, longest)
    splits, tasks = load_data(data_args)
    found = probe_layers(
        encoder,
        tokenizer,
        splits,
        tasks[0],
        max_length=longest,
        crop=data_args.crop,
        most_proteins=options.most_proteins,
        seed=data_args.split_seed,
        tokens_per_batch=options.tokens_per_batch,
    )
    print(f"{layers_text(found)}\n\n{found.verdict}")
    os.makedirs(options.output, exist_ok=True)
    table, page = (os.path.join(options.output, name) for name in ("layers.csv", "layers.html"))
    write_layers_table(table, found)
    command = _training_command(options.model, found.best, {**given, "max_length": longest})
    write_layers_page(page, found, options.model, data_args.data or "DeepLoc 1.0", command)
    print(f"{command}\n\nwritten: {table}, {page}")
    return 0


def _training_command(model: str, layer: int, given: dict[str, Any]) -> str:
    """What trains with a layer on the same proteins: options that are as by default are left out."""
    from ..training.arguments import DataArguments

    words = ["protbert-classify", "train"]
    usual = vars(DataArguments())
    for name, value in given.items():
        if value not in (None, usual[name]):
            words += [f"--{name}", *map(str, value if isinstance(value, list) else [value])]
    return shlex.join([*words, "--model_name_or_path", model, "--layer", str(layer), "--recipe", "frozen"])


def _check_folder(output: str) -> None:
    """Refuse a file, or a place where no folder can be made, before the work is done."""
    from ..errors import OptionError

    there = os.path.abspath(output)
    while not os.path.exists(there):
        there = os.path.dirname(there)
    if not os.path.isdir(there):
        raise OptionError(f"output {output}: {there} is a file; expected a folder, or a name that is free")
    if not os.access(there, os.W_OK):
        raise OptionError(f"output {output}: {there} cannot be written to; expected another folder")


def _parser() -> argparse.ArgumentParser:
    parser = OneLineParser(
        prog="protbert-classify layers",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--model",
        required=True,
        help="the encoder to probe (ESM-2, ProtBERT, ...), or a fine-tuned model: a folder or a Hub id",
    )
    parser.add_argument(
        "--output", default="runs/layers", metavar="DIR", help="folder for the results (default %(default)s)"
    )
    parser.add_argument(
        "--most_proteins",
        type=positive,
        default=3000,
        metavar="N",
        help="maximum number of training proteins, and of validation proteins; if there are more, a sample is used "
        "(default %(default)s)",
    )
    parser.add_argument(
        "--max_length",
        type=positive,
        metavar="N",
        help="maximum tokens of a protein, with the special tokens (default: as in the training of a fine-tuned model, "
        "or 512, or as many as the encoder has positions for)",
    )
    add_split_options(parser)
    add_data_options(parser)
    add_compute_options(parser, int8=False)
    return parser
