"""A decoder language model as an ONNX graph whose linear layers have weights in 8 or 4 bits.

The graph stands in NAME.onnx, its weights beside it in NAME.safetensors, from where onnxruntime
maps them. Operators are those of ONNX 23, and onnxruntime's own for products of packed weights
(MatMulNBits), for sums that are normalised, and for SiLU.

Shapes: B rows, T tokens of this call, P places before them, S = P + T; D width, H heads, K of them
with keys and values, d width of a head, L layers.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from onnx import ModelProto, NodeProto, StringStringEntryProto, TensorProto, helper
from torch import Tensor
from torch.nn.functional import pad
from transformers import AutoModel, PreTrainedConfig

from openmova.checkpoints.alignment import LENGTH_BYTES, write_aligned
from openmova.errors import UserError
from openmova.routing import RouterLoraConfig

KINDS = ("llama", "mistral", "qwen2", "qwen3")
"""Types of transformers whose layers are those of this graph."""
BLOCK = 32
"""Weights that share a scale."""
HEAD_BITS = 8
INPUTS_IN_8_BITS = 4
"""What onnxruntime calls it, as the accuracy of MatMulNBits: the inputs of a product are rounded
to 8 bits, with a scale for each block."""
NORM = "SimplifiedLayerNormalization"
"""onnxruntime's name of the root mean square norm."""
POOLED, LORA = "pooled", "router_lora"
ONNX, RUNTIME = "", "com.microsoft"
"""Domains of operators."""


def write_decoder(
    config: PreTrainedConfig,
    tensors: Mapping[str, Tensor],
    path: Path,
    *,
    bits: int,
    lora: RouterLoraConfig | None = None,
) -> None:
    """Write the graph of a language model without embeddings and head, and its weights.

    tensors: by the names that transformers gives them, and those of a router's LoRA behind
    "router_lora."; path: of the graph, NAME.onnx; bits: 8 or 4. Inputs are inputs_embeds [B, T, D],
    position_ids [B, T], attention_bias [B, 1, T, S], with a LoRA pooled [B, 1, 1] (1 for rows of
    the routing pass), and of each layer past_key and past_value [B, K, P, d]; outputs are
    last_hidden_state [B, T, D] and the keys and values [B, K, S, d].
    Raises UserError for a language model whose layers are others.
    """
    check_kind(config)
    graph = Graph(tensors, bits, lora)
    settings = config.to_dict()
    heads = settings["num_attention_heads"]
    shared = settings.get("num_key_value_heads") or heads
    width = settings.get("head_dim") or settings["hidden_size"] // heads
    epsilon = settings["rms_norm_eps"]
    cos, sin = (graph.constant(table) for table in rotary_tables(config))
    taken = [
        ("inputs_embeds", TensorProto.FLOAT, ("B", "T", settings["hidden_size"])),
        ("position_ids", TensorProto.INT64, ("B", "T")),
        ("attention_bias", TensorProto.FLOAT, ("B", 1, "T", "S")),
    ]
    if lora is not None:
        taken.append((POOLED, TensorProto.FLOAT, ("B", 1, 1)))
    given: list[tuple[str, int, Sequence[str | int]]] = [
        ("last_hidden_state", TensorProto.FLOAT, ("B", "T", settings["hidden_size"]))
    ]

    def rotate(states: str, norm: str, count: int) -> str:
        """Queries or keys [B, T, count * d] at their positions, normalised first if they are."""
        if graph.has(f"{norm}.weight"):
            states = graph.node("Reshape", states, graph.integers(0, 0, count, width))
            weight = graph.tensor(f"{norm}.weight")
            states = graph.node(NORM, states, weight, epsilon=epsilon)
            states = graph.node("Reshape", states, graph.integers(0, 0, count * width))
        return graph.node("RotaryEmbedding", states, cos, sin, "position_ids", num_heads=count)

    hidden, change = "inputs_embeds", None
    for number in range(settings["num_hidden_layers"]):
        layer = f"layers.{number}"
        attention, mlp = f"{layer}.self_attn", f"{layer}.mlp"
        hidden, normal = graph.norm(hidden, change, f"{layer}.input_layernorm", epsilon)
        joint = graph.linear(normal, *(f"{attention}.{name}_proj" for name in "qkv"))
        sizes = graph.integers(heads * width, shared * width, shared * width)
        query, key, value = graph.nodes_of("Split", (joint, sizes), 3, axis=-1)
        query = rotate(query, f"{attention}.q_norm", heads)
        key = rotate(key, f"{attention}.k_norm", shared)
        past = [f"past_{name}_{number}" for name in ("key", "value")]
        present = [f"{name}_{number}" for name in ("key", "value")]
        taken += [(name, TensorProto.FLOAT, ("B", shared, "P", width)) for name in past]
        given += [(name, TensorProto.FLOAT, ("B", shared, "S", width)) for name in present]
        seen = graph.new()
        graph.add(
            "Attention",
            (query, key, value, "attention_bias", *past),
            (seen, *present),
            q_num_heads=heads,
            kv_num_heads=shared,
        )
        change = graph.linear(seen, f"{attention}.o_proj")
        hidden, normal = graph.norm(hidden, change, f"{layer}.post_attention_layernorm", epsilon)
        both = graph.linear(normal, f"{mlp}.gate_proj", f"{mlp}.up_proj")
        gate, up = graph.nodes_of("Split", (both,), 2, axis=-1, num_outputs=2)
        silu = graph.node("QuickGelu", gate, domain=RUNTIME, alpha=1.0)
        change = graph.linear(graph.node("Mul", silu, up), f"{mlp}.down_proj")
    _, normal = graph.norm(hidden, change, "norm", epsilon)
    graph.add("Identity", (normal,), ("last_hidden_state",))
    if unknown := sorted(name for name in tensors if name not in graph.used):
        raise UserError(
            f"the language model ({config.model_type}) has {unknown[0]}, which an exported one has "
            f"no place for: decoders with the layers of {', '.join(KINDS)} can be exported"
        )
    graph.write(path, taken, given)


