"""Suites are found by their entry point; one that is not installed says where it is."""

from __future__ import annotations

import importlib
import sys
import tomllib
from pathlib import Path

import pytest

from openmova.errors import UserError
from openmova.evaluate.suites import find_suite, suite_names


def test_the_project_s_own_suites_are_found() -> None:
    assert "open-world" in suite_names()
    suite = find_suite("open-world")
    assert callable(suite.measure) and callable(suite.show)
    pyproject = (Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8")
    points = tomllib.loads(pyproject)["project"]["entry-points"]["openmova.suites"]
    suite = importlib.import_module(points["nano"])
    assert suite.DEFAULT_N > 0 and suite.load_questions()


def test_a_suite_that_is_unknown_or_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=r"unknown suite 'nona': the suites are .*nano"):
        find_suite("nona")
    for name in [name for name in sys.modules if name.partition(".")[0] == "studies"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "studies", None)
    with pytest.raises(UserError, match="run it from a clone of openmova's repository"):
        find_suite("nano")
