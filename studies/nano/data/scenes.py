# ruff: noqa: E501 - lists of phrases
"""Questions about photos as people ask them: with what is around the thing, "on the branch"."""

from __future__ import annotations

import random
import re

_DOING = (
    "sitting",
    "standing",
    "lying",
    "walking",
    "running",
    "resting",
    "flying",
    "swimming",
    "hanging",
    "climbing",
    "waiting",
    "sleeping",
    "looking at us",
    "eating",
    "playing",
    "moving",
    "hiding",
)
_PUT = (
    "standing",
    "lying",
    "placed",
    "hanging",
    "leaning",
    "parked",
    "shown",
    "mounted",
    "left",
    "built",
)
_PLACES = (
    "on the table", "in the grass", "on the branch", "on the ground", "in the water", "in the snow", "on the sand", "between the trees", "in front of the house", "in the background", "in the foreground", "in the middle", "by the road", "on the floor", "on the roof", "at the beach", "under the tree",
    "beside the fence", "behind the wall", "near the window", "on the wall", "in the sky", "between the towers", "on the meadow", "in the street", "on the rock", "next to the door", "in the garden", "in this photo", "on the plate", "in the room", "on the bridge", "at the left", "at the right", "at the top",
    "at the bottom of the picture", "here", "in the field", "in the forest", "on the shelf", "in the air", "on the chair", "at the station",
)  # fmt: skip
_IN = (
    "cup",
    "bowl",
    "basket",
    "glass",
    "box",
    "bag",
    "pot",
    "jar",
    "hand",
    "cage",
    "pan",
    "vase",
    "bottle",
)
_LOOKS = (
    "big",
    "large",
    "small",
    "tall",
    "long",
    "round",
    "old",
    "red",
    "green",
    "yellow",
    "blue",
    "white",
    "black",
    "brown",
    "curved",
    "shiny",
    "wooden",
    "colourful",
)
_USES = (
    "to cut",
    "to write with",
    "to sit on",
    "to cook",
    "to hold things",
    "to measure",
    "to play music",
    "to open things",
    "to travel",
    "to keep warm",
    "to turn nuts with",
    "to hit things",
    "at home",
    "at work",
)
_MODES = ("What {kind} {be} {doing} {place}?", "Which {kind} {be} {doing} {place}?", "What {be} the {kind} {doing} {place}?", "What kind of {kind} {be} {doing} {place}?", "Can you tell me which {kind} {be} {doing} {place}?", "What do you call the {kind} {place}?", "What's the name of the {kind} {place}?",
    "What {look} {kind} {be} this?", "What sort of {kind} do you see {place}?", "What {kind} can be seen {place}?", "Which {kind} is shown {place}?", "Name the {kind} {place}.", "Identify the {look} {kind}.", "Please name the {kind}.", "Tell me what {kind} this is.", "What {kind} is that?", "Which {kind} is in the photo?",
    "What kind of {kind} is this?", "What kind of {kind} do you see {place}?", "what {kind} is it", "Which {kind} do you see?", "What's this {kind} called?", "What are these {many}?", "Which {many} are {doing} {place}?", "What {many} can you see {place}?", "Tell me what {many} these are.")  # fmt: skip
_THING_MODES = ("What is {put} {place}?", "What is {place}?", "What do you see {place}?", "What is in the {vessel}?", "What is the {look} thing {place}?", "What is the thing {put} {place}?", "What is the object {place}?", "What does the {look} thing {place} show?", "What is this used {use}, what is it called?", "What are the things {put} {place}?",
    "Which thing is {put} {place}?", "What has been {put} {place}?", "What can be seen {place}?", "What is the main object {place}?", "What is this {look} object called?", "What do we have {place}?", "Tell me what is {place}.", "what is {place}", "Which object is {place}?", "What did I photograph {place}?")  # fmt: skip
_IS_MODES = ("Is there {a} {place}?", "Is {a} {doing} {place}?", "Are there {many} {place}?", "Do you see any {many} {place}?", "Is there {a} to be seen {place}?", "Are any {many} {put} {place}?", "Do you see {a} anywhere?", "Can you find {a} {place}?", "Are there {many}?", "Is one of them {a}?", "Is there any {one} {place}?", "Is there {a} in this photo?")  # fmt: skip
_COUNT_MODES = ("How many {many} are {place}?", "How many {many} are {doing} {place}?", "How many {many} are {put} {place}?", "How many {many} can you see {place}?", "How many {many} does the picture have?", "Count the {many} {place}.", "How many {many} are there {place}?", "How many {many} do you count?", "How many {many} stand {place}?", "How many {many} were photographed?")  # fmt: skip
_NEIGHBOUR_MODES = ("What {kind} is {side} the {one}?", "Which {kind} is {doing} {side} the {one}?", "What is {side} the {one}?", "What is {doing} {side} the {one}?", "What do you see {side} the {one}?", "Which thing is {side} the {one}?", "What stands {side} the {one}?", "what is {side} the {one}")  # fmt: skip
_SIDES = (
    "behind",
    "in front of",
    "next to",
    "beside",
    "to the left of",
    "to the right of",
    "near",
    "under",
    "above",
    "left of",
    "right of",
    "close to",
)
_WORN = (
    "shirt",
    "sweater",
    "hat",
    "bag",
    "jacket",
    "box",
    "truck",
    "bus",
    "bottle",
    "cup",
    "door",
    "wall",
    "boat",
    "plane",
    "car",
    "board",
    "flag",
    "banner",
    "cover",
)
_SIGN_MODES = ("What is written on the {one}'s {worn}?", "What does the {one}'s {worn} say?", "Which brand is on the {worn} of the {one}?", "What does the sign above the {one} say?", "Which words are on the {worn} behind the {one}?", "Which number is on the {worn} of the {one}?", "What is on the {one}'s {worn}?", "What word is on the {worn} that the {one} holds?")  # fmt: skip


def name_question(rng: random.Random, kinds: tuple[str, str] | None) -> str:
    """Asks for the name of a thing of a kind ("bird", "birds"), or of any thing."""
    if kinds is None:
        return _filled(rng, rng.choice(_THING_MODES))
    return _filled(rng, rng.choice(_MODES), kind=kinds[0], many=kinds[1])


def presence_question(rng: random.Random, a: str, one: str, many: str) -> str:
    return _filled(rng, rng.choice(_IS_MODES), a=a, one=one, many=many)


def count_question(rng: random.Random, many: str) -> str:
    return _filled(rng, rng.choice(_COUNT_MODES), many=many)


def neighbour_question(rng: random.Random, kind: str, one: str) -> str:
    """What is beside a thing: takes `location` and `object`."""
    return _filled(rng, rng.choice(_NEIGHBOUR_MODES), kind=kind, one=one)


def sign_question(rng: random.Random, one: str) -> str:
    """What is written on or beside a thing: takes `text` and `location`."""
    return _filled(rng, rng.choice(_SIGN_MODES), one=one)


def _filled(rng: random.Random, mode: str, **slots: str) -> str:
    drawn = {
        "be": rng.choice(("is", "is", "are")), "doing": rng.choice(_DOING), "put": rng.choice(_PUT),
        "place": rng.choice(_PLACES), "vessel": rng.choice(_IN), "look": rng.choice(_LOOKS),
        "use": rng.choice(_USES), "side": rng.choice(_SIDES), "worn": rng.choice(_WORN),
    }  # fmt: skip
    asked = mode.format(**{**drawn, **slots})
    return re.sub(r"\s+", " ", asked) if rng.random() < 0.95 else asked.rstrip("?").lower()
