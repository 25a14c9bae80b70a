"""The lmms-eval plug-in: real runs of lmms-eval on a local task give what `Mova` answers alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import datasets
import pytest
import yaml
from PIL import Image

from openmova import Mova
from openmova.errors import UserError
from openmova.evaluate import tasks
from tiny import pictures

pytest.importorskip("lmms_eval", reason="lmms-eval is not installed (the Makefile does it)")

from openmova.evaluate.lmms_model import OpenMova, expert_usage

QUESTIONS = ["what is this ?", "how many dogs ?", "what red ?", "is this a blue cat ?", "dogs ?"]
TASKS = Path(tasks.__path__[0])
UTILS = """
def pictures(doc):
    return [doc["image"].convert("RGB")]
"""
RUN = "import tiny; from lmms_eval.cli.dispatch import main; main()"


@pytest.fixture(scope="module")
def alone(mova: Mova) -> list[Any]:
    """What Mova says to each question when it is asked alone."""
    asked = zip(pictures(len(QUESTIONS)), QUESTIONS, strict=True)
    return [mova.ask(image, question, max_new_tokens=6) for image, question in asked]


def write_task(folder: Path, targets: list[str]) -> None:
    """A task of lmms-eval, `shown`, over a parquet file."""
    rows = {"image": pictures(len(targets)), "question": QUESTIONS, "answer": targets}
    data = datasets.Dataset.from_dict(rows).cast_column("image", datasets.Image())
    data.to_parquet(folder / "shown.parquet")
    config = {
        "task": "shown",
        "dataset_path": "parquet",
        "dataset_kwargs": {"data_files": {"test": str(folder / "shown.parquet")}},
        "test_split": "test",
        "output_type": "generate_until",
        "doc_to_text": "{{question}}",
        "doc_to_target": "answer",
        "generation_kwargs": {"max_new_tokens": 6},
        "metric_list": [{"metric": "exact_match"}],
    }
    functions = "doc_to_visual: !function utils.pictures\n"
    (folder / "shown.yaml").write_text(yaml.safe_dump(config) + functions)
    (folder / "utils.py").write_text(UTILS)


def write_referring_tasks(folder: Path) -> None:
    """The tasks `box` and `polygon` over two pictures and three expressions."""
    regions = {"bbox": [[1, 1, 4, 4]] * 2, "segmentation": [[1, 1, 5, 1, 5, 5]] * 2}
    rows = {"image": pictures(2), "answer": [["red", "blue"], ["dogs"]], **regions}
    data = datasets.Dataset.from_dict(rows).cast_column("image", datasets.Image())
    data.to_parquet(folder / "regions.parquet")
    for kind in ("box", "polygon"):
        config = {
            "task": kind,
            "include": str(TASKS / f"_{kind}"),
            "dataset_path": "parquet",
            "dataset_kwargs": {"data_files": {"val": str(folder / "regions.parquet")}},
            "test_split": "val",
            "generation_kwargs": {"max_new_tokens": 6},  # as much as fits into the tiny model
        }
        (folder / f"{kind}.yaml").write_text(yaml.safe_dump(config))


def found(folder: Path, pattern: str) -> str:
    (file,) = folder.rglob(pattern)
    return file.read_text()


@pytest.mark.slow
def test_lmms_eval_runs_a_task_end_to_end(
    mova: Mova, tiny_folder: str, alone: list[Any], tmp_path: Path
) -> None:
    write_referring_tasks(tmp_path)
    write_task(tmp_path, [a.text if i < 3 else "something else" for i, a in enumerate(alone)])
    command = [sys.executable, "-c", RUN, "eval", "--model", "openmova"]
    command += ["--tasks", "shown,box,polygon"]
    command += [
        "--model_args",
        f"pretrained={tiny_folder},dtype=float32,output=journal",
        "--batch_size",
        "3",
    ]
    command += ["--include_path", ".", "--output_path", "results", "--log_samples"]
    offline = {"HF_HOME": str(tmp_path / "hub"), "HF_HUB_OFFLINE": "1"}
    environment = {**os.environ, **offline, "PYTHONPATH": os.pathsep.join(sys.path)}
    output = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    done = subprocess.run(command, cwd=tmp_path, env=environment, **output)
    assert list(tmp_path.glob("results/*/*results.json")), done.stdout
    results = json.loads(found(tmp_path, "*results.json"))
    assert results["results"]["shown"]["exact_match,none"] == 0.6
    samples = map(json.loads, found(tmp_path, "*samples_shown.jsonl").splitlines())
    assert [s["filtered_resps"] for s in samples] == [a.text for a in alone]
    for task, metric in (("box", "Acc@0.5"), ("polygon", "gIoU"), ("polygon", "cIoU")):
        assert results["results"][task][f"{metric},none"] == 0.0
    usage = expert_usage([a.routing.experts for a in alone], mova.experts)
    logged = results["throughput"]
    assert logged["avg_routing/shown/questions"] == 5
    assert logged["avg_routing/shown/mean_experts"] == usage["mean_experts"]
    for name in mova.experts:
        assert logged[f"avg_routing/shown/share/{name}"] == usage["share"][name]
    assert json.loads(found(tmp_path, "journal/result.json"))["routing"]["shown"] == usage
    rows = [json.loads(line) for line in found(tmp_path, "journal/samples.jsonl").splitlines()]
    boxes = [row["question"] for row in rows if row["sample"].startswith("box/")]
    assert [question.rpartition(": ")[2] for question in boxes] == ["red", "blue", "dogs"]
    run = json.loads(found(tmp_path, "journal/run.json"))
    assert run["command"].startswith("lmms-eval eval --model openmova --tasks shown,")
    assert run["settings"]["questions"]["shown"].startswith("5, SHA-256 ")


def test_referring_tasks_are_named_after_their_files() -> None:
    files = sorted(TASKS.glob("*.yaml"))
    assert len(files) == 2 * (3 + 3 + 2)
    for file in files:
        config = yaml.safe_load(file.read_text())
        assert config["task"] == f"openmova_{file.stem}"
        assert config["test_split"] == file.stem.rpartition("_")[2]
        assert config["include"] == {"rec": "_box", "res": "_polygon"}[file.stem.split("_")[-2]]


@pytest.fixture
def asked(tiny_folder: str) -> Any:
    """A plug-in in this process, and requests for it: asked(batch_size, **arguments)."""
    from lmms_eval.api.instance import Instance

    def messages(doc: dict[str, Any]) -> list[dict[str, Any]]:
        said = [{"type": "image", "url": doc["image"]}, {"type": "text", "text": doc["question"]}]
        return [{"role": "user", "content": said}]

    def make(wanted: dict[str, Any], **arguments: Any) -> tuple[Any, list[Any]]:
        plugin = OpenMova(tiny_folder, device="cpu", dtype="float32", **arguments)
        shown = zip(pictures(len(QUESTIONS)), QUESTIONS, strict=True)
        plugin.task_dict["t"] = {"test": [{"image": i, "question": q} for i, q in shown]}
        requests = [
            Instance(
                request_type="generate_until",
                arguments=(question, messages, wanted, number, "t", "test"),
                idx=0,
                metadata={"task": "t", "doc_id": number, "repeats": 1},
            )
            for number, question in enumerate(QUESTIONS)
        ]
        return plugin, requests

    return make


def test_a_stopped_run_goes_on_without_asking_again(
    asked: Any, alone: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = {"batch_size": 2, "output": str(tmp_path / "run")}
    plugin, requests = asked({"max_new_tokens": 6}, **arguments)
    ask_batch, questions = plugin.mova.ask_batch, list[str]()

    def counted(pairs: list[tuple[Image.Image, str]], **options: Any) -> Any:
        if len(questions) == 4 and not resumed:
            raise KeyboardInterrupt
        questions.extend(question for _, question in pairs)
        return ask_batch(pairs, **options)

    resumed = False
    monkeypatch.setattr(plugin.mova, "ask_batch", counted)
    with pytest.raises(KeyboardInterrupt):
        plugin.generate_until(requests)
    resumed = True
    results = plugin.generate_until(requests)
    assert [result.text for result in results] == [answer.text for answer in alone]
    assert questions == QUESTIONS


def test_a_journal_of_other_questions_is_refused(asked: Any, tmp_path: Path) -> None:
    plugin, requests = asked({"max_new_tokens": 6}, output=str(tmp_path / "run"))
    plugin.generate_until(requests[:2])
    with pytest.raises(UserError, match=r"other settings \(questions\.t: 2, SHA"):
        plugin.generate_until(requests[:3])


def test_a_document_of_two_pictures_is_told(asked: Any) -> None:
    plugin, requests = asked({"max_new_tokens": 6})
    (message,) = requests[3].args[1](plugin.task_dict["t"]["test"][3])
    message["content"].insert(0, message["content"][0])
    requests[3].arguments = (*requests[3].args[:1], lambda _: [message], *requests[3].args[2:])
    with pytest.raises(UserError, match="document 3 of t has 1 messages, 2 pictures"):
        plugin.generate_until(requests)


def test_an_answer_ends_at_the_strings_of_its_task(asked: Any, alone: list[Any]) -> None:
    stop = alone[0].text.split()[1]
    plugin, requests = asked({"max_new_tokens": 6, "until": ["\n\n", stop]})
    (result,) = plugin.generate_until(requests[:1])
    assert result.text == alone[0].text.partition(stop)[0]


def test_experts_of_the_model_arguments_replace_the_router(asked: Any, mova: Mova) -> None:
    plugin, requests = asked({"max_new_tokens": 6}, experts="none")
    results = plugin.generate_until(requests)
    shown = zip(pictures(len(QUESTIONS)), QUESTIONS, strict=True)
    base = [mova.ask(i, q, experts="none", max_new_tokens=6).text for i, q in shown]
    assert [result.text for result in results] == base


@pytest.mark.parametrize("size", ["auto", 0, "-1"])
def test_batch_sizes_that_are_none_are_told(asked: Any, size: Any) -> None:
    with pytest.raises(UserError, match="give a number from 1"):
        asked({}, batch_size=size)


def test_usage_by_hand() -> None:
    chosen = [("text",), ("text", "chart"), (), ("text",)]
    assert expert_usage(chosen, ("object", "text", "chart")) == {
        "questions": 4,
        "share": {"object": 0.0, "text": 0.75, "chart": 0.25},
        "none": 0.25,
        "mean_experts": 1.0,
    }
