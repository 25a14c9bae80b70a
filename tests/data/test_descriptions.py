"""The pool: what the router is told, of a model or out of a file."""

from __future__ import annotations

from pathlib import Path

import pytest

from openmova.checkpoints.mova_specs import RELEASED_ORDER, mova_8b
from openmova.data.descriptions import PoolDescriptions
from openmova.errors import UserError
from openmova.model.configuration_mova import MovaConfig
from openmova.routing.augment import without_names
from tiny import tiny_config

PAPER = Path(__file__).parents[2] / "recipes" / "descriptions.yaml"


def written(folder: Path, text: str) -> Path:
    path = folder / "pool.yaml"
    path.write_text(text)
    return path


def test_a_model_brings_its_instruction_and_all_descriptions() -> None:
    config = tiny_config()
    pool = PoolDescriptions.of_model(config)
    assert list(pool.descriptions) == config.expert_names
    assert [texts[0] for texts in pool.descriptions.values()] == config.descriptions
    assert pool.instruction == config.routing.instruction


def test_a_file_is_a_pool_or_describes_the_experts_of_a_model(tmp_path: Path) -> None:
    path = written(tmp_path, "ocr: It reads.\nchart: [It plots., Plots are read.]\n")
    pool = PoolDescriptions.of_file(path)
    assert pool.descriptions == {"ocr": ("It reads.",), "chart": ("It plots.", "Plots are read.")}
    described = pool.described_by(written(tmp_path, "chart: [Bars.]\n"))
    assert described.descriptions == {"ocr": ("It reads.",), "chart": ("Bars.",)}
    with pytest.raises(UserError, match=r"describes 'charts'.*did you mean chart"):
        pool.described_by(written(tmp_path, "charts: [Bars.]\n"))


def test_the_paraphrases_of_the_papers_experts_begin_with_the_released_text() -> None:
    pool = PoolDescriptions.of_model(MovaConfig(**mova_8b()))
    described = pool.described_by(PAPER)
    assert tuple(described.descriptions) == RELEASED_ORDER
    for name, texts in described.descriptions.items():
        assert texts[0] == pool.descriptions[name][0]
        assert len(set(texts)) == len(texts) >= 5
        for text in texts:
            assert without_names(text) == text
            assert name not in text.lower()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[a, b]", "holds no descriptions"),
        ("", "holds no descriptions"),
        ("a: []", "gives 'a' no description"),
        ("a: {b: c}", "gives 'a' no description"),
        ("a: [3]", "describes 'a' by 3"),
        ("a: ['two\\n\\n  lines']", "give texts of one line"),
        ("yes: [It reads.]", "put its name in quotes"),
        ("a: [", "is no YAML"),
    ],
)
def test_a_file_without_descriptions_is_refused(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(UserError, match=told):
        PoolDescriptions.of_file(written(tmp_path, text.replace("\\n", "\n")))
    with pytest.raises(UserError, match="No such file"):
        PoolDescriptions.of_file(tmp_path / "none.yaml")
