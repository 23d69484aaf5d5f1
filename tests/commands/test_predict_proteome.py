"""A whole proteome: constant memory, kills at any instant, several processes; the same bytes in the end."""

import glob
import os
import signal
import statistics
import subprocess
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from tests.training.runs import call, command, environment, launcher

from .test_predict import model  # noqa: F401  fixture

pytestmark = pytest.mark.slow

MANY, FEW = 100_000, 10_000
ALPHABET = np.frombuffer(b"ACDEFGHIKLMNPQRSTVWY", dtype=np.uint8)
KILLS = 5


def write_proteins(path, count, longest=120):
    """Synthetic proteins, a tenth of them twice; one record in a thousand is no protein."""
    generator = np.random.default_rng(0)
    with open(path, "w") as file:
        before = ""
        for number in range(count):
            residues = generator.choice(ALPHABET, generator.integers(20, longest)).tobytes().decode()
            sequence = "MK1T" if number % 1000 == 7 else before if number % 10 == 3 else residues
            file.write(f">S{number} synthetic protein {number}\n{sequence}\n")
            before = residues
    return str(path)


@pytest.fixture(scope="module")
def proteins(tmp_path_factory):
    folder = tmp_path_factory.mktemp("proteome")
    return {count: write_proteins(folder / f"{count}.fasta", count) for count in (FEW, MANY)}


def arguments(model, source, output, *more):  # noqa: F811
    return ["predict", "--model", model, "--input", source, "--output", str(output), "--device", "cpu", *more]


def peak_memory(process):
    """Bytes of the process's largest resident set, asked of it while it lives."""
    peak, handle = 0, psutil.Process(process.pid)
    while process.poll() is None:
        try:
            status = Path(f"/proc/{handle.pid}/status").read_text()
            peak = max(peak, int(status.split("VmHWM:")[1].split()[0]) * 1024)
        except (IndexError, FileNotFoundError, ProcessLookupError):
            break
        time.sleep(0.02)
    return peak


def predicted(model, source, output):  # noqa: F811
    """Predict in a process of its own; its peak memory."""
    process = subprocess.Popen(command(*arguments(model, source, output)), env=environment(), stderr=subprocess.DEVNULL)
    peak = peak_memory(process)
    assert process.wait(timeout=600) == 3  # some records are rejected
    return peak


@pytest.fixture(scope="module")
def undisturbed(model, proteins, tmp_path_factory):  # noqa: F811
    output = tmp_path_factory.mktemp("undisturbed") / "predictions.csv"
    return output, predicted(model, proteins[MANY], output)


def test_ten_times_the_proteins_take_no_more_memory(model, proteins, undisturbed, tmp_path):  # noqa: F811
    # the peak of the same run varies by 2%, by what the allocator keeps: medians of three, on both sides. Without a
    # limit for oneDNN's kernels, which grow with the number of shapes, ten times the proteins take 10% to 20% more
    output, first = undisturbed
    few = statistics.median(predicted(model, proteins[FEW], tmp_path / f"few-{run}.csv") for run in range(3))
    more = [predicted(model, proteins[MANY], tmp_path / f"many-{run}.csv") for run in range(2)]
    many = statistics.median([first, *more])
    assert few > 0 and many < 1.1 * few, f"{many / 1e6:.0f} MB for {MANY}, {few / 1e6:.0f} MB for {FEW}"
    lines = output.read_text().splitlines()
    rejected = Path(f"{output}.rejected.csv").read_text().splitlines()
    assert len(lines) - 1 + len(rejected) - 1 == MANY and len(rejected) - 1 == MANY // 1000
    ids = [line.split(",", 1)[0] for line in lines[1:]]
    assert ids == [f"S{number}" for number in range(MANY) if number % 1000 != 7]


def parts(output):
    return {os.path.basename(path) for path in glob.glob(f"{output}.parts/part-*") if not path.endswith(".tmp")}


def test_killed_five_times_and_resumed_it_is_the_same_to_the_byte(model, proteins, undisturbed, tmp_path):  # noqa: F811
    output = tmp_path / "predictions.csv"
    seen = set()
    for kill in range(KILLS):
        again = ["--resume"] if kill else []
        process = subprocess.Popen(
            command(*arguments(model, proteins[MANY], output, *again)), env=environment(), stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + 120
        while not parts(output) - seen and time.monotonic() < deadline:
            time.sleep(0.005)
        assert process.poll() is None, "it must be alive to be killed"
        assert parts(output) - seen, "no new part"
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert seen < parts(output)
        assert not output.exists()
        seen = parts(output)
    done = call(*arguments(model, proteins[MANY], output, "--resume"), timeout=600)
    assert done.returncode == 3, done.stderr
    assert output.read_bytes() == undisturbed[0].read_bytes()
    assert Path(f"{output}.rejected.csv").read_bytes() == Path(f"{undisturbed[0]}.rejected.csv").read_bytes()
    assert sorted(os.listdir(tmp_path)) == ["predictions.csv", "predictions.csv.rejected.csv"]


def test_two_processes_share_the_proteins_and_join_what_one_would_have_written(model, proteins, tmp_path):  # noqa: F811
    one, two, clean = tmp_path / "one.csv", tmp_path / "two.csv", tmp_path / "clean.fasta"
    clean.write_text(Path(proteins[FEW]).read_text().replace("MK1T", "MKT"))  # a launcher makes 1 of every exit code
    done = call(*arguments(model, str(clean), one), timeout=300)
    assert done.returncode == 0, done.stderr
    launched = launcher("-m", "protbert_classify", *arguments(model, str(clean), two))
    shared = subprocess.run(launched, capture_output=True, text=True, timeout=300, env=environment())
    assert shared.returncode == 0, shared.stderr[-3000:]
    assert two.read_bytes() == one.read_bytes()
    assert shared.stdout.count("proteins classified") == 1  # one of them speaks
    # records that are no proteins, and a resumption with another number of processes
    process = subprocess.Popen(
        launcher("-m", "protbert_classify", *arguments(model, proteins[FEW], two, "--overwrite")),
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
    kept = parts(two)
    resumed = launcher("-m", "protbert_classify", *arguments(model, proteins[FEW], two, "--resume"))
    shared = subprocess.run(resumed, capture_output=True, text=True, timeout=300, env=environment())
    assert kept and shared.returncode == 0, shared.stderr[-3000:]
    assert "10 records rejected" in shared.stdout
    done = call(*arguments(model, proteins[FEW], one, "--overwrite"), timeout=300)
    assert done.returncode == 3, done.stderr
    assert two.read_bytes() == one.read_bytes()
    assert Path(f"{two}.rejected.csv").read_bytes() == Path(f"{one}.rejected.csv").read_bytes()
    refused = subprocess.run(
        launcher("-m", "protbert_classify", *arguments(model, "-", tmp_path / "three.csv")),
        capture_output=True,
        text=True,
        timeout=120,
        env=environment(),
    )
    assert refused.returncode == 1
    assert refused.stderr.count("several processes cannot share standard input; expected a file") == 1
