"""The study of retrained sides: fair choices, every set once, and a side that learns only from
what its encoders see."""

from __future__ import annotations

import csv
import json
import random
from dataclasses import replace
from itertools import combinations, cycle, islice
from pathlib import Path

import numpy as np
import pytest
import torch

from experts.words import embedding, tokenizer_file
from openmova.experts.token_codes import TokenCodes
from studies.sides import claims, roles, training
from studies.sides.questions import DOMAINS, Choice, draw_choices, made_up, read_choices, split
from studies.sides.side import (
    EXPERTS,
    GRID,
    WIDTH,
    MoVAFusion,
    PlainFusion,
    Reader,
    Words,
)

NAMES = ["".join(letters) for letters in combinations("abcdefgh", 4)][:40]


@pytest.fixture
def codes(tmp_path: Path) -> TokenCodes:
    codes = TokenCodes(str(tokenizer_file(tmp_path / "tokenizer")), WIDTH)
    codes.fit(embedding())
    return codes


@pytest.fixture
def data(codes: TokenCodes) -> training.Data:
    return training.Data(Words(codes), {"base": {"": torch.zeros(1, 472, *GRID)}})


def choices(count: int, seed: int) -> list[Choice]:
    """What the object expert says is the answer; the text expert says something else."""
    rng = random.Random(seed)
    drawn = [rng.sample(NAMES, 4) for _ in range(count)]
    return [
        Choice(
            id=f"{seed}-{i}", domain="object", folder="", number=0, image="",
            question="what is this",
            words={"object": names[0], "text": "closed"}, experts=("object",), choices=tuple(names),
        )
        for i, names in enumerate(drawn)
    ]  # fmt: skip


def test_wrong_answers_are_of_the_same_picture_first() -> None:
    rng = random.Random(0)
    assert draw_choices(rng, "yes", ["3"], ["4"]) == ("yes", "no")
    drawn = draw_choices(rng, "12", ["12", "14", "yes"], ["20", "21", "14"])
    assert drawn[:2] == ("12", "14")
    assert sorted(drawn[2:]) == ["20", "21"]


def test_questions_of_a_folder(tmp_path: Path) -> None:
    for name in {folder for folders in DOMAINS.values() for folder in folders}:
        (tmp_path / name).mkdir()
        for file in ("pictures", "words", "samples"):
            (tmp_path / name / f"{file}.jsonl").touch()
    pictures = [{"id": f"p{i}"} for i in range(3)]
    words = [{"id": "p0", "text": "A", "object": "cat"}, {"id": "p1", "text": "B", "object": ""}]
    samples = [
        {"id": f"{i}", "images": [f"p{i}.png"], "experts": [], "task": task, "question": "?"}
        | {"answer": kind}
        for i, (task, kind) in enumerate([("kind", "map"), ("kind", "photo"), ("other", "x")])
    ]
    for name, rows in (("pictures", pictures), ("words", words), ("samples", samples)):
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (tmp_path / "kinds" / f"{name}.jsonl").write_text(lines)
    first, second = read_choices(tmp_path)
    assert (first.choices, second.choices) == (("map", "photo"), ("photo", "map"))
    assert (first.number, second.number) == (0, 1)
    assert first.words == {"text": "A", "object": "cat"}


def test_a_picture_is_held_out_with_all_its_questions() -> None:
    asked = [
        Choice(
            id=f"{i}", domain="text", folder="signs", number=i % 40, image="", words={}, experts=(),
            question="?", choices=("a", "b"),
        )
        for i in range(200)
    ]  # fmt: skip
    train, test = split(asked)
    assert not {c.number for c in train} & {c.number for c in test}
    assert 0.1 < len(test) / 200 < 0.45


def test_every_set_is_trained_once() -> None:
    plain, mova = roles.sets("plain"), roles.sets("mova")
    assert len(set(plain)) == 63
    assert len(set(mova)) == 32
    assert all(names[0] == "base" for names in mova)


def test_texts_without_pictures(tmp_path: Path) -> None:
    qa = [{"question": f"what is {a}?", "answer": b} for a, b in zip("abc", "xyz", strict=True)]
    line = json.dumps({"text": "a x\nb y\nc z", "qa": qa})
    (tmp_path / "samples.jsonl").write_text(f"{line}\n")
    asked = list(islice(made_up(tmp_path / "samples.jsonl"), 60))
    assert {c.domain for c in asked} == {"text", "object", "location", "chart"}
    assert all(len({*c.choices}) == len(c.choices) > 1 for c in asked)


@pytest.mark.parametrize(
    ("fusion", "names"), [("plain", ("text", "object")), ("mova", ("object",))]
)
def test_a_side_learns_what_its_encoders_see(
    codes: TokenCodes, data: training.Data, fusion: str, names: tuple[str, ...]
) -> None:
    torch.manual_seed(0)
    study = training.Study(
        codes=codes, data=data, train=choices(800, 1), test=choices(100, 2), reader=Reader()
    )
    share = {}
    for name in names:
        encoders = ("base", name)
        side = training.Side(training.new_fusion(study, fusion, encoders), Reader())
        rng = random.Random(0)
        batches = (data.batch(rng.choices(study.train, k=16), encoders) for _ in range(60))
        training.fit(side, batches, 60, rate=3e-3)
        share[name] = sum(training.answers(side, data, study.test, encoders)) / 100
    assert share["object"] > 0.7
    assert share.get("text", 0) < 0.45


