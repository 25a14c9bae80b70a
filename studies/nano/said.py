"""What experts might say of photos, made up, with questions: an answer relies on what was said.

On pictures the object expert is wrong in a quarter and the detector knows 80 classes; answers that
contradict what was said would teach to guess. So for real pictures only samples are kept whose
answer is in the words (`answer_from`), and these rows are added.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Mapping
from functools import cache
from typing import Any

from openmova.experts.chart_text import Chart, number, precision
from openmova.experts.detector import LISTED, NanoDet
from openmova.experts.lite import class_names
from openmova.experts.location import animal_words, written
from studies.nano.data.chart_questions import chart_questions
from studies.nano.data.noun_questions import NOUNS
from studies.nano.data.phrases import ask
from studies.nano.data.pictures import article, plural
from studies.nano.data.scenes import (
    count_question,
    name_question,
    neighbour_question,
    presence_question,
)

ANIMALS, FOOD, PLANTS = range(398), range(923, 970), range(984, 998)
"""Of ImageNet's 1,000 classes."""
VEHICLES = {
    *(
        "car",
        "bus",
        "truck",
        "train",
        "airplane",
        "boat",
        "bicycle",
        "motorcycle",
        "van",
        "tractor",
    ),
    *("ship", "ambulance", "taxi", "scooter", "snowmobile", "tank"),
}
OTHER_NAMES = {
    "person": ("man", "woman", "child", "boy", "girl", "player", "pedestrian"),
    "airplane": ("plane", "aircraft"), "motorcycle": ("motorbike",), "couch": ("sofa",),
    "tv": ("screen", "television"), "phone": ("mobile phone", "cell phone"),
    "bicycle": ("bike",), "dining table": ("table",), "potted plant": ("plant",),
    "cup": ("mug",), "refrigerator": ("fridge",), "donut": ("doughnut",), "cow": ("bull",),
    "wine glass": ("glass",), "book": ("volume",), "ball": ("football",), "laptop": ("computer",),
    "clock": ("watch",), "car": ("vehicle",), "boat": ("ship",),
}  # fmt: skip
"""What else people call a class of the detector."""
KINDS = {
    "animal": (
        "bird",
        "cat",
        "dog",
        "horse",
        "sheep",
        "cow",
        "elephant",
        "bear",
        "zebra",
        "giraffe",
    ),
    "vehicle": ("bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat"),
    "fruit": ("banana", "apple", "orange"),
}
GROUPS = {
    ("animal", "animals"): (range(398),), ("creature", "creatures"): (range(398),),
    ("bird", "birds"): (range(7, 25), range(80, 101), range(127, 147)),
    ("insect", "insects"): (range(300, 327),), ("reptile", "reptiles"): (range(33, 69),),
    ("wild animal", "wild animals"): (range(269, 300), range(330, 389)),
    ("big cat", "big cats"): (range(286, 294),), ("ape", "apes"): (range(365, 385),),
    ("pet", "pets"): (range(151, 269), range(281, 286)), ("fruit", "fruits"): (range(948, 958),),
    ("food", "dishes"): (range(923, 970),), ("plant", "plants"): (range(984, 998),),
    ("fish", "fish"): (range(7), range(389, 398)), ("snake", "snakes"): (range(52, 69),),
    ("dog", "dogs"): (range(151, 269),),
}  # fmt: skip
"""What things are called together, and the classes that may be meant."""
WORD_GROUPS = {
    ("instrument", "musical instruments"): (
        *("accordion", "banjo", "bassoon", "cello", "drum", "flute", "gong", "guitar", "harmonica"),
        *("harp", "horn", "maraca", "marimba", "oboe", "ocarina", "organ", "panpipe", "piano"),
        *("saxophone", "trombone", "violin"),
    ),
    ("piece of furniture", "pieces of furniture"): (
        *("bed", "bench", "bookcase", "cabinet", "chair", "couch", "desk", "table"),
    ),
    ("building", "buildings"): (
        *("barn", "building", "castle", "church", "library", "lighthouse", "monastery", "mosque"),
        *("palace", "prison", "restaurant", "theater", "tower", "yurt"),
    ),
    ("tool", "tools"): (
        *("axe", "hammer", "pick", "plow", "saw", "screwdriver", "shovel", "spatula", "tool"),
    ),
    ("piece of clothing", "clothes"): (
        *("cloak", "clothing", "coat", "dress", "glove", "scarf", "shirt", "skirt", "sock", "suit"),
        *("sweater", "swimsuit", "tie", "trousers"),
    ),
    ("device", "devices"): (
        *("camera", "computer", "keyboard", "laptop", "microphone", "modem", "phone", "printer"),
        *("projector", "radio", "television"),
    ),
    ("weapon", "weapons"): ("cannon", "gun", "pistol", "rifle"),
    ("vegetable", "vegetables"): (
        *("cabbage", "corn", "cucumber", "mushroom", "pepper", "pumpkin", "vegetable"),
    ),
    ("vehicle", "vehicles"): tuple(sorted(VEHICLES)),
}
"""The same by their everyday names."""
THINGS = tuple((word, plural(word)) for word in (
    "tool", "object", "thing", "building", "vehicle", "instrument", "device", "machine",
    "structure", "piece of furniture", "food", "toy", "item", "product", "animal",
))  # fmt: skip
PLACES = ("top left", "top", "top right", "left", "middle", "right", "bottom left", "bottom",
          "bottom right")  # fmt: skip
