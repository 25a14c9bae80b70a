"""A checkpoint's named tensors, wherever they lie: a file, a folder of shards, memory, a manifest.

Files are mapped, not loaded: safetensors by its own library, PyTorch's (.bin, .pth, .pt) by
`torch.load` with weights_only, which builds tensors and plain containers and runs nothing else.
"""

import json
import re
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from pickle import UnpicklingError

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from openmova.errors import UserError, reason

PICKLES = (".bin", ".pth", ".pt")
WRAPPERS = ("state_dict", "model", "module")
"""Where a training checkpoint keeps its tensors."""
USUAL_NAMES = (
    *("model.safetensors.index.json", "model.safetensors"),
    *("pytorch_model.bin.index.json", "pytorch_model.bin"),
)
"""What a checkpoint folder is looked through for, first come first taken."""
POINTER = b"version https://git-lfs"
_SHARD = re.compile(r".+-\d{5}-of-\d{5}\.\w+")
_NOT_WEIGHTS = ("training_args.bin", "optimizer", "scheduler", "rng_state")
_REFUSED = re.compile(
    r"(?:GLOBAL|Unsupported class:?|Unsupported global:?) ([\w.]+)|Unsupported operand"
)


class Tensors(dict[str, Tensor]):
    """Named tensors, mapped from files or in memory, not to be written to.

    files: what holds each, relative to the checkpoint, for messages; sizes: the bytes of each file.
    """

    def __init__(
        self,
        state: Mapping[str, Tensor],
        file: str | Mapping[str, str] = "memory",
        sizes: Mapping[str, int] | None = None,
    ):
        super().__init__(state)
        self.files = dict.fromkeys(state, file) if isinstance(file, str) else dict(file)
        self.sizes = dict(sizes or {})

    def read(self, name: str) -> Tensor:
        """The tensor as it is written."""
        return self[name].detach().contiguous()


def join(parts: Mapping[str, Tensors]) -> Tensors:
    """Several checkpoints as one: the key of a tensor is "part:name"."""
    whole = Tensors({})
    for part, tensors in parts.items():
        whole |= {f"{part}:{name}": tensor for name, tensor in tensors.items()}
        whole.files |= {f"{part}:{name}": f"{part}/{file}" for name, file in tensors.files.items()}
        whole.sizes |= {f"{part}/{file}": size for file, size in tensors.sizes.items()}
    return whole


