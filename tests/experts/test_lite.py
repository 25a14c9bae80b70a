"""EfficientNet-Lite0: our module with renamed weights is the package's network."""

from __future__ import annotations

import pytest
import torch

from openmova.experts.lite import LiteEncoder, convert_lite0


def test_renamed_weights_give_the_packages_features() -> None:
    package = pytest.importorskip("efficientnet_lite_pytorch", reason="pip install it to compare")
    oracle = package.EfficientNet.from_name("efficientnet-lite0").eval()
    encoder = LiteEncoder(name="base", descriptions=["base"]).freeze()
    renamed = convert_lite0(oracle.state_dict())
    missing, unexpected = encoder.load_state_dict(renamed, strict=False)
    assert not unexpected
    assert all(key.endswith("num_batches_tracked") for key in missing)
    view = torch.rand(2, 3, 224, 224) * 2 - 1
    with torch.no_grad():
        x = oracle._swish(oracle._bn0(oracle._conv_stem(view)))
        for block in oracle._blocks:
            x = block(x)
        torch.testing.assert_close(encoder.features(view), x)


def test_neck_and_grid_shape_the_map() -> None:
    encoder = LiteEncoder(name="b", descriptions=["b"], size=64, neck=16, grid=(5, 6)).freeze()
    images = torch.randint(0, 256, (2, 3, 40, 60), dtype=torch.uint8)
    view = encoder.view(images, torch.tensor([[40, 60], [20, 30]]))
    assert view.shape == (2, 3, 64, 64)
    assert encoder(view).shape == (2, 16, 5, 6)
    assert encoder.channels == 16
