"""How sure a model is of what it was not trained on: `python -m benchmarks.unlike --run DIR`.

A classifier names a class for every sequence, also for one that is no protein. Compared are the test proteins of a run,
fragments of 50 residues of them, the same proteins with their residues shuffled, sequences of random residues, and
random DNA, whose letters are residues, too. The last three are as long as the test proteins. A low score tells some of
them from proteins; the missing training protein tells them all.
"""

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from typing import Any

import datasets
import numpy as np

from benchmarks.reporting import markdown_table, publish
from protbert_classify.data.alphabet import STANDARD, unspace
from protbert_classify.errors import OptionError
from protbert_classify.evaluation.decision import UNANSWERED, Decision, decide
from protbert_classify.homology.neighbours import COVERAGE, IDENTITY, find_neighbours
from protbert_classify.inference.logits import predict_logits
from protbert_classify.inference.saved_classifier import classifier_encoder, load_classifier
from protbert_classify.runs.finished_run import Run, read_run
from protbert_classify.training.arguments import DataArguments
from protbert_classify.training.load_data import load_data

PROTEINS = 500  # test proteins, at most
FRAGMENT = 50  # residues
SURE = 0.5
SEED = 0
TITLE = "Sequences unlike the training proteins"
HEADER = [
    "sequences",
    "number",
    "median score",
    f"answered at --min_score {SURE}",
    f"answered at --min_identity {IDENTITY}",
    "with both",
]


def main() -> int:
    datasets.disable_progress_bars()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", required=True, help="output_dir of a training of a classification")
    parser.add_argument("--publish", action="store_true", help="keep the table among those of the other benchmarks")
    parser.add_argument("--data", help="the proteins of that training (default: where it read them)")
    options = parser.parse_args()
    test, train = proteins_of(read_run(options.run), options.data)
    sequences = kinds(test, np.random.default_rng(SEED))
    rows = [measured(name, sequences[name], one, train) for name, one in decisions_for(options.run, sequences).items()]
    table = markdown_table(HEADER, [table_row(row) for row in rows])
    if options.publish:
        publish("unlike", TITLE, {"sequences": rows}, table)
    else:
        print(table)
    return 0


def proteins_of(run: Run, data: str | None = None) -> tuple[list[str], list[str]]:
    """The residues of up to `PROTEINS` test proteins of a run, drawn at random, and of all its training proteins.

    Args:
        run: Of a training.
        data: Its proteins; where it read them if None.

    Raises:
        OptionError: It had no test proteins.
    """
    names = {field.name for field in dataclasses.fields(DataArguments)}
    given = {name: value for name, value in run.record["data_arguments"].items() if name in names}
    # no search for the validation proteins: they are among those that the model has seen
    given |= {"data": data or given["data"], "validation": 0.0, "split": "identical", "test_neighbours": False}
    splits, _ = load_data(DataArguments(**given))
    if "test" not in splits:
        raise OptionError(f"{run.folder}: no test proteins")
    test, train = ([unspace(sequence) for sequence in splits[name]["sequence"][:]] for name in ("test", "train"))
    rows = np.random.default_rng(SEED).permutation(len(test))[:PROTEINS]
    return [test[row] for row in sorted(rows)], train


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


def measured(name: str, residues: list[str], decision: Decision, train: list[str]) -> dict[str, Any]:
    """How sure a model is of one kind of sequences, and how many are left if unsure or unlike ones get no answer.

    Args:
        name: Of the kind.
        residues: (N,).
        decision: For them.
        train: The residues of the training proteins.
    """
    sure = np.array([label != UNANSWERED for label in decision.joined_labels(SURE)])
    near = np.zeros(len(residues), dtype=bool)
    near[find_neighbours(residues, train, identity=IDENTITY, coverage=COVERAGE).query] = True
    return {
        "name": name,
        "number": len(residues),
        "median_score": float(np.median(decision.score)),
        "sure": float(sure.mean()),
        "near": float(near.mean()),
        "both": float((sure & near).mean()),
    }


def table_row(found: dict[str, Any]) -> list[str]:
    shares = [f"{found[name]:.0%}" for name in ("sure", "near", "both")]
    return [found["name"], f"{found['number']:,}", f"{found['median_score']:.2f}", *shares]


if __name__ == "__main__":
    sys.exit(main())
