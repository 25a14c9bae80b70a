"""The closed list of words that cells can hold; index 0 is the empty cell."""

from __future__ import annotations

import string

from studies.toy.synthetic.forms import LETTER_KEYS, NUMBER_KEYS, WORD_KEYS
from studies.toy.synthetic.pictures import CLASSES
from studies.toy.synthetic.sample import COLOURS, KINDS
from studies.toy.synthetic.shapes import SHAPES

WORDS: tuple[str, ...] = tuple(
    dict.fromkeys(
        [
            "",
            *string.digits,
            *string.ascii_uppercase,
            *COLOURS,
            *KINDS.values(),
            *NUMBER_KEYS,
            *WORD_KEYS,
            *LETTER_KEYS,
            *(word for words in WORD_KEYS.values() for word in words),
            *SHAPES,
            *("top", "middle", "bottom", "left", "center", "right", "highest", "lowest"),
            *CLASSES,
        ]
    )
)
INDEX = {word: index for index, word in enumerate(WORDS)}
