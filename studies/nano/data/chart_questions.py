# ruff: noqa: E501 - lists of phrases
"""Questions about a chart whose data is known, in the words of its axes; the answers are what the
chart expert said, so that the language model learns to repeat it."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import pairwise

from openmova.experts.chart_text import number, precision
from studies.nano.data.phrases import ask

_CATEGORIES = (
    *("month", "year", "city", "country", "person", "product", "feature", "method", "group", "day"),
    *("estimator", "variable", "region", "team", "candidate", "bar", "category", "label", "model"),
    *("hour", "row", "class", "study", "brand", "fuel", "player", "department", "language"),
)
_MEASURES = (
    *("value", "accuracy", "score", "price", "temperature", "share", "error", "number", "time"),
    *("coefficient", "importance", "weight", "sales", "votes", "cost", "throughput", "speed"),
    *(
        "oil",
        "rain",
        "population",
        "amount",
        "fit time",
        "deviance",
        "income",
        "fertility",
        "level",
    ),
    *("probability", "distance", "profit", "count", "BIC score", "points", "support", "growth"),
)
_LARGEST = (
    *("Which {x} has the highest {y}?", "Which {x} has the most {y}?", "Where is the {y} highest?"),
    *("In which {x} was the {y} largest?", "For which {x} is {y} the highest?", "With which {x} is"
      " the {y} highest?", "At which {x} is the {y} at its maximum?", "Who has the most {y}?"),
    *("Name the {x} with the biggest {y}.", "Which {x} leads in {y}?", "Which {x} is the largest?"),
    *("On which {x} is the {y} longest?", "Which {x} got the most {y}?", "Which bar is tallest?"),
    *("Which one matters most?", "Which {x} is on top?", "Which {x} comes first in {y}?"),
    *("At what {x} is the {y} highest?", "When is the {y} highest?", "What is the best {x}?"),
    *("With how many {x}s is the {y} highest?", "Who has the highest number of {y}?"),
    *("What {x} has the longest bar?", "What is the most common {x}?", "When did the {y} peak?"),
)  # fmt: skip
_SMALLEST = (
    *("Which {x} has the lowest {y}?", "Which {x} has the least {y}?", "Where is the {y} lowest?"),
    *("In which {x} was the {y} smallest?", "For which {x} is {y} the lowest?", "With which {x} is"
      " the {y} lowest?", "At which {x} is the {y} at its minimum?", "Who has the least {y}?"),
    *("Name the {x} with the smallest {y}.", "Which {x} is last in {y}?", "Which {x} is smallest?"),
    *("Which {x} is the slowest or smallest?", "Which {x} got the fewest {y}?", "Which {x} sold least?"),
    *("Which bar is the shortest?", "Which {x} ends up lowest?", "Whose {y} is the smallest?"),
    *("At what {x} is the {y} lowest?", "When is the {y} lowest?", "What is the worst {x}?"),
    *("With how many {x}s is the {y} lowest?", "Who has the lowest number of {y}?"),
    *("What {x} has the shortest bar?", "What is the rarest {x}?", "When was the {y} at its low?"),
)  # fmt: skip
_VALUE = (
    *("What is the {y} of {label}?", "What {y} does {label} reach?", "How many {y} for {label}?"),
    *("How high is the {y} at {label}?", "What is the {y} in {label}?", "What {y} has {label}?"),
    *("Roughly, what is the {y} for {label}?", "How much {y} was there in {label}?", "{y}, {label}?"),
    *("Read off the {y} of {label}.", "About what {y} is shown for {label}?", "{label}: {y}?"),
    *("How large is {label}?", "What is the {y} with {label}?", "How high is the bar of {label}?"),
    *("What does {label} come to in {y}?", "Which {y} is reached by {label}?"),
    *("What {y} is reached with {label} {x}s?", "What is the {y} when the {x} is {label}?"),
    *("How high were the {y} in {label}?", "How high was {label}?", "At {x} {label}, how much?"),
)  # fmt: skip
_MOST = (
    *("How high is the tallest bar?", "What is the highest {y}?", "What is the largest value?"),
    *(
        "How high is the highest peak?",
        "About how many fall in the highest bin?",
        "What is the maximum?",
    ),
    *(
        "What {y} does the largest {x} reach?",
        "How much {y} has the best {x}?",
        "What is the top {y}?",
    ),
    *("Roughly, how high is the tallest peak?", "How large is the biggest value?", "Highest {y}?"),
)
_LEAST = (
    *("How high is the shortest bar?", "What is the lowest {y}?", "What is the smallest value?"),
    *("What is the minimum?", "How low does it go?", "What {y} does the smallest {x} have?"),
    *("How small is the smallest value?", "Lowest {y}?", "What is the minimal {y}?"),
)
_OF_SERIES = (
    *("What is the {y} of {series} at {label}?", "What {y} does {series} reach with {label}?"),
    *("How high is {series} at {label}?", "With {label}, what is the {y} of {series}?"),
    *("How much is {series} in {label}?", "What does {series} give for {label}?"),
    *("What is {series} for {label}?", "Read the {y} of {series} for {label}."),
)
_ENDS_OF_SERIES = (
    *(
        "What is the {most} value of {series}?",
        "How {high} does {series} get?",
        "{series}: {most}?",
    ),
    *("What is the {most} that {series} reaches?", "How {high} does the curve of {series} go?"),
    *("What is the {peak} of {series}?", "At its {peak}, how {high} is {series}?"),
)
_ENDS = (
    ({"most": "highest", "high": "high", "peak": "peak"}, max),
    ({"most": "largest", "high": "high", "peak": "maximum"}, max),
    ({"most": "lowest", "high": "low", "peak": "minimum"}, min),
    ({"most": "smallest", "high": "low", "peak": "bottom"}, min),
)
_HIGHEST_SERIES = (
    *("Which series reaches the highest value?", "Which of them gets highest?", "Who leads?"),
    *("Which line is highest?", "Which colour or series is the largest?", "Whose peak is highest?"),
    *("Which curve has the highest peak?", "Which series goes up the most?"),
)
_LOWEST_SERIES = (
    *(
        "Which series reaches the lowest value?",
        "Which of them gets lowest?",
        "Which line is lowest?",
    ),
    *("Which series ends up lowest?", "Which curve goes down the most?", "Whose minimum is least?"),
)
_HOW_MANY = (
    *(
        "How many {x}s are compared?",
        "How many {x}s does the plot have?",
        "How many {x}s are there?",
    ),
    *("How many {x}s are in the plot?", "Over how many {x}s does it go?", "Count the {x}s."),
)
_SERIES = ("series", "line", "curve", "colour", "method", "group")
_LARGEST_OF_SERIES = (
    *("Which {x} has the highest {series}?", "Where is {series} the highest?"),
    *("At which {x} is {series} the largest?", "For which {x} is {series} at its maximum?"),
    *("Who has the highest number of {series} {y}?", "When is {series} highest?"),
)
_SMALLEST_OF_SERIES = (
    *("Which {x} has the lowest {series}?", "Where is {series} the lowest?"),
    *("At which {x} is {series} the smallest?", "For which {x} is {series} at its minimum?"),
    *("Who has the lowest number of {series} {y}?", "When is {series} lowest?"),
)


_LARGEST_AT_LABEL = (
    *("Which {s} is the highest at {label}?", "Which {s} has the most {y} in {label}?"),
    *("At {label}, which {s} is on top?", "Who had the highest {y} in {label}?"),
)
_SMALLEST_AT_LABEL = (
    *("Which {s} is the lowest at {label}?", "Which {s} has the least {y} in {label}?"),
    *("At {label}, which {s} is at the bottom?", "Who had the lowest {y} in {label}?"),
)
_FIRST_OF_SERIES = ("Where does {series} start?", "At what {y} does {series} begin?")
_LAST_OF_SERIES = ("Where does {series} end?", "What {y} does {series} end at?")
_RISING = (
    *("Which {s} keeps rising from left to right?", "Which {s} goes up all the way?"),
    *("Which of the {s}s only increases?", "Which {s} grows with every {x}?"),
)
_FALLING = (
    *("Which {s} keeps falling from left to right?", "Which {s} goes down all the way?"),
    *("Which of the {s}s only decreases?", "Which {s} shrinks with every {x}?"),
)


_MONTHS = (
    *("January", "February", "March", "April", "May", "June", "July", "August", "September"),
    *("October", "November", "December"),
)
SPOKEN = 0.4
"""How often a question names a label or a series as people would, not as it is written."""


def _spoken(rng: random.Random, name: str, all_names: Sequence[str]) -> str:
    """A label as people say it: "April" for "Apr", in lower case, without underscores."""
    if rng.random() > SPOKEN:
        return name
    if name.istitle() and len(name) == 3:
        name = next((month for month in _MONTHS if month[:3] == name), name)
    plain = name.replace("_", " ")
    lower = plain.lower() if rng.random() < 0.5 else plain
    others = [other.replace("_", " ").lower() for other in all_names]
    return lower if others.count(plain.lower()) <= 1 else name


def _across_series(
    rng: random.Random,
    labels: Sequence[str],
    series: Sequence[str],
    values: Sequence[Sequence[float]],
    digits: int,
) -> list[tuple[str, str]]:
    """Which of the series is on top at a label, starts or ends where, goes up or down."""
    slots = {"x": rng.choice(_CATEGORIES), "y": rng.choice(_MEASURES), "s": rng.choice(_SERIES)}
    place, line = rng.randrange(len(labels)), rng.randrange(len(series))
    turns = []
    at_label = [row[place] for row in values]
    modes, pick = rng.choice(((_LARGEST_AT_LABEL, max), (_SMALLEST_AT_LABEL, min)))
    asked = rng.choice(modes).format(**slots, label=_spoken(rng, labels[place], labels))
    turns.append((asked, series[at_label.index(pick(at_label))]))
    ends, end = rng.choice(((_FIRST_OF_SERIES, 0), (_LAST_OF_SERIES, -1)))
    asked = rng.choice(ends).format(**slots, series=_spoken(rng, series[line], series))
    turns.append((asked, number(values[line][end], digits)))
    for modes, sign in ((_RISING, 1), (_FALLING, -1)):
        steady = [
            all(sign * (after - before) > 0 for before, after in pairwise(row)) for row in values
        ]
        if steady.count(True) == 1:
            turns.append((rng.choice(modes).format(**slots), series[steady.index(True)]))
    return turns


def chart_questions(
    rng: random.Random,
    labels: Sequence[str],
    series: Sequence[str],
    values: Sequence[Sequence[float]],
    span: float,
) -> list[tuple[str, str]]:
    """Questions with answers about values [series][label] as they were said.

    What the axes are called in a question is drawn: no answer depends on it.
    """
    slots = {"x": rng.choice(_CATEGORIES), "y": rng.choice(_MEASURES)}
    digits = precision(span)
    asked_labels = [_spoken(rng, label, labels) for label in labels]
    asked_series = [_spoken(rng, name, series) for name in series]

    def own(modes: Sequence[str], key: str, **more: str) -> str:
        if rng.random() < 0.6:
            asked = rng.choice(modes).format(**slots, **more)
            return asked[:1].upper() + asked[1:]
        item = rng.choice(("bar", "label", "one", "category"))
        return ask(rng, key, item=item, **more)

    turns = []
    place, line = rng.randrange(len(labels)), rng.randrange(len(values))
    label, said = labels[place], number(values[line][place], digits)
    asked_label = asked_labels[place]
    if series:
        asked_one = asked_series[line]
        more = {"series": asked_one, "label": asked_label}
        turns.append((own(_OF_SERIES, "chart-value-series", **more), said))
        row = values[line]
        if rng.random() < 0.5:
            best = labels[max(range(len(row)), key=row.__getitem__)]
            turns.append((rng.choice(_LARGEST_OF_SERIES).format(**slots, series=asked_one), best))
        else:
            least = labels[min(range(len(row)), key=row.__getitem__)]
            turns.append((rng.choice(_SMALLEST_OF_SERIES).format(**slots, series=asked_one), least))
        words, pick = rng.choice(_ENDS)
        asked = rng.choice(_ENDS_OF_SERIES).format(series=asked_one, **words)
        turns.append((asked, number(pick(row), digits)))
        for questions, pick in ((_HIGHEST_SERIES, max), (_LOWEST_SERIES, min)):
            ends = [pick(one) for one in values]
            turns.append((rng.choice(questions), series[ends.index(pick(ends))]))
        many, count = rng.choice(((slots["x"], len(labels)), (rng.choice(_SERIES), len(series))))
        turns.append((rng.choice(_HOW_MANY).format(x=many), str(count)))
        return turns + _across_series(rng, labels, series, values, digits)
    (row,) = values
    order = sorted(range(len(row)), key=row.__getitem__)
    turns.append((own(_VALUE, "chart-value", label=asked_label), said))
    turns.append((own(_LARGEST, "chart-largest"), labels[order[-1]]))
    turns.append((own(_SMALLEST, "chart-smallest"), labels[order[0]]))
    modes, end = rng.choice(((_MOST, order[-1]), (_MOST, order[-1]), (_LEAST, order[0])))
    turns.append((rng.choice(modes).format(**slots), number(row[end], digits)))
    others = [value for i, value in enumerate(row) if i != place]
    if all(abs(row[place] - value) > 0.04 * span for value in others):
        item = rng.choice(("bar", "label", "one", "category", slots["x"]))
        turns.append((ask(rng, "chart-label", item=item, value=said), label))
    item = rng.choice(("bar", "label", "category"))
    counted = rng.choice(
        (ask(rng, "chart-count", item=item), rng.choice(_HOW_MANY).format(**slots))
    )
    turns.append((counted, str(len(labels))))
    rng.shuffle(turns)
    return turns
