"""A checkpoint with experts masked: as if they had never been chosen, whole after any stop."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from data.files import llava
from openmova.analysis import masking
from openmova.analysis.masking import ZeroMaps, expert_parameters, mask_experts
from openmova.analysis.roles import expert_subsets, roles
from openmova.data.formats import read_samples
from openmova.data.sources import Samples
from openmova.inference.feature_cache import FeatureMemory, ImageFeatures
from openmova.inference.mova import Mova
from openmova.routing.selection import ExpertSelection
from openmova.runtime.run_store import Journal

POOL = ("text", "chart", "location")


@pytest.fixture
def samples(tmp_path: Path) -> Samples:
    for number in range(2):
        Image.effect_noise((40, 30 + number), 60).save(tmp_path / f"{number}.png")
    records = [
        llava(f"<image>\nWhich {n}?", str(n), id=str(n), image=f"{n % 2}.png", domain="xy"[n % 2])
        for n in range(4)
    ]
    records.insert(2, llava(image="ghost.png"))
    path = tmp_path / "data.json"
    path.write_text(json.dumps(records))
    return read_samples(path)


def asked(mova: Mova, samples: Samples, **options: Any) -> list[dict[str, Any]]:
    journal = options.pop("journal", None) or Journal()
    mask_experts(mova, samples, POOL, max_new_tokens=3, batch=2, journal=journal, **options)
    return [{k: v for k, v in row.items() if k != "seconds"} for row in journal.rows.values()]


def test_each_set_answers_as_if_the_others_had_never_been_chosen(
    listening_mova: Mova, samples: Samples
) -> None:
    rows = asked(listening_mova, samples)
    for row in (rows[0], rows[4]):
        sample = samples[int(row["id"]) + (row is rows[4])].open()
        for names in expert_subsets(POOL):
            answer = listening_mova.ask(
                sample.image, sample.question, experts=names, max_new_tokens=3
            )
            assert row["answers"]["+".join(names) or "none"] == answer.text
    assert "there is no file" in rows[2]["left_out"]


def test_masked_by_the_routing_is_never_routed_to_the_bit(listening_mova: Mova) -> None:
    mova = listening_mova
    torch.manual_seed(0)
    image = Image.effect_noise((40, 30), 60).convert("RGB")
    inputs = mova.processor(
        images=[image], text=["<image>\nWhat?"], questions=["What?"], return_tensors="pt"
    )

    def tokens(names: tuple[str, ...], memory: FeatureMemory | None = None) -> torch.Tensor:
        selection = ExpertSelection.of(names, None, mova.experts)
        return mova.model.encode_images(inputs, selections=[selection], memory=memory).tokens

    known = ImageFeatures()
    everything = tokens(POOL, FeatureMemory(mova.model, [known]))
    assert len(known.experts) == 3
    for names in expert_subsets(POOL):
        fresh = ImageFeatures()
        never = tokens(names, FeatureMemory(mova.model, [fresh]))
        assert len(fresh.experts) == len(names)  # the others did not even run
        assert torch.equal(tokens(names, FeatureMemory(mova.model, [known])), never)
        torch.testing.assert_close(tokens(names), never)
        zeros = tokens(POOL, ZeroMaps(mova, [known], names))
        assert torch.equal(zeros, everything) == (names == POOL)
        assert torch.equal(zeros, never) == (names == POOL)  # biases and norms are not absent


def test_encoders_run_once_a_picture(
    listening_mova: Mova, samples: Samples, monkeypatch: pytest.MonkeyPatch
) -> None:
    core = listening_mova.model.model
    base, experts, runs = core.encode_base, core.encode_experts, [0, 0]

    def encode_base(pixels: Any, sizes: Any) -> Any:
        runs[0] += len(pixels)
        return base(pixels, sizes)

    def encode_experts(pixels: Any, sizes: Any, routing: torch.Tensor) -> Any:
        runs[1] += int(routing.sum())
        return experts(pixels, sizes, routing)

    monkeypatch.setattr(core, "encode_base", encode_base)
    monkeypatch.setattr(core, "encode_experts", encode_experts)
    monkeypatch.setattr(masking, "measure_ranks", lambda *given: {})
    monkeypatch.setattr(listening_mova.model, "route", None)
    asked(listening_mova, samples)
    assert runs == [2, 2 * 3]  # two pictures, three experts


def test_a_stopped_run_goes_on_to_the_whole(
    listening_mova: Mova, samples: Samples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = asked(listening_mova, samples)
    real: Callable[..., Any] = masking._ask
    told: list[float] = []

    def stopping(*given: Any) -> Any:
        if told:
            raise KeyboardInterrupt
        return real(*given)

    monkeypatch.setattr(masking, "_ask", stopping)
    path = tmp_path / "run"
    with Journal.opened(path, {}) as journal, pytest.raises(KeyboardInterrupt):
        asked(listening_mova, samples, journal=journal, tell_seconds=told.append)
    assert len((path / "samples.jsonl").read_text().splitlines()) == 2
    assert len(told) == 1 and told[0] > 0
    monkeypatch.setattr(masking, "_ask", real)
    with Journal.opened(path, {}) as journal:
        assert asked(listening_mova, samples, journal=journal) == whole


def test_what_is_found_of_a_checkpoint(listening_mova: Mova, samples: Samples) -> None:
    found = roles(mask_experts(listening_mova, samples, POOL[:2], max_new_tokens=3, zeros=True))
    assert list(found["overall"]["scores"]) == ["none", "text", "chart", "text+chart"]
    assert {name: group["n"] for name, group in found["domains"].items()} == {"x": 2, "y": 2}
    ranks = found["ranks"]["encoders"]["text"]
    assert ranks["parameters"] == expert_parameters(listening_mova, "text") > 1000
    # Four questions of 64 cells are enough for 24 channels, and not for the adapter's 32.
    assert ranks["alone"]["before"] == ranks["joint"]["before"]
    assert 1 < ranks["alone"]["before"]["rank"] <= 24
    assert ranks["alone"]["after"] == {"tokens": 256, "channels": 32, "rank": None}
    assert any("needs 320: give more pictures" in note for note in found["notes"])
