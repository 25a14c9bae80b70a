"""Which things are in a photo, how many of each, and where: NanoDet-g, and a name for every animal.

NanoDet's classes have ten animals, and one that is none of them gets some score from several. So
an animal's score is the probability that it is any of the ten, and what it is called is asked of
EfficientNet-Lite2's classifier too, which has 398 animals and sees each box by itself.

Shapes: h w a view, P places of all grids, K classes.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor

from openmova.experts.detector import ANIMALS, NanoDet, say_things
from openmova.experts.lite import Lite2Classifier, class_names

BIRDS = (*range(7, 25), *range(80, 101), *range(127, 147))
"""Of ImageNet's classes."""
ANIMAL_CLASSES = 398
"""They come first."""
MOST = 8
"""Animals of a picture that are looked at by themselves; the others have NanoDet's names."""
OTHERS = 0.5
"""How much the other animals of a picture tell about the name of one."""
LEAST = 0.3
"""Evidence below which an animal has no name."""


class LocationExpert(NanoDet):
    """NanoDet, of whose animals each has a name by the classifier too; see NanoDet's arguments."""

    def __init__(self, **keywords: Any) -> None:
        super().__init__(**keywords)
        self.network = Lite2Classifier()

    def texts(self, view: Tensor) -> list[str]:
        """Of float [B, 3 or more, h, w]: "2 dog, 1 bird (owl)", with more than one animal "animals:
        3", then a line a thing, the largest first: "dog top left"."""
        return [self.say(picture) for picture in view]

    def say(self, view: Tensor) -> str:
        """The text of one view float [4, h, w]."""
        left, top, right, bottom = self.inside(view)
        levels = self.levels(view)
        animals, others = self.animals_and_others(levels, self.threshold)
        things = [*animals, *others]
        if not things:
            return "nothing"
        size = (bottom - top, right - left)
        things = [thing.within(left, top, *size) for thing in things]
        places = torch.tensor([thing.place for thing in animals], dtype=torch.long)
        scores = torch.cat([level[0][:, ANIMALS] for level in levels])[places]
        names = self.animal_names(self.cut_outs(view, animals[:MOST]), scores)
        names += [self.classes[thing.label] for thing in things[len(animals) :]]
        text = say_things(names, things, size)
        if len(animals) < 2:
            return text
        counts, _, rest = text.partition("\n")
        return f"{counts}\nanimals: {len(animals)}\n{rest}"

    def animal_names(self, cuts: Sequence[Tensor], scores: Tensor) -> list[str]:
        """A name for each of N animals, by the classifier's probability for what is cut out [3, h,
        w] of the first of them, and the square of NanoDet's score [N, 10], which is low for what is
        none of its classes; and by those of the others, as animals of one picture are often alike.
        """
        if not cuts:
            return []
        evidence = scores.square() @ _words_of_classes()
        hidden = self.network.hidden(self.network.view(cuts))
        chances = self.network.chances(hidden)[:, :ANIMAL_CLASSES].float().cpu()
        evidence[: len(cuts)] += chances @ _words_of_animals()
        best, word = (evidence + OTHERS * evidence.mean(0)).max(1)
        return [
            written(animal_words()[int(w)]) if b >= LEAST else "animal"
            for b, w in zip(best.tolist(), word, strict=True)
        ]


@cache
def animal_words() -> tuple[str, ...]:
    """Everyday words of ImageNet's animals, and NanoDet's that are not among them."""
    words = (*class_names()[1][:ANIMAL_CLASSES], *NanoDet.classes[ANIMALS])
    return tuple(dict.fromkeys(words))


@cache
def _bird_words() -> frozenset[str]:
    return frozenset(class_names()[1][i] for i in BIRDS)


def written(word: str) -> str:
    """What an animal is called: a bird is said to be one."""
    return f"bird ({word})" if word in _bird_words() and word != "bird" else word


@cache
def _words_of_animals() -> Tensor:
    """Which word each of ImageNet's animals has: float [398, words]."""
    words = animal_words()
    table = torch.zeros(ANIMAL_CLASSES, len(words))
    for row, word in zip(table, class_names()[1], strict=False):
        row[words.index(word)] = 1
    return table


@cache
def _words_of_classes() -> Tensor:
    """Which words each of NanoDet's ten animals may have, a bird that of any: [10, words]."""
    words = animal_words()
    return torch.tensor(
        [
            [float(word == name or (name == "bird" and word in _bird_words())) for word in words]
            for name in NanoDet.classes[ANIMALS]
        ]
    )