def write_head(weight: Tensor, path: Path) -> None:
    """Write the graph of a head alone: hidden [M, D] to logits [M, V]; weight [V, D]."""
    graph = Graph({"head.weight": weight}, HEAD_BITS)
    vocabulary, width = weight.shape
    graph.add("Identity", (graph.linear("hidden", "head"),), ("logits",))
    taken = [("hidden", TensorProto.FLOAT, ("M", width))]
    graph.write(path, taken, [("logits", TensorProto.FLOAT, ("M", vocabulary))])


def check_kind(config: PreTrainedConfig) -> None:
    """Raises UserError for a language model whose layers the graph does not have."""
    settings = config.to_dict()
    fault = None
    if config.model_type not in KINDS:
        fault = f"a language model of type {config.model_type!r}"
    elif settings.get("hidden_act", "silu") != "silu":
        fault = f"the activation {settings['hidden_act']!r}"
    elif settings.get("sliding_window") and settings.get("use_sliding_window", True):
        fault = "attention to a sliding window"
    if fault is not None:
        raise UserError(f"{fault} can't be exported: only full {', '.join(KINDS)} with silu can")


def rotary_tables(config: PreTrainedConfig) -> tuple[Tensor, Tensor]:
    """Cosines and sines [places, d / 2] of the language model's rotary positions."""
    with torch.device("meta"):
        kind = type(AutoModel.from_config(config).rotary_emb)
    places = torch.arange(config.max_position_embeddings)
    cos, sin = kind(config=config)(torch.zeros(1), places[None])
    half = cos.shape[-1] // 2  # the second half repeats the first
    return cos[0, :, :half].float(), sin[0, :, :half].float()


