"""The whole suite on a model that learned nothing: every table, every file, nothing asked twice."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
import torch

from nano_shaped import nano_shaped, write_untrained
from openmova.checkpoints.tiny import tiny_mova
from openmova.errors import UserError
from openmova.inference.mova import Mova
from openmova.runtime.run_store import Journal
from studies.claims import answers, open_world_suite, routers, suite
from studies.claims import report as reports
from studies.claims.questions import GROUPS


@pytest.fixture(scope="module")
def variants(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_untrained(tmp_path_factory.mktemp("variants"), ["base", "mova"], [1, 2])


@pytest.fixture(scope="module")
def mova() -> Mova:
    return nano_shaped()


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routers, "COUNT", 64)
    monkeypatch.setattr(routers, "IMAGES", 2)
    words = torch.randn(9, 576, generator=torch.Generator().manual_seed(0))
    monkeypatch.setattr(answers, "word_embeddings", lambda *_: words)
    items = open_world_suite.items
    monkeypatch.setattr(open_world_suite, "items", lambda seed: items(seed)[::21])


def test_the_suite_asks_each_thing_once_and_writes_its_files(
    tmp_path: Path, variants: Path, mova: Mova
) -> None:
    loads: list[Path | None] = []

    def load(path: Path | None) -> Mova:
        loads.append(path)
        return mova

    def run() -> dict[str, object]:
        with Journal.opened(tmp_path, {"suite": "mini"}) as journal:
            return suite.run(load, variants, journal, seed=0, n=1, batch=16)

    report = run()
    assert loads == [None]
    tables = {table["number"]: table for table in report["tables"]}  # type: ignore[attr-defined]
    assert list(tables) == ["1", "7", "8", "11", "10", "14", "16"]
    first = {row["name"]: row for row in tables["1"]["rows"]}
    assert first["MoVA"]["seeds"] == (1, 2)
    assert set(first["MoVA"]["cells"]) == {*GROUPS, "all"}
    assert first["MoVA"]["trained"] == "1.0 M parameters, 0 steps x 32 of 6,900 images"
    assert (first["expert text alone"]["trained"], first["expert text alone"]["cells"]) == (
        "not trained",
        {},
    )
    assert {row["name"] for row in tables["10"]["rows"]} == {"language model", "MiniLM", "MLP"}
    assert {row["trained"] for row in tables["16"]["rows"]} == {"the model's own"}
    assert run() == report
    assert loads == [None]  # nothing was left to ask
    keys = [json.loads(line)["sample"] for line in (tmp_path / "samples.jsonl").open()]
    assert len(keys) == len(set(keys))

    reports.write_report(report, tmp_path)
    assert (tmp_path / "results.png").stat().st_size > 10_000
    text = (tmp_path / "results.md").read_text()
    assert "| claim | verdict |" in text
    assert "**not run**" in text
    assert "## Table 11: Blocks of the MoV-Adapter, and its gate" in text
    lines = list(csv.DictReader((tmp_path / "results.csv").open()))
    assert {line["table"] for line in lines} == set(tables)
    cells = sum(len(row["cells"]) for table in tables.values() for row in table["rows"])
    assert len(lines) == cells


def test_a_variant_that_changed_is_asked_anew_and_others_are_not(
    tmp_path: Path, variants: Path, mova: Mova
) -> None:
    folder = write_untrained(tmp_path / "variants", ["base"], [1])
    journal = Journal()
    suite.run(lambda _: mova, folder, journal, seed=0, n=1)
    before = set(journal.rows)
    write_untrained(folder, ["linear"], [1])
    suite.run(lambda _: mova, folder, journal, seed=0, n=1)
    added = set(journal.rows) - before
    assert {key.partition("@")[0] for key in added} == {"linear-1"}
    (folder / "base-1.safetensors").write_bytes((folder / "linear-1.safetensors").read_bytes())
    with pytest.raises(KeyError):  # other weights do not fit; but they were asked for
        suite.run(lambda _: mova, folder, journal, seed=0, n=1)


def test_a_model_that_is_no_nano_is_refused(variants: Path) -> None:
    other = Mova(*tiny_mova())
    with pytest.raises(UserError, match="give --model nano"):
        suite.run(lambda _: other, variants, Journal(), seed=0, n=1)


def test_every_token_becomes_the_word_in_whose_direction_it_lies() -> None:
    words = torch.tensor([[1.0, 0.0], [0.0, 2.0], [-3.0, 0.0]])
    tokens = torch.tensor([[[5.0, 1.0], [-0.1, 0.05], [0.2, 0.3]]])
    found = answers.nearest_words(tokens, words)
    assert torch.equal(found, words[torch.tensor([[0, 2, 1]])])
