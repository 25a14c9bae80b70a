"""EfficientNet-Lite: stages, neck, and what is refused; as an object expert it is the package's."""

from __future__ import annotations

import pytest
import torch

from openmova.errors import UserError
from openmova.experts.lite import Lite2Encoder

from .pictures import assert_batch_changes_nothing, padded_batch


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