def under(prefix: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Those whose names begin so, by the rest of their names."""
    return {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}


def read_manifest(path: Path) -> Tensors:
    """Names and shapes that a manifest lists: `{"tensors": {name: {"shape": [...], ...}}}`.

    The tensors have no values.
    """
    try:
        state = {}
        for name, fields in json.loads(path.read_text(encoding="utf-8"))["tensors"].items():
            dtype = fields.get("dtype_in_hub_checkpoint") or fields.get("dtype", "bfloat16")
            state[name] = torch.empty(fields["shape"], dtype=torch_dtype(dtype), device="meta")
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RuntimeError) as error:
        raise UserError(
            f"{path.name} is no manifest that can be read: it must hold "
            '{"tensors": {NAME: {"shape": [...]}}}'
        ) from error
    return Tensors(state, path.name)


def torch_dtype(name: str) -> torch.dtype:
    """The dtype of a name such as "bfloat16". Raises UserError for another word."""
    dtype = vars(torch).get(name)
    if not isinstance(dtype, torch.dtype):
        raise UserError(f"there is no dtype {name!r}: give bfloat16, float16 or float32")
    return dtype


def dtype_name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def open_tensors(path: Path) -> Tensors:
    """The tensors of a file (.safetensors, .bin, .pth, .pt) or of a folder, by their names.

    A folder's index says which shards there are; without one, all that are numbered are taken.
    """
    if path.is_file():
        return _open_file(path)
    if not path.is_dir():
        raise UserError(f"{path.name!r} is no file and no folder: check the path of the source")
    for found in (*(path / name for name in USUAL_NAMES), *sorted(path.glob("*.index.json"))):
        if found.is_file():
            return _open_index(found) if found.suffix == ".json" else _open_file(found)
    return _join_shards(_numbered_files(path))


def _open_index(index: Path) -> Tensors:
    try:
        weight_map = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        files = sorted({str(file) for file in weight_map.values()})
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{index.name} is no index of shards: download it again") from error
    beside = {file.name for file in index.parent.iterdir() if file.is_file()}
    if missing := [file for file in files if file not in beside]:
        raise UserError(
            f"the checkpoint lacks {', '.join(missing)}, which {index.name} promises beside it: "
            "download it"
        )
    return _join_shards([index.parent / file for file in files], weight_map)


def _numbered_files(folder: Path) -> list[Path]:
    """The shards whose names are numbered, or the folder's only file of weights."""
    for suffixes in ((".safetensors",), PICKLES):
        files = sorted(
            file
            for file in folder.iterdir()
            if file.suffix in suffixes and not file.name.startswith(_NOT_WEIGHTS)
        )
        shards = [file for file in files if _SHARD.fullmatch(file.name)]
        if shards or len(files) == 1:
            return shards or files
        if files:
            names = ", ".join(file.name for file in files[:4])
            raise UserError(f"{folder.name!r} holds several files of weights ({names}): name one")
    raise UserError(
        f"{folder.name!r} holds no weights (.safetensors, .bin, .pth, .pt): check the source"
    )


def _join_shards(files: Sequence[Path], weight_map: Mapping[str, str] | None = None) -> Tensors:
    """Tensors of several files in one folder. The index, where there is one, is complete."""
    listed, whole = weight_map or {}, Tensors({})
    for path in files:
        shard = _open_file(path)
        whole.sizes |= shard.sizes
        for name, tensor in shard.items():
            if listed.get(name, path.name) != path.name:
                continue  # a copy: the index names the other file
            if name in whole:
                raise UserError(
                    f"{name} is in {whole.files[name]} and in {path.name}: keep one of them"
                )
            whole[name], whole.files[name] = tensor, path.name
    for name, file in listed.items():
        if name not in whole:
            raise UserError(f"{file} lacks {name}, which the index promises: download it again")
    return whole


def _open_file(path: Path) -> Tensors:
    if path.suffix not in (".safetensors", *PICKLES):
        raise UserError(
            f"{path.name} is no file of weights: give one that ends in .safetensors, .bin, .pth or "
            ".pt"
        )
    with path.open("rb") as file:
        if file.read(len(POINTER)) == POINTER:
            raise UserError(
                f"{path.name} is a Git LFS pointer, not the weights: run git lfs pull in its folder"
            )
    try:
        state = load_file(path) if path.suffix == ".safetensors" else _read_pickle(path)
    except (OSError, SafetensorError) as error:
        raise _damaged(path, reason(error)) from error
    return Tensors(state, path.name, {path.name: path.stat().st_size})


def _read_pickle(path: Path) -> dict[str, Tensor]:
    """The tensors of a file that torch.save wrote, mapped where it is laid out for that."""
    try:
        content = torch.load(path, map_location="cpu", mmap=_can_map(path), weights_only=True)
    except UnpicklingError as error:
        if (found := _REFUSED.search(str(error))) is None:
            raise _damaged(path, "its pickle is broken, or it is no PyTorch file") from error
        raise UserError(
            f"{path.name} was not loaded, because its pickle asks for {found[1] or 'something'}, "
            "which is no tensor and might run code: take the file from a source that you trust, as "
            "a state dict or safetensors"
        ) from error
    except (RuntimeError, EOFError, ValueError, KeyError, OSError, AttributeError) as error:
        # What torch raises for a damaged file depends on where the damage is.
        raise _damaged(path, "it can't be read as a PyTorch file, or is cut short") from error
    while isinstance(content, Mapping) and not any(isinstance(v, Tensor) for v in content.values()):
        content = next((content[name] for name in WRAPPERS if name in content), None)
    if not isinstance(content, Mapping):
        raise UserError(f"{path.name} holds no tensors by name: give a state dict")
    for name, tensor in content.items():
        if not isinstance(name, str) or not isinstance(tensor, Tensor):
            raise UserError(
                f"{path.name}: {name} is no tensor ({type(tensor).__name__}): give a state dict"
            )
        if tensor.layout != torch.strided or tensor.is_quantized:
            raise UserError(
                f"{path.name}: {name} is a sparse or quantised tensor: save it as a plain one"
            )
    return dict(content)


def _can_map(path: Path) -> bool:
    """Whether the tensors' bytes lie in the file as they are."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return all(record.compress_type == zipfile.ZIP_STORED for record in archive.infolist())


def _damaged(path: Path, what: str) -> UserError:
    return UserError(f"{path.name} is damaged, {what}: download it again")