def test_training_ends_when_the_loss_is_flat(
    data: training.Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "CHECK", 4)
    side = training.Side(PlainFusion(("base", "object")), Reader())
    batches = cycle([data.batch(choices(4, 1), ("base", "object"))])
    losses = [0.9, 0.8, *[0.85] * 20]
    states = []

    def held_out() -> float:
        states.append(side.reader.score[1].weight.clone())
        return losses[len(states) - 1]

    steps = training.fit_until_flat(side, batches, held_out)
    assert steps == 8 * training.CHECK  # two checks without a better one before each of three falls
    assert torch.equal(side.reader.score[1].weight, states[1])
    assert not torch.equal(states[1], states[-1])


@pytest.mark.parametrize("fusion", ["plain", "mova"])
def test_what_a_side_writes_for_roles(
    codes: TokenCodes, data: training.Data, fusion: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = training.Study(
        codes=codes, data=data, train=choices(20, 1), test=choices(6, 2), reader=Reader()
    )
    monkeypatch.setattr(training, "STEPS", 2)
    side, tokens = roles.measure(study, fusion, ("base", "text"), 0)
    assert [answer["id"] for answer in side["answers"]] == [choice.id for choice in study.test]
    assert side["encoders"] == (["base", "text"] if fusion == "plain" else ["text"])
    if fusion == "mova":  # a set of one expert, whose "closed" is one word of each picture
        assert tokens["before/text"].shape == tokens["after/text"].shape == (6, WIDTH)
    else:
        assert not tokens


def test_what_is_not_chosen_changes_nothing(codes: TokenCodes, data: training.Data) -> None:
    encoders = ("base", "text", "object")
    asked = choices(4, 5)
    for fusion in (PlainFusion(encoders), MoVAFusion(encoders, codes)):
        tokens = []
        for text in ("closed", "open on sundays"):
            said = [replace(one, words={**one.words, "text": text}) for one in asked]
            batch = data.batch(said, encoders, lambda one: ("object",))
            tokens.append(fusion(batch.maps, batch.routing, batch.question))
        assert torch.equal(*tokens)


def test_intervals_and_verdicts() -> None:
    always, never = np.ones((3, 50), bool), np.zeros((3, 50), bool)
    assert claims.interval(always) == (1.0, 1.0, 1.0)
    assert claims.interval(always, never) == (1.0, 1.0, 1.0)
    half = np.arange(150).reshape(3, 50) % 2 == 0
    value, low, high = claims.interval(half, never)
    assert value == 0.5
    assert 0.3 < low < 0.45 and 0.55 < high < 0.7
    assert claims.verdict([(0.1, 0.05, 0.2)], 0.0) == "holds"
    assert claims.verdict([(0.1, 0.05, 0.2), (-0.2, -0.3, -0.1)], 0.0) == "does not hold"
    assert claims.verdict([(0.0, -0.1, 0.1)], -0.02) == "undecided"


def test_ways_to_choose_experts() -> None:
    (asked,) = choices(1, 0)
    scores = {"text": 0.9, "layout": 0.1, "object": 0.6, "location": 0.0, "chart": 0.2}
    router = {asked.id: {"id": asked.id, "experts": ["text", "object"], "scores": scores}}
    ways = claims.choices_by(router)
    assert ways["router"](asked) == ["text", "object"]
    assert ways["truth"](asked) == ("object",)
    assert len({*ways["random"](asked)}) == 2
    assert (ways[claims.ALL](asked), ways[claims.NONE](asked)) == (EXPERTS, ())
    assert ways["text+chart"](asked) == ("text", "chart")
    assert ways["best 3"](asked) == ["text", "object", "chart"]


def test_groups_of_questions() -> None:
    (one,) = choices(1, 0)
    crowd = replace(one, words={**one.words, "layout": "1 table", "location": "nothing"})
    pair = replace(one, domain="chart", experts=("text", "chart"))
    groups = claims.columns([one, crowd, pair])
    assert {name: inside.tolist() for name, inside in groups.items()} == {
        "chart": [False, False, True],
        "object": [True, True, False],
        "two experts": [False, False, True],
        "clutter": [False, True, False],
        "all": [True, True, True],
    }


def test_tables_of_all_rows(tmp_path: Path) -> None:
    """MoVA is in every table; the one larger encoder costs what the router's choice does."""
    crowd = {"experts": ("text", "chart"), "words": {"layout": "1 table", "location": "1 dog"}}
    test = [replace(one, folder="photos", **crowd) for one in choices(12, 0)]
    scores = dict.fromkeys(EXPERTS, 0.1)
    router = {
        one.id: {"id": one.id, "experts": ["text"] if i % 2 else [], "scores": scores}
        for i, one in enumerate(test)
    }
    ways = claims.choices_by(router)
    costs = {"photos": {"base": 1.0, **dict.fromkeys(EXPERTS, 2.0)}}
    rng = random.Random(0)

    def answered(name: str) -> dict[str, list[bool]]:
        routes = claims.VARIANTS[name].routes
        return {way: rng.choices([True, False], k=12) for way in (ways if routes else [claims.ALL])}

    found = {name: [answered(name) for _ in claims.SEEDS] for name in claims.VARIANTS}
    lines = claims.rows(found, test, ways, costs)
    claims.write_results(lines, test, tmp_path)
    claims.plot(tmp_path)
    claims.plot_costs(found[claims.ROUTED], test, ways, costs, tmp_path)
    assert {file.suffix for file in tmp_path.iterdir()} == {".csv", ".png"}
    with open(tmp_path / "results.csv", newline="", encoding="utf-8") as file:
        table = [row for row in csv.DictReader(file) if row["column"] == "all"]
    mova = [row for row in table if row["row"] == claims.ROUTED]
    assert [row["table"] for row in mova] == list(claims.TABLES)
    seconds = {row["row"]: float(row["seconds"]) for row in table}
    assert seconds["large alone"] == seconds[claims.ROUTED] == 2.0
    assert (seconds["all experts"], seconds["K = 2"], seconds["text alone"]) == (11.0, 5.0, 2.0)
