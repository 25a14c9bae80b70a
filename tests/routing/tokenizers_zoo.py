"""Tiny tokenizers that write the same routing answer with different tokens."""

from __future__ import annotations

from string import ascii_letters

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

SPECIAL = ["<pad>", "<bos>", "<eos>"]
PUNCTUATION = ",.:'"


def _fast(tokenizer: Tokenizer) -> PreTrainedTokenizerFast:
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in SPECIAL])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", bos_token="<bos>", eos_token="<eos>"
    )


def byte_level(merges: list[tuple[str, str]], *, split: bool = True) -> PreTrainedTokenizerFast:
    """A BPE tokenizer in GPT-2's writing (Ġ for a space) with just these merges."""
    tokens = [*SPECIAL, *ascii_letters, *PUNCTUATION, "Ġ", "Ċ"]
    tokens += [left + right for left, right in merges]
    vocabulary = {token: index for index, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=split)
    tokenizer.decoder = decoders.ByteLevel()
    return _fast(tokenizer)


def _word(word: str) -> list[tuple[str, str]]:
    """The merges that make one token of a word, from the left."""
    return [(word[:end], word[end]) for end in range(1, len(word))]


def letters_alone() -> PreTrainedTokenizerFast:
    """No merges: " A" is two tokens, "none" four."""
    return byte_level([])


def space_with_letter() -> PreTrainedTokenizerFast:
    """ " A" and " none" are one token each, as in Llama-3, Qwen or SmolLM2."""
    return byte_level([("Ġ", letter) for letter in "ABCDEFG"] + _word("Ġnone") + _word("none"))


def comma_with_letter() -> PreTrainedTokenizerFast:
    """ "," and " B" merge to one token."""
    merges = [("Ġ", letter) for letter in "ABCDEFG"]
    merges += [(",", f"Ġ{letter}") for letter in "ABCDEFG"]
    return byte_level(merges + _word("none"), split=False)


def letter_with_comma() -> PreTrainedTokenizerFast:
    """ "A," is one token, so a following letter changes the token before it."""
    return byte_level([(letter, ",") for letter in "ABCDEFG"] + _word("none"), split=False)


def sentencepiece() -> PreTrainedTokenizerFast:
    """Llama-2's writing (▁ for a space), where decoding drops the first space."""
    tokens = [*SPECIAL, "<unk>", "▁", *ascii_letters, *PUNCTUATION]
    tokens += [f"▁{letter}" for letter in "ABCDEFG"] + ["▁none"]
    scores = [(token, 0.0 if len(token) > 1 else -10.0) for token in tokens]
    tokenizer = Tokenizer(models.Unigram(scores, unk_id=3))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    return _fast(tokenizer)


ZOO = {
    "letters alone": letters_alone,
    "space with letter": space_with_letter,
    "comma with letter": comma_with_letter,
    "letter with comma": letter_with_comma,
    "sentencepiece": sentencepiece,
}