def quantize(weight: Tensor, bits: int) -> tuple[Tensor, Tensor]:
    """A weight [N, M] as uint8 [N, blocks, BLOCK * bits / 8] with scales [N * blocks].

    Symmetric, with a scale for BLOCK weights of a row; the last block is filled up with zeros. Two
    weights of 4 bits lie in a byte, the first in the lower half.
    """
    rows = pad(weight.float(), (0, -weight.shape[1] % BLOCK)).unflatten(1, (-1, BLOCK))
    zero = 1 << (bits - 1)
    if bits == 4:  # the largest is -8 or 8 times the scale, whatever its sign is
        largest = rows.gather(2, rows.abs().argmax(dim=2, keepdim=True))
        scale = largest / -zero
    else:
        scale = rows.abs().amax(dim=2, keepdim=True) / (zero - 1)
    numbers = (rows / scale).nan_to_num(0).round().add(zero).clamp(0, 2 * zero - 1).byte()
    if bits == 4:
        numbers = numbers[..., 0::2] | numbers[..., 1::2] << 4
    return numbers, scale.flatten()


@dataclass(frozen=True)
class Weight:
    """A tensor that is made when it is written; blank: its shape and type."""

    blank: Tensor
    make: Callable[[], Tensor]


class Graph:
    """Nodes in the order in which they run, and the weights that they use."""

    def __init__(
        self, tensors: Mapping[str, Tensor], bits: int, lora: RouterLoraConfig | None = None
    ) -> None:
        self.tensors, self.bits, self.lora = tensors, bits, lora
        self.used: set[str] = set()
        self.nodes: list[NodeProto] = []
        self.weights: dict[str, Weight] = {}
        self.small: dict[str, TensorProto] = {}
        self._count = 0

    def new(self) -> str:
        """A name that no tensor has."""
        self._count += 1
        return f"tensor_{self._count}"

    def add(
        self, kind: str, taken: Sequence[str], given: Sequence[str], domain: str = ONNX, **how: Any
    ) -> None:
        """A node by its operator, its inputs and its outputs."""
        self.nodes.append(helper.make_node(kind, list(taken), list(given), domain=domain, **how))

    def nodes_of(self, kind: str, taken: Sequence[str], count: int, **how: Any) -> list[str]:
        """The outputs of a new node."""
        given = [self.new() for _ in range(count)]
        self.add(kind, taken, given, **how)
        return given

    def node(self, kind: str, *taken: str, **how: Any) -> str:
        """The only output of a new node."""
        return self.nodes_of(kind, taken, 1, **how)[0]

    def integers(self, *values: int) -> str:
        """A constant of whole numbers."""
        name = "integers_" + "_".join(map(str, values))
        self.small[name] = helper.make_tensor(name, TensorProto.INT64, [len(values)], values)
        return name

    def has(self, name: str) -> bool:
        return name in self.tensors

    def constant(self, tensor: Tensor) -> str:
        """A weight that is there."""
        return self._weight(self.new(), tensor, lambda: tensor)

    def tensor(self, name: str) -> str:
        """A weight of the model as it is, in float32."""
        return self._weight(name, self._take(name), lambda: self.tensors[name].float())

    def norm(self, hidden: str, change: str | None, name: str, epsilon: float) -> tuple[str, str]:
        """hidden + change, and that normalised."""
        weight = self.tensor(f"{name}.weight")
        if change is None:
            return hidden, self.node(NORM, hidden, weight, epsilon=epsilon)
        total, normal = self.new(), self.new()
        self.add(
            "SkipSimplifiedLayerNormalization",
            (hidden, change, weight),
            (normal, "", "", total),
            RUNTIME,
            epsilon=epsilon,
        )
        return total, normal

    def linear(self, hidden: str, *names: str) -> str:
        """The outputs of linear layers over the same input, side by side."""
        parts = [self._take(f"{name}.weight") for name in names]
        rows, columns = sum(len(part) for part in parts), parts[0].shape[1]

        @cache
        def packed() -> tuple[Tensor, Tensor]:
            return quantize(torch.cat([self.tensors[f"{n}.weight"] for n in names]), self.bits)

        def scales() -> Tensor:
            found = packed()[1]
            packed.cache_clear()  # it comes last
            return found

        blocks = -(-columns // BLOCK)
        numbers = torch.empty(
            rows, blocks, BLOCK * self.bits // 8, dtype=torch.uint8, device="meta"
        )
        output = self.node(
            "MatMulNBits",
            hidden,
            self._weight(names[0], numbers, lambda: packed()[0]),
            self._weight(f"{names[0]}.scales", torch.empty(rows * blocks, device="meta"), scales),
            domain=RUNTIME,
            N=rows,
            K=columns,
            bits=self.bits,
            block_size=BLOCK,
            accuracy_level=INPUTS_IN_8_BITS,
        )
        if self.has(f"{names[0]}.bias"):
            biases = [self._take(f"{name}.bias") for name in names]
            output = self.node("Add", output, self.constant(torch.cat(biases).float()))
        branches = [f"{LORA}.{name}" for name in names]
        if self.lora is None or not any(self.has(f"{name}.down") for name in branches):
            return output
        down, up = [], []
        for branch, part in zip(branches, parts, strict=True):
            if self.has(f"{branch}.down"):
                down.append(self._take(f"{branch}.down"))
                up.append(self._take(f"{branch}.up"))
            else:
                up.append(part.new_zeros(len(part), 0))
        scale = self.lora.alpha / self.lora.rank
        first = self.constant(torch.cat(down).float().t().contiguous())
        second = self.constant(torch.block_diag(*up).float().t().contiguous() * scale)
        change = self.node("MatMul", self.node("MatMul", hidden, first), second)
        return self.node("Add", output, self.node("Mul", change, POOLED))

    def write(
        self,
        path: Path,
        taken: Sequence[tuple[str, int, Sequence[str | int]]],
        given: Sequence[tuple[str, int, Sequence[str | int]]],
    ) -> None:
        """Into files; taken and given: name, type and shape of the graph's inputs and outputs."""
        weights = path.with_suffix(".safetensors")
        blanks = {name: weight.blank for name, weight in self.weights.items()}
        write_aligned(weights, blanks, lambda name: self.weights[name].make().contiguous())
        inputs, outputs = (
            [helper.make_tensor_value_info(*one) for one in many] for many in (taken, given)
        )
        constants = [*self.small.values(), *stored_in(weights)]
        graph = helper.make_graph(self.nodes, path.stem, inputs, outputs, constants)
        opsets = [helper.make_opsetid(ONNX, 23), helper.make_opsetid(RUNTIME, 1)]
        model: ModelProto = helper.make_model(graph, opset_imports=opsets, ir_version=11)
        path.write_bytes(model.SerializeToString())

    def _take(self, name: str) -> Tensor:
        """A tensor of the model by its name. Raises UserError if there is none."""
        self.used.add(name)
        if name not in self.tensors:
            raise UserError(
                f"the language model has no {name}, which the layers of {', '.join(KINDS)} have: "
                "it can't be exported"
            )
        return self.tensors[name]

    def _weight(self, name: str, like: Tensor, make: Callable[[], Tensor]) -> str:
        dtype = like.dtype if like.dtype == torch.uint8 else torch.float32
        self.weights[name] = Weight(torch.empty(like.shape, dtype=dtype, device="meta"), make)
        return name


def stored_in(weights: Path) -> Iterator[TensorProto]:
    """The tensors of a safetensors file as a graph beside it refers to them."""
    types = {"F32": TensorProto.FLOAT, "U8": TensorProto.UINT8}
    with weights.open("rb") as file:
        length = int.from_bytes(file.read(LENGTH_BYTES), "little")
        header = json.loads(file.read(length))
    for name, fields in header.items():
        if name == "__metadata__":
            continue
        start, end = (LENGTH_BYTES + length + offset for offset in fields["data_offsets"])
        place = {"location": weights.name, "offset": str(start), "length": str(end - start)}
        yield TensorProto(
            name=name,
            data_type=types[fields["dtype"]],
            dims=fields["shape"],
            data_location=TensorProto.EXTERNAL,
            external_data=[StringStringEntryProto(key=k, value=v) for k, v in place.items()],
        )
