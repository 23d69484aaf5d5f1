"""Recipes: named files of options, with their source, for a training to begin with. Cheap to import."""

from pathlib import Path

from ..errors import OptionError

FOLDER = Path(__file__).parent / "recipes"
OWN_NETWORK = (
    "recipe={recipe} and {option} exclude each other: the recipe is for a small network of its own; leave one out"
)


def recipe_names() -> list[str]:
    """The recipes there are."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def recipe_path(name: str) -> str:
    """The YAML file of a recipe.

    Raises:
        OptionError: Lists those there are.
    """
    if name not in recipe_names():
        raise OptionError(f"recipe={name!r}: expected one of {', '.join(recipe_names())}")
    return str(FOLDER / f"{name}.yaml")


def describe_recipe(name: str) -> str:
    """What a recipe is for, in a sentence: its first line."""
    with open(recipe_path(name), encoding="utf-8") as file:
        return file.readline().removeprefix("#").strip()
