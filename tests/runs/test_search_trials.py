"""The trials of a search: which is the best, and their table."""

import csv

import pytest

from protbert_classify.runs.search_trials import Search, Trial, write_trials

SPACE = {"learning_rate": {"low": 1e-5, "high": 1e-3, "log": True}, "pooling": ["mean", "cls"]}


def trial(number, value, ended="finished", rate=1e-4):
    return Trial(number, {"learning_rate": rate, "pooling": "mean"}, value, 2.0, 1.5, ended)


def test_the_best_is_a_finished_trial_and_of_equal_ones_the_first():
    trials = [trial(1, 0.2), trial(2, 0.9, "pruned"), trial(3, 0.5), trial(4, 0.5), trial(5, None, "diverged")]
    search = Search("mcc", True, SPACE, trials)
    assert search.best == trials[2]
    assert search.best_so_far() == [0.2, 0.2, 0.5, 0.5, 0.5]
    assert [search.ended(how) for how in ("finished", "pruned", "diverged")] == [3, 1, 1]
    assert search.seconds == 7.5


def test_of_an_error_the_lowest_is_the_best():
    assert Search("mae", False, SPACE, [trial(1, 3.0), trial(2, 1.0), trial(3, 2.0)]).best.number == 2


def test_a_search_in_which_all_diverged_has_no_best_trial():
    search = Search("mcc", True, SPACE, [trial(1, None, "diverged")])
    assert search.best is None and search.best_so_far() == [None]
    assert search.record()["best"] is None


def test_the_table_has_every_digit_of_what_was_drawn(tmp_path):
    rate = 0.00012345678901234567
    write_trials(tmp_path / "trials.csv", Search("mcc", True, SPACE, [trial(1, 0.5, rate=rate), trial(2, None)]))
    with open(tmp_path / "trials.csv", newline="") as file:
        first, second = csv.DictReader(file)
    assert float(first["learning_rate"]) == rate
    assert (first["trial"], first["ended"], first["mcc"], first["pooling"]) == ("1", "finished", "0.5", "mean")
    assert second["mcc"] == ""


def test_the_record_says_what_was_searched_and_found():
    record = Search("mcc", True, SPACE, [trial(1, 0.2), trial(2, 0.4), trial(3, 0.3, "pruned")]).record()
    assert record["best"] == {"trial": 2, "value": 0.4, "options": {"learning_rate": 1e-4, "pooling": "mean"}}
    assert (record["trials"], record["finished"], record["pruned"], record["diverged"]) == (3, 2, 1, 0)
    assert record["space"] == SPACE and record["seconds"] == pytest.approx(4.5)
