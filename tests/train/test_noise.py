"""NoisyGRPO's noise and advantages against the figures of the released code."""

from __future__ import annotations

import pytest
import torch
from PIL import Image

from openmova.train.noise import (
    NoiseSettings,
    add_noise,
    amplitudes,
    fused_advantages,
    noise_sheet,
)

SETTINGS = NoiseSettings()
LEVELS = torch.tensor([SETTINGS.levels])


@pytest.mark.parametrize(
    ("level", "picture", "noise"),
    [(0, 1.0, 0.0047), (0.3, 0.981, 0.194), (0.6, 0.734, 0.679), (0.9, 0.365, 0.931)],
)
def test_amplitudes_are_the_released_ones(level: float, picture: float, noise: float) -> None:
    assert amplitudes(level) == pytest.approx((picture, noise), abs=1e-3)


def test_noise_is_neither_on_padding_nor_beyond_the_range() -> None:
    clean = torch.zeros(3, 3, 40, 50, dtype=torch.uint8)
    sizes = torch.tensor([[40, 50], [30, 20], [40, 50]])
    for row, (height, width) in enumerate(sizes.tolist()):
        clean[row, :, :height, :width] = 250
    noisy = add_noise(clean, sizes, [0.0, 0.6, 0.3])
    assert torch.equal(noisy[0], clean[0])
    assert not noisy[1, :, 30:].any() and not noisy[1, :, :, 20:].any()
    for row, level in ((1, 0.6), (2, 0.3)):
        height, width = sizes[row].tolist()
        found = noisy[row, :, :height, :width].float() / 255
        kept, added = amplitudes(level)
        drawn = (kept * 250 / 255 + added * torch.randn(100_000)).clamp(0, 1)
        # A value that wrapped would make bright pictures dark.
        assert found.mean() == pytest.approx(float(drawn.mean()), abs=0.03)
        assert found.std() == pytest.approx(float(drawn.std()), abs=0.03)
    assert clean[2].min() == 250  # the picture itself stays


@pytest.mark.parametrize(
    ("rewards", "weight", "expected"),
    [
        ([1, 1, 1, 1], 0.909, [1.16, 0.39, -0.39, -1.16]),
        ([2, 1, 1, 1], 0.278, [1.47, -0.27, -0.49, -0.72]),
        ([1, 1, 1, 2], 0.278, [-0.07, -0.47, -0.87, 1.42]),
    ],
)
def test_advantages_are_the_released_ones(
    rewards: list[float], weight: float, expected: list[float]
) -> None:
    found = fused_advantages(torch.tensor([rewards], dtype=torch.float), LEVELS, SETTINGS)
    assert found.weights.tolist() == [pytest.approx(weight, abs=1e-3)]
    assert found.values[0].tolist() == pytest.approx(expected, abs=0.01)


def test_without_noise_advantages_are_those_of_plain_grpo() -> None:
    rewards = torch.tensor([[0.0, 1, 0, 0], [1, 1, 1, 1], [0.2, 0.21, 0.2, 0.2]])
    found = fused_advantages(rewards, torch.zeros(3, 4), SETTINGS)
    plain = (rewards - rewards.mean(dim=1, keepdim=True)) / (rewards.std(dim=1)[:, None] + 1e-4)
    torch.testing.assert_close(found.values, plain, atol=1e-3, rtol=0)
    assert not found.weights.any()


def test_the_sheet_has_a_column_for_each_level() -> None:
    pictures = [Image.new("RGB", (60, 40), "white"), Image.new("RGB", (30, 300), "red")]
    sheet = noise_sheet(pictures, (0, 0.9))
    assert sheet.size == (400, 420)
    assert sheet.getpixel((50, 60)) == (255, 255, 255)
    assert len({sheet.getpixel((200 + x, 60)) for x in range(10, 60)}) > 10
