import csv
import json
from importlib.resources import files

import pytest

from protbert_classify.commands import main
from protbert_classify.commands.demo import NAMED, named_predictions
from protbert_classify.data.deeploc import read_deeploc
from protbert_classify.training.options import parse_options
from tests.training.runs import complaints


def test_the_named_proteins_are_in_the_test_set_of_scl2205(scl2205):
    assert set(NAMED) <= set(read_deeploc(scl2205[0])["test"]["id"])


def test_named_predictions_shows_truth_and_prediction_of_each(tmp_path):
    path = tmp_path / "predictions.csv"
    with open(path, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "location", "predicted", "score"])
        writer.writerow(["P00000", "Plastid", "Plastid", "0.9"])
        writer.writerows([accession, "Nucleus", "Cytoplasm", "0.4567"] for accession in reversed(NAMED))
    lines = named_predictions(str(path)).splitlines()
    assert lines[0].split() == ["true", "predicted", "score"]
    assert [line.split()[0] for line in lines[1:]] == list(NAMED)
    assert lines[1] == f"P01730  {NAMED['P01730']:<38}  Nucleus                Cytoplasm              0.46"
    assert max(map(len, lines)) <= 100


def test_the_recipe_of_the_demo_is_read(tmp_path):
    recipe = files("protbert_classify.commands") / "demo.yaml"
    model, data, training = parse_options([str(recipe), "--output_dir", str(tmp_path)])
    assert (model.pooling, data.max_length, training.seed) == ("light_attention", 512, 0)
    assert json.loads(model.backbone_config)["max_position_embeddings"] == 512


def test_without_the_package_of_the_proteins_it_says_how_to_get_them(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("protbert_classify.data.scl2205.find_spec", lambda name: None)
    assert main(["demo", "--output_dir", str(tmp_path / "demo")]) == 1
    (line,) = complaints(capsys.readouterr().err)
    assert "pip install 'p-scldata==2025.6.0'" in line


def test_an_unknown_option_is_one_line(tmp_path, capsys):
    assert main(["demo", "--output_dir", str(tmp_path / "demo"), "--num_epochs", "1"]) == 2
    assert "unknown option --num_epochs; did you mean --num_train_epochs?" in complaints(capsys.readouterr().err)[0]


@pytest.mark.slow
def test_a_short_demo_goes_all_the_way(tmp_path, capsys):
    folder = tmp_path / "demo"
    short = ["--max_train_samples", "300", "--num_train_epochs", "1", "--max_length", "128"]
    assert main(["demo", "--output_dir", str(folder), *short]) == 0
    out = capsys.readouterr().out
    assert "test: 2,147 proteins" in out
    assert "\ntest, combined with the nearest training protein's label (predict --transfer_labels): accuracy 0." in out
    for name in NAMED.values():
        assert name in out
    assert f"--model {folder} --input" in out
    metrics = json.loads((folder / "metrics.json").read_text())
    assert (metrics["train_proteins"], metrics["test_proteins"]) == (300, 2147)
    assert (folder / "model" / "model.safetensors").exists()