ANYBODY = (
    *("Is anybody there?", "Is there anyone in the picture?", "Do you see anybody?"),
    *("Is somebody in the photo?", "Is there someone here?", "Can you see anyone?"),
    *("Are there people?", "Are any people in the picture?", "Is there a human being?"),
    *("Does somebody appear in this image?", "Are there any persons?", "Is someone standing here?"),
)
HALVES = (
    ("left", "right", (
        "Is the {one} on the left or on the right?", "On which side is the {one}?",
        "Is the {one} left or right of the middle?", "Where is the {one}: left or right?",
        "Is the {one} on the left or the right side?", "Is the {one} at the left or at the right?",
        "On which side of the picture do you see the {one}?", "{one}: left or right?",
    )),
    ("top", "bottom", (
        "Is the {one} at the top or at the bottom?", "Is the {one} in the top or bottom half?",
        "Where is the {one}: top or bottom?", "Is the {one} near the top or the bottom?",
        "Top or bottom: where is the {one}?", "Is the {one} in the upper or in the lower part, top"
        " or bottom?",
    )),
)  # fmt: skip
"""Two sides, and questions which of them it is."""
Turn = tuple[str, str]


def answer_from(
    sample: Mapping[str, Any], words: Mapping[str, str], rng: random.Random
) -> str | None:
    """The answer to a sample as far as the words of its experts bear it; None: they don't."""
    task, answer, experts = sample["task"], sample["answer"], sample["experts"]
    if experts == ["location"]:
        answer = by_teacher(task, sample["question"], words["location"])
        # Most things are not there: "no" and "0" would be learnt without looking.
        return None if answer in ("no", "0") and rng.random() < 0.75 else answer
    if task == "count-and-text":
        count = by_teacher("count", sample["question"], words["location"])
        return answer if answer.split(";")[0] == count else None
    if "object" in experts:
        thing = re.split(r" of |; ", answer)[0 if task == "object-and-text" else -1]
        return answer if _same_thing(thing, words["object"]) else None
    if task == "chart-count" and f"{answer} labels" not in words["chart"]:
        return None
    if task in ("chart-title", "chart-axis") and answer not in "\n".join(words.values()):
        return None
    return str(answer)


def _same_thing(answer: str, said: str) -> bool:
    """The first guess, or a guess of the same last word, is the answer."""
    first = re.sub(r"\d+%", "", said.split("\n")[0]).lower()
    answer = answer.lower().rstrip(".").removeprefix("a ").removeprefix("an ")
    return answer in first or answer.split()[-1] in re.findall(r"[a-z]+", first)


