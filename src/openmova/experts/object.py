"""What a photo shows: EfficientNet-Lite2 with its classifier of ImageNet's 1,000 classes.

Its map carries the names in token codes (openmova.experts.token_codes), the everyday word before
the exact one, as in "dog 93%: beagle 71%, basset 12%". It can be taught other names, of a few
pictures each: what is near to the mean of theirs is called so, and of all else it says what it did.

ImageNet has no giraffe and no scissors, and of several things in a picture its classifier is often
unsure. So a detector may look too, and what that one is sure of comes first there.

Shapes: B batch, K classes, T taught names, D hidden features, h w the encoder's map.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from openmova.experts.base import crop
from openmova.experts.detector import NAMES, Levels, NanoDet
from openmova.experts.lite import HIDDEN, Lite2Classifier, class_names
from openmova.experts.token_codes import WordExpert

CANDIDATES = 10
"""So many classes are looked at; all 118 dogs together always have some probability."""
GUESSES, NAMES_OF_A_GUESS = 3, 2
LEAST = 0.03
"""Probability from which a word is told."""
SHARPNESS = 20.0
"""Of the softmax over the likenesses to what was taught."""
MISSED, FOLDS = 0.05, 5
"""Share of the taught pictures that may be too unlike their name; how often a part is left out."""
DETECTED, LARGE = 0.6, 0.05
"""The score and the share of the view from which on the detector names a thing."""
CUT = 0.45
"""The detector's score from which a thing is cut out and looked at alone, too."""
UNSURE = 0.2
"""The probability of the likeliest word below which the classifier is unsure."""
PERSON = "person"
"""Stands beside many things that are asked about: told only where the classifier is unsure."""
DIRECTIONS = 64
"""In which pictures of one name differ: so many are known at most."""


@cache
def every_word() -> frozenset[str]:
    """All names, and all everyday words."""
    return frozenset().union(*class_names())


class ObjectExpert(WordExpert):
    """Names of what a picture shows.

    Args:
        size: side in pixels of the square that the classifier sees; beside a detector 416 at most.
        own_names: the names that it was taught.
        detector: the path of a `location` expert's graph, None: none looks.
    """

    def __init__(
        self,
        *,
        size: int = 260,
        own_names: Sequence[str] = (),
        detector: str | None = None,
        **words: Any,
    ) -> None:
        super().__init__(**words)
        self.network = Lite2Classifier(size)
        self.class_means = ClassMeans(own_names) if own_names else None
        self.detector = None
        if detector is not None:
            self.detector = NanoDet(path=detector, threshold=DETECTED, **words)

    def view(self, images: Tensor, sizes: Tensor) -> Tensor:
        """See Expert.view. Returns float32 [B, 3, size, size]: the picture stretched, as padding
        would leave the classifier fewer pixels of it. With a detector [B, 7, 416, 416]: that in the
        upper left corner, then what the detector sees."""
        view = self.network.view(crop(images, sizes))
        if self.detector is None:
            return view
        seen = self.detector.view(images, sizes)
        missing = seen.shape[-1] - view.shape[-1]
        return torch.cat([F.pad(view, (0, missing, 0, missing)), seen], dim=1)

    def texts(self, view: Tensor) -> list[str]:
        """Of float [B, 3, size, size] or [B, 7, 416, 416]."""
        hidden = self.network.hidden(self._stretched(view))
        chances = self.network.chances(hidden)
        things: list[tuple[str, float] | None] = [None] * len(view)
        if self.detector is not None:
            for i, seen in enumerate(view[:, 3:]):
                levels = self.detector.levels(seen)
                things[i] = self.detector.large_thing(levels, LARGE)
                cut = self._cut(seen, levels)
                if cut is not None:  # the thing alone says as much as the whole picture
                    alone = self.network.chances(self.network.hidden(self.network.view([cut])))
                    chances[i] = (chances[i] + alone[0]) / 2
        known = [self.text(row, thing) for row, thing in zip(chances, things, strict=True)]
        if self.class_means is None:
            return known
        told = self.class_means.texts(hidden)
        return [own or text for own, text in zip(told, known, strict=True)]

    def _cut(self, seen: Tensor, levels: Levels) -> Tensor | None:
        """The largest animal of what the detector sees, or else the largest thing but a person."""
        assert self.detector is not None
        animals, others = self.detector.animals_and_others(levels, CUT)
        others = [thing for thing in others if NAMES[thing.label] != PERSON]
        largest = max(animals or others, key=lambda thing: thing.area, default=None)
        return None if largest is None else self.detector.cut_outs(seen, [largest])[0]

    def teach(self, pictures: Mapping[str, Tensor], others: Tensor) -> None:
        """Learn names, in place of those of before.

        pictures: hidden features [n, D] of at least two pictures of each name; others [m, D]: of
        pictures of all kinds.
        """
        self.class_means = ClassMeans(tuple(pictures)).to(others.device)
        self.class_means.fit(list(pictures.values()), others)

    def look(self, images: Tensor, sizes: Tensor) -> Tensor:
        """Hidden features [B, D], for uint8 [B, 3, H, W] and integer [B, 2]."""
        return self.network.hidden(self._stretched(self.view(images, sizes)))

    def _stretched(self, view: Tensor) -> Tensor:
        side = self.network.encoder.size
        return view[:, :3, :side, :side]

    def save_files(self, folder: Path) -> None:
        super().save_files(folder)
        if self.detector is not None:
            self.detector.session.save_file(folder)

    @staticmethod
    def text(chances: Tensor, thing: tuple[str, float] | None = None) -> str:
        """In words, of probabilities [K]: the likeliest everyday words, then their exact names.

        thing: name and score of what the detector found, which may come first.
        """
        names, words = class_names()
        values, classes = chances.float().topk(CANDIDATES)
        exact = [
            (chance, names[i], words[i])
            for chance, i in zip(values.tolist(), classes.tolist(), strict=True)
        ]
        totals: dict[str, float] = {}
        for chance, _, word in exact:
            totals[word] = totals.get(word, 0) + chance
        words_by_chance = sorted(totals, key=lambda word: -totals[word])
        lines: list[str] = []
        if thing is not None:
            name, score = thing
            likeliest = words_by_chance[0]
            is_new = name not in every_word() and name != PERSON
            if name != likeliest and (is_new or totals[likeliest] < UNSURE):
                lines.append(f"{name} {score:.0%}")
        for number, word in enumerate(words_by_chance[:GUESSES]):
            if number and totals[word] < LEAST:
                break
            of_word = [(p, name) for p, name, other in exact if other == word and name != word]
            told = [f"{name} {p:.0%}" for p, name in of_word[:NAMES_OF_A_GUESS] if p >= LEAST]
            lines.append(f"{word} {totals[word]:.0%}" + (f": {', '.join(told)}" if told else ""))
        return "\n".join(lines)


