"""The tiny model is a whole MoVA, the same for the same seed."""

from __future__ import annotations

from pathlib import Path

import torch

from openmova.checkpoints.tiny import tiny_mova
from openmova.inference.mova import Mova

PICTURE = Path(__file__).parents[1] / "golden" / "image_portrait.png"


def test_it_answers_and_keeps_its_answer_through_a_folder(tmp_path: Path) -> None:
    model, processor = tiny_mova()
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    here, loaded = Mova(model, processor), Mova.from_pretrained(tmp_path)
    for experts in (None, "all", ["chart"]):
        answers = [
            m.ask(PICTURE, "what?", experts=experts, max_new_tokens=6) for m in (here, loaded)
        ]
        assert answers[0].text == answers[1].text
        assert answers[0].routing == answers[1].routing


def test_it_is_a_function_of_the_seed() -> None:
    one, same, other = (tiny_mova(seed)[0].state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not all(torch.equal(one[name], other[name]) for name in one)


def test_every_text_can_be_written() -> None:
    _, processor = tiny_mova()
    text = "Größe: 5 €\n"
    assert processor.tokenizer.decode(processor.tokenizer(text)["input_ids"]) == text
