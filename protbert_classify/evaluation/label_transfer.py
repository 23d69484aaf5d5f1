"""The labels of the nearest training protein, weighed against the answers of a model: annotation transfer.

A protein that is much like a training protein usually has its labels, and a model is needed most for the others. The
identity of the two decides how much each of them counts.

Shapes: N proteins, C labels of a task.
"""

from dataclasses import replace

import numpy as np

from .decision import Decision, choose


def transfer_labels(decision: Decision, labels: np.ndarray, identity: np.ndarray) -> Decision:
    """Give each label `identity` times what the nearest training protein says, and the rest to the model.

    Args:
        decision: Of a model that predicts labels; those of its auxiliary tasks stay.
        labels: (N, C), 1 for each label that the nearest training protein has and 0 for the others; NaN where unknown.
        identity: (N,), 0..1, with the nearest training protein; NaN without one: the model's scores stay.

    Returns:
        Answers without prediction sets, as these are made from scores of the model alone.

    Example:
        >>> import numpy as np
        >>> from protbert_classify.evaluation.decision import decide_task
        >>> from protbert_classify.evaluation.label_transfer import transfer_labels
        >>> from protbert_classify.model.tasks import Task
        >>> task = Task(
        ...     name="location", problem_type="single_label_classification", labels=["Cytoplasm", "Nucleus"]
        ... )
        >>> decision = decide_task(np.log([[0.75, 0.25], [0.75, 0.25]]), task)
        >>> nearest = np.array([[0, 1], [0, 1]])
        >>> transfer_labels(decision, nearest, np.array([0.6, np.nan])).scores.round(2).tolist()
        [[0.3, 0.7], [0.75, 0.25]]
    """
    weight = np.where(np.isnan(labels), 0.0, np.nan_to_num(identity)[:, None])
    scores = (weight * np.nan_to_num(labels) + (1 - weight) * decision.scores).astype(np.float32)
    task = replace(decision.task, validation_scores=None)
    return Decision(task, scores, choose(scores, task), decision.auxiliary)
