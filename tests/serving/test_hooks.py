"""The hooks as the container's toolkit calls them."""

import gzip
import json
import subprocess
import sys
from types import SimpleNamespace

import pytest

from protbert_classify.errors import InputError
from protbert_classify.serving import hooks
from tests.training.runs import ROOT, environment

from .test_responses import close


def through(model, body, content_type, accept, *context):
    loaded = hooks.model_fn(model, *context)
    asked = hooks.input_fn(body, content_type, *context)
    return hooks.output_fn(hooks.predict_fn(asked, loaded, *context), accept, *context)


def test_json_gives_what_the_pipeline_gives(model, pipe, proteins):
    body = json.dumps({"inputs": proteins[:5], "parameters": {"top_k": None}})  # text, as the toolkit decodes JSON
    found = json.loads(through(model, body, "application/json", "application/json"))
    assert close(found, pipe(proteins[:5], top_k=None))


def test_json_with_sets_gives_what_the_pipeline_gives(model, pipe, proteins):
    body = json.dumps({"inputs": proteins[:5], "parameters": {"sets": 0.3}})
    found = json.loads(through(model, body, "application/json", "application/json"))
    assert close(found, pipe(proteins[:5], sets=0.3))


def test_fasta_gives_a_table_with_or_without_the_context_of_newer_toolkits(model):
    context = SimpleNamespace(system_properties={"gpu_id": None, "model_dir": model})
    found = through(f"{model}/model", b">P1 one\nMKT\n", "text/x-fasta", "text/csv", context)
    assert found == through(f"{model}/model", b">P1 one\nMKT\n", "text/x-fasta", "text/csv")
    header, row = found.splitlines()
    assert header == "id,description,length,location,score,Cytoplasm,Mitochondrion,Nucleus,truncated"
    assert row.startswith("P1,one,3,")


def test_a_gzip_body_is_read_though_sagemaker_passes_on_no_content_encoding(model):
    plain = through(model, b">P1 one\nMKT\n", "text/x-fasta", "text/csv")
    assert through(model, gzip.compress(b">P1 one\nMKT\n", mtime=0), "text/x-fasta", "text/csv") == plain


def test_what_is_wrong_is_named_for_the_toolkit_to_tell():
    with pytest.raises(InputError, match=r"request, record 1 \(P1\): '1' at position 3 is not a residue"):
        hooks.input_fn(">P1\nMK1\n", "text/x-fasta")


def test_a_star_import_is_all_that_inference_py_needs():
    names = {}
    exec("from protbert_classify.serving.hooks import *", names)
    assert set(names) - {"__builtins__"} == {"model_fn", "input_fn", "predict_fn", "output_fn"}


def test_the_hooks_need_nothing_of_the_extra_and_load_nothing_that_only_training_needs():
    """What a container imports, it imports for each of its workers, and at each cold start."""
    code = (
        "import sys\n"
        "for name in ('fastapi', 'uvicorn', 'prometheus_client'): sys.modules[name] = None\n"
        "import protbert_classify.serving.hooks\n"
        "loaded = {'datasets', 'pandas', 'pyarrow'} & set(sys.modules)\n"
        "assert not loaded, loaded\n"
    )
    done = subprocess.run([sys.executable, "-c", code], env=environment(), cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
