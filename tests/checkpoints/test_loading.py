"""A checkpoint folder in memory."""

import gc
import sys
from pathlib import Path

import pytest

from openmova.checkpoints import loading
from openmova.checkpoints.tiny import tiny_mova
from openmova.train.training import save_model


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_no_small_tensor_keeps_the_file_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a file whose large ones were converted; here none is large."""

    def is_mapped() -> bool:
        gc.collect()
        return str(tmp_path) in Path("/proc/self/maps").read_text(encoding="utf-8")

    save_model(*tiny_mova(), tmp_path)
    model = loading.load_model(tmp_path)
    assert not is_mapped()
    monkeypatch.setattr(loading, "copy_small_tensors", lambda model: None)
    mapped = loading.load_model(tmp_path)
    assert is_mapped()
    state = model.state_dict()
    assert all((state[name] == tensor).all() for name, tensor in mapped.state_dict().items())
