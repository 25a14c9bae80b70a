"""A model is made ready, and its folder told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from commands import output


def test_nano_is_fetched_before_it_is_put_together(
    tmp_path: Path, tiny_folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENMOVA_CACHE", str(tmp_path / "empty"))
    monkeypatch.setattr(
        "openmova.checkpoints.nano_parts.fetch_wheels", lambda: done.append("fetched")
    )
    monkeypatch.setattr(
        "openmova.checkpoints.nano.nano_folder", lambda: done.append("built") or Path(tiny_folder)
    )
    assert output("setup") == f"{tiny_folder}\n"
    assert done == ["fetched", "built"]
    assert json.loads(output("setup", tiny_folder, "--json")) == {"folder": tiny_folder}
    assert done == ["fetched", "built"]
