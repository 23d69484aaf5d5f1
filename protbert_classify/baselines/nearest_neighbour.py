"""The labels of the most similar training protein: annotation transfer, as with BLAST."""

import numpy as np
from datasets import Dataset, DatasetDict

from ..data.alphabet import unspace
from ..homology.neighbours import Neighbours
from ..homology.saved_search import find_saved_neighbours
from ..model.tasks import REGRESSION, Task
from ..tasks.targets import answer_matrix
from .majority import training_shares


def nearest_neighbour(splits: DatasetDict, task: Task) -> dict[str, np.ndarray]:
    """Scores of the labels of the best hit among the training proteins.

    The score of its labels is their share of identical residues, and what is left goes to all labels by their shares in
    training, which is also the answer for a protein without a hit. MMseqs2 searches or, where it is missing, shared
    5-mers.
    """
    shares = training_shares(splits, task)
    answers = answer_matrix(splits["train"], task)
    answers = np.where(np.isnan(answers), shares, answers)
    others = [name for name in splits if name != "train"]
    queries = [residues for name in others for residues in _residues(splits[name])]
    best = _best_hits(find_saved_neighbours(queries, _residues(splits["train"]), identity=0, coverage=0))
    scores = np.tile(shares, (len(queries), 1))
    weight = np.ones(len(best)) if task.problem_type == REGRESSION else best.identity
    scores[best.query] = weight[:, None] * answers[best.target] + (1 - weight[:, None]) * shares
    ends = np.cumsum([len(splits[name]) for name in others])
    return dict(zip(others, np.split(scores, ends[:-1]), strict=True))


def _best_hits(found: Neighbours) -> Neighbours:
    """For each query that has hits, the one of the lowest E-value or, where that is unknown, the most identical."""
    order = np.lexsort((-found.identity, np.nan_to_num(found.evalue, nan=0.0), found.query))
    return found.select(order[np.unique(found.query[order], return_index=True)[1]])


def _residues(proteins: Dataset) -> list[str]:
    return [unspace(sequence) for sequence in proteins["sequence"][:]]
