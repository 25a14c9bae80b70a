"""The released checkpoint's names and ours are one to one."""

from __future__ import annotations

import pytest
import torch

from openmova.checkpoints.released import from_released, released_names
from openmova.model.adapter import AdapterConfig, MoVAdapter


def test_every_parameter_of_the_adapter_has_one_released_name() -> None:
    with torch.device("meta"):
        state = MoVAdapter(AdapterConfig()).state_dict()
    names = released_names(state)
    assert len(set(names.values())) == len(state)
    assert names["blocks.2.extractors.6.attention.k_proj.weight"] == (
        "blocks.2.cross_attn.6.k_proj.weight"
    )
    released = {names[name]: t for name, t in state.items()}
    back = from_released(released)
    assert back.keys() == state.keys()
    assert all(back[name] is state[name] for name in state)


def test_rotary_tables_are_left_out_and_unknown_names_are_told() -> None:
    table, norm = torch.ones(1), torch.ones(2)
    state = {"blocks.0.self_attn.rope.freqs_cos": table, "blocks.0.norm3.weight": norm}
    assert from_released(state) == {"blocks.0.attention_norm.weight": norm}
    with pytest.raises(KeyError, match=r"is called: blocks\.0\.norm9\.weight"):
        from_released({"blocks.0.norm9.weight": norm})