def object_row(rng: random.Random) -> tuple[str, list[Turn]]:
    """What the object expert might say, and questions."""
    names, everyday = class_names()
    guesses: list[str] = []
    left = 1.0
    chosen: list[int] = []
    while len(guesses) < 3:
        i = rng.randrange(len(names))
        if chosen and rng.random() < 0.6:
            i = rng.choice(_alike(chosen[0]) or [i])
        if everyday[i] in {everyday[j] for j in chosen}:
            continue
        chance = left * (rng.betavariate(2, 1.2) if not guesses else rng.betavariate(1, 3))
        if guesses and (chance < 0.03 or rng.random() < 0.25):
            break
        chosen.append(i)
        left -= chance
        others = [j for j, word in enumerate(everyday) if word == everyday[i]]
        exact, rest = [], chance
        for j in dict.fromkeys([i, *rng.sample(others, min(3, len(others)))]):
            part = rest * rng.uniform(0.4, 1)
            if names[j] != everyday[i] and part >= 0.03:
                exact.append((part, names[j]))
            rest -= part
        told = [f"{name} {p:.0%}" for p, name in sorted(exact, reverse=True)]
        guesses.append(f"{everyday[i]} {chance:.0%}" + (f": {', '.join(told)}" if told else ""))
    order = sorted(range(len(guesses)), key=lambda g: -float(guesses[g].split("%")[0].split()[-1]))
    chosen, guesses = [chosen[g] for g in order], [guesses[g] for g in order]
    first = chosen[0]
    exact_name = re.match(r"[^:]+: (.+?) \d+%", guesses[0])
    turns = [(ask(rng, "object"), everyday[first])]
    groups = [kind for kind, members in name_groups().items() if first in members]
    own = (everyday[first], plural(everyday[first]))
    for _ in range(2):
        kinds = rng.choice(groups) if groups else rng.choice((None, *THINGS))
        kinds = own if exact_name and rng.random() < 0.3 else kinds
        kinds = kinds if rng.random() < 0.75 else None
        # "Which bird is it?" asks for more than "bird".
        is_exact = kinds is not None and kinds[0] == everyday[first]
        answer = exact_name[1] if is_exact and exact_name else everyday[first]
        turns.append((name_question(rng, kinds), answer))
    for at, later in enumerate(chosen[1:], 1):  # "Which insect is it?", of what may be one
        of_it = [k for k, members in name_groups().items() if later in members]
        of_it = [k for k in of_it if k[0] != everyday[later]]
        of_it = [k for k in of_it if not any(one in name_groups()[k] for one in chosen[:at])]
        named = re.match(r"[^:]+: (.+?) \d+%", guesses[at])
        if named and everyday[later] not in {everyday[one] for one in chosen[:at]}:
            turns.append((name_question(rng, (everyday[later], plural(everyday[later]))), named[1]))
        if of_it:
            turns.append((name_question(rng, rng.choice(of_it)), everyday[later]))
    for key, members in (("animal", ANIMALS), ("food", FOOD), ("plant", PLANTS)):
        fitting = [i for i in chosen if i in members]
        if fitting and rng.random() < 0.7:
            turns.append((ask(rng, f"object-{key}"), everyday[fitting[0]]))
    if everyday[first] in VEHICLES:
        turns.append((ask(rng, "object-vehicle"), everyday[first]))
    if rng.random() < 0.2:
        word = everyday[first]
        turns.append((ask(rng, "describe"), f"A photo of {article(word)}."))
    if exact_name and rng.random() < 0.4:
        word = everyday[first]
        phrase = rng.choice(
            (f"What kind of {word} is it?", f"Which {word} is this?", f"What breed of {word}?",
             f"Be exact: what {word} is that?", f"Which species or type of {word} is it?")
        )  # fmt: skip
        turns.append((phrase, exact_name[1]))
    rng.shuffle(turns)
    return "\n".join(guesses), turns[:6]


