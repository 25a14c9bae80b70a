"""The pool of experts: an expert is built, and its weights read, when it is first chosen.

In a checkpoint folder each expert has its own file, experts/<name>.safetensors, so that a model
with many experts starts with none of them in memory. With `offload` an expert that is not running
lies in host memory, so that the device holds one expert at a time.

Shapes: B batch, C channels, h w a map.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Self

import torch
from safetensors import SafetensorError
from safetensors.torch import load_model, save_model
from torch import Tensor, nn
from torch.random import fork_rng
from transformers.initialization import no_init_weights

from openmova.errors import UserError, reason
from openmova.experts.base import Expert
from openmova.experts.cost import ExpertCost, expert_cost
from openmova.experts.registry import build_expert
from openmova.runtime.files import new_file

EXPERTS_FOLDER = "experts"
ADD_EXPERT = "add an expert with: openmova add-expert (the adapter has to be trained)"
HOST = torch.device("cpu")
_ONLY_BUILT = ContextVar("only built experts", default=False)


class ExpertPool(nn.Module):
    """The frozen experts of a model, by the index of their letter.

    specs: as in config.json; folder: the checkpoint folder that holds their weights; without it
    an expert starts with random weights.
    """

    _anchor: Tensor

    def __init__(self, specs: Sequence[Mapping[str, Any]], folder: Path | None = None):
        super().__init__()
        self.specs = [dict(spec) for spec in specs]
        self.folder = folder
        self._offload = False
        # Follows the model to its device and dtype, so that a late expert can follow too.
        self.register_buffer("_anchor", torch.zeros(1), persistent=False)
        self.register_state_dict_pre_hook(_read_all)
        self.register_load_state_dict_pre_hook(_build_stored)

    def __len__(self) -> int:
        return len(self.specs)

    @property
    def names(self) -> list[str]:
        """Of all experts, built or not."""
        return [spec["name"] for spec in self.specs]

    @property
    def built(self) -> list[str]:
        """Names of the experts that are in memory."""
        return [self.names[int(j)] for j in self._modules]

    def get(self, j: int) -> Expert:
        """Expert j, built and loaded on first use."""
        built = self._modules.get(str(j))
        if not isinstance(built, Expert):
            built = self._build(j)
            self.add_module(str(j), built)
        return built

    @property
    def device(self) -> torch.device:
        """Where experts run."""
        return self._anchor.device

    @property
    def offload(self) -> bool:
        """Whether an expert is on the pool's device only while it runs, else in host memory."""
        return self._offload

    @offload.setter
    def offload(self, wanted: bool) -> None:
        self._offload = wanted
        for built in self.children():
            built.to(self._home)

    @property
    def _home(self) -> torch.device:
        """Where an expert is while it does not run."""
        return HOST if self._offload else self.device

    def cost(self, j: int) -> ExpertCost:
        """What expert j costs here; it is only read and run if that was never measured."""

        def look(images: Tensor, sizes: Tensor) -> Tensor:
            with self.running(j) as expert:
                return expert_map(expert, images, sizes)

        return expert_cost(look, self.specs[j], self._anchor, self.folder)

    @contextmanager
    def running(self, j: int) -> Iterator[Expert]:
        """Expert j on the pool's device; with offload its copy there is dropped afterwards."""
        expert = self.get(j)
        with nullcontext() if self._home == self.device else _copied(expert, self.device):
            yield expert

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """What `to`, `half` and the like do: with offload the experts stay in host memory."""
        super()._apply(fn, recurse)
        self.offload = self._offload
        return self

    def _build(self, j: int) -> Expert:
        """Expert j, in the pool's dtype."""
        # Not as inference tensors, because the expert's next user may train the adapter; and
        # without a trace in the random numbers, which someone may be sampling with.
        dtype = self._anchor.dtype
        with torch.inference_mode(False), HOST, fork_rng(devices=[]):
            torch.manual_seed(torch.initial_seed() + j)
            if self.folder is None:
                return build_expert(self.specs[j]).to(self._home, dtype)
            with no_init_weights():
                built = build_expert(self.specs[j], folder=self.folder)
            # Memory that was never written takes none: an expert is only ever there in one dtype.
            for parameter in built.parameters():
                kept = dtype if parameter.is_floating_point() else parameter.dtype
                parameter.data = torch.empty_like(parameter, dtype=kept)
            self._load(built, self.folder)
            return built.to(self._home, dtype)

    def save(self, folder: Path) -> None:
        """Write every expert's file, and what else its spec names; reads the missing ones first."""
        (folder / EXPERTS_FOLDER).mkdir(parents=True, exist_ok=True)
        for j in range(len(self)):
            expert = self.get(j)
            expert.save_files(folder)
            with new_file(weights_file(folder, expert.name)) as unfinished:
                save_model(expert, str(unfinished), metadata={"format": "pt"})

    def _load(self, expert: Expert, folder: Path) -> None:
        if not expert.state_dict():  # a graph, whose file its spec names
            return
        path = weights_file(folder, expert.name)
        try:
            missing, unexpected = load_model(expert, path, strict=False)
        except FileNotFoundError as error:
            raise UserError(
                f"the checkpoint lacks {EXPERTS_FOLDER}/{path.name}: download it again, or "
                f"{ADD_EXPERT}"
            ) from error
        except (SafetensorError, RuntimeError) as error:  # RuntimeError: other shapes
            raise UserError(f"can't load {EXPERTS_FOLDER}/{path.name}: {reason(error)}") from error
        if missing or unexpected:
            raise UserError(
                f"{EXPERTS_FOLDER}/{path.name} doesn't fit the expert of config.json: "
                + key_faults(missing, unexpected)
            )