class ClassMeans(nn.Module):
    """Names by the mean of a few pictures each.

    A picture has the name whose mean it is most like: by the cosine between the two, seen from the
    middle of all kinds of pictures, without the directions in which pictures of one name differ
    (light, background, pose). Less like it than pictures of a name are, it has none.
    """

    means: Tensor
    """[T, D], of length 1."""
    middle: Tensor
    """[D]."""
    differences: Tensor
    """[DIRECTIONS, D]: those directions, each as long as it is left out, 0 to 1."""
    least: Tensor
    """The likeness from which on a picture has a name."""

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__()
        self.names = tuple(names)
        self.register_buffer("means", torch.zeros(len(names), HIDDEN))
        self.register_buffer("middle", torch.zeros(HIDDEN))
        self.register_buffer("differences", torch.zeros(DIRECTIONS, HIDDEN))
        self.register_buffer("least", torch.zeros(()))

    def fit(self, pictures: Sequence[Tensor], others: Tensor) -> None:
        """Of hidden features, at least two pictures [n, D] for each name, and others [m, D].

        How like a name its pictures are is asked of each when it was left out with others.
        """
        self.middle.copy_(others.mean(0))
        alike = []
        for fold in range(FOLDS):
            self._fit([own[torch.arange(len(own)) % FOLDS != fold] for own in pictures])
            left_out = [self.likenesses(own[fold::FOLDS])[:, t] for t, own in enumerate(pictures)]
            alike += left_out
        self.least.copy_(torch.cat(alike).quantile(MISSED))
        self._fit(pictures)

    @torch.no_grad()
    def _fit(self, pictures: Sequence[Tensor]) -> None:
        """The means, and the directions, of pictures [n, D] of each name."""
        centred = torch.cat([own - own.mean(0) for own in pictures])
        _, sizes, directions = torch.linalg.svd(centred, full_matrices=False)
        usual = (sizes.square().sum() / HIDDEN).clamp(min=1e-12)  # 0 of equal pictures
        left_out = 1 - (usual / (sizes.square() + usual)).sqrt()
        found = (directions * left_out.sqrt()[:, None])[:DIRECTIONS]
        self.differences.zero_()[: len(found)] = found
        means = torch.stack([own.mean(0) for own in pictures])
        self.means.copy_(self._place(means))

    def _place(self, hidden: Tensor) -> Tensor:
        """[B, D] -> [B, D], of length 1."""
        seen = hidden - self.middle
        return F.normalize(seen - seen @ self.differences.mT @ self.differences, dim=1)

    def likenesses(self, hidden: Tensor) -> Tensor:
        """[B, D] -> [B, T]."""
        return self._place(hidden) @ self.means.mT

    def texts(self, hidden: Tensor) -> list[str]:
        """In words, of hidden features [B, D]; "" of a picture without a name."""
        told = []
        for row in self.likenesses(hidden).float():
            chance, place = (SHARPNESS * row).softmax(0).max(0)
            has_one = bool(row.max() >= self.least)
            told.append(f"{self.names[int(place)]} {float(chance):.0%}" if has_one else "")
        return told
