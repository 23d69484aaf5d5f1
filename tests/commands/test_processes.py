"""What a command leaves behind in each of several processes."""

import json
import os

import pytest

from tests.training.runs import TINY, easy_records, fasta, launch

THREADS = """
import json
import os
import sys
from pathlib import Path

from protbert_classify import commands


def gloo():
    names = [path.read_text() for path in Path("/proc/self/task").glob("*/comm")]
    return sum("gloo" in name for name in names)


def counted():
    counts.append(gloo())
    leave()


folder, *arguments = sys.argv[1:]
counts = []
leave, commands.leave_process_group = commands.leave_process_group, counted
code = commands.run_command(arguments[0], arguments[1:])
Path(folder, os.environ["RANK"]).write_text(json.dumps([*counts, gloo()]))
sys.exit(code)
"""


@pytest.mark.slow
@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="a process sees its threads on Linux only")
def test_no_thread_of_the_group_outlives_a_command(tmp_path):
    """One of them would abort Python while it ends, and the launcher would stop the processes still at work."""
    script, proteins = tmp_path / "script.py", tmp_path / "proteins.fasta"
    script.write_text(THREADS)
    proteins.write_text(fasta(easy_records()))
    run, calls = tmp_path / "run", tmp_path / "predictions.csv"
    for command in (
        ["train", "--data", proteins, "--output_dir", run, "--num_train_epochs", "1", *TINY],
        ["predict", "--model", run, "--input", proteins, "--output", calls],
    ):
        done = launch(script, tmp_path, *command)
        assert done.returncode == 0, done.stderr[-3000:]
        for rank in range(2):
            before, after = json.loads((tmp_path / str(rank)).read_text())
            assert before > 0 and after == 0, command[0]
