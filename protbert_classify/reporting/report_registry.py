"""The report of each problem type; a new one is registered here."""

from ..model.tasks import MULTI_LABEL, REGRESSION, SINGLE_LABEL, Task
from .multi_label_report import MultiLabelReport
from .regression_report import RegressionReport
from .single_label_report import SingleLabelReport
from .task_report import TaskReport

REPORTS: dict[str, TaskReport] = {
    SINGLE_LABEL: SingleLabelReport(),
    MULTI_LABEL: MultiLabelReport(),
    REGRESSION: RegressionReport(),
}


def report_of(task: Task) -> TaskReport:
    """The report of a task."""
    return REPORTS[task.problem_type]
