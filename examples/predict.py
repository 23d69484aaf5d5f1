"""Classify the proteins of a FASTA file.

    python examples/predict.py runs/mine proteins.fasta
    python examples/predict.py me/my-classifier proteins.fasta     # a model on the Hub

For whole proteomes, in constant memory and resumable, there is `protbert-classify predict`.
"""

import argparse
import sys

from transformers import pipeline

from protbert_classify import ProteinClassificationPipeline  # noqa: F401, the task "protein-classification" with it
from protbert_classify.data.reader import read_records
from protbert_classify.errors import ProteinClassifierError
from protbert_classify.model_source import resolve_model_path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="folder of a run or of a model, or its name on the Hub")
    parser.add_argument("fasta", help="proteins to classify")
    options = parser.parse_args()

    proteins = list(read_records(options.fasta))
    classify = pipeline("protein-classification", model=resolve_model_path(options.model))
    predictions = classify([protein.residues for protein in proteins])
    for protein, prediction in zip(proteins, predictions, strict=True):
        print(protein.place.accession, prediction["label"], f"{prediction['score']:.2f}", sep="\t")


if __name__ == "__main__":
    try:
        main()
    except ProteinClassifierError as error:
        sys.exit(str(error))
