"""`protbert-classify embed`: proteins in, their embeddings out."""

import argparse

from .parsing import (
    SOURCE,
    OneLineParser,
    add_compute_options,
    add_table,
    compute_options,
    positive,
    table_options,
)
from .predict import complete_before, tell
from .terminal import hide_short_progress_bars

DESCRIPTION = """\
Write the embeddings of the proteins of a file: one vector per protein, or one per residue. The model is an encoder,
such as ESM-2, or one that you fine-tuned. Memory does not grow with the input, and the output keeps its order.

  protbert-classify embed --model facebook/esm2_t12_35M_UR50D --input proteome.fasta --output embeddings.parquet
  protbert-classify embed --model runs/mine --input proteome.fasta --output embeddings.safetensors
  protbert-classify embed --model runs/mine --input few.fasta --output residues.parquet --per residue
  accelerate launch --config_file CONFIG -m protbert_classify embed --model ... --input ... --output ...

A .parquet file has one row per protein: id, description, length, embedding, and truncated (whether the protein was
longer than the model reads). A .safetensors file has one tensor, embeddings, with one row per protein; the proteins of
its rows are in OUTPUT.proteins.csv. After a kill or Ctrl-C, the same command with --resume continues where it stopped.
Records that cannot be read go to OUTPUT.rejected.csv with the reason, and the exit code is 3, or 0 with several
processes (accelerate launch)."""


def run(arguments: list[str]) -> int:
    options = _parser().parse_args(arguments)
    from ..inference.embed import embed_file

    hide_short_progress_bars()
    done = embed_file(
        options.model,
        options.input,
        options.output,
        per=options.per,
        pooling=options.pooling,
        layer=options.layer,
        dtype=options.dtype,
        max_length=options.max_length,
        resume=options.resume,
        **table_options(options),
        **compute_options(options),
    )
    if done.classified is None:
        return tell(done, [complete_before(options.output, "embeds")])
    proteins = "protein" if done.classified == 1 else "proteins"
    return tell(done, [f"{done.classified:,} {proteins} embedded; embeddings in {options.output}"])


def _parser() -> argparse.ArgumentParser:
    parser = OneLineParser(
        prog="protbert-classify embed",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--model",
        required=True,
        help="the Hub id or folder of an encoder (ESM-2, ProtBERT, ...), output_dir of a training, or a fine-tuned "
        "model's folder or Hub id. Not an ensemble: give one of its members, such as runs/mine/seed-0",
    )
    output = ".parquet, or for one vector per protein also .safetensors"
    add_table(parser, SOURCE, "continue an interrupted run", output)
    parser.add_argument(
        "--per",
        choices=("protein", "residue"),
        default="protein",
        help="one vector per protein, or one per residue that the model reads (default %(default)s)",
    )
    parser.add_argument(
        "--pooling",
        metavar="NAME",
        help="how the vectors of residues become one per protein: mean, cls, or a pooling whose weights the model has "
        "(default: the pooling that a fine-tuned model was trained with, which gives the vectors that its head reads; "
        "mean for an encoder)",
    )
    parser.add_argument(
        "--layer",
        type=positive,
        metavar="N",
        help="take the hidden states of this layer, counted from 1; the layers after it are not computed (default: the "
        "last one; protbert-classify layers shows which layer knows most about your classes)",
    )
    parser.add_argument(
        "--dtype",
        choices=("float32", "float16"),
        default="float32",
        help="type of the numbers; float16 needs half the disk space (default %(default)s)",
    )
    parser.add_argument(
        "--max_length",
        type=positive,
        metavar="N",
        help="maximum tokens of a protein, about one per residue; a longer protein is cropped, as in training "
        "(default: as in fine-tuning, or the maximum of an encoder)",
    )
    add_compute_options(parser)
    return parser
