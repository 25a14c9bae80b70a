"""What every command shares."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from commands import output
from openmova.cli import app
from openmova.cli.console import silence_stderr, status
from openmova.errors import UserError


def test_help_of_everything_has_an_example() -> None:
    assert "ask" in CliRunner().invoke(app, []).stdout
    commands = [[str(command.name)] for command in app.registered_commands]
    for command in (*commands, ["data", "check"], ["data", "routing"]):
        told = output(*command, "--help")
        assert "Example" in told
        assert f"openmova {' '.join(command)}" in told


def test_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.metadata.version", lambda name: "1.2.3")
    assert CliRunner().invoke(app, ["--version"]).stdout == "openmova 1.2.3\n"


def test_help_imports_no_heavy_library() -> None:
    program = "import sys; from openmova.cli import app; print('torch' in sys.modules)"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=environment
    )
    assert done.stdout == "False\n"


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [
        (UserError("first\nsecond \x1b[31m"), 2, "openmova: first second ?[31m\n"),
        (KeyboardInterrupt(), 130, ""),
        (BrokenPipeError(32, "Broken pipe"), 1, ""),
    ],
    ids=["mistake", "Ctrl-C", "broken pipe"],
)
def test_endings(
    monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int, told: str
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("openmova.cli.experts.fetch_model", fail)
    result = CliRunner().invoke(app, ["experts"])
    assert (result.exit_code, result.stdout, result.stderr) == (code, "", told)


def test_our_own_mistakes_keep_their_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr("openmova.cli.experts.fetch_model", fail)
    result = CliRunner().invoke(app, ["experts"])
    assert result.exit_code == 1
    assert isinstance(result.exception, RuntimeError)


def test_silence_drops_what_c_code_prints(capfd: pytest.CaptureFixture[str]) -> None:
    with silence_stderr():
        os.write(2, b"noise\n")
    os.write(2, b"heard\n")
    assert capfd.readouterr().err == "heard\n"


def test_no_spinner_where_there_is_no_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    with status("loading"):
        pass
    assert capfd.readouterr().err == ""
