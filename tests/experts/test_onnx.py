"""Any ONNX graph: maps from inside it, views, files and wrong graphs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from onnx import TensorProto
from torch.nn import functional as F

from openmova.errors import UserError
from openmova.experts import build_expert
from openmova.experts.onnx import OnnxExpert

from .onnx_files import tiny_graph
from .pictures import assert_batch_changes_nothing, padded_batch


@pytest.fixture
def graph(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.onnx"
    path.write_bytes(tiny_graph())
    return path


def spec(path: Path | str, **keywords: Any) -> dict[str, Any]:
    return {
        "kind": "onnx",
        "name": "graph",
        "descriptions": ["sees"],
        "path": str(path),
        **keywords,
    }


def test_the_map_is_the_tensor_inside_the_graph(graph: Path) -> None:
    expert = build_expert(spec(graph, output="both"))
    view = expert.view(*padded_batch())
    pooled = F.avg_pool2d(view, 8)
    assert expert.channels == 6
    expected = torch.cat([pooled, pooled.relu()], dim=1)
    assert torch.allclose(expert(view), expected, atol=1e-5)
    assert_batch_changes_nothing(expert)


def test_tokens_become_the_same_map(graph: Path) -> None:
    pooled = build_expert(spec(graph, output="pooled"))
    tokens = build_expert(spec(graph, output="tokens", layout="tokens"))
    view = pooled.view(*padded_batch())
    assert tokens.channels == 3
    assert torch.equal(tokens(view), pooled(view))


def test_without_a_name_the_map_is_the_first_output(graph: Path) -> None:
    expert = build_expert(spec(graph))
    assert expert(expert.view(*padded_batch())).shape == (4, 6, 1, 1)


def test_a_graph_made_for_one_picture_takes_a_batch_one_by_one(tmp_path: Path) -> None:
    path = tmp_path / "one.onnx"
    path.write_bytes(tiny_graph(batch=1))
    assert_batch_changes_nothing(build_expert(spec(path, output="both")))


def test_a_graph_for_any_size_takes_the_size_of_the_spec(tmp_path: Path) -> None:
    path = tmp_path / "any.onnx"
    path.write_bytes(tiny_graph(side="S"))
    expert = build_expert(spec(path, output="pooled", size=[48, 64]))
    assert expert(expert.view(*padded_batch())).shape == (4, 3, 6, 8)
    with pytest.raises(UserError, match='takes any size: give it a "size"'):
        build_expert(spec(path))


def test_bgr_is_rgb_with_the_colours_turned(graph: Path) -> None:
    rgb, bgr = (build_expert(spec(graph, channel_order=order)) for order in ("RGB", "BGR"))
    images, sizes = padded_batch()
    assert torch.equal(bgr.view(images, sizes), rgb.view(images, sizes).flip(1))


def test_the_channels_of_the_spec_are_believed_until_the_first_map(graph: Path) -> None:
    expert = build_expert(spec(graph, output="both", channels=7))
    assert expert.channels == 7
    with pytest.raises(UserError, match="has 6 channels, its spec says 7"):
        expert(expert.view(*padded_batch()))


def test_a_file_of_the_checkpoint_folder_is_found_and_saved_again(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    (first / "graphs").mkdir(parents=True)
    (first / "graphs" / "tiny.onnx").write_bytes(tiny_graph())
    expert = build_expert(spec("graphs/tiny.onnx"), folder=first)
    expert.save_files(second)
    expert.save_files(first)  # onto itself
    assert (second / "graphs" / "tiny.onnx").read_bytes() == tiny_graph()
    view = expert.view(*padded_batch())
    again = build_expert(spec("graphs/tiny.onnx"), folder=second)
    assert torch.equal(again(view), expert(view))


def test_a_file_outside_of_the_folder_is_not_copied(graph: Path, tmp_path: Path) -> None:
    build_expert(spec(graph)).save_files(tmp_path / "checkpoint")
    assert not (tmp_path / "checkpoint").exists()


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"output": "pooledd"}, "computes no tensor 'pooledd'; did you mean pooled"),
        ({"output": "flat"}, r"has the shape \[1, 3, 16\]: no map; choose another output"),
        ({"size": 48}, "fixed to pictures of 32x32, its spec says 48x48"),
        ({"layout": "NHWC"}, "knows the layouts NCHW and tokens"),
        ({"channel_order": "GBR"}, "RGB and BGR, not 'NCHW' and 'GBR'"),
        ({"path": "gone.onnx"}, "'gone.onnx', which is not there"),
        ({"path": "../tiny.onnx"}, "must not climb"),
        ({"path": "package:no_such_package/x.onnx"}, "pip install --no-deps no-such-package"),
        ({"path": "package:openmova/no.onnx"}, "'openmova' has no 'no.onnx'"),
    ],
)
def test_a_spec_that_gives_no_map_is_refused(
    graph: Path, keywords: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message) as caught:
        build_expert(spec(graph) | keywords)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"no model at all", "can't be run by onnxruntime: these bytes are no ONNX model"),
        (tiny_graph()[:-40], "can't be run by onnxruntime"),
        (tiny_graph(batch=4), "fixed to batches of 4; export it with a batch of 1 or any"),
        (tiny_graph(channels=1), "one float input"),
        (tiny_graph(kind=TensorProto.INT64), "can't be run|one float input"),
    ],
    ids=["text", "cut short", "batches of 4", "grey pictures", "integers"],
)
def test_a_graph_of_another_kind_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "x.onnx"
    path.write_bytes(content)
    with pytest.raises(UserError, match=message) as caught:
        build_expert(spec(path, output="pooled"))
    assert "\n" not in str(caught.value)


def test_a_graph_runs_with_as_many_threads_as_torch_has_now(graph: Path) -> None:
    expert = build_expert(spec(graph, output="both"))
    assert isinstance(expert, OnnxExpert)
    view = expert.view(*padded_batch())
    expected = expert(view)
    for threads in (2, 1):
        torch.set_num_threads(threads)
        assert torch.equal(expert(view), expected)
        assert expert.session.threads == threads


@pytest.mark.parametrize("package", ["onnx", "onnxruntime"])
def test_without_the_extra_the_error_says_how_to_get_it(
    graph: Path, monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    monkeypatch.delitem(sys.modules, "openmova.experts.onnx_graph", raising=False)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UserError, match=r'pip install "openmova\[onnx\]"'):
        build_expert(spec(graph))
