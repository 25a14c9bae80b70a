"""EfficientNet-Lite: our module with renamed weights is the package's network."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from openmova.errors import UserError
from openmova.experts.lite import Lite2Encoder, convert_lite

from .pictures import assert_batch_changes_nothing, padded_batch


def test_renamed_weights_give_the_packages_features() -> None:
    package = pytest.importorskip("efficientnet_lite_pytorch", reason="pip install it to compare")
    oracle = package.EfficientNet.from_name("efficientnet-lite2").eval().double()
    ours = Lite2Encoder(name="b", descriptions=["b"], stages=[4, 7]).freeze().double()
    renamed = convert_lite(oracle.state_dict())
    missing, unexpected = ours.load_state_dict(renamed, strict=False)
    assert not unexpected
    assert all(key.endswith("num_batches_tracked") for key in missing)
    view = torch.rand(1, 3, 260, 260).double() * 2 - 1  # the package pads for this size
    with torch.no_grad():
        x = oracle._swish(oracle._bn0(oracle._conv_stem(view)))
        expected = []
        for block, after in zip(oracle._blocks, [*oracle._blocks[1:], None], strict=True):
            x = block(x)
            if x.shape[1] in (88, 352) and (
                after is None or after._block_args.output_filters != x.shape[1]
            ):
                expected.append(x)
        maps = ours.features(view)
    torch.testing.assert_close(maps[:, :88], expected[0])
    resized = F.interpolate(expected[1], expected[0].shape[-2:], mode="bilinear")
    torch.testing.assert_close(maps[:, 88:], resized)


def test_an_early_stage_leaves_out_the_blocks_after_it() -> None:
    early = Lite2Encoder(name="b", descriptions=["b"], size=64, stages=[3]).freeze()
    whole = Lite2Encoder(name="b", descriptions=["b"], size=64, stages=[3, 5, 7]).freeze()
    early.load_state_dict(whole.state_dict(), strict=False)
    view = early.view(*padded_batch())
    assert early.channels == 48
    assert whole.channels == 48 + 120 + 352
    assert len(early.blocks) == 7
    with torch.no_grad():
        torch.testing.assert_close(whole(view)[:, :48], early(view))
    assert_batch_changes_nothing(whole, tolerance=1e-4)


@pytest.mark.parametrize("stages", [[0], [8], [5, 3], [3, 3]])
def test_stages_that_are_not_there_are_refused(stages: list[int]) -> None:
    with pytest.raises(UserError, match="growing numbers from 1 to 7"):
        Lite2Encoder(name="b", descriptions=["b"], stages=stages)


def test_neck_and_grid_shape_the_map() -> None:
    encoder = Lite2Encoder(name="b", descriptions=["b"], size=64, neck=16, grid=(5, 6)).freeze()
    images = torch.randint(0, 256, (2, 3, 40, 60), dtype=torch.uint8)
    view = encoder.view(images, torch.tensor([[40, 60], [20, 30]]))
    assert view.shape == (2, 3, 64, 64)
    assert encoder(view).shape == (2, 16, 5, 6)
    assert encoder.channels == 16
