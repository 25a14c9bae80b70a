"""`openmova add-expert --data FILE`: the new expert's part of the adapter and the router learn."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file

from checkpoints import public
from commands import mistake, output, run
from openmova import Mova, MovaConfig
from openmova.data.records import write_llava
from openmova.data.synthetic import SyntheticSamples
from openmova.train.new_expert import mark_as_learned
from tiny import pictures

NAME = "corners"
FAST = ("steps=3", "batch=2", "precision=float32", "weight_decay=0.1")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return public.save_tiny_mova(tmp_path_factory.mktemp("models") / "three")


@pytest.fixture(scope="module")
def expert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("expert")
    public.dinov2(use_swiglu_ffn=False).save_pretrained(folder / "weights")
    keys = {"name": NAME, "kind": "hf", "source": str(folder / "weights"), "size": 28}
    (folder / "corners.yaml").write_text(
        yaml.safe_dump(keys | dict.fromkeys(("mean", "std"), [0.5] * 3))
    )
    return folder / "corners.yaml"


def labelled(file: Path, count: int, *, others: bool) -> Path:
    """Generated samples, those of the third domain for the new expert beside another."""
    samples = [SyntheticSamples(count)[index] for index in range(count)]
    experts = {"location": (NAME, "text")}
    if not others:
        samples = [sample for sample in samples if sample.domain in experts]
    write_llava((replace(s, experts=experts.get(s.domain, (s.domain,))) for s in samples), file)
    return file


def command(model: Path, expert: Path, target: Path) -> tuple[object, ...]:
    return ("add-expert", model, expert, "--description", "Finds corners.", "--output", target)


def test_only_its_extractor_gate_column_and_the_router_learn(
    model: Path, expert: Path, tmp_path: Path
) -> None:
    assert "corners is D of the pool; untrained" in output(
        *command(model, expert, tmp_path / "untrained")
    )
    data = labelled(tmp_path / "data.json", 12, others=True)
    told = output(*command(model, expert, tmp_path / "new"), "--data", data, *FAST)
    assert "trained: its extractor and gate column and the router" in told
    before = load_file(tmp_path / "untrained" / "model.safetensors")
    after = load_file(tmp_path / "new" / "model.safetensors")
    changed = set()
    for name, tensor in after.items():
        if name not in before:
            assert ".router_lora." in name and tensor.count_nonzero()
        elif "gate.score" in name:
            assert torch.equal(tensor[:3], before[name][:3])
            assert not torch.equal(tensor[3], before[name][3])
        elif not torch.equal(tensor, before[name]):
            changed.add(name)
    assert changed and all(".extractors.3." in name for name in changed)
    mova = Mova.from_pretrained(tmp_path / "new", device="cpu")
    mova.ask(pictures(1)[0], "Where?", max_new_tokens=1)
    untrained = MovaConfig.from_pretrained(tmp_path / "untrained")
    assert (untrained.routing.unlearned, mova.model.config.routing.unlearned) == (("corners",), ())


def test_the_router_reads_the_line_of_an_expert_that_it_is_to_learn(
    model: Path, expert: Path, tmp_path: Path
) -> None:
    own, grown = tmp_path / "own", tmp_path / "grown"
    shutil.copytree(model, own)
    config = json.loads((own / "config.json").read_text())
    config["routing"]["text_prior"] = 20.0
    (own / "config.json").write_text(json.dumps(config))
    output(*command(own, expert, grown))

    def shown() -> Any:
        return json.loads((grown / "processor_config.json").read_text())["descriptions"]

    descriptions = MovaConfig.from_pretrained(grown).descriptions
    assert shown() == descriptions[:-1]
    mark_as_learned(grown, "corners")
    assert shown() == descriptions


def test_a_router_that_would_see_nothing_else_stays(
    model: Path, expert: Path, tmp_path: Path
) -> None:
    data = labelled(tmp_path / "data.json", 12, others=False)
    result = run(*command(model, expert, tmp_path / "new"), "--data", data, *FAST)
    assert result.exit_code == 0
    assert "every sample is for corners: the router stays as it is" in result.stderr
    assert result.stdout.endswith("trained: its extractor and gate column\n")


def test_of_an_expert_that_speaks_only_the_router_learns(tmp_path: Path) -> None:
    model = public.save_tiny_mova_with_names(tmp_path / "names")
    (tmp_path / "corners.yaml").write_text(yaml.safe_dump({"kind": "echo"}))
    asked = command(model, tmp_path / "corners.yaml", tmp_path / "new")
    data = labelled(tmp_path / "data.json", 6, others=True)
    told = output(*asked, "--data", data, *FAST)
    assert told.endswith("trained: the router\n")


def test_data_and_settings_that_can_not_be_meant(model: Path, expert: Path, tmp_path: Path) -> None:
    asked = command(model, expert, tmp_path / "new")
    assert "need --data" in mistake(*asked, "steps=3")
    write_llava(SyntheticSamples(3), data := tmp_path / "data.json")
    assert "names corners in its experts list" in mistake(*asked, "--data", data)
    other = labelled(tmp_path / "other.json", 6, others=True)
    assert "did you mean steps" in mistake(*asked, "--data", other, "stpes=3")
    again = ("add-expert", model, expert, "--description", "Else.", "--output", tmp_path / "new")
    assert "is of another expert" in mistake(*again, "--data", other)
