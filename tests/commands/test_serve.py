import signal
import socket
import subprocess
import time

import pytest

from protbert_classify.commands import main
from protbert_classify.commands import serve as command_module
from tests.training.runs import ROOT, command, complaints, environment

pytest.importorskip("fastapi")

from tests.serving.conftest import model  # noqa: F401  fixture
from tests.serving.servers import HOST, free_port, running


def test_it_says_where_it_listens_with_a_line_to_try_that_works(model, tmp_path):  # noqa: F811
    with running(model, tmp_path) as server:
        first, second = server.output().splitlines()
        assert first == f"{model} is served at http://127.0.0.1:{server.port}; try"
        tried = subprocess.run(["sh", "-c", second], capture_output=True, text=True, timeout=30)
        if tried.returncode != 127:  # a machine without curl
            assert '"label"' in tried.stdout and '"score"' in tried.stdout


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "0.0.0.0", "::", "10.0.0.1", "proteins.example"])
def test_who_listens_beyond_this_machine_is_told_that_anyone_may_ask(monkeypatch, capsys, host):
    monkeypatch.setattr("protbert_classify.serving.server.serve", lambda *_, **__: None)
    assert main(["serve", "--model", "runs/mine", "--host", host]) == 0
    warned = f"warning: listening on {host}, port 8080: anyone who can connect can send requests; there is no "
    warned += "authentication\n"
    assert capsys.readouterr().err == ("" if host in ("127.0.0.1", "localhost", "::1") else warned)


def test_ctrl_c_is_one_line_and_130(model, tmp_path):  # noqa: F811
    with running(model, tmp_path) as server:
        assert server.stop(signal.SIGINT) == 130
        assert server.errors().splitlines()[-1] == "protbert-classify serve: interrupted"
        assert "Traceback" not in server.errors()


def test_a_busy_port_is_one_line_before_anything_is_loaded(model, capsys):  # noqa: F811
    with socket.create_server((HOST, 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["serve", "--model", model, "--port", str(port)]) == 2
    (line,) = complaints(capsys.readouterr().err)
    assert line == f"protbert-classify serve: port {port} of 127.0.0.1 is in use; choose another one with --port"


def test_an_address_of_another_machine_is_one_line(model, capsys):  # noqa: F811
    assert main(["serve", "--model", model, "--host", "192.0.2.1"]) == 1  # TEST-NET-1, nobody's
    (line,) = complaints(capsys.readouterr().err)
    assert line.startswith("protbert-classify serve: cannot listen on 192.0.2.1, port 8080: ")


@pytest.mark.slow
def test_a_folder_without_a_model_is_one_line_and_the_port_is_free_again(tmp_path):
    port, start = free_port(), time.monotonic()
    line = command("serve", "--model", tmp_path, "--port", port)
    done = subprocess.run(line, capture_output=True, text=True, timeout=60, env=environment(), cwd=ROOT)
    assert done.returncode == 2 and time.monotonic() - start < 60
    (complaint,) = complaints(done.stderr)
    assert "no model there (no config.json)" in complaint
    assert "Traceback" not in done.stderr
    socket.create_server((HOST, port)).close()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--port", "65536"], "--port: found '65536', expected 1 to 65535, or 0 for a free one"),
        (["--max_queue", "10"], "max_queue=10: expected at least max_proteins=1000, the proteins of a request"),
        (["--max_in_flight", "1000"], "max_in_flight=1000: expected at least max_body=6291456, the bytes of a request"),
        (["--max_proteins", "0"], "--max_proteins: found '0', expected 1 or more"),
        (["--colour", "red"], "unknown option --colour"),
    ],
)
def test_a_bad_option_is_one_line(model, capsys, options, words):  # noqa: F811
    assert main(["serve", "--model", model, *options]) == 2
    (line,) = complaints(capsys.readouterr().err)
    assert words in line


def test_without_the_extra_it_says_what_to_install(model, capsys, monkeypatch):  # noqa: F811
    found = command_module.find_spec
    monkeypatch.setattr(command_module, "find_spec", lambda name: None if name == "fastapi" else found(name))
    assert main(["serve", "--model", model]) == 2
    (line,) = complaints(capsys.readouterr().err)
    assert line.endswith("fastapi not installed; serving needs: pip install 'protbert_classify[serve]'")
