"""The released evaluation scripts' prompts: conversation templates as data, and their ids.

Only for checkpoints of the released layout; a model of ours has a chat template in its processor.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

IMAGE = "<image>"
IMAGE_TOKEN_INDEX = -200
"""What the released code puts in the ids where the image tokens go."""


@dataclass(frozen=True, kw_only=True)
class ConversationTemplate:
    """The text around the turns of a conversation; `{text}` stands for what is said."""

    system: str
    user: str
    assistant: str
    """A turn already answered."""
    opening: str
    """The assistant's turn, to be continued."""

    def prompt(self, *turns: str) -> str:
        """User and assistant in turn, from and to the user, with the assistant's turn opened."""
        said = (
            (self.assistant if number % 2 else self.user).replace("{text}", turn)
            for number, turn in enumerate(turns)
        )
        return self.system + "".join(said) + self.opening


TEMPLATES: dict[str, ConversationTemplate] = {
    "mova_llama3": ConversationTemplate(
        system=(
            "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\n"
            "You are a helpful language and vision assistant. You are able to understand the "
            "visual content that the user provides, and assist the user with a variety of tasks "
            "using natural language.<|eot_id|>"
        ),
        user="<|start_header_id|>user<|end_header_id|>\n\n{text}<|eot_id|>",
        assistant="<|start_header_id|>assistant<|end_header_id|>\n\n{text}<|eot_id|>",
        opening="<|start_header_id|>assistant<|end_header_id|>\n\n",
    ),
    "vicuna_v1": ConversationTemplate(
        system=(
            "A chat between a curious user and an artificial intelligence assistant. "
            "The assistant gives helpful, detailed, and polite answers to the user's questions. "
        ),
        user="USER: {text} ",
        assistant="ASSISTANT: {text}</s>",
        opening="ASSISTANT:",
    ),
    "llava_v1": ConversationTemplate(
        system=(
            "A chat between a curious human and an artificial intelligence assistant. "
            "The assistant gives helpful, detailed, and polite answers to the human's questions. "
        ),
        user="USER: {text} ",
        assistant="ASSISTANT: {text}</s>",
        opening="ASSISTANT:",
    ),
}


def image_prompt_ids(
    prompt: str,
    tokenize: Callable[[str], Sequence[int]],
    bos_token_id: int | None,
    image_ids: Sequence[int] = (IMAGE_TOKEN_INDEX,),
) -> list[int]:
    """The ids of a prompt with `<image>` in it, put together as the released code does.

    The text between images is tokenised piece by piece, each with the special tokens that
    `tokenize` adds. If the first piece begins with bos, one bos stays and the first id of every
    piece goes, whether or not it is a bos: a tokenizer that adds none loses the first token
    after the image there. `image_ids` stand for each image.
    """
    pieces = [list(tokenize(text)) for text in prompt.split(IMAGE)]
    has_bos = pieces[0][:1] == [bos_token_id]
    ids = pieces[0][:1] if has_bos else []
    for number, piece in enumerate(pieces):
        if number:
            ids.extend(image_ids)
        ids.extend(piece[1:] if has_bos else piece)
    return ids
