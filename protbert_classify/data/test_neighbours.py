"""How many test proteins are similar to training proteins."""

import logging

from datasets import DatasetDict

from ..homology.neighbours import describe_limits, search_method
from ..homology.saved_search import find_saved_neighbours
from .alphabet import unspace

logger = logging.getLogger(__name__)


def count_test_neighbours(splits: DatasetDict, identity: float, coverage: float) -> int | None:
    """Count and log the test proteins that have a neighbour in training.

    Args:
        splits: With `train` and, perhaps, `test`.
        identity: Of neighbours, see [`find_neighbours`].
        coverage: Of neighbours.

    Returns:
        The number, or None without test proteins.
    """
    if "test" not in splits:
        return None
    test, train = ([unspace(sequence) for sequence in splits[name]["sequence"][:]] for name in ("test", "train"))
    near = len(find_saved_neighbours(test, train, identity=identity, coverage=coverage).nearest())
    logger.info(
        "%s of %s test proteins (%.1f%%) have a neighbour in training: %s",
        f"{near:,}",
        f"{len(test):,}",
        100 * near / len(test),
        describe_limits(identity, coverage, search_method()),
    )
    return near