@cache
def name_groups() -> dict[tuple[str, str], frozenset[int]]:
    """The classes that may be meant by what things are called together."""
    _, everyday = class_names()
    found = {kind: frozenset(i for r in ranges for i in r) for kind, ranges in GROUPS.items()}
    for kind, words in WORD_GROUPS.items():
        found[kind] = frozenset(i for i, word in enumerate(everyday) if word in words)
    return found


def _alike(one: int) -> list[int]:
    """The smallest group that a class belongs to: what it may be mixed up with; [] for none."""
    groups = [sorted(members) for members in name_groups().values() if one in members]
    return min(groups, key=len, default=[])


def location_row(rng: random.Random) -> tuple[str, list[Turn]]:
    """What the location expert might say, and questions."""
    classes = NanoDet.classes
    counts: dict[str, int] = {}
    only_animals = rng.random() < 0.3
    for _ in range(rng.choices((0, 1, 2, 3, 4), (1, 5, 4, 2, 1))[0]):
        name = "person" if rng.random() < 0.25 else rng.choice(classes)
        if name in KINDS["animal"] or only_animals:
            name = animal_name(rng)
        counts[name] = rng.choices((1, 2, 3, 4, 5, 7, 9), (8, 5, 3, 2, 2, 1, 1))[0]
    places = {name: [rng.choice(PLACES) for _ in range(n)] for name, n in counts.items()}
    told = ", ".join(f"{n} {name}" for name, n in sorted(counts.items(), key=lambda x: -x[1]))
    each = [f"{name} {place}" for name, own in places.items() for place in own]
    rng.shuffle(each)
    sums = {kind: sum(counts.get(name, 0) for name in members) for kind, members in KINDS.items()}
    sums["animal"] = sum(n for name, n in counts.items() if name in animal_names())
    sums["bird"] = sum(n for name, n in counts.items() if name.split(" (")[0] == "bird")
    of_all = [f"animals: {sums['animal']}"] if sums["animal"] > 1 else []
    text = "\n".join([told, *of_all, *each[:LISTED]]) if counts else "nothing"
    turns: list[Turn] = []
    sides = _sides(rng, {_shorter(name): own[0] for name, own in places.items() if len(own) == 1})
    for name, n in counts.items():
        short = _shorter(name)
        one = rng.choice(OTHER_NAMES.get(name, (short,))) if rng.random() < 0.35 else short
        many = plural(one)
        if name == "person" and rng.random() < 0.6:
            many = "people"
        turns.append((ask(rng, "is-there", a=article(one), one=one, many=plural(one)), "yes"))
        turns.append((ask(rng, "count", many=many), str(n)))
        turns.append((presence_question(rng, article(one), one, plural(one)), "yes"))
        turns.append((count_question(rng, many), str(n)))
        if name == "person":
            turns.append((rng.choice(ANYBODY), "yes"))
        if n == 1:
            turns.append((ask(rng, "where", one=short), places[name][0]))
            sides += half_questions(rng, one, places[name][0])
    there = {_shorter(name) for name in counts} | {kind for kind, n in sums.items() if n}
    absent = [name for name in classes if name not in there]
    words = class_names()[1]
    for _ in range(rng.choice((1, 1, 2))):
        one = rng.choice(absent) if rng.random() < 0.75 else rng.choice(words)
        if one not in there:
            turns.append((ask(rng, "is-there", a=article(one), one=one, many=plural(one)), "no"))
            turns.append((presence_question(rng, article(one), one, plural(one)), "no"))
    if rng.random() < 0.2:
        turns.append((ask(rng, "count", many=plural(rng.choice(absent))), "0"))
    for kind, n in sums.items():
        if rng.random() < (0.5 if n else 0.06):
            turns.append((ask(rng, "count", many=plural(kind)), str(n)))
            answer = "yes" if n else "no"
            turns.append(
                (ask(rng, "is-there", a=article(kind), one=kind, many=plural(kind)), answer)
            )
            turns.append((count_question(rng, plural(kind)), str(n)))
    if "person" not in counts and rng.random() < 0.3:
        turns.append((rng.choice(ANYBODY), "no"))
    rng.shuffle(turns)
    return text, [*sides[:3], *turns][:6]


