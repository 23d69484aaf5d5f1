import json
from pathlib import Path

import pytest
import yaml
from transformers import BertConfig, BertModel

from protbert_classify.data.tokenizer import protbert_tokenizer
from protbert_classify.errors import OptionError
from protbert_classify.training.best_options import given_options
from protbert_classify.training.options import check_options, option_names, parse_options, write_options_file
from protbert_classify.training.recipe_files import FOLDER, describe_recipe, recipe_names
from protbert_classify.training.run import train

PAGE = Path(__file__).parents[2] / "docs" / "recipes.md"
NAMES = ["article", "frozen", "full", "light-attention", "lora", "small"]


def test_the_recipes_there_are():
    assert recipe_names() == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_each_has_options_that_exist_and_says_what_it_does_in_a_sentence(name, tmp_path):
    options = yaml.safe_load((FOLDER / f"{name}.yaml").read_text())
    assert set(options) <= set(option_names()) - {"output_dir", "data", "recipe"}
    assert describe_recipe(name).endswith(".") and describe_recipe(name)[0].isupper()
    model, data, training = parse_options(["--recipe", name, "--output_dir", str(tmp_path)])
    for option, value in options.items():
        holder = next(holder for holder in (model, data, training) if hasattr(holder, option))
        found = getattr(holder, option)
        assert (json.loads(found) if option == "backbone_config" else found) == value, option
    assert model.recipe == name


@pytest.mark.parametrize("name", NAMES)
def test_its_row_on_the_page_is_what_it_sets(name, tmp_path):
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith(f"| `{name}` |")]
    rate, epochs, batch, pooling = rows[1].replace("`", "").split(" | ")[1:5]
    model, _, training = parse_options(["--recipe", name, "--output_dir", str(tmp_path)])
    assert (float(rate), int(epochs)) == (training.learning_rate, training.num_train_epochs)
    assert (int(batch), pooling) == (training.per_device_train_batch_size, model.pooling)


@pytest.mark.parametrize("name", ["article", "full", "light-attention", "lora"])
def test_those_from_the_literature_name_their_source(name):
    assert "https://" in (FOLDER / f"{name}.yaml").read_text()


def test_the_command_line_wins_over_a_file_and_a_file_over_the_recipe(tmp_path):
    (tmp_path / "run.yaml").write_text("recipe: lora\nlora_rank: 16\nlearning_rate: 0.001\n")
    file = [str(tmp_path / "run.yaml"), "--output_dir", str(tmp_path)]
    model, _, training = parse_options([*file, "--learning_rate", "0.002"])
    assert (model.tuning, model.lora_rank, model.lora_alpha, training.learning_rate) == ("lora", 16, 1, 0.002)
    model, _, training = parse_options([*file, "--recipe", "frozen"])
    assert (model.tuning, model.freeze_backbone, training.learning_rate) == ("frozen", True, 0.001)
    assert check_options(str(tmp_path / "run.yaml")).lora_alpha == 1


def test_an_adapter_has_a_learning_rate_of_its_own_unless_one_is_given(tmp_path):
    def rate(*options):
        return parse_options([*options, "--output_dir", str(tmp_path)])[-1].learning_rate

    (tmp_path / "run.yaml").write_text("tuning: lora\n")
    assert rate("--tuning", "lora") == rate(str(tmp_path / "run.yaml")) == 3e-4
    assert rate("--tuning", "lora", "--learning_rate", "1e-3") == 1e-3
    assert rate("--tuning", "lora", "--recipe", "full") == rate("--recipe", "full") != 3e-4
    assert rate() == rate("--tuning", "frozen") == 3e-5
    # in the file of the best options of a search, too
    arguments = parse_options(["--tuning", "lora", "--learning_rate", "3e-5", "--output_dir", str(tmp_path)])
    write_options_file(str(tmp_path / "best.yaml"), given_options(arguments))
    assert rate(str(tmp_path / "best.yaml")) == 3e-5


def test_a_recipe_with_a_network_of_its_own_takes_no_pretrained_model(tmp_path):
    """Its learning rate would undo what the model has learned."""
    options = ["--recipe", "small", "--output_dir", str(tmp_path)]
    assert parse_options(options)[0].backbone_config
    with pytest.raises(OptionError, match="recipe=small and model_name_or_path exclude each other"):
        parse_options([*options, "--model_name_or_path", "facebook/esm2_t6_8M_UR50D"])
    (tmp_path / "run.yaml").write_text("recipe: small\nmodel_name_or_path: facebook/esm2_t6_8M_UR50D\n")
    with pytest.raises(OptionError, match="recipe=small and model_name_or_path exclude each other"):
        check_options(str(tmp_path / "run.yaml"))
    network = ["--backbone_config", '{"model_type": "bert", "hidden_size": 32}']
    assert parse_options([*options, *network])[0].backbone_config == network[1]


def test_an_unknown_one_is_one_line_with_those_there_are(tmp_path):
    with pytest.raises(OptionError, match="recipe='LoRA': expected one of article, frozen, full, light-attention"):
        parse_options(["--recipe", "LoRA", "--output_dir", str(tmp_path)])


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in NAMES if name != "article"])  # which reads an untrained first token
def test_each_learns_on_real_proteins(name, tmp_path, scl2205):
    """With a small backbone of random weights in place of a pretrained one, and rates for it."""
    rate = "0.02" if name == "frozen" else "0.003"
    if name == "lora":
        pytest.importorskip("peft", reason="the extra lora is not installed")
    options = ["--data", str(scl2205[0]), "--output_dir", str(tmp_path / "run"), "--recipe", name]
    options += ["--max_train_samples", "1500", "--max_length", "128", "--split", "identical"]
    options += ["--test_neighbours", "false", "--learning_rate", rate, "--num_train_epochs", "4"]
    if name != "small":
        shape = {"vocab_size": 30, "hidden_size": 64, "num_attention_heads": 2, "intermediate_size": 128}
        BertModel(BertConfig(**shape, num_hidden_layers=2)).save_pretrained(tmp_path / "base")
        protbert_tokenizer().save_pretrained(tmp_path / "base")
        options += ["--model_name_or_path", str(tmp_path / "base")]
    metrics = train(*parse_options(options))
    assert metrics["test_mcc"] > 0.15  # of a constant answer: 0
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["model_arguments"]["recipe"] == name
