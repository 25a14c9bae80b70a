"""The text that the router reads, and the text that the adapter's gate reads.

The default instruction is the released one, so that the released pool of seven gives the released
prompt to the letter.
"""

from __future__ import annotations

from collections.abc import Sequence

from openmova.routing.parsing import expert_letters

INSTRUCTION = (
    "You are a helpful assistant router. Based on the visual content, questions, and model pool "
    "the user provides, you need to consider the expertise of these models to select the most 3 "
    "suitable models to help you answer the questions. Answer with the model's letter from the "
    "given choices directly. If no models are selected, just answer 'none'."
)


def routing_prompt(instruction: str, descriptions: Sequence[str], question: str) -> str:
    """The routing question: instruction, model pool with one lettered line an expert, question.

    It is what the user turn holds after the image; the chat template goes around it.
    """
    letters = expert_letters(len(descriptions))
    pool = "".join(
        f"{letter}. {description}\n"
        for letter, description in zip(letters, descriptions, strict=True)
    )
    return f"{instruction}\nModel pool:\n{pool}\nQuestion:\n{question}"


def gate_text(questions: Sequence[str]) -> str:
    """What the adapter's gate encodes: numbered questions in lower case, without `<image>`.

    questions: of one sample; usually one.
    """
    return "".join(
        f"question {number}: {_plain(question)}\n\n" for number, question in enumerate(questions)
    )


def _plain(question: str) -> str:
    return question.replace("<image>\n", "").lower()
