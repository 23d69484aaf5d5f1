"""The class of each problem type; a new one is registered here."""

from ..model.registry import Registry
from ..model.tasks import MULTI_LABEL, REGRESSION, SINGLE_LABEL, Task
from .multi_label import MultiLabel
from .problem_type import ProblemType
from .regression import Regression
from .single_label import SingleLabel

PROBLEM_TYPE_CLASSES: Registry[type[ProblemType]] = Registry("problem_type")
PROBLEM_TYPE_CLASSES.register(SINGLE_LABEL)(SingleLabel)
PROBLEM_TYPE_CLASSES.register(MULTI_LABEL)(MultiLabel)
PROBLEM_TYPE_CLASSES.register(REGRESSION)(Regression)


def problem_type_of(task: Task) -> ProblemType:
    """The problem type of a task."""
    return PROBLEM_TYPE_CLASSES[task.problem_type]()
