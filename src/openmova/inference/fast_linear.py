"""Linear layers that are faster on a processor than torch's: of the language model and adapter.

A token of a single answer is one row times each weight, and reading the weights is all the work
there is. torch's product of one row reads float32 at 10 GB/s on the machine of docs/performance.md;
two products over half of the weight each, as one batch, read 24 GB/s. The sums are the same but for
the order of their terms.

AMX, and AVX-512 of AMD, multiply in bfloat16 in half the time for many rows, a third for a few.
There the weights are kept in bfloat16 alone, in the layout of oneDNN; sums are float32, and so is
all between the layers. A row's product is to the bit the same whatever rows are beside it.
"""

from typing import Any

import torch
from torch import Tensor, nn

from openmova.model.layers import adds_nothing

FEWEST_ROWS = 4
"""oneDNN takes as long for one row as for several, or longer."""


class SingleRowLinear(nn.Linear):
    """A linear layer that takes a single row as a batch of two halves of its weight."""

    def forward(self, input: Tensor) -> Tensor:
        """[..., in] -> [..., out]."""
        if input.numel() != self.in_features:
            return super().forward(input)
        halves = self.weight.view(2, -1, self.in_features)
        row = input.reshape(1, -1).t().expand(2, -1, -1)  # transposed: the layout that is fast
        product = torch.bmm(halves, row).view(*input.shape[:-1], self.out_features)
        return product if self.bias is None else product + self.bias


class Bfloat16Linear(nn.Linear):
    """A linear layer that multiplies in bfloat16 whatever its inputs are, for inference."""

    packed: Tensor

    def forward(self, input: Tensor) -> Tensor:
        """[..., in] -> [..., out]."""
        rows = input.reshape(-1, self.in_features).bfloat16()
        count = len(rows)
        if count == 1:
            rows = rows.expand(FEWEST_ROWS, -1)
        product = torch.ops.mkldnn._linear_pointwise(rows, self.packed, None, "none", [], "")
        product = product[:count].to(input.dtype).view(*input.shape[:-1], self.out_features)
        return product if self.bias is None else product + self.bias

    def _save_to_state_dict(self, *args: Any, **kwargs: Any) -> None:
        raise RuntimeError(
            'the weights of this model are kept in bfloat16 alone: load it with dtype="float32" '
            "to save it"
        )


def multiplies_in_bfloat16() -> bool:
    """Whether this machine's processor does so faster than in float32, and torch with it: AMX, or
    AVX-512 of another maker than Intel, whose own takes twice as long as float32 for many rows."""
    has = torch.cpu.get_capabilities()
    is_intel = str(has.get("cpu_name", "")).startswith("Intel")
    fast = has.get("amx_bf16", False) or (has.get("avx512_bf16", False) and not is_intel)
    return bool(fast) and torch.backends.mkldnn.is_available()


def quicken_single_rows(model: nn.Module) -> None:
    """Let the linear layers of a model that lie in host memory in float32 work so."""
    for module in model.modules():
        if type(module) is not nn.Linear or module.out_features % 2:
            continue
        if module.weight.device.type == "cpu" and module.weight.dtype == torch.float32:
            module.__class__ = SingleRowLinear


@torch.no_grad()
def multiply_in_bfloat16(model: nn.Module) -> None:
    """Let those that lie in host memory in float32 or bfloat16 multiply so; their own weights are
    given up."""
    for module in model.modules():
        if not isinstance(module, nn.Linear) or module.weight.device.type != "cpu":
            continue
        if type(module) not in (nn.Linear, SingleRowLinear):
            continue
        if module.weight.dtype in (torch.float32, torch.bfloat16) and not adds_nothing(module):
            weight = module.weight.bfloat16()
            module.packed = torch.ops.mkldnn._reorder_linear_weight(weight, FEWEST_ROWS)
            module.weight = nn.Parameter(weight.new_empty(0), requires_grad=False)
            module.__class__ = Bfloat16Linear
