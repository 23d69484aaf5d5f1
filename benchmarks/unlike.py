"""How sure a model is of what it was not trained on: `python -m benchmarks.unlike --run DIR`.

A classifier names a class for every sequence, also for one that is no protein. Compared are the test proteins of a run,
fragments of 50 residues of them, the same proteins with their residues shuffled, sequences of random residues, and
random DNA, whose letters are residues, too. The last three are as long as the test proteins.
"""

import argparse
import dataclasses
import sys
from collections.abc import Sequence

import datasets
import numpy as np

from benchmarks.reporting import markdown_table
from protbert_classify.data.alphabet import STANDARD, unspace
from protbert_classify.errors import OptionError
from protbert_classify.evaluation.decision import UNANSWERED, Decision, decide
from protbert_classify.inference.logits import predict_logits
from protbert_classify.inference.saved_classifier import classifier_encoder, load_classifier
from protbert_classify.runs.finished_run import Run, read_run
from protbert_classify.training.arguments import DataArguments
from protbert_classify.training.load_data import load_data

PROTEINS = 500  # test proteins, at most
FRAGMENT = 50  # residues
SURE = 0.5
SEED = 0
HEADER = ["sequences", "number", "median score", f"score above {SURE}", f"answered at --min_score {SURE}"]


def main() -> int:
    datasets.disable_progress_bars()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", required=True, help="output_dir of a training of a classification")
    parser.add_argument("--data", help="the proteins of that training (default: where it read them)")
    options = parser.parse_args()
    proteins = test_proteins(read_run(options.run), options.data)
    print(unlike_table(decisions_for(options.run, kinds(proteins, np.random.default_rng(SEED)))))
    return 0


def test_proteins(run: Run, data: str | None = None) -> list[str]:
    """The residues of up to `PROTEINS` test proteins of a run, drawn at random.

    Args:
        run: Of a training.
        data: Its proteins; where it read them if None.

    Raises:
        OptionError: It had no test proteins.
    """
    names = {field.name for field in dataclasses.fields(DataArguments)}
    given = {name: value for name, value in run.record["data_arguments"].items() if name in names}
    # no search: only the test proteins are of interest
    given |= {"data": data or given["data"], "validation": 0.0, "split": "identical", "test_neighbours": False}
    splits, _ = load_data(DataArguments(**given))
    if "test" not in splits:
        raise OptionError(f"{run.folder}: no test proteins")
    proteins = [unspace(sequence) for sequence in splits["test"]["sequence"][:]]
    rows = np.random.default_rng(SEED).permutation(len(proteins))[:PROTEINS]
    return [proteins[row] for row in sorted(rows)]


def kinds(proteins: Sequence[str], generator: np.random.Generator) -> dict[str, list[str]]:
    """What is compared: name -> sequences, N of each kind but for fragments, which only longer proteins have.

    Args:
        proteins: (N,), residues.
        generator: Of everything random.
    """
    lengths = [len(protein) for protein in proteins]
    return {
        "test proteins": list(proteins),
        f"fragments of {FRAGMENT} residues": [fragment(p, generator) for p in proteins if len(p) > FRAGMENT],
        "shuffled test proteins": ["".join(generator.permutation(list(protein))) for protein in proteins],
        "random residues": ["".join(generator.choice(list(STANDARD), length)) for length in lengths],
        "random DNA": ["".join(generator.choice(list("ACGT"), length)) for length in lengths],
    }


def fragment(protein: str, generator: np.random.Generator) -> str:
    """`FRAGMENT` residues in a row, from anywhere in a longer protein."""
    start = int(generator.integers(0, len(protein) - FRAGMENT + 1))
    return protein[start : start + FRAGMENT]


def decisions_for(model: str, sequences: dict[str, list[str]]) -> dict[str, Decision]:
    """The answers of a model, for each kind of sequences that there are.

    Args:
        model: The folder of a run or of a model, or a Hub id.
        sequences: Name of a kind -> residues.
    """
    classifier, tokenizer = load_classifier(model)
    encoder = classifier_encoder(classifier, tokenizer)
    found = {}
    for name, residues in sequences.items():
        if residues:
            encoded = [np.frombuffer(encoder(sequence), dtype=np.uint8) for sequence in residues]
            found[name] = decide(predict_logits(classifier, encoded), classifier.config)
    return found


def unlike_table(decisions: dict[str, Decision]) -> str:
    """A row for each kind: how many, the median score, and how many the model is sure of."""
    rows = []
    for name, decision in decisions.items():
        answered = np.array([label != UNANSWERED for label in decision.joined_labels(SURE)])
        sure = f"{(decision.score > SURE).mean():.0%}"
        rows.append([name, f"{len(decision):,}", f"{np.median(decision.score):.2f}", sure, f"{answered.mean():.0%}"])
    return markdown_table(HEADER, rows)


if __name__ == "__main__":
    sys.exit(main())
