"""openmova data check: what it prints, and with which exit code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from commands import mistake, output, run
from data.files import llava, write_lines

CHECK = ("data", "check")


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENMOVA_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def good(tmp_path: Path) -> Path:
    rows = [llava(id=f"s{i}", experts=["text"], domain="squares") for i in range(4)]
    return write_lines(tmp_path / "good.jsonl", rows)


def test_says_what_the_data_holds(good: Path) -> None:
    result = run(*CHECK, good)
    assert (result.exit_code, result.stderr) == (0, "")
    for text in ("4 samples", "0 bad", "squares 4", "text 4", "characters asked", "median"):
        assert text in result.stdout


def test_json_holds_every_figure(good: Path) -> None:
    assert json.loads(output(*CHECK, good, "--limit", 2, "--json"))["looked_at"] == 2
    report = json.loads(output(*CHECK, good, "--json"))
    assert report["experts"] == {"text": 4}
    assert report["bad"] == []
    assert report["numbers"]["turns"] == {"least": 2, "median": 2, "p95": 2, "most": 2}


def test_bad_data_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    rows = [llava(id=f"s{i}", image="nowhere.png") for i in range(15)]
    path = write_lines(tmp_path / "bad.jsonl", [*rows, llava()])
    assert "15 of 16 samples" in mistake(*CHECK, path)
    told = output(*CHECK, path, "--bad-share", "0.95")
    assert "s3: there is no file" in told
    assert "and 5 more bad ones" in told
    assert len(json.loads(run(*CHECK, path, "--json").stdout)["bad"]) == 15


def test_the_libraries_below_are_quiet(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    datasets = pytest.importorskip("datasets")
    datasets.disable_progress_bars()
    datasets.Dataset.from_list([llava(image=None)] * 3).to_parquet(str(tmp_path / "a.parquet"))
    datasets.enable_progress_bars()
    output(*CHECK, tmp_path / "a.parquet", "--bad-share", "1")
    (tmp_path / "b.parquet").write_bytes(b"PAR1")
    mistake(*CHECK, tmp_path / "b.parquet")
    assert capfd.readouterr().err == ""


def test_a_contact_sheet(good: Path, tmp_path: Path) -> None:
    output(*CHECK, good, "--sheet", tmp_path / "sheet.png")
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.width > 600
    nowhere = tmp_path / "nowhere" / "sheet.png"
    assert "there is no folder" in mistake(*CHECK, good, "--sheet", nowhere)


def test_with_a_model_tokens_and_experts_are_checked(model: Path, tmp_path: Path) -> None:
    rows = [llava(id="a", experts=["text"]), llava(id="b", experts=["txt"])]
    path = write_lines(tmp_path / "a.jsonl", rows)
    options = ("--model", model, "--max-tokens", "10")
    report = json.loads(run(*CHECK, path, *options, "--json").stdout)
    assert report["bad"] == [{"id": "b", "reason": "unknown expert 'txt': did you mean text?"}]
    # "A square." and its end token, of a tokenizer of bytes.
    assert report["numbers"]["tokens of answers"]["median"] == 10
    assert report["numbers"]["tokens"]["median"] > 10
    assert report["over"] == 1
    assert "of more than 10 tokens" in run(*CHECK, path, *options).stdout


def test_a_file_without_samples_and_none(tmp_path: Path) -> None:
    for content in ("", "\n\n"):
        (tmp_path / "a.jsonl").write_text(content)
        assert "has no samples" in mistake(*CHECK, tmp_path / "a.jsonl")
    assert "there is no data 'nowhere.json': check the path" in mistake(*CHECK, "nowhere.json")
