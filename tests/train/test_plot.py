"""A run's picture: one panel for each thing that the log tells of."""

from __future__ import annotations

from pathlib import Path

import matplotlib.figure
import pytest
from PIL import Image

from openmova.train import plot
from openmova.train import run_folder as folder_module
from openmova.train.plot import DOMAINS, draw_log
from openmova.train.run_folder import RunFolder


def entry(step: int, domains: list[str]) -> dict[str, object]:
    seen = {
        "samples": 4,
        "loss": 1 / step,
        "chosen": {"text": 0.0, "chart": 1.0},
        "gates": {"chart": [0.4, 0.6]},
    }
    return {
        "step": step,
        "loss": 1 / step,
        "learning_rate/adapter": 1e-4,
        "experts": {"text": {"chosen": 0.0, "gate": 0.0}, "chart": {"chosen": 1.0, "gate": 0.5}},
        "domains": dict.fromkeys(domains, seen),
    }


@pytest.fixture
def panels(monkeypatch: pytest.MonkeyPatch) -> list[matplotlib.axes.Axes]:
    """The panels of the figures that are drawn."""
    kept: list[matplotlib.axes.Axes] = []
    original = plot._panel

    def panel(axes: matplotlib.axes.Axes, *args: object) -> None:
        original(axes, *args)
        kept.append(axes)

    monkeypatch.setattr(plot, "_panel", panel)
    return kept


def test_panels_have_the_log_s_numbers(tmp_path: Path, panels: list[matplotlib.axes.Axes]) -> None:
    entries = [entry(1, ["forms"]), entry(2, ["forms"])]
    entries.append({"step": 2, "eval_loss": 0.7, "eval_exact": 0.25, "eval_routing": 0.5})
    draw_log(entries, tmp_path / "plot.png")
    with Image.open(tmp_path / "plot.png") as picture:
        assert picture.width > 1000
    titles = [p.get_title() for p in panels]
    assert titles[:3] == ["loss", "learning rate", "evaluation"]
    assert titles[3:] == ["share of the samples", "mean weight where chosen", "gates: forms"]
    drawn = {line.get_label(): line.get_xydata().tolist() for line in panels[0].get_lines()}
    assert drawn["all"] == drawn["forms"] == [[1, 1.0], [2, 0.5]]
    assert drawn["held out"] == [[2, 0.7]]
    for panel, value in zip(panels[3:], (1.0, 0.5, 0.5), strict=True):
        (line,) = panel.get_lines()
        assert line.get_label() == "chart"
        assert line.get_xydata().tolist() == [[1, value], [2, value]]


def test_panels_of_learning_by_reward(tmp_path: Path, panels: list[matplotlib.axes.Axes]) -> None:
    entries = [
        {"step": step, "loss": 0.0, "reward/all": 2.0 * step, "groups/without_spread": 0.5}
        for step in (1, 2)
    ]
    draw_log(entries, tmp_path / "plot.png")
    assert [p.get_title() for p in panels] == ["loss", "reward", "shares of the groups"]
    (line,) = panels[1].get_lines()
    assert line.get_xydata().tolist() == [[1, 2.0], [2, 4.0]]
    assert panels[1].get_ylim()[1] > 4


def test_logs_of_nothing_and_of_much(tmp_path: Path, panels: list[matplotlib.axes.Axes]) -> None:
    draw_log([], tmp_path / "none.png")
    assert (tmp_path / "none.png").exists()
    assert not panels
    draw_log([entry(1, [f"domain {i}" for i in range(30)])], tmp_path / "many.png")
    assert sum(p.get_title().startswith("gates") for p in panels) == DOMAINS


def test_no_picture_without_matplotlib(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Path] = []
    monkeypatch.setattr(folder_module, "draw_log", lambda entries, file: drawn.append(file))
    RunFolder(tmp_path).draw()
    monkeypatch.setattr(folder_module, "can_draw", lambda: False)
    RunFolder(tmp_path).draw()
    assert drawn == [tmp_path / "plot.png"]
