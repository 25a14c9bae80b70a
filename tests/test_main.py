"""The program around the command line: Ctrl-C at any moment."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from openmova.__main__ import main


@pytest.fixture(autouse=True)
def ctrl_c_is_for_us() -> Iterator[None]:
    """As at a terminal; a test run in the background of a shell is started with SIGINT ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def run_as_app(monkeypatch: pytest.MonkeyPatch) -> Any:
    def run(app: Any) -> None:
        monkeypatch.setitem(sys.modules, "openmova.cli", SimpleNamespace(app=app))
        main()

    return run


def test_ctrl_c_that_comes_out_as_another_error_ends_quietly(
    run_as_app: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    def interrupted_import() -> None:
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt as error:
            raise ImportError("could not import module") from error

    with pytest.raises(SystemExit) as caught:
        run_as_app(interrupted_import)
    assert caught.value.code == 130
    assert capfd.readouterr().err == ""


def test_other_endings_pass_through(run_as_app: Any) -> None:
    with pytest.raises(SystemExit) as caught:
        run_as_app(lambda: sys.exit(2))
    assert caught.value.code == 2

    def fail() -> None:
        raise ImportError("a bug")

    with pytest.raises(ImportError):
        run_as_app(fail)


@pytest.mark.parametrize(
    ("given", "policy"),
    [({}, "passive"), ({"OMP_WAIT_POLICY": "active"}, "active"), ({"GOMP_SPINCOUNT": "9"}, None)],
)
def test_threads_wait_asleep_unless_the_user_says_otherwise(
    run_as_app: Any, monkeypatch: pytest.MonkeyPatch, given: dict[str, str], policy: str | None
) -> None:
    for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT"):
        monkeypatch.setenv(name, "")  # so that it is put back
        monkeypatch.delenv(name)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    found: list[str | None] = []
    run_as_app(lambda: found.append(os.environ.get("OMP_WAIT_POLICY")))
    assert found == [policy]


def test_the_handler_of_before_is_put_back(run_as_app: Any) -> None:
    before = signal.getsignal(signal.SIGINT)
    run_as_app(lambda: None)
    assert signal.getsignal(signal.SIGINT) is before
