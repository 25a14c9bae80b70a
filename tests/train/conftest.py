"""Runs of the training's tests draw no picture: it takes longer than their steps."""

from __future__ import annotations

import pytest

from openmova.train.run_folder import RunFolder


@pytest.fixture(autouse=True)
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RunFolder, "draw", lambda self: None)
