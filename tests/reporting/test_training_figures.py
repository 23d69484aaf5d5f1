import pytest

from protbert_classify.model.tasks import Task
from protbert_classify.reporting.figures import save_figure
from protbert_classify.reporting.training_figures import best_epoch, curve, draw_curves, loss_name
from tests.reporting.test_figures import size, texts

LOCATION = Task(name="location", problem_type="single_label_classification", labels=["a", "b"])
LOG = [
    {"epoch": 0.5, "loss": 1.5, "step": 5},
    {"epoch": 1.0, "eval_loss": 1.2, "eval_accuracy": 0.5, "eval_mcc": 0.4, "eval_macro_f1": 0.3, "step": 10},
    {"epoch": 1.5, "loss": 1.0, "step": 15},
    {"epoch": 2.0, "eval_loss": 1.3, "eval_accuracy": 0.6, "eval_mcc": 0.45, "eval_macro_f1": 0.35, "step": 20},
    {"epoch": 2.0, "train_loss": 1.2, "train_runtime": 9.0, "step": 20},
]


def test_a_curve_is_what_was_logged_under_its_name():
    assert curve(LOG, "loss") == ([0.5, 1.5], [1.5, 1.0])
    assert curve(LOG, "eval_mcc") == ([1.0, 2.0], [0.4, 0.45])
    assert curve([], "loss") == ([], [])


@pytest.mark.parametrize(
    ("metric", "epoch"), [("mcc", 2.0), ("eval_mcc", 2.0), ("loss", 1.0), (None, 1.0), ("unknown", None)]
)
def test_the_kept_epoch_is_the_best_in_validation(metric, epoch):
    assert best_epoch(LOG, metric) == epoch


def test_of_epochs_with_the_same_metric_the_one_with_the_lowest_loss_is_kept():
    evaluations = [(1.0, 0.9, 0.5), (2.0, 1.0, 0.4), (3.0, 1.0, 0.2), (4.0, 1.0, 0.3)]
    log = [{"epoch": epoch, "eval_mcc": mcc, "eval_loss": loss} for epoch, mcc, loss in evaluations]
    assert best_epoch(log, "mcc") == 3.0


def test_the_lines_are_the_log_and_differ_in_more_than_colour():
    figure = draw_curves(LOG, 2.0, [LOCATION])
    loss, metrics = figure.axes
    lines = {line.get_label(): line for line in [*loss.lines, *metrics.lines]}
    assert lines["training"].get_xydata().tolist() == [[0.5, 1.5], [1.5, 1.0]]
    assert lines["validation"].get_xydata().tolist() == [[1.0, 1.2], [2.0, 1.3]]
    assert lines["macro F1"].get_xydata().tolist() == [[1.0, 0.3], [2.0, 0.35]]
    assert len({lines[name].get_linestyle() for name in ("accuracy", "MCC", "macro F1")}) == 3
    assert len({lines[name].get_marker() for name in ("accuracy", "MCC", "macro F1")}) == 3
    assert texts(figure).count("kept: epoch 2") == 2


def test_without_validation_there_is_the_training_loss_alone(tmp_path):
    figure = draw_curves(LOG[:1], None, [LOCATION])
    assert len(figure.axes) == 1
    assert figure.axes[0].lines[0].get_marker() == "o"  # one point has no line
    save_figure(figure, tmp_path / "curves.png")
    assert size(tmp_path / "curves.png")


PLACES = Task(name="place", problem_type="multi_label_classification", labels=["a", "b"])
CHARGE = Task(name="charge", problem_type="regression", labels=["charge"])


def test_the_curves_are_those_of_the_problem_type():
    log = [{"epoch": 1.0, "eval_spearman": 0.4, "eval_pearson": 0.3, "eval_r2": 0.1, "eval_mae": 12.0}]
    figure = draw_curves(log, None, [CHARGE])
    titles = [axes.get_title("left") for axes in figure.axes]
    assert titles == ["mean squared error", "metrics, validation", "error, validation"]
    assert [line.get_label() for line in figure.axes[1].lines] == ["Spearman", "Pearson", "R²"]
    assert [line.get_ydata().tolist() for line in figure.axes[2].lines] == [[12.0]]  # not beside what is 1 at most


def test_auxiliary_tasks_have_a_panel_with_a_metric_each():
    log = [{"epoch": 1.0, "eval_micro_f1": 0.4, "eval_location_mcc": 0.3, "eval_charge_spearman": 0.2}]
    figure = draw_curves(log, None, [PLACES, LOCATION, CHARGE])
    assert [axes.get_title("left") for axes in figure.axes] == [
        *("loss of all tasks", "metrics, validation", "auxiliary tasks, validation"),
    ]
    assert [line.get_label() for line in figure.axes[2].lines] == ["location: MCC", "charge: Spearman"]


def test_six_curves_differ_and_their_names_lie_on_none_of_them():
    names = ["micro_f1", "macro_f1", "jaccard", "subset_accuracy", "mcc", "average_precision"]
    log = [{"epoch": float(e), **{f"eval_{name}": 0.1 * e for name in names}} for e in (1, 2)]
    figure = draw_curves(log, None, [PLACES])
    lines = figure.axes[1].lines
    looks = {(line.get_color(), line.get_marker(), str(line.get_linestyle())) for line in lines}
    assert len(lines) == len(looks) == 6
    figure.draw_without_rendering()
    legend = figure.axes[1].get_legend().get_window_extent()
    assert not legend.overlaps(figure.axes[1].get_window_extent())


def test_the_kept_epoch_of_an_error_is_the_lowest():
    log = [{"epoch": 1.0, "eval_mae": 3.0}, {"epoch": 2.0, "eval_mae": 2.0}, {"epoch": 3.0, "eval_mae": 2.5}]
    assert best_epoch(log, "mae") == 2.0


@pytest.mark.parametrize(
    ("tasks", "name"),
    [
        ([LOCATION], "cross-entropy loss"),
        ([PLACES], "binary cross-entropy loss"),
        ([CHARGE], "mean squared error"),
        ([LOCATION, CHARGE], "loss of all tasks"),
    ],
)
def test_the_loss_has_its_name(tasks, name):
    assert loss_name(tasks) == name
