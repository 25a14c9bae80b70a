"""openmova data check: what it prints, and with which exit code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from data.files import llava, write_lines
from openmova.checkpoints.tiny import tiny_mova
from openmova.cli import app


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["data", "check", *map(str, arguments)])


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENMOVA_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def good(tmp_path: Path) -> Path:
    rows = [llava(id=f"s{i}", experts=["text"], domain="squares") for i in range(4)]
    return write_lines(tmp_path / "good.jsonl", rows)


def test_says_what_the_data_holds(good: Path) -> None:
    result = run(good)
    assert result.exit_code == 0
    for text in ("4 samples", "0 bad", "squares 4", "text 4", "characters asked", "median"):
        assert text in result.stdout
    assert result.stderr == ""


def test_json_holds_every_figure(good: Path) -> None:
    report = json.loads(run(good, "--json").stdout)
    assert report["experts"] == {"text": 4}
    assert report["bad"] == []
    assert report["numbers"]["turns"] == {"least": 2, "median": 2, "p95": 2, "most": 2}


def test_bad_data_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    rows = [llava(id=f"s{i}", image="nowhere.png") for i in range(15)]
    path = write_lines(tmp_path / "bad.jsonl", [*rows, llava()])
    result = run(path)
    assert result.exit_code == 2
    assert result.stderr.count("\n") == 1
    assert "15 of 16 samples" in result.stderr
    assert "s3: there is no file" in result.stdout
    assert "and 5 more bad ones" in result.stdout
    assert run(path, "--bad-share", "0.95").exit_code == 0
    assert len(json.loads(run(path, "--json").stdout)["bad"]) == 15


def test_the_libraries_below_are_quiet(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    datasets = pytest.importorskip("datasets")
    datasets.disable_progress_bars()
    datasets.Dataset.from_list([llava(image=None)] * 3).to_parquet(str(tmp_path / "a.parquet"))
    datasets.enable_progress_bars()
    assert run(tmp_path / "a.parquet", "--bad-share", "1").exit_code == 0
    (tmp_path / "b.parquet").write_bytes(b"PAR1")
    assert run(tmp_path / "b.parquet").stderr.count("\n") == 1
    assert capfd.readouterr().err == ""


def test_only_some_samples(good: Path) -> None:
    assert json.loads(run(good, "--limit", "2", "--json").stdout)["looked_at"] == 2


def test_a_contact_sheet(good: Path, tmp_path: Path) -> None:
    assert run(good, "--sheet", tmp_path / "sheet.png").exit_code == 0
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.width > 600
    result = run(good, "--sheet", tmp_path / "nowhere" / "sheet.png")
    assert result.exit_code == 2
    assert "there is no folder" in result.stderr


def test_with_a_model_tokens_and_experts_are_checked(tmp_path: Path) -> None:
    model, processor = tiny_mova()
    model.save_pretrained(tmp_path / "model")
    processor.save_pretrained(tmp_path / "model")
    rows = [llava(id="a", experts=["text"]), llava(id="b", experts=["txt"])]
    path = write_lines(tmp_path / "a.jsonl", rows)
    options = ("--model", tmp_path / "model", "--max-tokens", "10")
    result = run(path, *options, "--json")
    report = json.loads(result.stdout)
    assert report["bad"] == [{"id": "b", "reason": "unknown expert 'txt': did you mean text?"}]
    # "A square." and its end token, of a tokenizer of bytes.
    assert report["numbers"]["tokens of answers"]["median"] == 10
    assert report["numbers"]["tokens"]["median"] > 10
    assert report["over"] == 1
    assert "of more than 10 tokens" in run(path, *options).stdout


@pytest.mark.parametrize("content", ["", "\n\n"])
def test_a_file_without_samples(tmp_path: Path, content: str) -> None:
    (tmp_path / "a.jsonl").write_text(content)
    result = run(tmp_path / "a.jsonl")
    assert result.exit_code == 2
    assert "has no samples" in result.stderr


def test_a_missing_file_and_no_command() -> None:
    result = run("nowhere.json")
    assert result.exit_code == 2
    assert result.stderr == "openmova: there is no data 'nowhere.json': check the path\n"
    assert "check" in CliRunner().invoke(app, ["data", "--help"]).stdout