@cache
def animal_names() -> tuple[str, ...]:
    """What the location expert calls animals."""
    return tuple(sorted({*map(written, animal_words())}))


def animal_name(rng: random.Random) -> str:
    """One of them, NanoDet's own as often as the classifier's."""
    return rng.choice(KINDS["animal"]) if rng.random() < 0.5 else rng.choice(animal_names())


def _shorter(name: str) -> str:
    """What people call it: of `bird (owl)` the owl."""
    return name.split(" (")[-1].rstrip(")")


def half_questions(rng: random.Random, one: str, place: str) -> list[Turn]:
    """In which half of the picture a thing is; none for the middle."""
    turns = []
    for first, second, modes in HALVES:
        side = next((side for side in (first, second) if side in place.split()), None)
        if side:
            turns.append((rng.choice(modes).format(one=one), side))
    return turns


def neighbour_row(rng: random.Random) -> tuple[dict[str, str], list[Turn]]:
    """What object and location expert might say of two things, and what is beside one of them."""
    animals = rng.random() < 0.6
    one, other = rng.sample(KINDS["animal"] if animals else NanoDet.classes, 2)
    if animals and rng.random() < 0.5:
        one, other = rng.sample(animal_names(), 2)
    of_all = ["animals: 2"] if animals else []
    lines = [f"{name} {rng.choice(PLACES)}" for name in rng.sample((one, other), 2)]
    words = {
        "object": f"{_shorter(other)} {rng.uniform(0.3, 0.98):.0%}",
        "location": "\n".join((f"1 {one}, 1 {other}", *of_all, *lines)),
    }
    kind = "animal" if animals else rng.choice(("thing", "object"))
    one, other = _shorter(one), _shorter(other)
    return words, [(neighbour_question(rng, kind, one), other) for _ in range(3)]


SYLLABLES = ("ka", "lo", "mi", "ter", "ran", "sol", "vic", "dan", "pe", "ru", "bel", "ton", "es",
             "fra", "go", "hi", "nor", "qua", "ster", "wen", "yo", "zi", "al", "cor")  # fmt: skip
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def chart_row(rng: random.Random) -> tuple[dict[str, str], list[Turn]]:
    """What text and chart expert might say of a chart, and questions."""
    labels = _names(rng, rng.randint(2, 12))
    series = _names(rng, rng.randint(2, 4)) if rng.random() < 0.4 else []
    series = series if not set(series) & set(labels) else [f"series {i + 1}" for i in range(3)]
    top = 10 ** rng.uniform(-1, 4)
    low = 0.0 if rng.random() < 0.7 else top * rng.uniform(-0.5, 0.8)
    values = [[rng.uniform(low, top) for _ in labels] for _ in series or [""]]
    if series and rng.random() < 0.4:
        rng.choice(values).sort(reverse=rng.random() < 0.5)
    step = (top - low) / rng.randint(4, 8)
    digits = max(precision(top - low) - 1, 0)
    ticks = [number(low + step * i, digits) for i in range(rng.randint(3, 8))][::-1]
    titles = {
        "title": f"{_word(rng).capitalize()} {rng.choice(NOUNS)} by {rng.choice(NOUNS)}",
        "x axis": rng.choice(NOUNS).capitalize(),
        "y axis": rng.choice(NOUNS).capitalize(),
    }
    titles = {place: text for place, text in titles.items() if rng.random() < 0.6}
    axis = [titles["y axis"]] if "y axis" in titles else []
    lines = [[titles["title"]] if "title" in titles else [], ticks + axis + series]
    if rng.random() < 0.6:
        lines.append([" | ".join(labels)])
    else:
        lines.insert(1, labels)
    lines.append([titles["x axis"]] if "x axis" in titles else [])
    words = {
        "text": "\n".join(line for group in lines for line in group),
        "chart": Chart(labels, series, values, top - low, titles).text,
    }
    turns = []
    for _ in range(3):
        turns += chart_questions(rng, labels, series, values, top - low)
    rng.shuffle(turns)
    return words, list(dict(turns).items())[:8]


