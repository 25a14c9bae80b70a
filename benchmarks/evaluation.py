"""lmms-eval on nano: equal scores in any batch, and what it costs beside `Mova.ask_batch`.

    python benchmarks/evaluation.py                      # 1,000 questions
    python benchmarks/evaluation.py --questions 100 --batch 4

The questions are nano's suite as a local task of lmms-eval, scored by exact match. `ask_batch` and
lmms-eval answer them in batches, in parts and in turns, so that the machine's other work meets both
alike; then lmms-eval answers them one by one. Told are the questions of which answer, experts or
score differ, and lmms-eval's throughput as a share of `ask_batch`'s, by the clock and by the
processor's time. Loading the model and reading lmms-eval's list of tasks are not counted.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import datasets
import yaml
from lmms_eval.evaluator import simple_evaluate
from lmms_eval.tasks import TaskManager
from loguru import logger
from questions import Item, items

from openmova.cli.console import quiet_libraries
from openmova.evaluate.lmms_model import OpenMova

PART = 100
"""Questions between two turns."""
NEW_TOKENS = 12


class Watch:
    """Seconds by the clock and of the processor, for each of several ways."""

    def __init__(self) -> None:
        self.clock: dict[str, float] = {}
        self.processor: dict[str, float] = {}

    @contextmanager
    def __call__(self, way: str) -> Iterator[None]:
        clock, processor = time.perf_counter(), time.process_time()
        yield
        self.clock[way] = self.clock.get(way, 0.0) + time.perf_counter() - clock
        self.processor[way] = self.processor.get(way, 0.0) + time.process_time() - processor


def write_task(name: str, asked: list[Item], folder: Path) -> None:
    """A task of lmms-eval over the questions, in the folder."""
    file = folder / f"{name}.parquet"
    rows = {
        "image": [item.image for item in asked],
        "question": [item.question for item in asked],
        "answer": [item.answer for item in asked],
    }
    data = datasets.Dataset.from_dict(rows).cast_column("image", datasets.Image())
    data.to_parquet(file)
    config = {
        "task": name,
        "dataset_path": "parquet",
        "dataset_kwargs": {"data_files": {"test": str(file)}},
        "test_split": "test",
        "output_type": "generate_until",
        "doc_to_text": "{{question}}",
        "doc_to_target": "answer",
        "generation_kwargs": {"max_new_tokens": NEW_TOKENS},
        "metric_list": [
            {
                "metric": "exact_match",
                "aggregation": "mean",
                "higher_is_better": True,
                "ignore_case": True,
            }
        ],
    }
    shown = "doc_to_visual: !function openmova.evaluate.grounding.picture\n"
    (folder / f"{name}.yaml").write_text(yaml.safe_dump(config) + shown)


class Asking:
    """The two ways to answer a part of the questions."""

    def __init__(self, model: str, batch: int, tasks: Path) -> None:
        self.batch = batch
        self.plugin = OpenMova(model)
        self.mova = self.plugin.mova
        self.known = TaskManager("ERROR", include_path=str(tasks))

    def ask_batch(self, part: list[Item]) -> list[str]:
        pairs = [(item.image, item.question) for item in part]
        answers = self.mova.ask_batch(pairs, max_new_tokens=NEW_TOKENS, batch_size=self.batch)
        return [answer.text for answer in answers]

    def lmms_eval(self, task: str, output: Path, batch: int) -> list[Any]:
        """Answer, experts and score of each question."""
        self.plugin.mova = self.mova  # lmms-eval frees it after every run
        self.plugin.output, self.plugin.batch_size = output, batch
        found = simple_evaluate(
            model=self.plugin, tasks=[task], task_manager=self.known, bootstrap_iters=0
        )
        scores = {s["doc_id"]: s["exact_match"] for s in found["samples"][task]}
        rows = map(json.loads, (output / "samples.jsonl").read_text().splitlines())
        return [(row["answer"], row["experts"], scores[i]) for i, row in enumerate(rows)]


def mean_score(given: list[Any]) -> float:
    return 100 * sum(score for *_, score in given) / len(given)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--model", default="nano")
    parser.add_argument("--questions", type=int, default=1000)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    quiet_libraries()
    logger.remove()
    asked = items(options.seed, options.questions)
    parts = {f"part_{i}": asked[i : i + PART] for i in range(0, len(asked), PART)}
    raw: list[str] = []
    batched: list[Any] = []
    single: list[Any] = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for name, part in parts.items():
            write_task(name, part, folder)
        asking, watch = Asking(options.model, options.batch, folder), Watch()
        asking.ask_batch(asked[: options.batch])  # the experts are read
        for number, (name, part) in enumerate(parts.items()):
            for way in ("raw", "lmms") if number % 2 else ("lmms", "raw"):
                with watch(way):
                    if way == "raw":
                        raw += asking.ask_batch(part)
                    else:
                        batched += asking.lmms_eval(name, folder / f"{name}-b", options.batch)
            single += asking.lmms_eval(name, folder / f"{name}-1", 1)
            differing = sum(a != b for a, b in zip(batched, single, strict=True))
            print(f"{len(single)} of {len(asked)} questions, {differing} differ", flush=True)
    beside = sum(a != b for a, (b, *_) in zip(raw, batched, strict=True))
    n = len(asked)
    print(f"\nbatches of {options.batch}: {mean_score(batched):.2f}% exact")
    print(f"one by one: {mean_score(single):.2f}% exact")
    print(f"questions of which answer, experts or score differ: {differing} of {n}")
    print(f"answers that differ from ask_batch's: {beside} of {n}")
    for name, seconds in (("clock", watch.clock), ("processor", watch.processor)):
        print(
            f"by the {name}: ask_batch {n / seconds['raw']:.2f} questions/s, lmms-eval "
            f"{n / seconds['lmms']:.2f}: {100 * seconds['raw'] / seconds['lmms']:.1f}%"
        )


if __name__ == "__main__":
    main()
