"""The examples in the docstrings of public things run as they stand, with every warning an error."""

import doctest
import inspect
import warnings
from importlib import import_module

import pytest

MODULES = (
    "protbert_classify",
    "protbert_classify.hub",
    "protbert_classify.model",
    "protbert_classify.sagemaker",
    "protbert_classify.serving.hooks",
)
# their constructors ask AWS; tests/sagemaker runs them against its API on loopback
OF_AWS = ("HuggingFaceEstimator", "Machines", "Predictor", "Transformer")


def public():
    """Name -> public class or function."""
    found = {}
    for name in MODULES:
        module = import_module(name)
        for public_name in getattr(module, "__all__", ["push_model", "push_dataset"]):
            thing = getattr(module, public_name)
            if callable(thing):
                found[public_name] = thing
    return found


THINGS = public()
CLASSES = sorted(name for name, thing in THINGS.items() if inspect.isclass(thing) and name not in OF_AWS)
WITH_EXAMPLES = sorted(name for name, thing in THINGS.items() if ">>> " in (inspect.getdoc(thing) or ""))


@pytest.mark.parametrize("name", CLASSES)
def test_a_public_class_has_an_example(name):
    section = inspect.getdoc(THINGS[name]).split("Example:\n")
    assert len(section) == 2 and ">>> " in section[1]


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_an_example_runs_without_a_warning(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tests = doctest.DocTestFinder(recurse=False).find(THINGS[name], name, globs={})
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    printed: list[str] = []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for test in tests:
            runner.run(test, out=printed.append)
    assert runner.tries > 0
    assert runner.failures == 0, "".join(printed)
