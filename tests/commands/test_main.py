import errno
import os
import subprocess
import sys
import types

import pytest

import protbert_classify
from protbert_classify import commands
from protbert_classify.commands import COMMANDS, main, run_command
from protbert_classify.commands.sagemaker import ACTIONS, parser_of
from protbert_classify.errors import DataError, ProteinClassifierError
from tests.training.runs import ROOT, call, complaints, environment


def test_without_a_command_it_lists_them_and_fails(capsys):
    assert main([]) == 2
    out = capsys.readouterr().out
    assert all(f"\n  {name} " in out for name in COMMANDS)


@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help_lists_every_command(capsys, flag):
    assert main([flag]) == 0
    out = capsys.readouterr().out
    assert all(f"\n  {name} " in out and text in out for name, text in COMMANDS.items())


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"protbert-classify {protbert_classify.__version__}\n"


def test_an_unknown_command_names_the_known_ones(capsys):
    assert main(["trian"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == (
        "protbert-classify: unknown command 'trian'; expected one of "
        "train, pretrain, evaluate, baselines, layers, compare, split, leakage, estimate, predict, embed, serve, "
        "sagemaker, report, push, demo\n"
    )


@pytest.mark.parametrize(
    "arguments",
    [["--help"], *([name, "--help"] for name in COMMANDS), *(["sagemaker", name, "--help"] for name in ACTIONS)],
)
def test_help_answers_in_under_two_seconds_without_torch_or_transformers(arguments):
    script = (
        "import sys\n"
        "from protbert_classify.commands import main\n"
        f"try: code = main({arguments!r})\n"
        "except SystemExit as leaving: code = leaving.code\n"
        "heavy = {'torch', 'transformers', 'datasets', 'sklearn', 'matplotlib', 'boto3'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else code)\n"
    )
    # the time of the process itself: others may compute here as well
    before = os.times()
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment(), cwd=ROOT)
    after = os.times()
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("usage: protbert-classify")
    assert after.children_user + after.children_system - before.children_user - before.children_system < 2


@pytest.mark.parametrize("action", ACTIONS)
def test_the_help_of_a_sagemaker_action_shows_its_examples_as_commands(action):
    assert f"\n  protbert-classify sagemaker {action}" in parser_of(action).format_help()


@pytest.mark.slow
def test_python_m_and_the_exit_code_of_a_process(tmp_path):
    done = call("predict", "--model", tmp_path, "--input", "nowhere.fasta", "--output", tmp_path / "predictions.csv")
    assert done.returncode == 2
    assert done.stderr == (
        "protbert-classify predict: nowhere.fasta: no such file; expected FASTA, .csv, .tsv, .parquet, .jsonl, .json "
        "or the id of a Hub dataset (owner/name)\n"
    )


class Failing:
    def __init__(self, error):
        self.error = error

    def run(self, arguments):
        raise self.error


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (DataError("x.fasta, record 3 (P1): bad"), 2, "x.fasta, record 3 (P1): bad"),
        (ProteinClassifierError("no network"), 1, "no network"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (MemoryError(), 1, "out of memory; try smaller batches"),
        (OSError(28, "No space left on device", "runs/x"), 1, "runs/x: No space left on device; free some space"),
        (RuntimeError("CUDA out of memory.\nTried to allocate 2 GiB"), 1, "out of memory (CUDA out of memory. Tried"),
        (RuntimeError("PytorchStreamWriter failed writing file"), 1, "is the disk full?"),
        (RuntimeError("basic_ios::clear: iostream error"), 1, "is the disk full?"),
        (RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 829376 vs 829264"), 1, "disk full?"),
    ],
)
def test_what_goes_wrong_is_one_line_and_an_exit_code(monkeypatch, capsys, error, code, words):
    monkeypatch.setattr(commands, "import_module", lambda *names: Failing(error))
    assert run_command("predict", []) == code
    err = capsys.readouterr().err
    assert err.startswith("protbert-classify predict: ")
    assert words in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("number", "path", "line"),
    [
        (errno.ENOENT, "{tmp}/no/e.json.part", "{tmp}/no: no such folder; create it, or choose another"),
        (errno.ENOENT, "{tmp}/e.json", "{tmp}/e.json: No such file or directory"),
        (errno.ENOTDIR, "{tmp}/file/e.json.part", "{tmp}/file: not a folder; choose another"),
        (errno.ENOTDIR, "{tmp}/file/a/b/e.json.part", "{tmp}/file: not a folder; choose another"),
        (errno.EACCES, "{tmp}/secret", "{tmp}/secret: permission denied; ask its owner to let you read it"),
        (errno.EACCES, "{tmp}/e.json.part", "{tmp}/e.json: permission denied; choose another place"),
        (errno.EROFS, "{tmp}/e.json", "{tmp}/e.json: read-only file system; choose another place"),
        (errno.ENOSPC, "{tmp}/e", "{tmp}/e: No space left on device; free some space; what was complete before is "
         "still there"),
        (errno.ECONNREFUSED, None, "Connection refused"),
    ],
)  # fmt: skip
def test_a_place_that_cannot_be_written_is_named_and_nothing_is_said_to_be_there(
    tmp_path, monkeypatch, capsys, number, path, line
):
    (tmp_path / "file").write_text("")
    (tmp_path / "secret").write_text("")
    monkeypatch.setattr(commands.os, "access", lambda path, mode: not path.endswith("secret"))  # root may read all
    error = OSError(number, os.strerror(number), path and path.format(tmp=tmp_path))
    monkeypatch.setattr(commands, "import_module", lambda *names: Failing(error))
    assert run_command("evaluate", []) == 1
    assert capsys.readouterr().err == f"protbert-classify evaluate: {line.format(tmp=tmp_path)}\n"


