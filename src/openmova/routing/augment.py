"""Augmentation of the routing instructions, so that the router reads instead of remembering.

Paper, section 3.2: the names of the models are removed from their descriptions, a description is
drawn of its paraphrases, the pool is shuffled, and randomly truncated. What letter an expert has,
how it is described, and whether it is there at all then differs from sample to sample, and only the
text tells which one fits. So a pool that was never seen can be routed over (table 10).
"""

import random
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from openmova.routing.prompt import expert_letters, format_routing

PUBLISHED = (
    *("DINOv2", "DINO", "CLIP", "OpenCLIP", "BiomedCLIP", "EVA-CLIP", "SigLIP", "SAM"),
    *("Segment Anything", "Co-DETR", "CoDETR", "DETR", "Pix2Struct", "DePlot", "Deplot", "Vary"),
)
"""Names of encoders as their authors write them; "vary" and "clip art" are words."""
NAMELESS = "this model"
_ARTICLE = r"(?:\b(?:[Tt]he|[Aa]n?|[Tt]his) )?"
_SIZE = r"(?:[- ](?:tiny|small|base|large|huge|giant))?"
_NOUN = r"(?: (?:model|encoder|expert|network))?(?!\w)"


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """Which parts of the augmentation are done. Raises ValueError for impossible numbers."""

    without_names: bool = True
    paraphrased: bool = True
    """Draw one of an expert's descriptions; otherwise the first is taken."""
    shuffled: bool = True
    truncated: float = 0.5
    """How probable it is that a pool is cut."""
    least: int = 2
    """A cut pool keeps at least so many experts."""

    def __post_init__(self) -> None:
        if not 0 <= self.truncated <= 1:
            raise ValueError(f"truncated must be a probability, not {self.truncated}")
        if self.least < 1:
            raise ValueError(f"least must be 1 or more, not {self.least}")


UNCHANGED = Augmentation(without_names=False, paraphrased=False, shuffled=False, truncated=0.0)
"""The pool as it is at inference."""


@dataclass(frozen=True, kw_only=True)
class RoutingPool:
    """A pool as one routing prompt shows it, and the answer to that prompt."""

    names: tuple[str, ...]
    """In the order of the letters; the prompt does not hold them."""
    descriptions: tuple[str, ...]
    answer: str
    """The letters of the annotated experts that the pool still has, or "none"."""


def augmented_pool(
    descriptions: Mapping[str, Sequence[str]],
    chosen: Collection[str],
    *,
    seed: int,
    index: int,
    augmentation: Augmentation,
) -> RoutingPool:
    """The pool of the routing prompt of sample `index`: a pure function of its arguments.

    descriptions: name -> one or more texts, in the order of the pool. chosen: the annotated
    experts. Raises ValueError if an annotated expert is not of the pool.
    """
    if unknown := set(chosen) - set(descriptions):
        raise ValueError(f"the pool has no {', '.join(sorted(unknown))}")
    rng = random.Random(f"routing-{seed}-{index}")
    names = list(descriptions)
    if rng.random() < augmentation.truncated and len(names) > augmentation.least:
        kept = set(rng.sample(names, rng.randint(augmentation.least, len(names) - 1)))
        names = [name for name in names if name in kept]
    if augmentation.shuffled:
        rng.shuffle(names)
    texts = [
        rng.choice(descriptions[name]) if augmentation.paraphrased else descriptions[name][0]
        for name in names
    ]
    if augmentation.without_names:
        texts = [without_names(text, descriptions) for text in texts]
    right = [place for place, name in enumerate(names) if name in chosen]
    return RoutingPool(
        names=tuple(names),
        descriptions=tuple(texts),
        answer=format_routing(right, expert_letters(len(names))),
    )


def without_names(description: str, names: Iterable[str] = ()) -> str:
    """The description with "this model" in place of every model's name.

    Names are the published ones, as they are written, and those of `names` that are no plain words
    (`dinov2`, `my-ocr`, not `text`, which a description may need), whatever their case and hyphens.
    """
    for pattern in (_published_pattern(), _pool_pattern(names)):
        description = pattern.sub(_this_model, description)
    return description


def is_plain_word(name: str) -> bool:
    """Whether an expert's name may as well be a word of a description: lower-case letters only."""
    return re.fullmatch(r"[a-z]+", name) is not None


def _this_model(found: re.Match[str]) -> str:
    before = found.string[: found.start()].rstrip()
    begins = not before or before[-1] in ".!?"
    return NAMELESS.capitalize() if begins else NAMELESS


def _published_pattern() -> re.Pattern[str]:
    return _phrase("|".join(re.escape(name) for name in sorted(PUBLISHED, key=len, reverse=True)))


def _pool_pattern(names: Iterable[str]) -> re.Pattern[str]:
    spoken = (re.findall(r"[^-_.]+", name) for name in names if not is_plain_word(name))
    written = sorted({"[-_. ]?".join(map(re.escape, parts)) for parts in spoken if parts})
    longest_first = sorted(written, key=len, reverse=True)
    return _phrase(f"(?i:{'|'.join(longest_first)})" if written else "(?!)")


def _phrase(name: str) -> re.Pattern[str]:
    return re.compile(rf"{_ARTICLE}(?<!\w)(?:{name}){_SIZE}{_NOUN}")
