"""openmova annotate: what is written, in one go or in shards, and every mistake as one line."""

from __future__ import annotations

import importlib.util
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import ray
from PIL import Image

from commands import mistake, output, run
from data.files import llava
from openmova.data.formats import read_samples

SAMPLES = 130  # three chunks


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for number in range(5):
        Image.effect_noise((32, 32), 60).save(tmp_path / f"{number}.png")
    records = [
        llava(answer=str(n), id=str(n), image=f"{n % 5}.png", experts=["chart"])
        for n in range(SAMPLES)
    ]
    path = tmp_path / "data.json"
    path.write_text(json.dumps(records))
    return path


def test_shards_merge_into_what_one_process_writes(data: Path, model: Path, tmp_path: Path) -> None:
    options = ("--model", model, "--batch", 32, "--dtype", "float32")
    whole = output("annotate", data, *options, "--output", tmp_path / "whole", "--json")
    told = json.loads(whole.splitlines()[-1])
    assert (told["samples"], told["without_loss"]) == (SAMPLES, 0)

    shards = tmp_path / "shards"
    output("annotate", data, *options, "--output", shards, "--shard", "2/2")
    early = mistake("annotate", data, "--output", shards, "--merge")
    assert "lacks 64 of 130 rows, among them 0 ('0')" in early
    output("annotate", data, *options, "--output", shards, "--shard", "1/2")
    merged = output("annotate", data, "--output", shards, "--merge")
    assert "the same experts as the data had: " in merged
    assert "  chart: precision " in merged
    for name in ("annotations.parquet", "annotated.json"):
        assert (shards / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()

    table = pq.read_table(shards / "annotations.parquet").to_pylist()
    names = ("text", "chart", "location")
    annotated = read_samples(shards / "annotated.json")
    for row, sample in zip(table, (annotated[i] for i in range(SAMPLES)), strict=True):
        useful = {name for name in names if row[f"loss_{name}"] < row["loss_base"]}
        assert set(row["experts"]) == set(sample.experts or ()) == useful
    assert annotated[0].open().image is not None


def test_dependency_is_told_and_the_check_shows_it(data: Path, model: Path, tmp_path: Path) -> None:
    data.write_text(json.dumps(json.loads(data.read_text())[:6]))
    folder = tmp_path / "annotation"
    options = ("--model", model, "--combinations", "--dependency", "--output", folder)
    told = output("annotate", data, *options)
    assert "depends on its picture, 1 to 5: unknown: 6" in told  # untrained, it is never sure
    assert "p, text" in told
    assert (folder / "dependency.png").exists()
    columns = pq.read_table(folder / "annotations.parquet").column_names
    assert {"loss_blind", "dependency", "dependency_text", "dependency_rating"} <= set(columns)
    records = json.loads((folder / "annotated.json").read_text())
    records[0]["dependency"] = 0.4
    (folder / "annotated.json").write_text(json.dumps(records))
    shown = output("data", "check", folder / "annotated.json")
    assert "depends on its picture, 1 to 5: 3 1, unknown 5" in shown


@pytest.fixture
def cluster() -> Iterator[None]:
    quiet = {"include_dashboard": False, "log_to_driver": False}
    ray.init(address="local", num_cpus=2, object_store_memory=100 * 2**20, **quiet)
    yield
    ray.shutdown()


@pytest.mark.slow
@pytest.mark.usefixtures("cluster")
def test_a_cluster_goes_on_and_writes_the_same(data: Path, model: Path, tmp_path: Path) -> None:
    (tmp_path / "3.png").write_text("no picture")
    options = ("--model", model, "--batch", 32, "--dtype", "float32", "--bad-share", 0.5)
    whole, on_ray = tmp_path / "whole", tmp_path / "ray"
    output("annotate", data, *options, "--output", whole)
    shutil.copytree(whole, on_ray)
    for name in ("annotations.parquet", "annotated.json", "bad.jsonl"):
        (on_ray / name).unlink()
    losses = on_ray / "losses/00001-of-00001/losses.jsonl"
    base = losses.read_text().splitlines(keepends=True)[:3]
    losses.write_text("".join(base))

    result = run("annotate", data, *options, "--output", on_ray, "--ray")
    assert result.exit_code == 0, result.stderr
    assert "text, shard 1/1" in result.stderr and "base, shard" not in result.stderr
    files = sorted(path.relative_to(whole) for path in whole.rglob("*") if path.is_file())
    assert files == sorted(p.relative_to(on_ray) for p in on_ray.rglob("*") if p.is_file())
    for file in files:
        if file.name == "run.json":  # has the time and the command
            continue
        assert (on_ray / file).read_bytes() == (whole / file).read_bytes()


def test_a_cluster_needs_ray(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda n: None if n == "ray" else find(n))
    told = mistake("annotate", data, "--output", tmp_path / "annotation", "--ray")
    assert 'pip install "openmova[ray]"' in told


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ((), "which model?"),
        (("--probe", "base=MODEL"), "no model for text, chart, location"),
        (("--model", "MODEL", "--probe", "ghost=MODEL"), "no probe 'ghost': they are base, text"),
        (("--model", "MODEL", "--probe", "text"), "names no model"),
        (("--model", "MODEL", "--probe", "text=a", "--probe", "text=b"), "given twice"),
        (("--model", "MODEL", "--shard", "3/2"), "there is no shard 3/2"),
        (("--model", "MODEL", "--dependency"), "add --combinations"),
        (("--model", "MODEL", "--merge"), "leave out --model"),
        (("--ray", "--merge"), "leave out --model, --probe and --ray"),
        (("--model", "MODEL", "--shard", "1/2", "--margin", "0.1"), "give it with --merge"),
        (("--merge",), "holds no run that was begun"),
    ],
)
def test_a_mistake_is_one_line(
    data: Path, model: Path, tmp_path: Path, options: tuple[str, ...], told: str
) -> None:
    given = [option.replace("MODEL", str(model)) for option in options]
    assert told in mistake("annotate", data, "--output", tmp_path / "annotation", *given)
    assert not (tmp_path / "annotation").exists()
