"""Runs of the training's tests draw no picture: it takes longer than their steps."""

from __future__ import annotations

import pytest

from openmova.train import run_folder


@pytest.fixture(autouse=True)
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_folder, "draw_log", lambda entries, file: None)
