"""The other routers, with sentence features of shared words in MiniLM's place."""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from nano_shaped import nano_shaped
from studies.claims import routers
from studies.claims.open_world_suite import items
from studies.claims.questions import questions
from studies.claims.routers import SentenceEncoder


class Words(SentenceEncoder):
    """A bag of words."""

    def __init__(self) -> None:
        pass

    def __call__(self, texts: Sequence[str], batch: int = 64) -> Tensor:
        rows = torch.zeros(len(texts), 384)
        for row, text in zip(rows, texts, strict=True):
            for word in re.findall(r"\w+", text.lower()):
                row[zlib.crc32(word.encode()) % 384] += 1
        return F.normalize(rows, dim=-1)


def test_the_nearest_description_shares_the_words() -> None:
    descriptions = ["reads written text", "finds birds in trees", "counts red shapes"]
    assert routers.nearest(Words(), "which birds sit in the trees", descriptions) == 1


def test_an_mlp_learns_who_is_needed_in_a_pool_that_stays(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(routers, "IMAGES", 10)
    monkeypatch.setattr(routers, "COUNT", 600)
    asked = questions(0, 4)
    chosen = routers.mlp_in_pool(Words(), asked, seed=1)
    right = [set(q.fact.experts) == names for q, names in zip(asked, chosen, strict=True)]
    assert sum(right) >= 0.7 * len(right)


def test_over_pools_never_seen_an_mlp_names_somebody_of_the_pool(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(routers, "COUNT", 100)
    asked = items(0)[:20]
    chosen = routers.mlp_in_open_world(Words(), asked, seed=1)
    assert all(name in item.pool for name, item in zip(chosen, asked, strict=True))
    assert chosen == routers.mlp_in_open_world(Words(), asked, seed=1)


def test_sentence_features_have_length_one_and_do_not_depend_on_the_batch() -> None:
    texts = ["What is this?", "How many stars are there in the picture?"]
    encoder = SentenceEncoder(nano_shaped())
    together = encoder(texts)
    assert together.norm(dim=-1).tolist() == pytest.approx([1, 1])
    alone = SentenceEncoder(nano_shaped())
    assert torch.allclose(together, torch.cat([alone([text]) for text in texts]), atol=1e-5)
