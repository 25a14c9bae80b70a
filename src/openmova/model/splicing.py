"""The ids of a prompt with pictures in it, put together as the released code does (behaviour 2.6).

For checkpoints of the released layout; the processor uses it where `split_at_image` is set.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

IMAGE = "<image>"
IMAGE_TOKEN_INDEX = -200
"""What the released code puts in the ids where the image tokens go."""


def image_prompt_ids(
    prompt: str,
    tokenize: Callable[[str], Sequence[int]],
    bos_token_id: int | None,
    image_ids: Sequence[int] = (IMAGE_TOKEN_INDEX,),
    image: str = IMAGE,
) -> list[int]:
    """The ids of a prompt in which `image` marks each picture, `image_ids` in their places.

    The text between pictures is tokenised piece by piece, each with the special tokens that
    `tokenize` adds. If the first piece begins with bos, one bos stays and the first id of every
    piece goes, whether or not it is a bos: a tokenizer that adds none loses the first token
    after the picture there, and one that adds bos to a prompt that has it keeps two.
    """
    pieces = [list(tokenize(text)) for text in prompt.split(image)]
    has_bos = pieces[0][:1] == [bos_token_id]
    ids = pieces[0][:1] if has_bos else []
    for number, piece in enumerate(pieces):
        if number:
            ids.extend(image_ids)
        ids.extend(piece[1:] if has_bos else piece)
    return ids
