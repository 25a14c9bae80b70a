"""The engine: answers in company equal answers alone, places are freed, nobody is forgotten."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from PIL import Image

from inference.asking import CALIBRATION, Asked, question, running, tiny_mova
from openmova import Mova
from openmova.inference.engine import Engine, RoutingEvent, Unavailable
from tiny import pictures

TEXTS = ["what is this ?", "how many dogs ?", "what red ?", "is this a red cat or blue dogs ?"]
EXPERTS = [None, None, "none", "all", "one", "two,three"]


@pytest.fixture
def held(mova: Mova, monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Until it is set, the model does not look at any picture."""
    go = threading.Event()
    encode = mova.model.model.encode_base

    def wait(*inputs: Any) -> Any:
        go.wait(60)
        return encode(*inputs)

    monkeypatch.setattr(mova.model.model, "encode_base", wait)
    yield go
    go.set()


def until_taken(engine: Engine) -> None:
    """No question waits for a place."""
    while engine.waiting:
        time.sleep(0.001)


def mixed(count: int) -> list[dict[str, Any]]:
    """Questions that differ in everything."""
    chance = random.Random(0)
    shown = pictures(4)
    return [
        {
            "picture": chance.choice(shown),
            "text": chance.choice(TEXTS),
            "experts": (experts := chance.choice(EXPERTS)),
            "max_experts": chance.choice([None, 0, 1]) if experts is None else None,
            "max_new_tokens": chance.choice([1, 5, 30]),
        }
        for _ in range(count)
    ]


@pytest.mark.parametrize("text", ["llama", "gemma3_text"])
def test_answers_equal_those_of_single_questions(text: str) -> None:
    mova = tiny_mova(text=text, confidence=CALIBRATION)
    asked = mixed(24)
    shared: list[tuple[str, int]] = []
    with running(mova, max_batch_size=5, on_batch=lambda *batch: shared.append(batch)) as engine:
        handed_in = [Asked(engine, question(mova, **one)) for one in asked]
        replies = [one.reply() for one in handed_in]
    for one, reply in zip(asked, replies, strict=True):
        picture, words, *_ = one.values()
        expected = mova.ask(picture, words, **dict(list(one.items())[2:]))
        assert reply.answer.text == expected.text
        assert reply.answer.routing.experts == expected.routing.experts
        assert reply.answer.routing.raw == expected.routing.raw
        torch.testing.assert_close(reply.answer.gates, expected.gates)
        assert reply.answer.log_probs == pytest.approx(expected.log_probs, abs=1e-4)
        assert reply.answer.confidence == pytest.approx(expected.confidence, abs=1e-4)
    assert len({reply.answer.text for reply in replies}) > 3
    assert max(size for stage, size in shared if stage == "look") > 1
    assert max(size for stage, size in shared if stage == "decode") == 5


def test_a_question_joins_answers_that_are_being_written(mova: Mova) -> None:
    first, second = pictures(2)
    with running(mova) as engine:
        long = Asked(engine, question(mova, first, max_new_tokens=150))
        long.until(RoutingEvent)
        short = Asked(engine, question(mova, second, max_new_tokens=2))
        brief, lengthy = short.reply(), long.reply()
    assert short.ended(brief) < long.ended(lengthy)
    assert brief.answer.text == mova.ask(second, TEXTS[0], max_new_tokens=2).text
    assert lengthy.answer.text == mova.ask(first, TEXTS[0], max_new_tokens=150).text


@pytest.mark.parametrize("places", [[], [5], [4, 9]])
def test_pieces_make_up_the_answer_to_a_stop_string(
    mova: Mova, picture: Image.Image, places: list[int]
) -> None:
    whole = mova.ask(picture, TEXTS[0], max_new_tokens=40).text
    stops = ["no such text", *(" ".join(whole.split()[place:][:2]) for place in places)]
    with running(mova) as engine:
        asked = question(mova, picture, max_new_tokens=40, stops=stops, stream=True)
        (reply,), pieces = Asked(engine, asked).replies()
        _, unwatched = Asked(engine, question(mova, picture)).replies()
    cut = min((whole.find(stop) for stop in stops if stop in whole), default=None)
    assert "".join(piece.text for piece in pieces) == reply.answer.text == whole[:cut].strip()
    assert len(pieces) > 1
    assert (reply.finish, reply.tokens < 40) == (("stop", True) if places else ("length", False))
    assert unwatched == []


def test_several_answers_are_drawn_apart_and_repeated_by_a_seed(
    mova: Mova, picture: Image.Image
) -> None:
    wanted = question(mova, picture, temperature=1.5, seed=7, answers=3)
    company = question(mova, pictures(2)[1], temperature=1.0, max_new_tokens=20)
    with running(mova) as engine:
        replies, _ = Asked(engine, wanted).replies()
        others = [Asked(engine, company) for _ in range(3)]
        again, _ = Asked(engine, wanted).replies()
        for other in others:
            other.reply()
    texts = [reply.answer.text for reply in replies]
    assert texts == [reply.answer.text for reply in again]
    assert len(set(texts)) > 1