AXES = {
    "x": ("x", "horizontal", "lower", "bottom"),
    "y": ("y", "vertical", "left"),
}
TITLES = (
    *("What is the title of this {plot}?", "What is this {plot} called?", "{plot} title?"),
    *("What is shown in this {plot}, according to its title?", "Read the title of the {plot}."),
    *("What is the {plot} about?", "What does the title say?", "How is the {plot} titled?"),
)
OF_ENTRY = (
    *("What is the {s} of {e}?", "Which {s} does {e} have?", "{e}: {s}?"),
    *("What {s} is given for {e}?", "How high is the {s} of {e}?"),
)
SCORES = ("AUC", "AP", "area", "R2", "n", "std", "acc", "p", "mean", "k", "rate")


def labels_row(rng: random.Random) -> tuple[dict[str, str], list[Turn]]:
    """What text and chart expert might say of a plot, and questions about title, axes and legend.

    The text expert reads the title first and the lower axis's label last; the left one stands
    before one of its ticks. The chart expert tells which is which, but of a title at times only
    that it is written.
    """

    def words(low: int, high: int) -> str:
        return " ".join(rng.choices(NOUNS, k=rng.randint(low, high))).capitalize()

    title, x, y = words(2, 6), words(1, 3), words(1, 3)
    if rng.random() < 0.3:
        x, y = (f"{name} ({rng.choice(('mm', '%', 's', 'EUR', 'log', '°C'))})" for name in (x, y))
    top = 10 ** rng.uniform(-1, 4)
    ticks = [number(top * i / 6, precision(top)) for i in range(7)][::-1][rng.randrange(3) :]
    middle = rng.randrange(1, len(ticks))
    left = [*ticks[:middle], *rng.choice(([f"{y} {ticks[middle]}"], [y, ticks[middle]]))]
    left += ticks[middle + 1 :]
    score, entries = rng.choice(SCORES), [words(1, 3) for _ in range(rng.randint(0, 4))]
    scores = [number(rng.uniform(0, 1), 2) for _ in entries]
    has_scores = rng.random() < 0.5
    legend = [
        f"{entry} ({score} = {value})" if has_scores else entry
        for entry, value in zip(entries, scores, strict=True)
    ]
    place = rng.randint(0, len(left))
    labels = _names(rng, 5)
    numbers = [number(i * rng.uniform(0.5, 3), 1) for i in range(6)]
    bottom = " | ".join(rng.choice((numbers, labels)))
    lines = [*left[:place], *legend, *left[place:], bottom, x]
    titled = rng.random() < 0.8
    lines = [title, *lines] if titled else lines
    turns = [
        (
            ask(rng, "chart-axis", axis=rng.choice(names)).replace(
                " axis", rng.choice((" axis", "-axis"))
            ),
            label,
        )
        for names, label in ((AXES["x"], x), (AXES["y"], y))
    ]
    if titled:
        plot = rng.choice(("chart", "plot", "figure", "histogram", "diagram", "graph"))
        asked = rng.choice((ask(rng, "chart-title"), rng.choice(TITLES).format(plot=plot)))
        turns.append((asked[:1].upper() + asked[1:], title))
    if has_scores:
        for entry, value in zip(entries, scores, strict=True):
            mode = rng.choice(OF_ENTRY)
            turns.append((mode.format(s=score, e=entry), value))
    is_note = titled and rng.random() < 0.25
    told = {"title": title} if titled and not is_note else {}
    rows = [rng.uniform(0, top) for _ in labels] if rng.random() < 0.5 else []
    chart = Chart(
        labels if rows else (), (), (rows,) if rows else (), top,
        told | {"x axis": x, "y axis": y}, [title, *legend] if is_note else legend,
    )  # fmt: skip
    return {"text": "\n".join(lines), "chart": chart.text}, turns[:6]


