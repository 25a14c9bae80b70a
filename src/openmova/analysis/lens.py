"""The words that image tokens are nearest to, cell by cell of the picture's grid.

input: the word whose embedding is nearest (cosine) to the token as the language model gets it;
logit lens: what the last norm and the head read in its place after three quarters of the layers.

Shapes: N image tokens, D width of the language model, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from PIL import Image
from torch import Tensor

from openmova.analysis.ablation import Names
from openmova.inference.feature_cache import ImageFeatures
from openmova.inference.limits import GenerationLimits
from openmova.inference.mova import Mova
from openmova.inference.session import Picture, user_turn
from openmova.model.splicing import filled_tokens
from openmova.routing.selection import ExpertSelection

Grid = list[list[str]]
Words = dict[str, list[Grid]]
"""By reading ("input", "logit lens"): the summary's grid, if there is one, and the picture's; "" in
a cell that gives no token."""
DEPTH = 0.75
EPS = 1e-6
"""The padding's embedding may be zeros, which are near to nothing."""


@torch.no_grad()
def token_words(
    mova: Mova, image: Image.Image, question: str, sets: Sequence[Names]
) -> list[Words]:
    """With each of the sets of experts."""
    turn = user_turn(question, [Picture.of(image, mova.processor)])
    selections = [ExpertSelection.of(names, None, mova.experts) for names in sets]
    limits = GenerationLimits(max_new_tokens=1)
    inputs = mova.prepare([[turn]], selections[:1], limits)
    memory = mova.memory([ImageFeatures()])
    core, ids = mova.model.model, inputs["input_ids"]
    embeddings = mova.model.get_input_embeddings().weight  # [V, D]
    lengths = embeddings.norm(dim=1, dtype=torch.float32).clamp(min=EPS)
    found = []
    for selection in selections:
        tokens = mova.model.encode_images(inputs, selections=[selection], memory=memory).tokens
        states = core(
            input_ids=ids,
            attention_mask=inputs["attention_mask"],
            image_tokens=tokens,
            output_hidden_states=True,
        ).hidden_states
        state = states[int(DEPTH * (len(states) - 1))]  # [1, T, D]
        later = core.language_model.norm(state[ids == mova.model.config.image_token_id])  # [N, D]
        nearest = {
            "input": (tokens[0].to(embeddings.dtype) @ embeddings.T).float() / lengths,
            "logit lens": mova.model.lm_head(later),
        }
        filled = filled_tokens(tokens)[0]
        found.append({name: _grids(mova, of, filled) for name, of in nearest.items()})
    return found


def _grids(mova: Mova, nearness: Tensor, filled: Tensor) -> list[Grid]:
    """nearness [N, V], filled bool [N]: which tokens there are."""
    adapter, decode = mova.model.config.adapter, mova.processor.tokenizer.decode
    words = [
        decode([word]).strip() if there else ""
        for word, there in zip(nearness.argmax(dim=1).tolist(), filled.tolist(), strict=True)
    ]
    grids, start = [], 0
    for shape in (adapter.summary_grid, adapter.token_grid):
        if shape is not None:
            rows, columns = shape
            ends = range(start, start + rows * columns, columns)
            grids.append([words[at : at + columns] for at in ends])
            start += rows * columns
    return grids
