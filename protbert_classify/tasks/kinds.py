"""How each problem type reads its columns; a new one is registered here."""

from ..model.registry import Registry
from ..model.tasks import MULTI_LABEL, REGRESSION, SINGLE_LABEL, Task
from .kind import Kind
from .multi_label import MultiLabel
from .regression import Regression
from .single_label import SingleLabel

KINDS: Registry[type[Kind]] = Registry("problem_type")
KINDS.register(SINGLE_LABEL)(SingleLabel)
KINDS.register(MULTI_LABEL)(MultiLabel)
KINDS.register(REGRESSION)(Regression)


def kind_of(task: Task) -> Kind:
    """The kind of a task."""
    return KINDS[task.problem_type]()
