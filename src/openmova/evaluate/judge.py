"""Whether an answer says what was expected, as a fair person would judge it.

Case, accents, punctuation, articles, plurals, number words, thousands separators and units do not
matter. A short sentence counts if it says the expected words and nothing against them. A number
counts within the question's tolerance. What does not count: a denial, a choice ("a dog or a cat"),
a second number, another unit, the expected word as part of another thing's name ("dog house").
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

LONGEST = 24
"""Words of an answer beyond those expected; a longer one has not answered shortly."""

ARTICLES = {"a", "an", "the"}
DENIALS = {"no", "not", "never", "none", "nothing", "without", "neither", "nor", "cannot"}
AGREEMENTS = {"yes", "yeah", "yep", "true", "correct"}
REFUSALS = {"no", "nope", "false", "incorrect"}
UNSURE = {"unsure", "uncertain", "unknown", "unclear"}
DOUBTS = UNSURE | {"know", "sure", "maybe", "perhaps", "possibly"}
KNOWING = {"know", "tell", "say", "sure", "able"}

ONES = """zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen
fifteen sixteen seventeen eighteen nineteen"""
TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
NUMBERS = {word: n for n, word in enumerate(ONES.split())}
NUMBERS |= {word: 10 * n for n, word in enumerate(TENS, start=2)}
SCALES = {"hundred": 1e2, "thousand": 1e3, "k": 1e3, "million": 1e6, "billion": 1e9}

CURRENCIES = {"$", "€", "₹", "£"}
_NAMES = {
    "%": "percent pct",
    "$": "usd dollar dollars us$",
    "€": "eur euro euros",
    "₹": "inr rs rupee rupees",
    "£": "gbp pound pounds",
    "g": "gr gram grams gramme grammes",
    "kg": "kilogram kilograms kilo kilos",
    "l": "liter liters litre litres",
    "px": "pixel pixels",
    "mm": "millimeter millimeters millimetre millimetres",
    "cm": "centimeter centimeters centimetre centimetres",
    "m": "meter meters metre metres",
    "kb": "kilobyte kilobytes",
    "mb": "megabyte megabytes",
    "gb": "gigabyte gigabytes",
    "°": "degree degrees deg celsius c",
    "s": "second seconds sec",
    "min": "minute minutes",
    "h": "hour hours",
    "oz": "ounce ounces",
}
UNITS = {name: unit for unit, names in _NAMES.items() for name in (unit, *names.split())}
"""Every name of a unit → its sign."""

FOLLOWERS = """and are as at beside between but by can for from has here in is it near next of on
over that there this to under visible was were which who whose with you looks sits stands lies
runs walks flies wearing holding photo photograph picture image"""
"""Words that may follow a thing's name without making it another thing's."""
MISLEADING = {
    "dog": "hot prairie corn",
    "lion": "sea mountain ant",
    "horse": "sea rocking saw",
    "bear": "teddy black brown sloth",
    "panda": "red lesser",
    "buffalo": "water",
    "pig": "guinea",
    "cow": "sea",
    "cat": "bob",
    "mouse": "computer",
    "chicken": "prairie",
    "fish": "star jelly cray",
    "apple": "pine",
    "tiger": "paper",
}
"""Words before a thing's name that make it another thing's."""

_NUMBER = re.compile(r"[-−–]?(?:\d[\d.,]*\d|\d|\.\d+)(?:e[-+]?\d+)?", re.IGNORECASE)
_TOKEN = re.compile(rf"{_NUMBER.pattern}|[^\W\d_]+(?:'[^\W\d_]+)?|[%$€₹£°]", re.IGNORECASE)
_PAUSE = re.compile(r"[;:!?()\[\]\n]|,(?!\d)|\.(?!\d)(?=\s|$)")


def judge(
    said: str,
    expected: Sequence[str],
    *,
    question: str = "",
    tolerance: float | None = None,
    name: bool = False,
) -> bool:
    """Whether the answer says one of the expected ones: the right answer and the accepted others.

    question: its numbers may be repeated in the answer. tolerance: how far a number may be off; the
    first expected answer is then a number. name: the answer is a thing's name; as a part of another
    thing's it does not count.
    """
    if tolerance is None:
        return any(_says(said, wanted, question, name) for wanted in expected)
    target, found = _read_number(expected[0]), _single_number(said, question)
    if target is None or found is None:
        return False
    values = [found, found / 100] if "%" in _tokens(said) else [found]
    return any(abs(value - target) <= tolerance * (1 + 1e-9) for value in values)


def is_unsure(said: str) -> bool:
    """Whether the answer says that it can't be told."""
    words = set(_words(said))
    return bool(DENIALS & words and KNOWING & words) or bool(UNSURE & words)


def _says(said: str, wanted: str, question: str, name: bool) -> bool:
    if wanted.casefold() in ("yes", "no"):
        return _polarity(_words(said)) == wanted.casefold()
    quantity = _quantity(wanted)
    if quantity is not None:
        return _says_quantity(said, *quantity, question)
    return _says_words(said, wanted, name)


def _polarity(words: Sequence[str]) -> str | None:
    """ "yes", "no", or None for both or neither."""
    agrees, refuses = not AGREEMENTS.isdisjoint(words), not REFUSALS.isdisjoint(words)
    if agrees != refuses:
        return "yes" if agrees else "no"
    if agrees or not words or not DOUBTS.isdisjoint(words):
        return None
    if not DENIALS.isdisjoint(words):
        return "no"
    return "yes" if words[0] == "there" or words[:2] == ["it", "is"] else None


