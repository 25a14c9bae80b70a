"""The processor: prompts, questions, pictures, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from openmova import MovaImageProcessor, MovaProcessor
from openmova.checkpoints.nano_spec import CHAT_TEMPLATE
from openmova.checkpoints.templates import TEMPLATES
from openmova.checkpoints.tiny import tiny_mova
from openmova.errors import UserError
from openmova.model.processing_mova import IGNORED
from openmova.routing import routing_prompt
from tiny import pictures, tiny_config, tiny_question_tokenizer, tiny_tokenizer, toy_tokenizer

QUESTION = "what is this ?"


@pytest.fixture(scope="module")
def processor() -> MovaProcessor:
    return MovaProcessor.from_config(tiny_config(), tiny_tokenizer(), tiny_question_tokenizer())


def user(*parts: Any) -> dict[str, Any]:
    kinds = ["text" if isinstance(part, str) else "image" for part in parts]
    content = [{"type": kind, kind: part} for kind, part in zip(kinds, parts, strict=True)]
    return {"role": "user", "content": content}


def tensors(processor: MovaProcessor, **keywords: Any) -> Any:
    return processor(return_tensors="pt", **keywords)


def test_a_question_becomes_both_prompts_and_the_gate_text(processor: MovaProcessor) -> None:
    out = tensors(processor, images=pictures(1)[0], questions=QUESTION)
    assert set(out) == set(processor.model_input_names)
    said = processor.batch_decode(out["input_ids"])[0]
    assert said == f"<s> <user> {'<image> ' * 4}{QUESTION} <assistant>"
    routing = processor.batch_decode(out["routing_input_ids"])[0]
    assert routing.startswith("<s> <user> <image> <image> <unk>")
    assert routing.endswith(f"{QUESTION} <assistant>") and routing.count("model") == 4
    gate = processor.question_tokenizer.batch_decode(out["question_input_ids"])[0]
    assert gate == "[CLS] question 0 : what is this? [SEP]"
    assert out["pixel_values"].dtype == torch.uint8


def test_texts_messages_and_questions_give_the_same(processor: MovaProcessor) -> None:
    picture = pictures(1)[0]
    expected = tensors(processor, images=picture, questions=QUESTION)
    messages = [user(picture, QUESTION)]
    prompt = processor.apply_chat_template(messages, add_generation_prompt=True)
    options: dict[str, Any] = {"add_generation_prompt": True, "tokenize": True}
    options |= {"return_dict": True, "return_tensors": "pt"}
    for other in (
        tensors(processor, images=[picture], text=prompt, questions=[QUESTION]),
        processor.apply_chat_template(messages, **options),
        processor.apply_chat_template([messages], **options),
        processor.apply_chat_template(
            [user(QUESTION) | {"content": f"<image> {QUESTION}"}],
            processor_kwargs={"images": [[picture]]},
            **options,
        ),
    ):
        torch.testing.assert_close(dict(other), dict(expected), atol=0, rtol=0)


def test_a_conversation_asks_its_last_question(processor: MovaProcessor) -> None:
    messages = [
        user(pictures(1)[0], "what is red ?"),
        {"role": "assistant", "content": "this"},
        user("how many dogs ?"),
    ]
    out = processor.apply_chat_template(messages, tokenize=True, return_dict=True)
    said = processor.batch_decode(out["input_ids"])[0]
    routing = processor.batch_decode(out["routing_input_ids"])[0]
    assert "what is red ? <assistant> this <user> how many dogs ?" in said
    assert routing.endswith("how many dogs ? <assistant>") and "red" not in routing


def test_the_image_token_in_a_question_is_no_picture(processor: MovaProcessor) -> None:
    sly = tensors(processor, images=pictures(1)[0], questions=f"<image> {QUESTION} <image>")
    plain = tensors(processor, images=pictures(1)[0], questions=QUESTION)
    assert torch.equal(sly["input_ids"], plain["input_ids"])
    assert torch.equal(sly["routing_input_ids"], plain["routing_input_ids"])


def test_the_pool_may_stand_before_the_picture(
    processor: MovaProcessor, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompt = routing_prompt("choose .", ["model one", "model two"], QUESTION)
    released = processor.render([processor.routing_turn(prompt)])
    monkeypatch.setattr(processor, "pool_first", True)
    text = processor.render([processor.routing_turn(prompt)])
    assert text.replace("<image>", "") == released.replace("<image>\n", "")
    before, after = text.split("<image>")
    assert before.endswith("choose .\nModel pool:\nA. model one\nB. model two\n")
    assert after.startswith(f"\nQuestion:\n{QUESTION}")
    (ids,) = processor.routing_inputs([QUESTION])["routing_input_ids"]
    assert ids.count(processor.image_token_id) == processor.routing_tokens


def test_no_routing_prompt(processor: MovaProcessor) -> None:
    without = tensors(processor, images=pictures(1), questions=QUESTION, with_routing=False)
    assert "routing_input_ids" not in without
    assert set(processor(questions=QUESTION)) == {"input_ids", "attention_mask"}


def test_rows_are_padded_on_the_left_unless_asked(processor: MovaProcessor) -> None:
    questions = [QUESTION, "what ?"]
    left = tensors(processor, images=pictures(2), questions=questions)
    assert left["attention_mask"].tolist()[1][:2] == [0, 0]
    right = tensors(processor, images=pictures(2), questions=questions, padding_side="right")
    assert right["attention_mask"].tolist()[1][-2:] == [0, 0]
    assert right["routing_attention_mask"].tolist()[1][:2] == [0, 0]


def test_every_row_may_have_its_own_pool(processor: MovaProcessor) -> None:
    pools = [["cat", "dogs"], ["red", "blue", "how"]]
    out = tensors(processor, images=pictures(2), questions=[QUESTION, "cat"], pool=pools)
    for row, pool in enumerate(pools):
        said = processor.batch_decode(out["routing_input_ids"])[row]
        assert all(description in said for description in pool)
    alone = tensors(processor, images=pictures(1), questions="cat", pool=pools[1])
    length = alone["routing_attention_mask"].sum()
    assert out["routing_input_ids"][1, -length:].tolist() == alone["routing_input_ids"][0].tolist()
    with pytest.raises(ValueError, match="2 pools for 1 rows"):
        tensors(processor, images=pictures(1), questions="cat", pool=pools)


TURN = "<bos>{% for m in messages %} {{ m['content'] }}{% endfor %} end"
SPOKEN = ["end", "\n", "what", "cat", "model", "pool"]


@pytest.mark.parametrize(("adds_bos", "start", "newline"), [(True, [1, 1], [11]), (False, [1], [])])
def test_ids_split_at_the_image_keep_the_releases_faults(
    adds_bos: bool, start: list[int], newline: list[int], tmp_path: Path
) -> None:
    tokenizer = toy_tokenizer({word: 10 + i for i, word in enumerate(SPOKEN)}, adds_bos=adds_bos)
    tokenizer.chat_template = TURN
    image = tokenizer.convert_tokens_to_ids("<image>")
    parts = (tiny_config(image_token_id=image), tokenizer, tiny_question_tokenizer())
    MovaProcessor.from_config(*parts, split_at_image=True).save_pretrained(tmp_path)
    processor = MovaProcessor.from_pretrained(tmp_path)
    assert json.loads((tmp_path / "processor_config.json").read_text())["split_at_image"] is True
    out = tensors(processor, images=pictures(2), questions=["cat", "cat cat"], pool=["model"])
    short, long = (start + [image] * 4 + newline + [13] * count + [10] for count in (1, 2))
    assert out["input_ids"].tolist() == [[tokenizer.pad_token_id, *short], long]
    assert out["attention_mask"].tolist() == [[0] + [1] * len(short), [1] * len(long)]
    for i, cats in enumerate((1, 2)):
        row = out["routing_input_ids"][i][out["routing_attention_mask"][i].bool()].tolist()
        assert row[: len(start) + 2 + len(newline)] == start + [image] * 2 + newline
        assert row[-2 - cats :] == [11] + [13] * cats + [10]
    assert out["routing_attention_mask"].tolist()[0][:2] == [0, 1]
    alone = tensors(processor, images=pictures(1), questions="cat", pool=["model"])
    assert alone["input_ids"].tolist() == [short]
    short_of = {"padding_side": "right", "truncation": True, "max_length": 3}
    cut = tensors(processor, images=pictures(1), questions="cat", **short_of)
    assert cut["input_ids"].tolist() == [short[:3]]


def test_without_tensors_rows_are_lists_and_nobody_is_padded(processor: MovaProcessor) -> None:
    chats = [[user(pictures(1)[0], QUESTION)], [user("cat")]]
    out = processor.apply_chat_template(chats, tokenize=True, return_dict=True)
    assert [processor.decode(ids)[-5:] for ids in out["input_ids"]] == ["his ?", "> cat"]
    assert out["attention_mask"] == [[1] * len(ids) for ids in out["input_ids"]]
    assert out["pixel_values"].shape[0] == 1


@pytest.mark.parametrize("template", ["tiny", "nano", *TEMPLATES])
@pytest.mark.parametrize("answer", ["", "two dogs"])
def test_the_last_question_is_found_in_a_prompt_that_goes_on(template: str, answer: str) -> None:
    _, processor = tiny_mova()
    templates = {**TEMPLATES, "nano": CHAT_TEMPLATE}
    processor.chat_template = templates.get(template, processor.chat_template)
    picture, asked = pictures(1)[0], "how many dogs?\nOr none?"
    earlier = [user(picture, "what is red?"), {"role": "assistant", "content": "this"}]
    for chat in (
        [user(picture, asked)],
        [user(asked, picture)],
        [*earlier, user(asked)],
        [{"role": "system", "content": "be short"}, user(picture, asked)],
    ):
        prompt = processor.render(chat) + answer
        ids, mask, *_ = processor(images=picture, text=prompt, return_tensors="pt").values()
        assert processor.questions_in(ids, mask) == [asked]


def test_labels_leave_out_the_image_tokens(processor: MovaProcessor) -> None:
    out = tensors(processor, images=pictures(1), questions=QUESTION)
    out["labels"] = out["input_ids"].clone()
    image = out["input_ids"] == processor.image_token_id
    assert image.sum() == 4 and torch.equal(out["labels"] == IGNORED, image)


def test_an_answer_alone_gets_no_special_tokens_where_the_trainer_asks_for_none() -> None:
    tokenizer = toy_tokenizer({word: 10 + i for i, word in enumerate(SPOKEN)}, adds_bos=True)
    processor = MovaProcessor.from_config(
        tiny_config(image_token_id=tokenizer.convert_tokens_to_ids("<image>")),
        tokenizer,
        tiny_question_tokenizer(),
        split_at_image=True,
    )
    assert processor(text="cat end", add_special_tokens=False)["input_ids"] == [[13, 10]]
    assert processor(text="cat end")["input_ids"] == [[1, 13, 10]]


def test_the_gates_question_ends_on_the_right_whatever_side_the_prompts_have(
    processor: MovaProcessor, tmp_path: Path
) -> None:
    processor.save_pretrained(tmp_path)
    sides = {"padding_side": "left", "truncation_side": "left"}
    loaded = MovaProcessor.from_pretrained(tmp_path, **sides)
    made = (p.question_inputs([QUESTION, "what " * 90]) for p in (processor, loaded))
    assert next(made) == next(made)


def test_long_questions_are_cut_for_the_gate(processor: MovaProcessor) -> None:
    out = tensors(processor, images=pictures(1), questions="what " * 20_000)
    assert out["question_input_ids"].shape == (1, 64)
    assert tensors(processor, images=pictures(1), questions="")["input_ids"].shape[0] == 1


def test_a_saved_processor_makes_the_same(processor: MovaProcessor, tmp_path: Path) -> None:
    processor.save_pretrained(tmp_path)
    loaded = MovaProcessor.from_pretrained(tmp_path)
    asked = {"images": pictures(2), "questions": [QUESTION, "cat"]}
    before, after = (tensors(p, **asked) for p in (processor, loaded))
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert loaded.to_dict() == processor.to_dict()


def test_pictures_keep_their_pixels_and_tell_their_sizes() -> None:
    images = pictures(3)
    out = MovaImageProcessor()(images, return_tensors="pt")
    assert out["image_sizes"].tolist() == [[p.height, p.width] for p in images]
    for picture, pixels in zip(images, out["pixel_values"], strict=True):
        inside = pixels[:, : picture.height, : picture.width].movedim(0, -1).numpy()
        assert np.array_equal(inside, np.array(picture))
        assert int(pixels.sum()) == int(inside.astype(int).sum())


def test_large_pictures_are_reduced(tmp_path: Path) -> None:
    path = tmp_path / "wide.png"
    Image.new("RGB", (301, 3), "red").save(path)
    out = MovaImageProcessor(max_side=100)([str(path), pictures(1)[0]])
    assert out["image_sizes"].tolist() == [[1, 100], [12, 20]]
    as_array = MovaImageProcessor()(np.array(pictures(1)[0]))
    assert as_array["image_sizes"].tolist() == [[12, 20]]


def test_errors_name_the_remedy(processor: MovaProcessor, tmp_path: Path) -> None:
    picture = pictures(1)[0]
    marked = f"<image> {QUESTION}"
    parts = (tiny_config(image_token_id=9), tiny_tokenizer(), tiny_question_tokenizer())
    for told, call in {
        "mark its place once": lambda: processor(images=picture, text=QUESTION),
        "at most one picture a row": lambda: processor(images=[[picture] * 2], text=marked),
        "give one a row": lambda: processor(images=[picture] * 2, text=marked),
        "2 pictures for 1 q": lambda: processor(images=[picture] * 2, questions=QUESTION),
        "0 pictures and 1 '<image>' in its text": lambda: processor(text=marked),
        "give one of each a row": lambda: processor(),
        "add the token to the tokenizer": lambda: MovaProcessor.from_config(*parts),
    }.items():
        with pytest.raises(ValueError, match=told):
            call()
    with pytest.raises(UserError, match="there is no file"):
        processor(images=str(tmp_path / "none.png"), questions=QUESTION)
