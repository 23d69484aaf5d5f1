"""How similar test proteins are to training proteins: what the report and the card say, and what they do not know."""

import json
from pathlib import Path

import numpy as np
import pytest

from protbert_classify.data.test_neighbours import NearestTraining
from protbert_classify.evaluation.by_identity import metrics_by_identity
from protbert_classify.evaluation.intervals import task_intervals
from protbert_classify.model import ProteinClassifierConfig
from protbert_classify.reporting.evaluated_split import evaluated_split
from protbert_classify.reporting.identity_section import UNKNOWN, drawn_sentence, identity_section, identity_table
from protbert_classify.reporting.model_card import model_card
from protbert_classify.reporting.report import write_report
from protbert_classify.runs.finished_run import read_run
from protbert_classify.runs.test_neighbours import write_test_neighbours
from tests.reporting.runs import STABILITY, write_run, write_tasks_run

NEIGHBOURS = {"split_coverage": 0.8, "split_identity": 0.3}


def add_neighbours(folder, groups=None):
    """Of 60 test proteins, 40 without a neighbour and 20 of 40% to 60%; the first ten are related, unless told."""
    run = read_run(folder)
    proteins = len(run.predictions.ids)
    identity = np.append(np.full(proteins - 20, np.nan), np.linspace(0.4, 0.6, 20))
    groups = np.maximum(np.arange(proteins), 9) if groups is None else groups
    nearest = ["" if np.isnan(value) else "Q1" for value in identity]
    write_test_neighbours(
        str(folder / "test_neighbours.csv"), NearestTraining(run.predictions.ids, nearest, identity, groups)
    )
    steps = metrics_by_identity(run.predictions.decision, run.predictions.references, identity, groups)
    edit(folder / "metrics.json", test_by_identity=steps)
    record = run.record
    edit(
        folder / "run.json",
        data_arguments={**record["data_arguments"], **NEIGHBOURS},
        split_notes={"neighbours_by": "MMseqs2", "test_neighbours": 20},
    )
    return read_run(folder)


def edit(path, **values):
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


@pytest.fixture
def folder(tmp_path):
    return write_run(tmp_path / "run")


def test_a_report_shows_metrics_for_each_step_of_similarity(folder):
    run = add_neighbours(folder)
    header, rows = identity_table(run)
    assert header == ["nearest training protein", "proteins", "accuracy", "macro F1", "MCC"]
    right = run.predictions.decision.best == run.predictions.references
    assert rows[0][:2] == ["no neighbour", "40"] and rows[0][2].startswith(f"{right[:40].mean():.2f} (0.")
    assert rows[1] == ["below 30%", "0", "–", "–", "–"]
    assert rows[2] == ["30% to 50%", "10", "–", "–", "–"]
    page = Path(write_report(run)).read_text(encoding="utf-8")
    sentence = (
        "Of 60 test proteins, 40 (67%) have no neighbour in training; the others are 50% identical to their nearest "
        "training protein (median)."
    )
    assert sentence in page and "related test proteins are drawn together (51 groups of 60 proteins)" in page


def test_related_test_proteins_alone_have_no_intervals_and_the_page_and_the_card_say_so(folder):
    proteins = len(read_run(folder).predictions.ids)
    run = add_neighbours(folder, groups=np.arange(proteins) % 3)
    sentence = f"No intervals: the test proteins are too closely related (3 groups of {proteins} proteins)."
    page = Path(write_report(run)).read_text(encoding="utf-8")
    assert sentence in page and "95%: " not in page
    card = model_card(ProteinClassifierConfig.from_pretrained(folder / "model"), "me/mine", run)
    assert sentence in card and "In brackets, 95% bootstrap intervals" not in card


def test_intervals_are_of_groups_where_groups_are_known(folder):
    before = evaluated_split(read_run(folder))
    assert "drawn one by one" in drawn_sentence(before)
    found = evaluated_split(add_neighbours(folder))
    groups = np.maximum(np.arange(60), 9)
    assert found.intervals == task_intervals(*found.predictions, groups=groups)
    assert found.intervals["accuracy"] != before.intervals["accuracy"]


def test_what_is_not_known_is_said_with_how_to_find_it(folder):
    run = read_run(folder)
    (text,) = identity_section(run, evaluated_split(run)).parts
    assert text.text == UNKNOWN and "train --test_neighbours true" in text.text
    assert UNKNOWN in Path(write_report(run)).read_text(encoding="utf-8")


def test_a_run_without_test_proteins_has_no_table(tmp_path):
    run = read_run(write_run(tmp_path / "run", test=False))
    (text,) = identity_section(run, evaluated_split(run)).parts
    assert text.text.startswith("Left out:")


def test_the_card_has_the_table_too(folder):
    config = ProteinClassifierConfig(labels=["Cytoplasm", "Mitochondrion", "Nucleus"])
    unknown = model_card(config, "me/mine", read_run(folder))
    assert UNKNOWN in unknown and "proteins are drawn one by one" in unknown
    run = add_neighbours(folder)
    card = model_card(config, "me/mine", run)
    assert f"| {' | '.join(identity_table(run)[1][0])} |" in card
    assert "51 groups of 60 proteins" in card and UNKNOWN not in card
    assert "those it was measured on; expect less on proteins" in " ".join(card.split())


def test_what_the_labels_of_the_nearest_training_proteins_add_is_on_the_page_and_the_card(folder):
    config = ProteinClassifierConfig(labels=["Cytoplasm", "Mitochondrion", "Nucleus"])
    run = add_neighbours(folder)
    assert "--transfer_labels" not in Path(write_report(run)).read_text(encoding="utf-8")
    edit(folder / "metrics.json", test_accuracy=0.5, test_mcc=0.25, test_macro_f1=0.4)
    found = {"accuracy": 0.71, "mcc": 0.6281, "macro_f1": 0.5}
    edit(folder / "metrics.json", **{f"test_transferred_{name}": value for name, value in found.items()})
    run = read_run(folder)
    sentence = (
        "gives accuracy 0.710, MCC 0.628, macro F1 0.500 for all test proteins, instead of accuracy 0.500, MCC 0.250, "
        "macro F1 0.400."
    )
    assert sentence in Path(write_report(run)).read_text(encoding="utf-8")
    assert sentence in model_card(config, "me/mine", run)


def test_numbers_have_their_main_metric(tmp_path):
    run = add_neighbours(write_tasks_run(tmp_path / "run", [STABILITY], proteins=80))
    header, rows = identity_table(run)
    assert header[2:] == ["Spearman"] and rows[0][1] == "60" and rows[0][2].startswith("0.")


def test_a_table_of_other_proteins_is_refused(folder):
    add_neighbours(folder)
    path = folder / "test_neighbours.csv"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))
    with pytest.raises(Exception, match="its proteins are not those of the predictions"):
        read_run(folder)
