"""True answers that predictions are compared with, some of which are unknown."""

import numpy as np

from ..model.tasks import IGNORED


def known_references(references: np.ndarray) -> np.ndarray:
    """bool, of the shape of `references`: where the answer is known."""
    references = np.asarray(references)
    return ~np.isnan(references) & (references != IGNORED) if references.ndim == 1 else ~np.isnan(references)
