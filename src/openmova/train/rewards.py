"""What an answer is worth in the stage grpo: rewards by name, each from 0 to 1, or the user's own.

A reward is a function of the answer and of the sample, whose `solution` is the right one. In an
answer with `<answer>` tags, what stands in the last of them counts; `format` and `visual` read all.

`visual` is our design: it is worth D/2 of a sample, D how far its answer rests on the picture
(`dependency` in the data; 0 where it is not known), and all other rewards are worth 1 - D/2.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from functools import partial
from importlib import import_module
from typing import Any

from openmova.data.sample import Sample
from openmova.errors import UserError, nearest, reason
from openmova.images.boxes import box_iou, boxes_in
from openmova.inference.answer import matches

Reward = Callable[[str, Sample], float]
EXPERT = "expert"
"""In place of a reward: the price of each expert that the router chose. The routing learns then."""
VISUAL = "visual"

_FORMAT = re.compile(r"\s*<think>.*</think>\s*<answer>.*</answer>\s*", re.DOTALL)
_ANSWER = re.compile(r"<answer>(.*?)</answer>", re.DOTALL)
_NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?|-?\.\d+")
_CHOICE = re.compile(r"\b([A-Z])\b(?=\s*(?:[.,:;)\]]|$))")
# Coordinates are fractions, and an IoU of them is that of the pixels.
_FRAME = (1000, 1000)


def exact(answer: str, sample: Sample) -> float:
    """1 for the solution, but for case, surrounding space and a final full stop."""
    return float(matches(_said(answer), _said(sample.solution)))


def format(answer: str, sample: Sample) -> float:
    """1 where all of it is `<think>...</think><answer>...</answer>`."""
    return float(_FORMAT.fullmatch(answer) is not None)


def iou(answer: str, sample: Sample) -> float:
    """Of the first box in the answer with the first in the solution."""
    found = boxes_in(_said(answer), _FRAME, "image")
    meant = boxes_in(_said(sample.solution), _FRAME, "image")
    return box_iou(found[0], meant[0]) if found and meant else 0.0


def number(answer: str, sample: Sample, *, tolerance: float) -> float:
    """1 where the last number of the answer is off by no more than this share of the solution."""
    found, meant = _numbers(_said(answer)), _numbers(_said(sample.solution))
    if not found or not meant:
        return 0.0
    return float(abs(found[-1] - meant[-1]) <= tolerance * abs(meant[-1]) + 1e-9)


def choice(answer: str, sample: Sample) -> float:
    """1 for the same letter: "B", "(B)", "B. a dog", "The answer is B."."""
    found = _letter(_said(answer))
    return float(found is not None and found == _letter(_said(sample.solution)))


def visual(answer: str, sample: Sample) -> float:
    """The share of the sample's evidence words that the answer names; without any, the IoU."""
    if not sample.evidence:
        return iou(answer, sample)
    said = answer.casefold()
    named = [re.search(rf"\b{re.escape(word.casefold())}\b", said) for word in sample.evidence]
    return sum(found is not None for found in named) / len(named)


REWARDS: dict[str, Callable[..., float]] = {
    "exact": exact,
    "format": format,
    "iou": iou,
    "number": number,
    "choice": choice,
    VISUAL: visual,
}


def find_reward(name: str, *, tolerance: float) -> Reward:
    """By its name, or "package.module:function". Raises UserError if there is none."""
    if name in REWARDS:
        found = REWARDS[name]
        return partial(found, tolerance=tolerance) if name == "number" else found
    module, colon, function = name.partition(":")
    if not colon:
        names = (*REWARDS, EXPERT)
        raise UserError(
            f"the recipe has an unknown reward, {name!r}: {nearest(name, names)}, or give a "
            "function of yours as package.module:function"
        )
    try:
        own: Reward = getattr(import_module(module), function)
    except Exception as error:
        raise UserError(f"the reward {name} can't be imported: {reason(error)}") from error
    return own


def trl_rewards(names: Iterable[str], *, tolerance: float) -> list[Callable[..., list[float]]]:
    """The rewards as TRL calls them, each on all answers of a batch. Raises UserError for an
    unknown name, and when it is called: for a reward that raises or returns no number."""
    listed = list(names)
    return [
        _experts
        if name == EXPERT
        else _scores(name, find_reward(name, tolerance=tolerance), listed)
        for name in listed
    ]


def _scores(name: str, reward: Reward, names: list[str]) -> Callable[..., list[float]]:
    def scores(completions: list[Any], sample: list[Sample], **columns: Any) -> list[float]:
        return [
            _score(name, reward, completion[0]["content"], one) * _share(name, one, names)
            for completion, one in zip(completions, sample, strict=True)
        ]

    scores.__name__ = name
    return scores


def _experts(experts: list[int], **columns: Any) -> list[float]:
    """How many were chosen."""
    return [float(count) for count in experts]


_experts.__name__ = EXPERT


def _score(name: str, reward: Reward, answer: str, sample: Sample) -> float:
    """Raises UserError where the reward raises, or is no number."""
    about = f"on the sample {sample.id!r} ({sample.source}), answered with {answer[:60]!r}"
    try:
        value = float(reward(answer, sample))
    except Exception as error:
        what = f"{type(error).__name__}: {reason(error)}"
        raise UserError(f"the reward {name} failed {about}: {what}") from error
    if not math.isfinite(value):
        raise UserError(f"the reward {name} is {value} {about}: let it return a number")
    return value


def _share(name: str, sample: Sample, names: list[str]) -> float:
    """How much a reward counts in a sample."""
    if VISUAL not in names:
        return 1.0
    half = max(sample.dependency or 0.0, 0.0) / 2
    return half if name == VISUAL else 1 - half


def _said(text: str) -> str:
    found = _ANSWER.findall(text)
    return found[-1] if found else text


def _numbers(text: str) -> list[float]:
    return [float(found.replace(",", "")) for found in _NUMBER.findall(text)]


def _letter(text: str) -> str | None:
    text = text.strip()
    found = _CHOICE.findall(text.upper() if len(text) == 1 else text)
    return found[-1] if found else None
