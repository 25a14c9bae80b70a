"""What is written into a map in token codes can be read from it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from openmova.errors import UserError
from openmova.experts.token_codes import CODES, WIDTH, TokenCodes, principal_directions

from .pictures import assert_batch_changes_nothing, padded_batch
from .words import DETECTORS, embedding, read_back, tokenizer_file, word_expert

TEXT = "Total | 23.50 €\nThank you, Zoë!"


@pytest.fixture
def codes(tmp_path: Path) -> TokenCodes:
    codes = TokenCodes(str(tokenizer_file(tmp_path)))
    codes.fit(embedding())
    return codes


def test_texts_are_read_back_from_their_maps(codes: TokenCodes) -> None:
    maps = codes.write([TEXT, "", "x"], (8, 5))
    assert maps.shape == (3, WIDTH, 8, 5)
    assert [read_back(codes, map_) for map_ in maps] == [f"{TEXT}\n", "", "x\n"]
    assert torch.equal(maps[2].flatten(1)[:, 0], codes(torch.tensor(codes.encode("x")))[0])
    assert maps[2].flatten(1)[:, 2:].count_nonzero() == 0


def test_of_a_long_text_the_beginning_is_kept(codes: TokenCodes) -> None:
    (map_,) = codes.write([TEXT], (2, 3))
    assert read_back(codes, map_) == TEXT[:6]


def test_a_text_stays_in_its_rows(codes: TokenCodes) -> None:
    (map_,) = codes.write([TEXT], (4, 3), rows=(1, 3))
    assert map_[:, [0, 3]].count_nonzero() == 0
    assert read_back(codes, map_) == TEXT[:6]


def test_codes_are_the_same_for_the_same_embedding_wherever_its_middle_is(
    tmp_path: Path, codes: TokenCodes
) -> None:
    again = TokenCodes(str(tokenizer_file(tmp_path)))
    again.fit(torch.cat([embedding(), torch.ones(3, 320)]) + 5)  # rows without a token, too
    ids = torch.arange(256)
    torch.testing.assert_close(again(ids), codes(ids), atol=0.05, rtol=0)


def test_all_components_of_an_embedding_keep_its_distances() -> None:
    vectors = embedding()[:, :40]
    centre, directions = principal_directions(vectors, 40, torch.arange(1, 257))
    components = ((vectors - centre) @ directions).float()
    torch.testing.assert_close(
        torch.cdist(components, components), torch.cdist(vectors, vectors), atol=0.02, rtol=0.01
    )
    variance = components.var(0)
    assert variance[:20].mean() > variance[20:].mean()


def test_the_table_stays_in_bytes_in_half_precision(codes: TokenCodes) -> None:
    half = codes.to(torch.bfloat16)
    assert half.table.dtype == torch.int8
    (map_,) = half.write([TEXT], (8, 5))
    assert map_.dtype == torch.bfloat16
    assert read_back(half, map_) == f"{TEXT}\n"


def test_codes_are_stored_once_for_all_experts_that_say_in_them(
    tmp_path: Path, codes: TokenCodes
) -> None:
    tokenizer_file(tmp_path / "model")
    codes.save(tmp_path / "model")
    first, second = (TokenCodes("tokenizer.json", folder=tmp_path / "model") for _ in range(2))
    ids = torch.arange(256)
    assert torch.equal(first(ids), codes(ids))
    assert first.table.data_ptr() == second.table.data_ptr()
    assert not first.state_dict()
    with pytest.raises(UserError, match="are \\[256, 256\\], not \\[256, 8\\]"):
        TokenCodes("tokenizer.json", 8, tmp_path / "model")


def test_codes_that_are_missing_or_broken_are_told(tmp_path: Path, codes: TokenCodes) -> None:
    file = tokenizer_file(tmp_path / "model").parent / CODES.format("tokenizer")
    empty = TokenCodes("tokenizer.json", folder=tmp_path / "model")
    with pytest.raises(
        UserError, match=r"lacks experts/tokenizer\.codes\.safetensors: download it again"
    ):
        empty.write([TEXT], (8, 5))
    file.parent.mkdir()
    file.write_bytes(b"no tensors")
    with pytest.raises(UserError, match="holds no token codes"):
        TokenCodes("tokenizer.json", folder=tmp_path / "model")


def test_an_embedding_of_another_tokenizer_is_refused(codes: TokenCodes) -> None:
    with pytest.raises(UserError, match="has 200 rows, the tokenizer 256 tokens"):
        codes.fit(embedding()[:200])


@pytest.mark.parametrize(
    ("kind", "keywords"),
    [
        ("object", {"size": 64}),
        ("image_type", {"types": ("photo", "map", "bar chart")}),
        *DETECTORS,
    ],
)
@torch.no_grad()
def test_a_map_carries_what_an_expert_says_in_its_rows_and_is_the_same_in_any_batch(
    tmp_path: Path, kind: str, keywords: dict[str, Any]
) -> None:
    expert = word_expert(kind, tmp_path, rows=[20, 24], **keywords)
    assert_batch_changes_nothing(expert)
    view = expert.view(*padded_batch())
    maps = expert(view)
    assert maps.shape[1:] == (WIDTH, 24, 24)
    assert maps[:, :, :20].count_nonzero() == 0
    for map_, text in zip(maps, expert.texts(view), strict=True):
        assert read_back(expert.codes, map_) == f"{text}\n"[:96]
