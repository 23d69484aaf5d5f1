"""Proteins with a known identity to others."""

import numpy as np

from protbert_classify.data.alphabet import STANDARD


def random_proteins(count, length, seed):
    generator = np.random.default_rng(seed)
    return ["".join(generator.choice(list(STANDARD), length)) for _ in range(count)]


def mutants(proteins, identity, seed):
    """Each protein with a share of its residues, 1 - identity, replaced by others."""
    generator = np.random.default_rng(seed)
    changed = []
    for residues in proteins:
        letters = list(residues)
        for place in generator.permutation(len(letters))[: round((1 - identity) * len(letters))]:
            letters[place] = generator.choice([letter for letter in STANDARD if letter != letters[place]])
        changed.append("".join(letters))
    return changed
