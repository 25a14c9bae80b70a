"""Image tokens in a prompt: the tokens themselves in its embeddings, and prompts without the places
of empty ones."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


def merge_image_tokens(
    embeddings: Tensor, input_ids: Tensor, image_tokens: Tensor, image_token_id: int
) -> Tensor:
    """Put a row's image tokens, in order, where its input_ids hold the image token.

    embeddings [B, T, D], input_ids [B, T], image_tokens [B, N, D] -> [B, T, D].
    A row without image token uses none of them; a run that ends the row may be cut short, and one
    of `drop_empty_tokens` has the row's filled tokens alone.
    Raises ValueError for any other number of image tokens than N.
    """
    places = input_ids == image_token_id  # [B, T]
    order = places.cumsum(dim=1)
    count = order[:, -1]
    available = image_tokens.shape[1]
    cut = places[:, -1] & (count < available)
    short = (count != 0) & (count != available) & ~cut
    if bool(short.any()) and bool((short & (count != filled_tokens(image_tokens).sum(1))).any()):
        raise ValueError(
            f"the prompts hold {count.tolist()} image tokens a row, but a picture gives "
            f"{available}: use the processor saved with this checkpoint"
        )
    index = (order - 1).clamp(min=0, max=available - 1)
    picked = image_tokens.gather(1, index[..., None].expand(-1, -1, image_tokens.shape[2]))
    return torch.where(places[..., None], picked.to(embeddings.dtype), embeddings)


def picture_rows(pixel_values: Tensor, image_sizes: Tensor, shown: Tensor) -> tuple[Tensor, Tensor]:
    """A picture for each row, in order, and a black pixel where none is shown.

    pixel_values uint8 [P, 3, h, w], image_sizes [P, 2]; shown bool [B], which rows have one.
    Returns pixel_values [B, 3, h, w] and image_sizes [B, 2]. Raises ValueError for another number
    of pictures than P.
    """
    if len(pixel_values) == len(shown):
        return pixel_values, image_sizes
    if len(pixel_values) != int(shown.sum()):
        raise ValueError(
            f"{len(pixel_values)} pictures for {int(shown.sum())} prompts with image tokens: a "
            "prompt that was cut short may have lost its own"
        )
    pixels = pixel_values.new_zeros(len(shown), *pixel_values.shape[1:])
    sizes = image_sizes.new_ones(len(shown), 2)
    pixels[shown], sizes[shown] = pixel_values, image_sizes
    return pixels, sizes


def tokens_of_rows(tokens: Tensor, counts: Sequence[int]) -> Tensor | None:
    """The image tokens of prompts that show several pictures or none, in the order of their places.

    tokens [P, N, D] of all pictures, counts: how many each prompt shows. Returns [B, M, D], zero
    beyond a prompt's own (`drop_empty_tokens`); None without any picture.
    """
    if not len(tokens):
        return None
    rows = [part.flatten(0, 1) for part in tokens.split(list(counts))]
    return nn.utils.rnn.pad_sequence(rows, batch_first=True)


def filled_tokens(image_tokens: Tensor) -> Tensor:
    """Which tokens [B, N, D] are there: bool [B, N]; all zero stands for none."""
    return (image_tokens != 0).any(dim=-1)


def drop_empty_tokens(
    input_ids: Tensor, attention_mask: Tensor, image_tokens: Tensor, image_token_id: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Prompts without the places of image tokens that are all zero.

    input_ids and attention_mask [B, T], padded on the left; image_tokens [B, N, D]. Returns ids and
    mask [B, T'] and the tokens [B, N', D], each row's filled ones first. A prompt that has no image
    token, and tokens of which none is empty, stay as they are.
    """
    filled = filled_tokens(image_tokens)
    if bool(filled.all()):
        return input_ids, attention_mask, image_tokens
    places = input_ids == image_token_id
    order = (places.cumsum(dim=1) - 1).clamp(min=0, max=filled.shape[1] - 1)
    kept = attention_mask.bool() & (~places | filled.gather(1, order))
    # A stable sort moves what goes to the left, where padding is.
    length = int(kept.sum(dim=1).max())
    index = kept.int().argsort(dim=1, stable=True)[:, -length:]
    first = (~filled).int().argsort(dim=1, stable=True)[:, : int(filled.sum(dim=1).max())]
    tokens = image_tokens.gather(1, first[..., None].expand(-1, -1, image_tokens.shape[2]))
    blank = int(image_token_id == 0)  # any other token: nobody attends to it
    ids = input_ids.masked_fill(places & ~kept, blank).gather(1, index)
    return ids, kept.gather(1, index).to(attention_mask), tokens
