"""docs/evaluation.md: its tasks are in lmms-eval or ours, its Python runs."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path

import pytest

from openmova.evaluate import tasks

PAGE = (Path(__file__).parents[2] / "docs/evaluation.md").read_text()


def test_the_python_runs() -> None:
    for block in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL):
        exec(compile(block, "docs/evaluation.md", "exec"), {})


def test_every_task_of_the_table_exists() -> None:
    if (found := find_spec("lmms_eval")) is None or found.submodule_search_locations is None:
        pytest.skip("lmms-eval is not installed (the Makefile does it)")
    folders = [Path(found.submodule_search_locations[0]) / "tasks", Path(tasks.__path__[0])]
    texts = [file.read_text() for folder in folders for file in folder.rglob("*.yaml")]
    known = {name for text in texts for name in re.findall(r'^task: "?([\w+]+)"?', text, re.M)}
    table = PAGE.partition("| benchmark |")[2].partition("\n\n")[0]
    cells = [row.split("|")[2] for row in table.splitlines()[2:]]
    assert len(cells) == 21
    quoted = [words.split()[0] for cell in cells for words in cell.split("`")[1::2]]
    names = {name for name in quoted if not name.startswith("...")}
    assert len(names) > 20
    assert names <= known
