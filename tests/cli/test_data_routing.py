"""openmova data routing: what it writes, and every mistake as one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from openmova.cli import app
from openmova.data.formats import read_samples
from openmova.routing import routing_prompt

POOL = "ocr: [It reads., A reader.]\nchart: [It plots., Bars.]\nshapes: [It counts.]\n"


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["data", "routing", *map(str, arguments)])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "pictures").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "pictures" / "a.png")
    (tmp_path / "pool.yaml").write_text(POOL)
    write(tmp_path, [record(number) for number in range(30)])
    return tmp_path


def record(number: int, **changes: Any) -> dict[str, Any]:
    turns = [{"role": "user", "content": f"Question {number}?"}]
    turns += [{"role": "assistant", "content": "3"}]
    chosen = [["ocr"], ["chart", "shapes"], []][number % 3]
    return {"messages": turns, "images": ["pictures/a.png"], "experts": chosen, **changes}


def write(folder: Path, records: list[dict[str, Any]]) -> None:
    lines = [json.dumps(record) for record in records]
    (folder / "data.jsonl").write_text("\n".join(lines))


def test_annotated_data_becomes_llava_json(folder: Path) -> None:
    out = folder / "new" / "routing.json"
    result = run(folder / "data.jsonl", out, "--pool", folder / "pool.yaml", "--json")
    assert result.exit_code == 0, result.stderr
    told = json.loads(result.stdout)
    assert (told["instructions"], told["bad"]) == (30, 0)
    read = read_samples(out)
    answers = [read[index].turns[1].text for index in range(30)]
    assert told["none"] == answers.count("none")
    assert all(read[index].routing and read[index].open().image for index in range(30))
    assert all(answers[index] == "none" for index in range(2, 30, 3))
    again = folder / "new" / "again.json"
    assert run(folder / "data.jsonl", again, "--pool", folder / "pool.yaml").exit_code == 0
    assert again.read_bytes() == out.read_bytes()


def test_without_augmentation_it_is_the_pool_of_inference(folder: Path) -> None:
    out = folder / "routing.json"
    options = ("--pool", folder / "pool.yaml", "--no-augmentation", "--count", 9)
    assert "9 routing instructions" in run(folder / "data.jsonl", out, *options).stdout
    prompts = [record["conversations"][0]["value"] for record in json.loads(out.read_text())]
    pool = routing_prompt("", ["It reads.", "It plots.", "It counts."], "")
    assert all(pool.strip() in prompt for prompt in prompts)
    answers = {record["conversations"][1]["value"] for record in json.loads(out.read_text())}
    assert answers <= {"A", "B, C", "none"}


def test_the_help_has_an_example() -> None:
    assert "recipes/descriptions.yaml" in run("--help").stdout


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ((), "whose pool?"),
        (("--pool", "no.yaml"), "No such file"),
        (("--model", "nono"), "there is no model 'nono'"),
    ],
)
def test_a_mistake_is_one_line(folder: Path, options: tuple[str, ...], told: str) -> None:
    result = run(folder / "data.jsonl", folder / "routing.json", *options)
    assert result.exit_code == 2
    assert result.stderr.startswith("openmova: ")
    assert result.stderr.count("\n") == 1
    assert told in result.stderr
    assert not (folder / "routing.json").exists()


def test_what_is_there_is_not_overwritten(folder: Path) -> None:
    result = run(folder / "data.jsonl", folder / "pool.yaml", "--pool", folder / "pool.yaml")
    assert (result.exit_code, (folder / "pool.yaml").read_text()) == (2, POOL)


def test_many_unknown_experts_stop_it(folder: Path) -> None:
    write(folder, [record(number, experts=["orc"]) for number in range(150)])
    result = run(folder / "data.jsonl", folder / "out.json", "--pool", folder / "pool.yaml")
    assert result.exit_code == 2
    assert "unknown expert 'orc': did you mean ocr" in result.stderr