def test_a_failed_write_names_what_was_being_written(monkeypatch, capsys):
    error = RuntimeError("basic_ios::clear: iostream error")
    error.add_note("runs/x/checkpoint-5")
    monkeypatch.setattr(commands, "import_module", lambda *names: Failing(error))
    assert run_command("train", []) == 1
    assert capsys.readouterr().err.startswith("protbert-classify train: runs/x/checkpoint-5: could not write")


@pytest.mark.parametrize(("name", "ran"), [("evaluate", False), ("report", False), ("train", True), ("predict", True)])
def test_what_processes_do_not_share_the_first_does_alone(monkeypatch, name, ran):
    found = []
    module = types.SimpleNamespace(run=lambda arguments: found.append(name) or 0)
    monkeypatch.setattr(commands, "import_module", lambda *names: module)
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    assert run_command(name, []) == 0 and bool(found) == ran
    monkeypatch.setenv("RANK", "0")
    found.clear()
    assert run_command(name, []) == 0 and found == [name]


@pytest.mark.parametrize("name", COMMANDS)
def test_options_may_have_hyphens_in_every_command(monkeypatch, name):
    found = []
    module = types.SimpleNamespace(run=lambda arguments: found.extend(arguments) or 0)
    monkeypatch.setattr(commands, "import_module", lambda *names: module)
    given = ["--label-column=melting-point", "--data", "-", "--output-dir", "my-runs/a-b=c", "-1", "--no-wait", "--"]
    assert run_command(name, given) == 0
    assert found == [
        *("--label_column=melting-point", "--data", "-", "--output_dir", "my-runs/a-b=c", "-1", "--no_wait", "--"),
    ]


def test_a_hyphen_in_an_option_of_predict_is_read(tmp_path, capsys):
    (tmp_path / "t.csv").write_text("id,sequence\n")
    words = ["predict", "--model", "/nowhere", "--input", str(tmp_path / "t.csv"), "--output", str(tmp_path / "p.csv")]
    assert main([*words, "--id-column", "id"]) == 2
    assert "t.csv: no records" in capsys.readouterr().err


def test_of_processes_the_one_that_another_left_alone_says_so_and_no_more(monkeypatch, capsys):
    error = RuntimeError("[gloo/transport/tcp/pair.cc:553] Connection closed by peer [127.0.0.1]:1234")
    monkeypatch.setattr(commands, "import_module", lambda *names: Failing(error))
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert run_command("train", []) == 1
    assert capsys.readouterr().err == "protbert-classify train: another of the processes ended\n"


def test_a_bug_of_ours_is_not_dressed_up_as_bad_input(monkeypatch):
    monkeypatch.setattr(commands, "import_module", lambda *names: Failing(RuntimeError("shapes do not match")))
    with pytest.raises(RuntimeError, match="shapes do not match"):
        run_command("train", [])


def test_of_several_processes_one_speaks(monkeypatch, capsys):
    monkeypatch.setattr(commands, "import_module", lambda *names: Failing(DataError("bad")))
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert run_command("train", []) == 2
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("interruption", "line"),
    [
        (KeyboardInterrupt(), "protbert-classify train: interrupted\n"),
        (KeyboardInterrupt("--resume continues"), "protbert-classify train: interrupted; --resume continues\n"),
    ],
)
def test_ctrl_c_says_how_to_go_on_where_one_can(monkeypatch, capsys, interruption, line):
    monkeypatch.setattr(commands, "import_module", lambda *names: Failing(interruption))
    assert run_command("train", []) == 130
    assert capsys.readouterr().err == line


@pytest.mark.parametrize("arguments", [["train", "--help"], ["--help"], ["--version"]])
def test_a_reader_who_leaves_is_no_error(arguments):
    with subprocess.Popen(
        [sys.executable, "-c", "import sys, time; time.sleep(0.5)\n"
         f"from protbert_classify.commands import main; sys.exit(main({arguments}))"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(), cwd=ROOT,
    ) as process:  # fmt: skip
        process.stdout.close()
        err = process.stderr.read().decode()
        process.wait(30)
    assert "Traceback" not in err and "BrokenPipe" not in err
    assert complaints(err) == []
