"""Many proteins: constant memory, a kill, several processes; the same bytes in the end."""

import signal
import subprocess
import time

import psutil
import pyarrow.parquet as pq
import pytest
from safetensors import safe_open

from tests.training.runs import call, command, environment, launcher

from .test_predict import model  # noqa: F401  fixture
from .test_predict_proteome import parts, peak_memory, write_proteins

pytestmark = pytest.mark.slow

MANY, FEW = 20_000, 5_000
ENDINGS = [".parquet", ".safetensors"]


@pytest.fixture(scope="module")
def proteins(tmp_path_factory):
    folder = tmp_path_factory.mktemp("proteome")
    return {count: write_proteins(folder / f"{count}.fasta", count, longest=60) for count in (FEW, MANY)}


def arguments(model, source, output, *more):  # noqa: F811
    return ["embed", "--model", model, "--input", source, "--output", str(output), "--device", "cpu", *more]


def embedded(model, source, output, *more):  # noqa: F811
    """Embed in a process of its own; its peak memory."""
    process = subprocess.Popen(
        command(*arguments(model, source, output, *more)), env=environment(), stderr=subprocess.DEVNULL
    )
    peak = peak_memory(process)
    assert process.wait(timeout=600) == 3  # some records are rejected
    return peak


@pytest.mark.parametrize("kind", [(".parquet",), (".safetensors",), (".parquet", "--per", "residue")])
def test_four_times_the_proteins_take_no_more_memory(model, proteins, tmp_path, kind):  # noqa: F811
    ending, *more = kind
    few = embedded(model, proteins[FEW], tmp_path / f"few{ending}", *more)
    many = embedded(model, proteins[MANY], tmp_path / f"many{ending}", *more)
    assert few > 0 and many < 1.1 * few, f"{many / 1e6:.0f} MB for {MANY}, {few / 1e6:.0f} MB for {FEW}"
    ids = [f"S{number}" for number in range(MANY) if number % 1000 != 7]
    if ending == ".parquet":
        assert pq.read_table(tmp_path / "many.parquet", columns=["id"])["id"].to_pylist() == ids
        return
    with safe_open(tmp_path / "many.safetensors", "np") as file:
        assert file.get_slice("embeddings").get_shape() == [len(ids), 16]
    lines = (tmp_path / "many.safetensors.proteins.csv").read_text().splitlines()
    assert [line.split(",", 1)[0] for line in lines[1:]] == ids


@pytest.mark.parametrize("ending", ENDINGS)
def test_killed_and_resumed_it_is_the_same_to_the_byte(model, proteins, tmp_path, ending):  # noqa: F811
    (tmp_path / "whole").mkdir()
    (tmp_path / "killed").mkdir()
    output = tmp_path / "killed" / f"e{ending}"
    embedded(model, proteins[MANY], tmp_path / "whole" / f"e{ending}")
    process = subprocess.Popen(
        command(*arguments(model, proteins[MANY], output)), env=environment(), stderr=subprocess.DEVNULL
    )
    until = time.monotonic() + 120
    while len(parts(output)) < 3 and time.monotonic() < until:
        time.sleep(0.005)
    assert process.poll() is None, "it must be alive to be killed"
    process.send_signal(signal.SIGKILL)
    process.wait()
    kept = parts(output)
    assert len(kept) >= 3 and not output.exists()
    done = call(*arguments(model, proteins[MANY], output, "--resume"), timeout=600)
    assert done.returncode == 3, done.stderr
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("ending", ENDINGS)
def test_two_processes_write_what_one_would_have_written(model, proteins, tmp_path, ending):  # noqa: F811
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    embedded(model, proteins[FEW], tmp_path / "one" / f"e{ending}")
    two = tmp_path / "two" / f"e{ending}"
    process = subprocess.Popen(
        launcher("-m", "protbert_classify", *arguments(model, proteins[FEW], two)),
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    until = time.monotonic() + 120
    while len(parts(two)) < 2:
        assert process.poll() is None and time.monotonic() < until
        time.sleep(0.005)
    for member in [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]:
        member.kill()
    process.wait()
    assert parts(two)
    resumed = launcher("-m", "protbert_classify", *arguments(model, proteins[FEW], two, "--resume"))
    shared = subprocess.run(resumed, capture_output=True, text=True, timeout=300, env=environment())
    assert shared.returncode == 0, shared.stderr[-3000:]
    assert shared.stdout.count("proteins embedded") == 1 and "5 records rejected" in shared.stdout
    assert contents(tmp_path / "two") == contents(tmp_path / "one")
    again = subprocess.run(resumed, capture_output=True, text=True, timeout=120, env=environment())
    assert again.returncode == 0, again.stderr[-3000:]
    assert again.stdout.count("was already complete") == 1
