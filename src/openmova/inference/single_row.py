"""One row times a weight on a processor, which is what a token of a single answer is made of.

Reading the weights is all the work there is, and torch's product of one row reads them slowly: at
10 GB/s on the machine of docs/performance.md, with one thread or two. Two products over half of the
weight each, as one batch, read 24 GB/s. The sums are the same but for the order of their terms.
"""

import torch
from torch import Tensor, nn


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


def quicken_single_rows(model: nn.Module) -> None:
    """Let the linear layers of a model that lie in host memory in float32 work so."""
    for module in model.modules():
        if type(module) is not nn.Linear or module.out_features % 2:
            continue
        if module.weight.device.type == "cpu" and module.weight.dtype == torch.float32:
            module.__class__ = SingleRowLinear