class TestPlaces:
    def test_a_full_queue_refuses(
        self, mova: Mova, picture: Image.Image, held: threading.Event
    ) -> None:
        with running(mova, max_batch_size=1, max_queue=2) as engine:
            first = Asked(engine, question(mova, picture))
            until_taken(engine)
            others = [Asked(engine, question(mova, picture)) for _ in range(2)]
            with pytest.raises(Unavailable, match="2 questions wait already") as refused:
                Asked(engine, question(mova, picture))
            assert refused.value.full and refused.value.retry_after >= 1
            held.set()
            assert all(one.reply().answer.text for one in [first, *others])

    def test_what_is_cancelled_while_it_waits_leaves_the_queue(
        self, mova: Mova, picture: Image.Image, held: threading.Event
    ) -> None:
        with running(mova, max_batch_size=1, max_queue=1) as engine:
            first = Asked(engine, question(mova, picture))
            until_taken(engine)
            engine.cancel(Asked(engine, question(mova, picture)).ticket)
            last = Asked(engine, question(mova, picture))  # there is room again
            held.set()
            assert first.reply().answer.text == last.reply().answer.text

    def test_what_is_cancelled_frees_its_place(self, mova: Mova, picture: Image.Image) -> None:
        with running(mova, max_batch_size=1) as engine:
            long = Asked(engine, question(mova, picture, max_new_tokens=200, stream=True))
            long.until(RoutingEvent)
            waiting = Asked(engine, question(mova, picture))
            engine.cancel(long.ticket)
            engine.cancel(long.ticket)
            assert waiting.reply().answer.text
        left = list(long.events.queue)
        assert not any(type(event).__name__ == "Reply" for event in left)


class TestTime:
    def test_an_answer_is_cut_short(
        self, mova: Mova, picture: Image.Image, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with running(mova) as engine:
            step = engine._decode.step
            monkeypatch.setattr(engine._decode, "step", lambda: (time.sleep(0.01), step()))
            asked = question(mova, picture, max_new_tokens=200, max_seconds=0.5)
            reply = Asked(engine, asked).reply()
        assert reply.finish == "length"
        assert reply.tokens < 200

    def test_who_waited_too_long_is_told(
        self, mova: Mova, picture: Image.Image, held: threading.Event
    ) -> None:
        with running(mova, max_batch_size=1) as engine:
            first = Asked(engine, question(mova, picture))
            late = Asked(engine, question(mova, picture, max_seconds=0.01))
            time.sleep(0.05)
            held.set()
            assert first.reply().answer.text
            with pytest.raises(Unavailable, match="no place was free"):
                late.reply()

    def test_timings_add_up(self, mova: Mova, picture: Image.Image) -> None:
        with running(mova) as engine:
            timings = Asked(engine, question(mova, picture)).reply().answer.timings
        stages = ["waiting", "prepare", "base", "routing", "experts", "adapter", "answer"]
        assert list(timings) == [*stages, "total"]
        assert sum(timings[stage] for stage in stages) == pytest.approx(timings["total"])


class TestFaults:
    def test_of_one_question_is_not_its_neighbours(
        self, mova: Mova, monkeypatch: pytest.MonkeyPatch, held: threading.Event
    ) -> None:
        good, bad = pictures(2)
        prepare = mova.processor.image_processor.__class__.__call__

        def choke(self: Any, images: Any, *args: Any, **options: Any) -> Any:
            if any(image.tobytes() == bad.tobytes() for image in images):
                raise RuntimeError("no such picture")
            return prepare(self, images, *args, **options)

        monkeypatch.setattr(mova.processor.image_processor.__class__, "__call__", choke)
        with running(mova) as engine:
            first = Asked(engine, question(mova, good))
            until_taken(engine)
            wrong, right = (Asked(engine, question(mova, picture)) for picture in (bad, good))
            held.set()
            with pytest.raises(RuntimeError, match="no such picture"):
                wrong.reply()
            assert right.reply().answer.text == first.reply().answer.text

    def test_in_the_decode_is_told_to_all_and_the_engine_goes_on(
        self, mova: Mova, picture: Image.Image, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with running(mova) as engine:

            def fail() -> None:
                monkeypatch.undo()
                raise RuntimeError("out of memory")

            monkeypatch.setattr(engine._decode, "step", fail)
            with pytest.raises(RuntimeError, match="out of memory"):
                Asked(engine, question(mova, picture)).reply()
            assert Asked(engine, question(mova, picture)).reply().answer.text


def test_closing_answers_what_it_has_and_takes_no_more(mova: Mova, picture: Image.Image) -> None:
    engine = Engine(mova, max_batch_size=2)
    asked = [Asked(engine, question(mova, picture)) for _ in range(6)]
    engine.close()
    assert not engine.ready
    assert all(one.reply().answer.text for one in asked)
    with pytest.raises(Unavailable, match="closing"):
        Asked(engine, question(mova, picture))
