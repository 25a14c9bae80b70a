"""The configuration: what it makes of a config.json, and what it refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from transformers import BertConfig, LlamaConfig

from openmova import MovaConfig
from openmova.errors import UserError
from openmova.model.adapter import AdapterConfig
from openmova.routing import RoutingConfig
from tiny import spec, tiny_config


def test_dicts_become_what_they_describe_and_come_back(tmp_path: Path) -> None:
    config = tiny_config()
    config.save_pretrained(tmp_path)
    loaded = MovaConfig.from_pretrained(tmp_path)
    assert isinstance(loaded.text_config, LlamaConfig)
    assert isinstance(loaded.gate_text_config, BertConfig)
    assert loaded.adapter == config.adapter and isinstance(loaded.adapter, AdapterConfig)
    assert loaded.routing == config.routing and isinstance(loaded.routing, RoutingConfig)
    assert loaded.experts == config.experts and loaded.base == config.base
    assert (loaded.image_token_id, loaded.box_frame) == (4, "pad")
    assert loaded.expert_names == ["one", "two", "three"]
    assert loaded.descriptions == ["model one", "model two", "model three"]
    assert loaded.get_text_config() is loaded.text_config
    assert loaded.default_routing == "router" and "auto_map" not in loaded.to_dict()


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"text_config": None}, "lacks text_config: give a config.json"),
        ({"text_config": {"hidden_size": 16}}, "name the language model's type"),
        ({"experts": [spec("one")]}, r"expert_channels \(3\) must fit experts \(1\)"),
        ({"experts": [spec("a"), spec("b"), spec("a")]}, "different names, but a occurs twice"),
        ({"base": {"kind": "tiny", "name": "base"}}, "'base' lacks descriptions"),
        ({"base": spec("../base")}, "names a file: use letters"),
        ({"adapter": {"wide": 3}}, "the configuration's adapter: .*wide"),
        ({"routing": {"max_new_tokens": 0}}, "the configuration's routing: "),
        ({"box_frame": "square"}, "box_frame is 'square': give one of pad, image"),
        ({"default_routing": "text"}, "default_routing is 'text': give one of router, all, none"),
        ({"gate_text_config": {"hidden_size": 24}}, r"gate_text_config.hidden_size \(24\)"),
    ],
)
def test_errors_name_the_remedy(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        tiny_config(**changes)
    assert "\n" not in str(caught.value)
