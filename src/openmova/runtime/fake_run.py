"""A model run without its numbers: the same code on fake tensors, which have shapes and no memory.

So a laptop counts what a model of 34B parameters computes and holds in a training step.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import (
    FlopCounterMode,
    conv_flop_count,
    sdpa_backward_flop_count,
    sdpa_flop_count,
)


def replace_by_fakes(modules: Iterable[nn.Module]) -> None:
    """Put fakes, of the FakeTensorMode that is active, in the place of all parameters and buffers:
    on the CPU, where attention keeps as little as on a GPU.

    What modules share stays shared, and what learns stays so.
    """
    fakes: dict[Tensor, Tensor] = {}
    for module in (inner for outer in modules for inner in outer.modules()):
        stores: tuple[dict[str, Any], ...] = (module._parameters, module._buffers)
        for store in stores:
            for name, tensor in store.items():
                if tensor is None or isinstance(tensor, FakeTensor):
                    continue
                if tensor not in fakes:
                    fake = torch.empty(tensor.shape, dtype=tensor.dtype)
                    is_parameter = isinstance(tensor, nn.Parameter)
                    fakes[tensor] = (
                        nn.Parameter(fake, tensor.requires_grad) if is_parameter else fake
                    )
                store[name] = fakes[tensor]


class OperationCount(NamedTuple):
    """A computation's floating-point operations."""

    forward: int
    backward: int
    """Of the gradients that learning needs; 0 where nothing learns."""
    result: Tensor
    """Apart from what it was computed of; it wants a gradient if what was computed did."""


def operations(forward: Callable[[], Tensor]) -> OperationCount:
    """Run a computation, and backwards, and count.

    Products of matrices, convolutions and attention count, a multiply-add as two; attention is
    counted whole, masked or not.
    """
    with FlopCounterMode(display=False, custom_mapping=COUNTS) as counter:
        result = forward()
        ahead = counter.get_total_flops()
        if result.requires_grad:
            torch.autograd.backward(result, torch.empty_like(result))
        back = counter.get_total_flops() - ahead
    return OperationCount(ahead, back, result.detach().requires_grad_(result.requires_grad))


def _convolution_gradients(gradient: Any, x: Any, weight: Any, *others: Any, **_: Any) -> int:
    """Of the input and of the weight, if wanted: each what the convolution itself took."""
    wanted = sum(others[-1][:2])
    return wanted * conv_flop_count(x, weight, gradient, transposed=others[4])


COUNTS: dict[Any, Any] = {
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: (
        lambda query, key, value, *_, **__: sdpa_flop_count(query, key, value)
    ),
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: (
        lambda *shapes, **_: sdpa_backward_flop_count(*shapes[:4])
    ),
    torch.ops.aten.convolution_backward: _convolution_gradients,
}
"""What torch's counter does not know, the CPU's attention, and what it gets wrong, the gradients of
a convolution in groups."""


class PeakMemory(TorchDispatchMode):
    """The most bytes that are alive at once of what is computed in this mode.

    known: tensors that were there before, which don't count.
    """

    def __init__(self, known: Iterable[Tensor]) -> None:
        super().__init__()
        self.live = 0
        self.peak = 0
        self._sizes: dict[int, int] = {tensor.untyped_storage()._cdata: 0 for tensor in known}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor):
                self._count(leaf.untyped_storage())
        return result

    def _count(self, storage: torch.UntypedStorage) -> None:
        key = storage._cdata
        if key not in self._sizes:
            self._sizes[key] = storage.nbytes()
            self.live += storage.nbytes()
            self.peak = max(self.peak, self.live)
            weakref.finalize(storage, self._forget, key)

    def _forget(self, key: int) -> None:
        self.live -= self._sizes.pop(key)
