"""Mova: answers equal the model's own generation, batches equal single questions, limits hold."""

from __future__ import annotations

import io
import json
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor

from commands import fault
from inference.asking import CALIBRATION, tiny_mova
from openmova import Box, Mova
from openmova.inference.shared_decode import PADDING
from openmova.inference.text_stream import TextStream
from openmova.routing.selection import ExpertSelection
from tiny import pictures

QUESTIONS = ["what is this ?", "how many dogs ?", "what red ?"]
STAGES = ["prepare", "base", "routing", "experts", "adapter", "answer", "total"]


class TestAsk:
    def test_equals_the_models_own_generation(self, mova: Mova, picture: Image.Image) -> None:
        answer = mova.ask(picture, QUESTIONS[0], max_new_tokens=6)
        inputs = mova.processor(images=[picture], questions=[QUESTIONS[0]], return_tensors="pt")
        ids = mova.model.generate(
            inputs.pop("input_ids"), **inputs, max_new_tokens=6, do_sample=False
        )
        new_ids = ids[:, -6:]
        expected = mova.processor.tokenizer.batch_decode(new_ids, skip_special_tokens=True)[0]
        assert answer.text
        assert expected.endswith(answer.text)

    def test_tells_routing_gates_and_timings(self, mova: Mova, picture: Image.Image) -> None:
        answer = mova.ask(picture, QUESTIONS[0], experts="one,three", max_new_tokens=2)
        torch.testing.assert_close(answer.gates.sum(dim=1), torch.ones(2))
        assert list(answer.timings) == STAGES
        assert 0 < sum(answer.timings[stage] for stage in STAGES[:-1]) <= answer.timings["total"]
        plain = mova.ask(picture, QUESTIONS[0], experts=["two"], max_new_tokens=2).to_dict()
        assert plain["routing"] == {"experts": ["two"], "scores": {}, "raw": ""}
        assert plain["gates"] == [{"two": 1.0}, {"two": 1.0}]

    def test_the_routers_scores_and_its_limit(self, mova: Mova, picture: Image.Image) -> None:
        routing = mova.ask(picture, QUESTIONS[0], max_experts=0, max_new_tokens=1).routing
        assert routing.experts == ()
        assert list(routing.scores) == ["one", "two", "three"]
        assert all(0 <= score <= 1 for score in routing.scores.values())

    @pytest.mark.parametrize(
        ("experts", "chosen"),
        [
            ("all", ("one", "two", "three")),
            ("none", ()),
            ([], ()),
            ("three, one", ("one", "three")),
        ],
    )
    def test_the_user_may_choose(
        self, mova: Mova, picture: Image.Image, experts: Any, chosen: tuple[str, ...]
    ) -> None:
        answer = mova.ask(picture, QUESTIONS[0], experts=experts, max_new_tokens=1)
        assert answer.routing.experts == chosen
        assert answer.gates.shape == (2, len(chosen))  # blocks, chosen experts

    def test_unselected_experts_are_never_built(self, picture: Image.Image) -> None:
        fresh = tiny_mova()
        fresh.ask(picture, QUESTIONS[0], experts=["two"], max_new_tokens=1)
        assert fresh.model.model.experts.built == ["two"]

    def test_ends_after_so_many_tokens_and_seconds(self, mova: Mova, picture: Image.Image) -> None:
        for limits in ({"max_new_tokens": 1}, {"max_new_tokens": 100, "max_seconds": 1e-6}):
            assert len(mova.ask(picture, QUESTIONS[0], **limits).text.split()) <= 1
        assert len(mova.ask(picture, QUESTIONS[0], max_new_tokens=3).text.split()) <= 3

    def test_log_probs_are_those_of_a_forward_pass(self, mova: Mova, picture: Image.Image) -> None:
        answer = mova.ask(picture, QUESTIONS[0], experts="one", max_new_tokens=6)
        inputs = mova.processor(images=[picture], questions=[QUESTIONS[0]], return_tensors="pt")
        routing = torch.tensor([[True, False, False]])
        ids = mova.model.generate(
            inputs.pop("input_ids"), **inputs, routing=routing, max_new_tokens=6, do_sample=False
        )
        context = mova.model.encode_images(
            inputs, selections=[ExpertSelection.of("one", None, mova.experts)]
        )
        with torch.no_grad():
            logits = mova.model(input_ids=ids, image_tokens=context.tokens).logits[0]
        logits[:, mova.model.config.image_token_id] = -torch.inf
        new = len(answer.log_probs)
        expected = logits.log_softmax(-1)[-new - 1 : -1].gather(-1, ids[0, -new:, None])[:, 0]
        torch.testing.assert_close(torch.tensor(answer.log_probs), expected, atol=1e-4, rtol=1e-4)

    def test_a_calibrated_model_gives_confidence(self, mova: Mova, picture: Image.Image) -> None:
        answer = mova.ask(picture, QUESTIONS[0], max_new_tokens=2)
        assert answer.confidence is None and not answer.is_unsure
        assert "confidence" not in answer.to_dict()
        for below, unsure in ((0.0, False), (1.0, True)):
            calibrated = tiny_mova(confidence={**CALIBRATION, "unsure_below": below})
            answer = calibrated.ask(picture, QUESTIONS[0], max_new_tokens=2)
            plain = answer.to_dict()
            assert 0 < plain["confidence"] < 1
            assert plain["unsure"] is answer.is_unsure is unsure


