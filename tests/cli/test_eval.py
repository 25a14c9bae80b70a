"""openmova eval: the open-world suite on a checkpoint, and every mistake as one line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from commands import mistake, output, run
from openmova.inference.mova import Mova
from studies.open_world import suite as open_world_suite


def test_open_world_tells_shares_with_their_intervals(model: Path) -> None:
    options = ("--model", model, "--json", "--batch", 16)
    report = json.loads(output("eval", "--suite", "open-world", *options).splitlines()[-1])
    assert (report["suite"], report["n"], len(report["experts"])) == ("open-world", 105, 7)
    low, high = report["exact"]["ci95"]
    assert low <= report["exact"]["value"] <= high


def test_a_stopped_run_goes_on_and_a_finished_one_shows_its_result_again(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, folder = shutil.copytree(model, tmp_path / "model"), tmp_path / "run"
    options = ("--suite", "open-world", "--model", own, "--output", folder, "--json")
    command = ("eval", *options)
    route, calls = open_world_suite.routed, list[int]()

    def stopping(mova: Mova, asked: list[open_world_suite.Item]) -> Any:
        calls.append(len(asked))
        if len(calls) == 4:
            raise KeyboardInterrupt
        return route(mova, asked)

    monkeypatch.setattr(open_world_suite, "routed", stopping)
    assert run(*command).exit_code == 130
    first = json.loads(output(*command).splitlines()[-1])
    rows = [json.loads(line) for line in (folder / "samples.jsonl").read_text().splitlines()]
    assert sum(calls) - calls[3] == first["n"] == len({row["sample"] for row in rows}) == len(rows)

    monkeypatch.setattr(Mova, "from_pretrained", lambda *_, **__: pytest.fail("loaded"))
    assert json.loads(output(*command).splitlines()[-1]) == first
    assert "seed: 0 -> 5" in mistake(*command, "--seed", 5)
    assert "dtype: absent -> bfloat16" in mistake(*command, "--dtype", "bfloat16")
    next(own.glob("*.safetensors")).write_bytes(b"another model")
    assert "weights: " in mistake(*command)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--suite", "open"), "unknown suite 'open': the suites are nano, open-world"),
        (("--suite", "open-world", "--n", "3"), "leave --n out"),
        (("--suite", "open-world", "--model", "nono"), "there is no model 'nono'"),
    ],
)
def test_a_mistake_is_one_line(options: tuple[str, ...], told: str) -> None:
    assert told in mistake("eval", *options)
