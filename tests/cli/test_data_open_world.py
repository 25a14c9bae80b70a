"""openmova data open-world: what it writes, and every mistake as one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from openmova.cli import app
from openmova.data.formats import read_samples


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["data", "open-world", *map(str, arguments)])


def test_it_is_data_for_any_trainer(tmp_path: Path) -> None:
    out = tmp_path / "new" / "open-world.json"
    result = run(out, "--count", 60, "--json")
    assert result.exit_code == 0, result.stderr
    told = json.loads(result.stdout)
    read = read_samples(out)
    samples = [read[index].open() for index in range(len(read))]
    assert told["instructions"] == len(samples) == 60
    assert told["none"] == [sample.turns[1].text for sample in samples].count("none")
    assert all(sample.routing and sample.domain == "open-world" for sample in samples)
    again = tmp_path / "again" / "open-world.json"
    assert run(again, "--count", 60).exit_code == 0
    files = [path for path in sorted(out.parent.rglob("*")) if path.is_file()]
    assert all(
        file.read_bytes() == (again.parent / file.relative_to(out.parent)).read_bytes()
        for file in files
    )


def test_without_augmentation_there_are_as_many_pools_as_groups(tmp_path: Path) -> None:
    out = tmp_path / "fixed.json"
    assert "100 routing instructions" in run(out, "--count", 100, "--no-augmentation").stdout
    prompts = [record["conversations"][0]["value"] for record in json.loads(out.read_text())]
    assert len({prompt.split("\n\nQuestion:")[0] for prompt in prompts}) == 7


@pytest.mark.parametrize(
    ("options", "told"),
    [(("--model", "nono"), "there is no model 'nono'"), (("--count", "0"), "--count")],
)
def test_a_mistake_is_one_line(tmp_path: Path, options: tuple[str, ...], told: str) -> None:
    result = run(tmp_path / "a.json", *options)
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert told in result.stderr
    assert not list(tmp_path.iterdir())


def test_what_is_there_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("mine")
    result = run(tmp_path / "a.json")
    assert (result.exit_code, (tmp_path / "a.json").read_text()) == (2, "mine")