def _names(rng: random.Random, count: int) -> list[str]:
    """As many labels or fewer, of one sort, each once."""
    start, word = rng.randint(0, 2020), rng.choice(NOUNS)
    sort = rng.randrange(12)
    stride = rng.choice((0.05, 0.1, 0.2, 0.5, 1, 2, 3, 5, 10, 20, 50, 100, 250, 1000))
    names = {
        0: lambda i: str(start + i),
        1: lambda i: MONTHS[(start + i) % 12],
        2: lambda i: f"{word} {i + 1}",
        3: lambda i: f"{word[0]}_{i}" if start % 2 else f"{word[0]}{i + 1}",
        4: lambda i: chr(ord("A") + i),
        5: lambda i: f"{_word(rng).capitalize()}{_word(rng).capitalize()}",
        6: lambda i: f"{rng.choice(NOUNS)} {rng.choice(NOUNS)}",
        7: lambda i: f"{rng.choice(NOUNS)}_{rng.choice(NOUNS)}",
        8: lambda i: number(stride * (start % 7 - 2 + i), 2),
        9: lambda i: number(stride * i, 2),
    }.get(sort, lambda i: _word(rng).capitalize())
    return list(dict.fromkeys(names(i) for i in range(count)))


def _word(rng: random.Random) -> str:
    return "".join(rng.choices(SYLLABLES, k=rng.randint(2, 3)))


def _sides(rng: random.Random, places: Mapping[str, str]) -> list[Turn]:
    """Which of two things is left or right of the other, and what is there."""
    column = {"left": 0, "right": 2}
    spots = {name: column.get(place.split()[-1], 1) for name, place in places.items()}
    pairs = [(a, b) for a in spots for b in spots if spots[a] < spots[b]]
    if not pairs:
        return []
    left, right = rng.choice(pairs)
    one, other, side = rng.choice(((left, right, "left"), (right, left, "right")))
    mode = rng.choice(
        ("Is the {one} to the left or to the right of the {other}?",
         "On which side of the {other} is the {one}?", "Is the {one} left or right of the {other}?",
         "Where is the {one}, seen from the {other}: left or right?")
    )  # fmt: skip
    turns = [(mode.format(one=one, other=other), side)]
    if sum(spot < spots[right] for spot in spots.values()) == 1:
        mode = rng.choice(("What is to the left of the {other}?", "What is left of the {other}?"))
        turns.append((mode.format(other=right), left))
    return turns


def names_in(question: str) -> Counter[str]:
    """Classes of the detector that a question names."""
    found: Counter[str] = Counter()
    for name in NanoDet.classes:
        for form in (name, plural(name)):
            if re.search(rf"\b{re.escape(form)}\b", question.lower()):
                found[name] += 1
    return found


def by_teacher(task: str, question: str, said: str) -> str | None:
    """The answer that the detector's words give to a question about places; None: they don't."""
    names = names_in(question)
    if "hot dog" in names:
        names.pop("dog", None)
    if len(names) != 1:
        return None
    (name,) = names
    lines = said.split("\n")
    told = re.findall(r"(\d+) ([a-z ]+)(?: \(|,|$)", lines[0])  # "2 bird (owl)" are two birds
    n = sum(int(count) for count, other in told if other == name)
    if task == "is-there":
        return "yes" if n else "no"
    if task == "count":
        return str(n)
    places = [
        m[1] for m in (re.match(rf"{name} (?:\(.*\) )?(.*)", line) for line in lines[1:]) if m
    ]
    return places[0] if n == 1 and len(places) == 1 else None