def _quantity(text: str) -> tuple[float, str | None] | None:
    """The number and the unit, if the text is nothing else."""
    tokens = _tokens(text)
    if len(tokens) > 1 and UNITS.get(tokens[0]) in CURRENCIES:
        tokens = [*tokens[1:], tokens[0]]
    numbers, rest = _numbers(tokens)
    units = [UNITS.get(word) for word in rest]
    if len(numbers) != 1 or len(rest) > 1 or None in units or tokens[0] in rest:
        return None
    return numbers[0][0], units[0] if units else None


def _says_quantity(said: str, value: float, unit: str | None, question: str) -> bool:
    single = _single_number(said, question)
    if single is None or abs(single - value) > 1e-9 * max(1, abs(value)):
        return False
    tokens = _tokens(said)
    units = {beside for number, beside in _numbers(tokens)[0] if number == single and beside}
    return (
        len(tokens) <= LONGEST and not _denies(said, []) and (not (unit and units) or unit in units)
    )


def _single_number(said: str, question: str) -> float | None:
    """The one number of the answer; those of the question may stand beside it."""
    values = {number for number, _ in _numbers(_tokens(said))[0]}
    if len(values) > 1:
        values -= {number for number, _ in _numbers(_tokens(question))[0]}
    return values.pop() if len(values) == 1 else None


def _says_words(said: str, wanted: str, name: bool) -> bool:
    if _fold(wanted) in ARTICLES:  # a label of a chart; no sentence ends with an article
        return _tokens(said)[-1:] == [_fold(wanted)]
    target, words = _words(wanted), _words(said)
    joined = "".join(target)
    if not joined or len(words) > LONGEST + len(target) or _denies(said, target):
        return False
    if "".join(words) == joined:
        return True
    return any(
        "".join(clause[start:end]) == joined
        and not (name and _is_part_of_other(clause, start, end))
        for clause in (_clauses(said) if name else [words])
        for start in range(len(clause))
        for end in range(start + 1, len(clause) + 1)
    )


def _denies(said: str, target: Sequence[str]) -> bool:
    """Whether the answer has a denial or a choice that is not part of what is expected."""
    return not ((DENIALS | {"or"}) - set(target)).isdisjoint(_words(said))


def _is_part_of_other(clause: Sequence[str], start: int, end: int) -> bool:
    after = clause[end] if end < len(clause) else "is"
    before = clause[start - 1] if start else ""
    follows = after not in FOLLOWERS.split() and not after.endswith("ing")
    return follows or before in MISLEADING.get(clause[end - 1], "").split()


def _words(text: str) -> list[str]:
    return [word for clause in _clauses(text) for word in clause]


def _clauses(text: str) -> list[list[str]]:
    """Words of each part between commas, full stops and the like; plurals and articles folded."""
    return [
        [_singular(word) for word in map(_spell, _tokens(part)) if word and word not in ARTICLES]
        for part in _PAUSE.split(_fold(text))
        if part.strip()
    ]


def _spell(token: str) -> str:
    """Numbers in one spelling, "n't" as not, nothing for signs of currency and the like."""
    value = NUMBERS.get(token, _read_number(token))
    if value is not None:
        return f"{value:.12g}"
    return "not" if token.endswith("n't") else token.strip("%$€₹£°").replace("'", "")


def _singular(word: str) -> str:
    if len(word) <= 3 or word.endswith(("ss", "us", "is")):
        return word
    if word.endswith("ies"):
        return word[:-3] + "y"
    if word.endswith(("ches", "shes", "xes", "sses")):
        return word[:-2]
    return word.removesuffix("s")


def _fold(text: str) -> str:
    """Lower case without accents, plain quotes and signs."""
    plain = unicodedata.normalize("NFKD", text.replace("’", "'").replace("−", "-"))
    return "".join(c for c in plain if not unicodedata.combining(c)).casefold()


def _tokens(text: str) -> list[str]:
    """Words, numbers and signs of currency, percent and degree."""
    return _TOKEN.findall(re.sub(r"(?<=[\w)])[-–](?=\w)", " ", _fold(text)))


def _numbers(tokens: Sequence[str]) -> tuple[list[tuple[float, str | None]], list[str]]:
    """Every number with the unit beside it, and the other words."""
    found: list[tuple[float, str | None]] = []
    rest: list[str] = []
    place = 0
    while place < len(tokens):
        token, place = tokens[place], place + 1
        value = NUMBERS.get(token, _read_number(token))
        if value is None:
            rest.append(token)
            continue
        unit = UNITS.get(tokens[place - 2]) if place > 1 else None
        unit = unit if unit in CURRENCIES else None
        if token in TENS and place < len(tokens) and 0 < NUMBERS.get(tokens[place], 0) < 10:
            value, place = value + NUMBERS[tokens[place]], place + 1
        while place < len(tokens) and tokens[place] in SCALES:
            value, place = value * SCALES[tokens[place]], place + 1
        if place < len(tokens):
            unit = UNITS.get(tokens[place], unit)
        found.append((value, unit))
    return found, rest


def _read_number(token: str) -> float | None:
    """A number as people write it: 1,293 and 1.293,50 and 5,39 and 0.3 and -4."""
    text = token.strip().replace("−", "-").replace("–", "-")
    if not _NUMBER.fullmatch(text):
        return None
    if re.fullmatch(r"-?\d{1,3}(,\d{3})+(\.\d+)?", text):
        text = text.replace(",", "")
    elif re.fullmatch(r"-?\d{1,3}(\.\d{3})+,\d+", text):
        text = text.replace(".", "").replace(",", ".")
    elif text.count(",") == 1 and "." not in text:
        text = text.replace(",", ".")
    try:
        return float(text)
    except ValueError:
        return None
