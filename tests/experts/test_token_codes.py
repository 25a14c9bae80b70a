"""What is written into a map in token codes can be read from it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from openmova.errors import UserError
from openmova.experts.token_codes import WIDTH, TokenCodes, whitened_components

from .words import embedding, read_back, tokenizer_file

TEXT = "Total | 23.50 €\nThank you, Zoë!"


@pytest.fixture
def codes(tmp_path: Path) -> TokenCodes:
    codes = TokenCodes(str(tokenizer_file(tmp_path)))
    codes.fit(embedding())
    return codes


def test_texts_are_read_back_from_their_maps(codes: TokenCodes) -> None:
    maps = codes.write([TEXT, "", "x"], (6, 5))
    assert maps.shape == (3, WIDTH, 6, 5)
    assert [read_back(codes, map_) for map_ in maps] == [f"{TEXT}\n", "", "x\n"]
    assert torch.equal(maps[2].flatten(1)[:128, 0], codes(torch.tensor(codes.encode("x")))[0])
    assert maps[2].flatten(1)[:, 1:].count_nonzero() == 0


def test_of_a_long_text_the_beginning_is_kept(codes: TokenCodes) -> None:
    (map_,) = codes.write([TEXT], (2, 3))
    assert read_back(codes, map_) == TEXT[:12]


def test_a_text_stays_in_its_rows(codes: TokenCodes) -> None:
    (map_,) = codes.write([TEXT], (4, 3), rows=(1, 3))
    assert map_[:, [0, 3]].count_nonzero() == 0
    assert read_back(codes, map_) == TEXT[:12]


def test_codes_are_the_same_for_the_same_embedding_wherever_its_middle_is(
    tmp_path: Path, codes: TokenCodes
) -> None:
    again = TokenCodes(str(tokenizer_file(tmp_path)))
    again.fit(torch.cat([embedding(), torch.ones(3, 160)]) + 5)  # rows without a token, too
    ids = torch.arange(256)
    torch.testing.assert_close(again(ids), codes(ids), atol=0.05, rtol=0)


def test_components_have_variance_one_and_are_uncorrelated() -> None:
    components = whitened_components(
        embedding() * torch.linspace(0.1, 9, 160), 128, torch.ones(256)
    )
    covariance = components.mT @ components / len(components)
    torch.testing.assert_close(covariance, torch.eye(128), atol=1e-4, rtol=0)


def test_the_table_stays_in_bytes_in_half_precision(codes: TokenCodes) -> None:
    half = codes.to(torch.bfloat16)
    assert half.table.dtype == torch.int8
    (map_,) = half.write([TEXT], (6, 5))
    assert map_.dtype == torch.bfloat16
    assert read_back(half, map_) == f"{TEXT}\n"


def test_an_embedding_of_another_tokenizer_is_refused(codes: TokenCodes) -> None:
    with pytest.raises(UserError, match="has 200 rows, the tokenizer 256 tokens"):
        codes.fit(embedding()[:200])
