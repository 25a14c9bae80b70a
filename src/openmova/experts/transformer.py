"""What the transformer encoders share: attention, which layers are built, and a view made smaller.

Shapes: B batch, N tokens, C width.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn
from torch.nn import functional as F

from openmova.errors import UserError


def attention(query: Tensor, key: Tensor, value: Tensor, heads: int) -> Tensor:
    """Multi-head attention of projected tokens [B, N, C] -> [B, N, C]."""
    q, k, v = (
        x.unflatten(-1, (heads, -1)).transpose(1, 2)  # [B, heads, N, C / heads]
        for x in (query, key, value)
    )
    return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)


class Mlp(nn.Module):
    """Two linear layers with an activation between them."""

    def __init__(
        self, width: int, hidden: int, activation: Callable[[Tensor], Tensor] = F.gelu
    ) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, width)
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(self.activation(self.fc1(x)))


def count_layers(name: str, layers: int, select_layer: int) -> int:
    """How many of an encoder's layers its map needs.

    select_layer: the map's index in the list of hidden states, where 0 is the first layer's input
    and -1 the last layer's output. Raises UserError if it isn't there.
    """
    if not -layers - 1 <= select_layer <= layers:
        raise UserError(
            f"the expert {name!r} has select_layer {select_layer} in its spec, but {layers} layers "
            f"have the hidden states {-layers - 1} to {layers}"
        )
    return select_layer % (layers + 1)


def check_sizes(name: str, *, width: int, heads: int, size: int, patch: int) -> None:
    """Raises UserError if the heads don't divide the width, or the patches the picture."""
    for whole, value, part, by in (
        ("width", width, "heads", heads),
        ("size", size, "patch", patch),
    ):
        if min(value, by) < 1 or value % by:
            raise UserError(
                f"the expert {name!r} has {whole} {value} and {part} {by} in its spec; "
                f"{whole} must be a multiple of {part}"
            )


def resize_view(view: Tensor, size: int) -> Tensor:
    """A view [B, 3, n, n] at another size, bilinear in float32 and without antialiasing.

    The released towers do so themselves, after the processor.
    """
    if view.shape[-1] == size:
        return view
    smaller = F.interpolate(view.float(), (size, size), mode="bilinear", align_corners=False)
    return smaller.to(view.dtype)