class TestBatch:
    def test_no_prompt_is_padded_to_a_much_longer_one(
        self, mova: Mova, picture: Image.Image, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        questions = [QUESTIONS[0], "what is this ? " * 40, QUESTIONS[1]]
        asked = [(picture, question) for question in questions]
        alone = [mova.ask(*one, experts="one", max_new_tokens=4) for one in asked]
        read: list[tuple[int, int]] = []
        forward = mova.model.forward

        def watch(*, input_ids: Tensor, **inputs: Any) -> Any:
            if input_ids.shape[1] > 1:
                read.append((input_ids.shape[0], input_ids.shape[1]))
            return forward(input_ids=input_ids, **inputs)

        monkeypatch.setattr(mova.model, "forward", watch)
        together = mova.ask_batch(asked, experts="one", max_new_tokens=4)
        assert [answer.text for answer in together] == [answer.text for answer in alone]
        (rows, longest), (others, length) = read
        assert (rows, others) == (1, 2)
        assert longest - length > PADDING

    def test_equals_single_questions_at_once_and_in_parts(self) -> None:
        mova = tiny_mova(confidence=CALIBRATION)
        mova.model.generation_config.eos_token_id = list(range(5, 12))
        items = [(image, question) for image in pictures(3) for question in QUESTIONS]
        singles = [mova.ask(image, question, max_new_tokens=12) for image, question in items]
        assert len({len(answer.log_probs) for answer in singles}) > 1
        for size in (9, 4):
            batched = mova.ask_batch(iter(items), max_new_tokens=12, batch_size=size)
            for answer, alone in zip(batched, singles, strict=True):
                assert answer.text == alone.text
                assert answer.routing.experts == alone.routing.experts
                assert answer.log_probs == pytest.approx(alone.log_probs, abs=1e-5)
                assert answer.confidence == pytest.approx(alone.confidence, abs=1e-5)
        assert mova.ask_batch([]) == []


class TestRegions:
    """What the answers' boxes refer to; the texts are given, not generated."""

    SAID = "A [0.25, 0.50, 0.75, 0.60] and [0.25, 0.50, 0.75, 0.50, 0.50, 0.60] . "

    @pytest.fixture
    def speaking(self, monkeypatch: pytest.MonkeyPatch) -> Mova:
        monkeypatch.setattr(TextStream, "text", lambda _: self.SAID.strip())
        return tiny_mova()

    def ask_all(self, mova: Mova, *sizes: tuple[int, int]) -> list[tuple[Box, ...]]:
        items = [(Image.new("RGB", size), QUESTIONS[0]) for size in sizes]
        answers = mova.ask_batch(items, experts="none", max_new_tokens=1)
        return [answer.boxes for answer in answers]

    def test_are_in_pixels_of_the_picture_before_it_is_reduced(self, speaking: Mova) -> None:
        assert speaking.processor.image_processor.max_side == 64
        assert self.ask_all(speaking, (400, 200), (20, 40), (40, 40)) == [
            (Box(100.0, 100.0, 300.0, 140.0),),
            (Box(0.0, 20.0, 20.0, 24.0),),
            (Box(10.0, 20.0, 30.0, 24.0),),
        ]

    def test_of_a_turned_picture_are_of_the_upright(self, speaking: Mova, tmp_path: Path) -> None:
        turned = Image.new("RGB", (200, 400))
        exif = turned.getexif()
        exif[0x0112] = 6
        turned.save(tmp_path / "turned.jpg", exif=exif)
        answer = speaking.ask(tmp_path / "turned.jpg", QUESTIONS[0], experts="none")
        assert answer.boxes == (Box(100.0, 100.0, 300.0, 140.0),)

    def test_in_plain_json_types_and_by_the_frame_of_the_config(self, speaking: Mova) -> None:
        answer = speaking.ask(Image.new("RGB", (400, 200)), QUESTIONS[0], experts="none")
        assert answer.text == self.SAID.strip()
        plain = json.loads(json.dumps(answer.to_dict()))
        assert plain["boxes"] == [[100.0, 100.0, 300.0, 140.0]]
        assert plain["polygons"] == [[[100.0, 100.0], [300.0, 100.0], [200.0, 140.0]]]
        speaking.model.config.box_frame = "image"
        assert self.ask_all(speaking, (400, 200)) == [(Box(100.0, 100.0, 300.0, 120.0),)]

    def test_in_a_chat_refer_to_its_picture(self, speaking: Mova) -> None:
        chat = speaking.chat()
        options: dict[str, Any] = {"experts": "none", "max_new_tokens": 1}
        chat.ask(QUESTIONS[0], Image.new("RGB", (400, 200)), **options)
        assert chat.ask(QUESTIONS[1], **options).boxes == (Box(100.0, 100.0, 300.0, 140.0),)
        again = chat.ask(QUESTIONS[0], Image.new("RGB", (40, 40)), **options)
        assert again.boxes == (Box(10.0, 20.0, 30.0, 24.0),)


class TestStream:
    def test_pieces_make_up_the_answer(self, mova: Mova, picture: Image.Image) -> None:
        pieces = list(mova.stream(picture, QUESTIONS[0], max_new_tokens=8))
        assert "".join(pieces) == mova.ask(picture, QUESTIONS[0], max_new_tokens=8).text
        assert len(pieces) > 1

    def test_stops_when_the_reader_goes(self, mova: Mova, picture: Image.Image) -> None:
        pieces = mova.stream(picture, QUESTIONS[0], max_new_tokens=200)
        next(pieces)
        start = time.perf_counter()
        pieces.close()  # type: ignore[attr-defined]
        assert time.perf_counter() - start < 1

    def test_errors_reach_who_calls_and_who_reads(
        self, mova: Mova, picture: Image.Image, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(*_: object, **__: object) -> None:
            raise RuntimeError("out of memory")

        assert "empty" in fault(mova.stream, picture, "")
        monkeypatch.setattr(mova.model, "forward", fail)
        with pytest.raises(RuntimeError, match="out of memory"):
            list(mova.stream(picture, QUESTIONS[0], experts="none"))


class TestChat:
    def test_remembers_what_was_said_but_no_mistake(self, mova: Mova, picture: Image.Image) -> None:
        chat = mova.chat()
        first = chat.ask(QUESTIONS[0], picture, max_new_tokens=4)
        assert first.text == mova.ask(picture, QUESTIONS[0], max_new_tokens=4).text
        fault(chat.ask, " ")
        chat.ask(QUESTIONS[1], max_new_tokens=2)
        assert [message["role"] for message in chat.session.messages] == ["user", "assistant"] * 2
        prompt = mova.processor.render(chat.session.messages)
        assert prompt.count("<image>") == 1
        assert QUESTIONS[0] in prompt and QUESTIONS[1] in prompt
        chat.ask(QUESTIONS[1], picture, max_new_tokens=1)  # a new picture starts anew
        assert len(chat.session.messages) == 2


@pytest.mark.parametrize(
    ("question", "options", "told"),
    [
        ("", {}, "is empty"),
        (" \n\t", {}, "is empty"),
        ("x" * 100_000, {}, "100,000 characters: ask in at most 4,000"),
        ("what\udcff", {}, "UTF-8"),
        ("dogs " * 300, {}, "the prompt takes"),  # beyond the model's memory
        ("dogs", {"experts": ["thre"]}, "did you mean three? The pool is one, two, three"),
        *(("dogs", {"experts": e}, "The pool is") for e in ("", "one,", "xyz", "all,one")),
        ("dogs", {"max_experts": -1}, "max_experts"),
        ("dogs", {"max_experts": 1, "experts": "all"}, "max_experts"),
        ("dogs", {"max_new_tokens": 0}, "max_new_tokens"),
        ("dogs", {"max_seconds": 0}, "max_seconds"),
        ("dogs", {"max_seconds": float("nan")}, "max_seconds"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_a_mistake_is_one_line(
    mova: Mova, picture: Image.Image, question: str, options: dict[str, Any], told: str
) -> None:
    assert told in fault(mova.ask, picture, question, **options)


def test_what_is_no_picture(mova: Mova) -> None:
    for source in ("no/such.png", b"no picture", io.BytesIO()):
        fault(mova.ask, source, QUESTIONS[0])


class TestFromPretrained:
    def test_a_saved_folder_gives_the_same_answers(
        self, tiny_folder: str, mova: Mova, picture: Image.Image
    ) -> None:
        loaded = Mova.from_pretrained(tiny_folder, device="cpu", dtype="float32")
        answer, expected = (m.ask(picture, QUESTIONS[0], max_new_tokens=4) for m in (loaded, mova))
        assert answer.text == expected.text
        assert answer.routing == expected.routing

    def test_in_another_precision(self, tiny_folder: str, picture: Image.Image) -> None:
        loaded = Mova.from_pretrained(tiny_folder, device="cpu", dtype="bfloat16")
        assert loaded.model.dtype == torch.bfloat16
        loaded.ask(picture, QUESTIONS[0], experts="all", max_new_tokens=2)

    def test_damaged_weights(self, tiny_folder: str, tmp_path: Path) -> None:
        for file in Path(tiny_folder).iterdir():
            if file.is_file():
                (tmp_path / file.name).write_bytes(file.read_bytes())
        (tmp_path / "model.safetensors").write_bytes(b"damaged")
        assert "cannot be loaded" in fault(Mova.from_pretrained, tmp_path, device="cpu")
