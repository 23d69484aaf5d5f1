"""The demo's training in several ways: each is compared with the usual one, seed by seed, beside what was published."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import demo_ways, paired, reporting
from benchmarks.rare_classes import BENCHMARK
from protbert_classify.runs.files import METRICS, RECORD

FOCAL = "focal, class weights 0.3"


def finished(folder, way, seed):
    run = BENCHMARK.run_folder(folder, way, seed)
    run.mkdir()
    (run / RECORD).touch()
    return str(run)


def test_each_way_is_compared_with_the_usual_one_once_all_its_seeds_are_there(tmp_path, monkeypatch):
    monkeypatch.setattr(paired, "difference", lambda first, second: (first, second))  # the second minus the first
    usual = [finished(tmp_path, "cross-entropy", seed) for seed in range(2)]
    runs = [finished(tmp_path, FOCAL, seed) for seed in range(2)]
    finished(tmp_path, "class sampling 0.3", 0)
    found = paired.differences(BENCHMARK.pairs(tmp_path, 2))
    assert found == {f"{FOCAL} - cross-entropy": list(zip(usual, runs, strict=True))}


def test_a_way_can_be_compared_with_another_one_than_the_usual(tmp_path, monkeypatch):
    monkeypatch.setattr(paired, "difference", lambda first, second: (first, second))
    last = "last weights: cross-entropy"
    runs = {way: finished(tmp_path, way, 0) for way in ("cross-entropy", last, f"last weights: {FOCAL}")}
    assert paired.differences(BENCHMARK.pairs(tmp_path, 1)) == {
        f"{last} - cross-entropy": [(runs["cross-entropy"], runs[last])],
        f"last weights: {FOCAL} - {last}": [(runs[last], runs[f"last weights: {FOCAL}"])],
    }


def test_the_differences_stand_below_the_runs():
    splits = {split: dict.fromkeys(names, 0.5) for split, names in BENCHMARK.columns.items()}
    other = {**splits, "validation": {"macro_f1": 0.7, "mcc": 0.5}}
    pair = {"macro_f1": [0.04, (0.01, 0.07)], "mcc": [0.0, (-0.02, 0.02)], "accuracy": [0.1, (0.0, 0.2)]}
    results = {
        "ways": {"cross-entropy": [splits, other]},
        "differences": {"focal - cross-entropy": [pair, pair], "fewer seeds - cross-entropy": [pair]},
    }
    lines = BENCHMARK.tables(results).splitlines()
    same = "0.500 ± 0.000"
    assert f"| cross-entropy | 2 | 0.600 ± 0.141 | {' | '.join([same] * 5)} |" in lines
    compared = lines[lines.index("|  | metric | mean | seed 0 | seed 1 |") :]
    assert len({line.count("|") for line in compared}) == 1, "a way with fewer seeds has empty cells"
    assert [line for line in lines if line.startswith("| focal")] == [
        f"| focal - cross-entropy | {name} | {mean} | {mean} ({interval}) | {mean} ({interval}) |"
        for name, mean, interval in (("macro F1", "+0.040", "+0.010 to +0.070"), ("MCC", "+0.000", "-0.020 to +0.020"))
    ]


@pytest.fixture
def benchmark(tmp_path, monkeypatch):
    """Writes metrics instead of training, as a run that is killed once, and publishes into a folder of the test."""
    trained = []

    def train(way, options):
        folder = Path(options[options.index("--output_dir") + 1])
        folder.mkdir(exist_ok=True)
        names = [f"{split}_{name}" for split, names in BENCHMARK.columns.items() for name in names]
        (folder / METRICS).write_text(json.dumps(dict.fromkeys(names, 0.5)))
        trained.append((way, options[options.index("--seed") + 1]))
        if len(trained) == 1:
            raise KeyboardInterrupt
        (folder / RECORD).touch()

    monkeypatch.setattr(
        paired, "difference", lambda first, second: dict.fromkeys(BENCHMARK.compared, [0.0, (0.0, 0.0)])
    )
    monkeypatch.setattr(reporting, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(demo_ways, "write_page", lambda: None)
    return replace(BENCHMARK, train=train), trained


def test_a_way_is_added_to_those_that_were_published_in_the_order_of_the_benchmark(benchmark, tmp_path):
    ours, trained = benchmark
    arguments = ["--seeds", "2", "--folder", str(tmp_path / "runs"), "--ways"]
    with pytest.raises(KeyboardInterrupt):
        ours.main("", [*arguments, FOCAL])
    for way in (FOCAL, "cross-entropy", FOCAL):
        ours.main("", [*arguments, way])
    # only the one that was interrupted is trained twice
    assert trained == [(FOCAL, "0"), *((way, seed) for way in (FOCAL, "cross-entropy") for seed in "01")]
    assert list(reporting.last_results("rare_classes")["ways"]) == ["cross-entropy", FOCAL]


def test_nothing_was_published_before_the_first_time(tmp_path, monkeypatch):
    monkeypatch.setattr(reporting, "RESULTS", tmp_path)
    assert reporting.last_results("rare_classes") == {}
