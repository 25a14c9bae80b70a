"""The texts of routing: what the router reads, how its answer is read, and what the gate reads.

Experts are letters in them. The default instruction is the released one, so that the released pool
of seven gives the released prompt to the letter.

Released rule for the answer (paper, section 3.1; the released evaluation code): take the first
three comma-separated pieces, and choose every expert whose letter occurs anywhere in them. So
"The Answer is D." chooses A and D, and lower case or "none" choose nothing.
"""

import re
from collections.abc import Iterable, Sequence
from string import ascii_uppercase

NO_EXPERT = "none"
PIECES = 3
"""How many comma-separated pieces of an answer are read."""
INSTRUCTION = (
    "You are a helpful assistant router. Based on the visual content, questions, and model pool "
    "the user provides, you need to consider the expertise of these models to select the most 3 "
    "suitable models to help you answer the questions. Answer with the model's letter from the "
    "given choices directly. If no models are selected, just answer 'none'."
)


def expert_letters(experts: int) -> tuple[str, ...]:
    """The letters of a pool in its order: A to Z, and from the 27th expert on AA, AB, ... ZZ, AAA.

    Raises ValueError for a negative number.
    """
    if experts < 0:
        raise ValueError(f"a pool can't have {experts} experts")
    return tuple(_letter(index) for index in range(experts))


def routing_prompt(instruction: str, descriptions: Sequence[str], question: str) -> str:
    """The routing question: instruction, model pool with one lettered line an expert, question.

    It is what the user turn holds beside the image; the chat template goes around it.
    """
    letters = expert_letters(len(descriptions))
    pool = "".join(
        f"{letter}. {description}\n"
        for letter, description in zip(letters, descriptions, strict=True)
    )
    return f"{instruction}\nModel pool:\n{pool}\nQuestion:\n{question}"


def split_routing_prompt(prompt: str) -> tuple[str, str]:
    """What every question shares of a prompt that `routing_prompt` wrote, and the rest."""
    pool, line, question = prompt.partition("\nQuestion:")
    return pool, line + question


def read_routing_prompt(prompt: str) -> tuple[list[str], str]:
    """The descriptions of the pool, and the question, of a prompt that `routing_prompt` wrote."""
    pool, _, question = prompt.partition("Model pool:\n")[2].partition("\nQuestion:")
    _, *descriptions = re.split(r"^[A-Z]+\. ", pool, flags=re.MULTILINE)
    return [description.strip() for description in descriptions], question.strip()


def parse_routing(text: str, letters: Sequence[str]) -> set[int]:
    """The indices of the experts that an answer names; any text gives an answer, maybe empty.

    Where every letter is one character (up to 26 experts) this is the released rule. In a larger
    pool letters contain each other, so there a word of capitals counts only as a whole: "A, AB"
    chooses A and AB, not B, and "The Answer is D." only D.
    """
    read = ",".join(text.split(",")[:PIECES])
    if all(len(letter) == 1 for letter in letters):
        return {index for index, letter in enumerate(letters) if letter in read}
    words = set(re.findall(r"\b[A-Z]+\b", read))
    return {index for index, letter in enumerate(letters) if letter in words}


def format_routing(experts: Iterable[int], letters: Sequence[str]) -> str:
    """The answer that names these experts: letters in ascending order such as "A, D", or "none"."""
    return ", ".join(letters[index] for index in sorted(set(experts))) or NO_EXPERT


def gate_text(questions: Sequence[str]) -> str:
    """What the adapter's gate encodes: numbered questions in lower case, without `<image>`.

    questions: of one sample; usually one.
    """
    return "".join(
        f"question {number}: {_plain(question)}\n\n" for number, question in enumerate(questions)
    )


def _plain(question: str) -> str:
    return question.replace("<image>\n", "").lower()


def _letter(index: int) -> str:
    higher, lowest = divmod(index, len(ascii_uppercase))
    return (_letter(higher - 1) if higher else "") + ascii_uppercase[lowest]
