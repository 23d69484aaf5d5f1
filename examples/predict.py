"""Classify the proteins of a FASTA file.

    python examples/predict.py runs/mine/model proteins.fasta
    python examples/predict.py me/my-classifier proteins.fasta     # a model on the Hub

For whole proteomes, in constant memory and resumable, there is `protbert-classify predict`.
"""

import sys

from transformers import pipeline

from protbert_classify import ProteinClassificationPipeline  # noqa: F401, the task "protein-classification" with it
from protbert_classify.data.records import read_fasta


def main(model: str, fasta: str) -> None:
    classify = pipeline("protein-classification", model=model)
    proteins = list(read_fasta(fasta))
    calls = classify([protein.residues for protein in proteins])
    for protein, call in zip(proteins, calls, strict=True):
        print(protein.place.accession, call["label"], f"{call['score']:.2f}", sep="\t")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        print("usage: python examples/predict.py MODEL FASTA", file=sys.stderr)
        sys.exit(2)
    main(*sys.argv[1:])
