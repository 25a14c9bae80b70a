"""Sharding (FSDP2): each process of a run keeps its share of the weights, gradients and optimizer.

A unit, a layer of the base, of the adapter or of the language model, is put together from the
shares when it runs, in the forward and again in the backward pass, and its gradients are added up
into the shares. Every process runs every unit in every step. Experts are no units: each process
runs those that its own samples chose, so each keeps what it runs, whole.

Accelerate shards only on accelerators; here it is torch's own `fully_shard`, on any device.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import torch
import torch.distributed as dist
from accelerate import PartialState
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor

from openmova.errors import UserError
from openmova.model.adapter import AdapterBlock
from openmova.model.modeling_mova import MovaForConditionalGeneration
from openmova.train.stages import saved_buffers


class Sharding:
    """The shares of this process in a model, which is sharded when this is made.

    dtype: of the computation, where it is not that of the weights. Raises UserError for a torch
    that leaves processes waiting for each other where one ran a layer that another did not.
    """

    def __init__(
        self, model: MovaForConditionalGeneration, dtype: torch.dtype | None = None
    ) -> None:
        if not hasattr(FSDPModule, "set_reduce_scatter_unused_params"):
            raise UserError(
                f"sharding needs torch 2.13 or later, and this is {torch.__version__}: "
                "pip install --upgrade torch"
            )
        state = PartialState(cpu=not torch.accelerator.is_available())
        self.model = model
        self.rank: int = state.process_index
        self._chosen = torch.zeros(len(model.model.experts), device=state.device)
        self._buffers = list(saved_buffers(model).values())
        mesh = init_device_mesh(state.device.type, (state.num_processes,))
        policy = MixedPrecisionPolicy(
            param_dtype=dtype, reduce_dtype=torch.float32, cast_forward_inputs=False
        )
        # Nothing here changes what a unit returned in place.
        warnings.filterwarnings("ignore", message="FSDP2-wrapped module .* returned a view tensor")
        for unit in units(model):
            fully_shard(unit, mesh=mesh, mp_policy=policy)
        experts = model.model.experts
        self.root = fully_shard(
            model, mesh=mesh, mp_policy=policy, ignored_params=set(experts.parameters())
        )
        # Which extractors of the adapter run is the samples' choice, in each process another.
        self.root.set_reduce_scatter_unused_params(True)
        experts.to(state.device)

    def share_buffers(self) -> None:
        """What a forward pass keeps besides weights, averages of a batch norm: the first process'
        in all, as without sharding."""
        for buffer in self._buffers:
            dist.broadcast(buffer, 0)

    def note_routing(self, routing: Tensor) -> None:
        """Note the routing [B, E] of a batch, for `drop_unused_gradients`."""
        self._chosen = torch.maximum(self._chosen, routing.any(dim=0).to(self._chosen))

    def drop_unused_gradients(self) -> None:
        """Take the gradients, all zero, from what no sample of the step used in any process.

        As without sharding, the optimizer then passes over it.
        """
        dist.all_reduce(self._chosen, dist.ReduceOp.MAX)
        for block in self.model.model.adapter.blocks:
            assert isinstance(block, AdapterBlock)
            for chosen, extractor in zip(self._chosen, block.extractors, strict=True):
                if not chosen:
                    extractor.zero_grad(set_to_none=True)
        self._chosen.zero_()

    def gather(self) -> None:
        """Put the model together on the host, as if it had never been sharded.

        In the first process; in the others the weights go. It can't be trained any more.
        """
        for module in self.model.modules():
            for name, parameter in module._parameters.items():
                if isinstance(parameter, DTensor):
                    whole = parameter.full_tensor().detach()
                    kept = whole.cpu() if self.rank == 0 else whole.to("meta")
                    module._parameters[name] = nn.Parameter(kept, parameter.requires_grad)
            if isinstance(module, FSDPModule):
                module.__class__ = type(module).__mro__[2]  # FSDPX(FSDPModule, X)
        self.model.tie_weights()


def units(model: MovaForConditionalGeneration) -> Iterator[nn.Module]:
    """The elements of the outermost lists of layers, all but the experts."""

    def below(module: nn.Module) -> Iterator[nn.Module]:
        for child in module.children():
            if isinstance(child, nn.ModuleList | nn.Sequential):
                # A single matrix is none: its process would give it away and get it back at once.
                yield from (layer for layer in child if len(list(layer.modules())) > 1)
            elif child is not model.model.experts:
                yield from below(child)

    return below(model)
