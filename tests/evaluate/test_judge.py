"""What counts as a right answer to a question about a real picture, and what must not."""

from __future__ import annotations

import pytest

from openmova.evaluate.judge import is_unsure, judge


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        # Words in any dress.
        ("A Golden Retriever.", ["dog", "golden retriever"]),
        ("dogs", ["dog"]),
        ("screw driver", ["screwdriver"]),
        ("Linzensoep a la Waterman", ["Linzensoep à la Waterman"]),
        ("The sign says “NO PARKING”.", ["no parking"]),
        ("It's the Stationery Box", ["Stationery Box"]),
        ("http://abcxyz.com/page.htm", ["http://abcxyz.com/page.htm"]),
        ("3 August 2014", ["August 3, 2014", "3 August 2014", "2014-08-03"]),
        ("2014-08-03", ["August 3, 2014", "3 August 2014", "2014-08-03"]),
        ("CPCD59C5D5", ["CPCD59C5D5"]),
        ("feature 1", ["feature 1"]),
        ("the s5 feature", ["s5"]),
        ("slice A", ["a"]),
        ("x_4", ["x4"]),
        ("none", ["0", "none"]),
        ("It is not recommended.", ["not recommended"]),
        # A number with and without its unit.
        ("$1,293", ["1293"]),
        ("1293 dollars", ["$1,293"]),
        ("Rs 1939", ["1939"]),
        ("The total is 4.11 USD.", ["$4.11"]),
        ("5,39", ["5.39"]),
        ("three", ["3"]),
        ("There are twenty-two of them.", ["22"]),
        ("250 grams", ["250 g"]),
        ("250", ["250 g"]),
        ("98%", ["98"]),
        ("74.0 percent", ["74%"]),
        ("-28", ["−28"]),
    ],
)
def test_what_counts(answer: str, expected: list[str]) -> None:
    assert judge(answer, expected)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        # Other words.
        ("cat", ["dog"]),
        ("", ["dog"]),
        ("It is not a dog.", ["dog"]),
        ("a dog or a cat", ["dog"]),
        ("caterpillar", ["cat"]),
        ("stationery", ["Stationery Box"]),
        ("Box Stationery", ["Stationery Box"]),
        ("FOSTERS HOTEL or HOTEL", ["HOTEL"]),
        ("no", ["none"]),
        ("words " * 60 + "hotel", ["hotel"]),
        ("s1", ["s5"]),
        ("5", ["s5"]),
        ("a dog", ["a"]),
        ("(a, foo)", ["(b, foo)"]),
        # Other numbers.
        ("1.293", ["1,293.50"]),
        ("250 kg", ["250 g"]),
        ("$5", ["€5"]),
        ("3 or 4", ["3"]),
        ("3, 4", ["3"]),
        ("2 of 3", ["3"]),
        ("30", ["3"]),
        ("not 3", ["3"]),
        ("1 2 3 4 5 6 7 8 9 10", ["7"]),
    ],
)
def test_what_does_not_count(answer: str, expected: list[str]) -> None:
    assert not judge(answer, expected)


def test_a_name_counts_in_a_short_sentence_and_as_part_of_another_name_not() -> None:
    for other in ("tiger cat", "dog house", "hot dog", "sea lion", "paper tiger", "brown bear"):
        assert not judge(other, ["tiger", "dog", "lion", "bear"], name=True)
    sitting, walking = "a dog sitting on a porch", "The dog is in the forest"
    for answer in (sitting, walking, "dog, bicycle", "This is a black dog."):
        assert judge(answer, ["dog"], name=True)


@pytest.mark.parametrize(
    ("answer", "polarity"),
    [
        ("Yes, there is.", "yes"),
        ("There is a dog.", "yes"),
        ("No.", "no"),
        ("There is no dog here", "no"),
        ("I don't see one", "no"),
        ("I don't know", None),
        ("yes and no", None),
        ("dog", None),
        ("", None),
    ],
)
def test_yes_and_no(answer: str, polarity: str | None) -> None:
    assert [side for side in ("yes", "no") if judge(answer, [side])] == [polarity] * bool(polarity)


def test_a_number_read_from_a_chart_may_be_off_by_the_tolerance() -> None:
    assert judge("about 0.55", ["0.52"], tolerance=0.05)
    assert judge("52%", ["0.52"], tolerance=0.05)
    assert judge("20 thousand predictions", ["20500"], tolerance=1000)
    assert judge("20,500", ["20500"], tolerance=1000)
    assert not judge("0.58", ["0.52"], tolerance=0.05)
    assert not judge("between 0.5 and 0.6", ["0.52"], tolerance=0.05)
    assert not judge("high", ["0.52"], tolerance=0.05)


def test_numbers_of_the_question_may_be_repeated() -> None:
    question = "How much oil was there in 2005?"
    assert judge("In 2005 it was 527", ["527"], question=question, tolerance=5)
    assert not judge("2005", ["527"], question=question, tolerance=5)
    assert not judge("In 2006 it was 527", ["527"], question=question, tolerance=5)


def test_who_says_that_it_cant_be_told_is_unsure() -> None:
    assert is_unsure("I can't tell.") and is_unsure("unknown") and is_unsure("I am not sure")
    assert not is_unsure("dog") and not is_unsure("no") and not is_unsure("")
