"""The house: what is public, what importing costs, and that imports between the floors go down only."""

import ast
import importlib
import re
import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path

import pytest
import yaml

import protbert_classify

PACKAGE = Path(protbert_classify.__file__).parent
# from the ground up; those on one floor may use each other
FLOORS = [
    {"version", "errors", "memory_allocator", "homology", "model", "model_source"},
    {"tasks"},
    {"data"},
    {"evaluation"},
    {"runs"},
    {"reporting"},
    {"inference", "hub"},
    {"cost", "baselines"},
    {"layers"},
    {"training"},
    {"pretraining"},
    {"serving"},
    {"sagemaker"},
    {"commands"},
    {"__main__"},
]
LEVEL = {folder: level for level, floor in enumerate(FLOORS) for folder in floor}
SOURCES = sorted(PACKAGE.rglob("*.py"))


def imported_modules(path):
    """Modules of the package that a file imports, anywhere in it, as paths from the package's root."""
    here = path.relative_to(PACKAGE).parent.parts
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            modules = [alias.name.split(".") for alias in node.names]
            yield from (tuple(parts[1:]) for parts in modules if parts[0] == "protbert_classify")
        elif isinstance(node, ast.ImportFrom):
            module = tuple(node.module.split(".")) if node.module else ()
            if node.level:
                base = here[: len(here) - node.level + 1]
            elif module[0] == "protbert_classify":
                base, module = (), module[1:]
            else:
                continue
            whole = base + module
            yield from [whole] if whole else [(alias.name,) for alias in node.names]


def folder_of(path):
    relative = path.relative_to(PACKAGE)
    return relative.parts[0].removesuffix(".py")


def test_every_public_name_is_there_and_no_other_is_promised():
    assert sorted(protbert_classify.__all__) == dir(protbert_classify)
    assert set(protbert_classify.__all__) == {*protbert_classify._HOMES, "__version__"}
    for name, home in protbert_classify._HOMES.items():
        module = importlib.import_module(home, "protbert_classify")
        assert getattr(protbert_classify, name) is getattr(module, name)
        assert getattr(module, name).__module__ == "protbert_classify" + home


def test_a_star_import_gives_the_public_names():
    names = {}
    exec("from protbert_classify import *", names)
    assert set(names) - {"__builtins__"} == set(protbert_classify.__all__)


def test_a_name_that_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'protbert_classify' has no attribute 'ProteinFolder'"):
        protbert_classify.ProteinFolder


def test_importing_the_package_loads_nothing_heavy():
    code = (
        "import sys, protbert_classify\n"
        "heavy = {'torch', 'transformers', 'datasets', 'sklearn', 'numpy', 'matplotlib', 'accelerate', 'evaluate'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
        "assert protbert_classify.__version__\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_proteins_are_read_without_waiting_for_torch():
    code = (
        "import sys, protbert_classify.data.loading, protbert_classify.data.scl2205\n"
        "assert not {'torch', 'transformers', 'sklearn'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    "code",
    [
        "from protbert_classify import ProteinClassifierConfig as Config",
        "from protbert_classify.model import ProteinClassifierConfig as Config",
        "from protbert_classify.data.tokenizer import load_tokenizer; from protbert_classify.model import *\n"
        "Config = ProteinClassifierConfig",
    ],
)
def test_with_a_name_of_the_model_the_auto_classes_know_it(code):
    known = "from transformers import AutoConfig; assert AutoConfig.for_model('protein_classifier').__class__ is Config"
    subprocess.run([sys.executable, "-c", f"{code}\n{known}"], check=True)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_down_only(path):
    here = folder_of(path)
    if here == "__init__":
        return  # the names of all floors, loaded on first use
    assert here in LEVEL, f"{here} has no floor: give it one here and in DESIGN"
    for target in imported_modules(path):
        assert LEVEL[target[0]] <= LEVEL[here], f"{here} imports {'.'.join(target)}, which is above it"


@pytest.mark.parametrize("path", sorted((PACKAGE / "model").glob("*.py")), ids=lambda path: path.name)
def test_the_model_imports_only_its_siblings_so_that_it_can_travel_to_the_hub(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level:
            assert node.level == 1 and "." not in node.module
            assert (PACKAGE / "model" / f"{node.module}.py").is_file()
    assert all(target[0] == "model" for target in imported_modules(path))


def test_nothing_imports_the_commands_but_the_entry():
    importers = {folder_of(path) for path in SOURCES if ("commands",) in {t[:1] for t in imported_modules(path)}}
    assert importers <= {"commands", "__main__"}


def test_the_citation_is_of_this_version():
    citation = yaml.safe_load((Path(__file__).parents[1] / "CITATION.cff").read_text())
    assert citation["version"] == protbert_classify.__version__


def test_what_contributing_says_is_somewhere_is_there():
    text = (Path(__file__).parents[1] / "CONTRIBUTING.md").read_text()
    house = text[text.index("## The house") : text.index("## How code looks here")]
    named = {path for path in re.findall(r"`([a-z_/]+\.py)`", house) if "/" in path}
    assert "model/losses.py" in named and len(named) > 15
    assert [path for path in named if not (PACKAGE / path).is_file()] == []


def test_every_file_of_the_package_that_is_not_python_goes_into_the_wheel():
    config = ConfigParser()
    config.read(PACKAGE.parent / "setup.cfg")
    patterns = config["options.package_data"]["protbert_classify"].split()

    files = [path.relative_to(PACKAGE) for path in PACKAGE.rglob("*") if path.is_file() and path.suffix != ".py"]
    files = [path for path in files if path.parts[-2:-1] != ("__pycache__",)]
    assert len(files) > 5
    assert [str(path) for path in files if not any(path.match(pattern) for pattern in patterns)] == []
