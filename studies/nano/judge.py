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
DOUBTS = {
    "know",
    "sure",
    "unsure",
    "uncertain",
    "unknown",
    "unclear",
    "maybe",
    "perhaps",
    "possibly",
}

ONES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
    "sixteen seventeen eighteen nineteen"
)
TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
NUMBER_WORDS = {word: n for n, word in enumerate(ONES.split())} | {
    word: 10 * n for n, word in enumerate(TENS.split(), start=2)
}
SCALES = {"hundred": 1e2, "thousand": 1e3, "k": 1e3, "million": 1e6, "billion": 1e9}

UNITS = {
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
CURRENCIES = {"$", "€", "₹", "£"}
CANONICAL_UNITS = {name: unit for unit, names in UNITS.items() for name in [unit, *names.split()]}

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


def judge(
    answer: str,
    expected: Sequence[str],
    *,
    question: str = "",
    tolerance: float | None = None,
    name: bool = False,
) -> bool:
    """Whether the answer says one of the expected ones.

    Args:
        expected: the right answer and the accepted others.
        question: its numbers may be repeated in the answer.
        tolerance: how far a number may be off; the first expected answer is then a number.
        name: the answer is a thing's name; as a part of another thing's it does not count.
    """
    if tolerance is not None:
        target = _read_number(expected[0])
        found = _single_number(answer, question)
        if target is None or found is None:
            return False
        values = [found] if "%" not in _tokens(answer) else [found, found / 100]
        return any(abs(value - target) <= tolerance * (1 + 1e-9) for value in values)
    return any(_says(answer, wanted, question, name) for wanted in expected)


def _says(answer: str, wanted: str, question: str, name: bool) -> bool:
    if wanted.casefold() in ("yes", "no"):
        return _polarity(answer) == wanted.casefold()
    quantity = _quantity(wanted)
    if quantity is not None:
        return _says_quantity(answer, quantity, question)
    return _says_words(answer, wanted, name)


def _polarity(answer: str) -> str | None:
    """ "yes", "no", or None for both or neither."""
    words = [word for clause in _clauses(answer) for word in clause]
    agrees, refuses = bool(AGREEMENTS & set(words)), bool(REFUSALS & set(words))
    if agrees != refuses:
        return "yes" if agrees else "no"
    if agrees or not words or DOUBTS & set(words):
        return None
    if DENIALS & set(words):
        return "no"
    return "yes" if words[0] == "there" or words[:2] == ["it", "is"] else None


def is_unsure(answer: str) -> bool:
    """Whether the answer says that it can't be told."""
    words = [word for clause in _clauses(answer) for word in clause]
    unable = bool(DENIALS & set(words)) and bool(
        {"know", "tell", "say", "sure", "able"} & set(words)
    )
    return unable or bool({"unsure", "uncertain", "unknown", "unclear"} & set(words))


def _quantity(text: str) -> tuple[float, str | None] | None:
    """The number and the unit, if the text is nothing else."""
    tokens = _tokens(text)
    if len(tokens) > 1 and CANONICAL_UNITS.get(tokens[0]) in CURRENCIES:
        tokens = [*tokens[1:], tokens[0]]
    numbers, rest = _numbers(tokens)
    units = [CANONICAL_UNITS.get(word) for word in rest]
    if len(numbers) != 1 or len(rest) > 1 or None in units or tokens[0] in rest:
        return None
    return numbers[0][0], units[0] if units else None


def _says_quantity(answer: str, quantity: tuple[float, str | None], question: str) -> bool:
    value, unit = quantity
    numbers, _ = _numbers(_tokens(answer))
    if _denies(answer, []) or len(_tokens(answer)) > LONGEST:
        return False
    single = _single_number(answer, question)
    if single is None or abs(single - value) > 1e-9 * max(1, abs(value)):
        return False
    said = {unit_said for n, unit_said in numbers if n == single and unit_said}
    return not (unit and said) or unit in said


def _single_number(answer: str, question: str) -> float | None:
    """The one number of the answer; those of the question may stand beside it."""
    values = {n for n, _ in _numbers(_tokens(answer))[0]}
    if len(values) > 1:
        values -= {n for n, _ in _numbers(_tokens(question))[0]}
    return values.pop() if len(values) == 1 else None


def _says_words(answer: str, wanted: str, name: bool) -> bool:
    if _fold(wanted) in ARTICLES:  # a label of a chart; no sentence ends with an article
        return _tokens(answer)[-1:] == [_fold(wanted)]
    target = [word for clause in _clauses(wanted) for word in clause]
    joined = "".join(target)
    clauses = _clauses(answer)
    words = [word for clause in clauses for word in clause]
    if not joined or len(words) > LONGEST + len(target) or _denies(answer, target):
        return False
    if "".join(words) == joined:
        return True
    where = clauses if name else [words]
    return any(
        "".join(clause[start:end]) == joined
        and not (name and _is_part_of_other(clause, start, end))
        for clause in where
        for start in range(len(clause))
        for end in range(start + 1, len(clause) + 1)
    )


def _denies(answer: str, target: Sequence[str]) -> bool:
    """Whether the answer has a denial or a choice that is not part of what is expected."""
    words = {word for clause in _clauses(answer) for word in clause}
    return bool(((DENIALS | {"or"}) - set(target)) & words)


def _is_part_of_other(clause: Sequence[str], start: int, end: int) -> bool:
    after = clause[end] if end < len(clause) else None
    before = clause[start - 1] if start else ""
    follows = after is not None and after not in FOLLOWERS.split() and not after.endswith("ing")
    return follows or before in MISLEADING.get(clause[end - 1], "").split()


def _clauses(text: str) -> list[list[str]]:
    """Words of each part between commas, full stops and the like; plurals and articles folded."""
    parts = re.split(r"[;:!?()\[\]\n]|,(?!\d)|\.(?!\d)(?=\s|$)", _fold(text))
    return [
        [_singular(word) for word in _spell(_tokens(part)) if word not in ARTICLES]
        for part in parts
        if part and part.strip()
    ]


def _spell(tokens: Sequence[str]) -> list[str]:
    """Numbers in one spelling, "n't" as not, currency and other signs left out."""
    spelled = []
    for token in tokens:
        value = _read_number(token)
        if value is not None:
            spelled.append(f"{value:.12g}")
        elif token in NUMBER_WORDS:
            spelled.append(str(NUMBER_WORDS[token]))
        elif token.endswith("n't"):
            spelled.append("not")
        elif token not in "%$€₹£°":
            spelled.append(token.replace("'", ""))
    return spelled


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
        value = _read_number(tokens[place])
        if value is None and tokens[place] in NUMBER_WORDS:
            value = float(NUMBER_WORDS[tokens[place]])
            following = NUMBER_WORDS.get(tokens[place + 1]) if place + 1 < len(tokens) else None
            if tokens[place] in TENS.split() and following and following < 10:
                value += following
                place += 1
        if value is None:
            rest.append(tokens[place])
            place += 1
            continue
        unit = CANONICAL_UNITS.get(tokens[place - 1]) if place else None
        unit = unit if unit in CURRENCIES else None
        place += 1
        while place < len(tokens) and tokens[place] in SCALES:
            value *= SCALES[tokens[place]]
            place += 1
        if place < len(tokens) and tokens[place] in CANONICAL_UNITS:
            unit = CANONICAL_UNITS[tokens[place]]
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