def key_faults(missing: Sequence[str], unexpected: Sequence[str]) -> str:
    """One line that names missing and unexpected keys, at most eight of each."""
    faults = []
    for what, keys in (("missing", sorted(missing)), ("unexpected", sorted(unexpected))):
        if keys:
            more = f" and {len(keys) - 8} more" if len(keys) > 8 else ""
            faults.append(f"{what} keys {', '.join(keys[:8])}{more}")
    return "; ".join(faults)


def expert_map(expert: Expert, images: Tensor, sizes: Tensor) -> Tensor:
    """One expert's map [B, C, h, w] of the raw pictures that Expert.view takes."""
    view = expert.view(images, sizes)
    weight = next((p for p in expert.parameters() if p.is_floating_point()), None)
    if weight is not None and view.is_floating_point():
        view = view.to(weight.dtype)
    return expert(view)


@contextmanager
def only_built_experts() -> Iterator[None]:
    """State dicts hold no experts but those in memory: what transformers asks for while it loads
    the main file, and accelerate while it places the parts."""
    token = _ONLY_BUILT.set(True)
    try:
        yield
    finally:
        _ONLY_BUILT.reset(token)


def _read_all(pool: nn.Module, prefix: str, keep_vars: bool) -> None:
    """A state dict has every expert, also those that were not chosen yet; a model without memory
    for its weights has none."""
    assert isinstance(pool, ExpertPool)
    if pool.device.type != "meta" and not _ONLY_BUILT.get():
        for j in range(len(pool)):
            pool.get(j)


def _build_stored(
    pool: nn.Module,
    state: Mapping[str, Any],
    prefix: str,
    metadata: object,
    strict: bool,
    missing: list[str],
    *_: object,
) -> None:
    """The experts that a state dict has are there to take it; one that nothing fills is missing."""
    assert isinstance(pool, ExpertPool)
    for j, name in enumerate(pool.names):
        if any(key.startswith(f"{prefix}{j}.") for key in state):
            pool.get(j)
        elif pool.folder is None and name not in pool.built:
            missing.append(f"{prefix}{j}")


@contextmanager
def _copied(expert: Expert, device: torch.device) -> Iterator[None]:
    """The expert works on copies of its tensors that lie on a device and are then forgotten.

    A frozen expert never changes, so nothing has to be copied back.
    """
    idle: list[tuple[dict[str, Any], str, Tensor]] = [
        (store, name, tensor)
        for module in expert.modules()
        for store in (module._parameters, module._buffers)
        for name, tensor in store.items()
        if tensor is not None
    ]
    shared = {id(tensor): tensor for _, _, tensor in idle}  # each is copied once
    copies = {key: tensor.to(device) for key, tensor in shared.items()}
    try:
        for store, name, tensor in idle:
            store[name] = copies[id(tensor)]
        yield
    finally:
        for store, name, tensor in idle:
            store[name] = tensor


def weights_file(folder: Path, name: str) -> Path:
    """Where a checkpoint folder has the weights of an expert."""
    return folder / EXPERTS_FOLDER / f"{name}.safetensors"
