"""Layers of the MoV-Adapter: rotary attention over a grid, gated MLP, a convolution stage.

Shapes: b pictures, C and c channels, N = H * W cells of a grid.
"""

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor
from torch.nn import functional as F

from openmova.experts.transformer import ChannelNorm, rotary_angles, turned

NORM_EPS = 1e-5
ALL = slice(None)
"""All cells of a grid, where the indices of some could stand."""


def adds_nothing(last: nn.Linear | nn.LayerNorm) -> bool:
    """Whether the branch that ends in this layer adds zeros, as each does before it has learnt.

    Inference need not compute such a branch.
    """
    return is_zero(last.weight) and (last.bias is None or is_zero(last.bias))


def is_zero(weight: Tensor) -> bool:
    """Whether all numbers of a tensor, of any shape, are known to be zero.

    Only told where that is cheap: without gradients, and of numbers in host memory
    (`Bfloat16Linear` keeps none there).
    """
    if torch.is_grad_enabled() or torch.compiler.is_compiling():
        return False
    if weight.device.type != "cpu" or isinstance(weight, FakeTensor) or not weight.numel():
        return False
    return not weight.any()


class RotaryGrid(nn.Module):
    """The fixed 2-D rotary table of a grid, see `rotary_angles`."""

    cos: Tensor
    sin: Tensor

    def __init__(self, grid: tuple[int, int], head_dim: int, theta: float = 10000.0):
        super().__init__()
        self.grid, self.head_dim, self.theta = grid, head_dim, theta
        shape = (grid[0] * grid[1], head_dim)
        self.register_buffer("cos", torch.empty(shape), persistent=False)
        self.register_buffer("sin", torch.empty(shape), persistent=False)
        self.reset_buffers()

    @torch.no_grad()
    def reset_buffers(self) -> None:
        """Compute the table in place (it is no part of a checkpoint)."""
        rows, columns = (
            torch.arange(n, dtype=torch.float32, device=self.cos.device) for n in self.grid
        )
        angles = rotary_angles(rows, columns, self.head_dim, self.theta)
        self.cos.copy_(angles.cos())
        self.sin.copy_(angles.sin())

    def forward(self, x: Tensor, cells: Tensor | slice = ALL) -> Tensor:
        """Rotate x [b, heads, M, head_dim], which are these cells."""
        return x * self.cos[cells].to(x.dtype) + turned(x) * self.sin[cells].to(x.dtype)


class RotaryAttention(nn.Module):
    """Multi-head attention of x over value, both on the same grid, with a LayerNorm before the
    output projection."""

    def __init__(self, width: int, value_width: int, head_dim: int):
        super().__init__()
        self.head_dim = head_dim
        self.q_proj = nn.Linear(width, width, bias=False)
        self.k_proj = nn.Linear(value_width, width, bias=False)
        self.v_proj = nn.Linear(value_width, width, bias=False)
        self.norm = nn.LayerNorm(width, eps=NORM_EPS)
        self.out_proj = nn.Linear(width, width)

    def forward(
        self, x: Tensor, value: Tensor, rotary: RotaryGrid, cells: Tensor | slice = ALL
    ) -> Tensor:
        """x [b, M, C], which are these cells, value [b, N, c] -> [b, M, C]."""
        q, k, v = (
            t.unflatten(-1, (-1, self.head_dim)).transpose(1, 2)  # [b, heads, N, head_dim]
            for t in (self.q_proj(x), self.k_proj(value), self.v_proj(value))
        )
        out = F.scaled_dot_product_attention(rotary(q, cells), rotary(k), v)
        return self.out_proj(self.norm(out.transpose(1, 2).flatten(2)))


class SwiGLU(nn.Module):
    """Gated MLP with a LayerNorm before the last projection."""

    def __init__(self, width: int):
        super().__init__()
        hidden = int(width * 8 / 3)
        self.gate_proj = nn.Linear(width, hidden)
        self.up_proj = nn.Linear(width, hidden)
        self.norm = nn.LayerNorm(hidden, eps=NORM_EPS)
        self.down_proj = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        """[..., C] -> [..., C]."""
        return self.down_proj(self.norm(F.silu(self.gate_proj(x)) * self.up_proj(x)))


class ConvStage(nn.Module):
    """A RegNet bottleneck with a depthwise convolution, squeeze-and-excitation and an identity
    shortcut."""

    def __init__(self, width: int):
        super().__init__()
        squeezed = round(width * 0.25)
        self.conv_in = nn.Conv2d(width, width, 1, bias=False)
        self.norm_in = ChannelNorm(width, eps=NORM_EPS)
        self.conv_mid = nn.Conv2d(width, width, 3, padding=1, groups=width, bias=False)
        self.norm_mid = ChannelNorm(width, eps=NORM_EPS)
        self.squeeze = nn.Conv2d(width, squeezed, 1)
        self.excite = nn.Conv2d(squeezed, width, 1)
        self.conv_out = nn.Conv2d(width, width, 1, bias=False)
        self.norm_out = ChannelNorm(width, eps=NORM_EPS)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, h, w] -> the same shape."""
        if adds_nothing(self.norm_out):
            return x
        h = F.silu(self.norm_in(self.conv_in(x)))
        h = F.silu(self.norm_mid(self.conv_mid(h)))
        h = h * self.excite(F.silu(self.squeeze(h.mean((2, 3), keepdim=True)))).sigmoid()
        return x + self.norm_out(self.conv_out(h))

    def cells_are_apart(self) -> bool:
        """Whether what is added to a cell is made of this cell alone."""
        if adds_nothing(self.norm_out):
            return True
        around = self.conv_mid.weight.clone()
        around[:, :, 1, 1] = 0
        return is_zero(around) and is_zero(self.excite.weight)
