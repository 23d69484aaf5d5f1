"""The benchmark of rare classes compares each way with cross-entropy, seed by seed."""

from benchmarks import paired, rare_classes
from protbert_classify.runs.files import RECORD


def finished(folder, way, seed):
    run = rare_classes._folder(folder, way, seed)
    run.mkdir()
    (run / RECORD).touch()
    return str(run)


def test_each_way_is_compared_with_cross_entropy_once_all_its_seeds_are_there(tmp_path, monkeypatch):
    monkeypatch.setattr(paired, "difference", lambda first, second: (first, second))  # the second minus the first
    focal = "focal, class weights 0.3"
    usual = [finished(tmp_path, "cross-entropy", seed) for seed in range(2)]
    runs = [finished(tmp_path, focal, seed) for seed in range(2)]
    finished(tmp_path, "class sampling 0.3", 0)
    found = paired.differences(rare_classes.pairs(tmp_path, 2))
    assert found == {f"{focal} - cross-entropy": list(zip(usual, runs, strict=True))}


def test_the_differences_stand_below_the_runs():
    split = {"macro_f1": 0.5, "balanced_accuracy": 0.4, "mcc": 0.6, "accuracy": 0.7}
    pair = {"macro_f1": [0.04, (0.01, 0.07)], "mcc": [0.0, (-0.02, 0.02)], "accuracy": [0.1, (0.0, 0.2)]}
    results = {
        "ways": {"cross-entropy": [{"validation": split, "test": split}] * 2},
        "differences": {"focal - cross-entropy": [pair, pair]},
    }
    rows = [line for line in rare_classes.tables(results, 2).splitlines() if line.startswith("| focal")]
    assert rows == [
        f"| focal - cross-entropy | {name} | {cell} | {cell} |"
        for name, cell in (("macro F1", "+0.040 (+0.010 to +0.070)"), ("MCC", "+0.000 (-0.020 to +0.020)"))
    ]
