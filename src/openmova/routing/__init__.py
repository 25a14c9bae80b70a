"""Which experts see a picture: the router's prompt, how its answer is read, and the result.

Constrained decoding and scores are in routing/decoding.py, the only file here that needs
transformers.
"""

from openmova.routing.pooling import pool_tokens
from openmova.routing.prompt import (
    INSTRUCTION,
    expert_letters,
    format_routing,
    gate_text,
    parse_routing,
    read_routing_prompt,
    routing_prompt,
    split_routing_prompt,
)
from openmova.routing.router_lora import RouterLora, RouterLoraConfig
from openmova.routing.routing import Routing, RoutingConfig, RoutingResult, limit_experts

__all__ = [
    "INSTRUCTION",
    "RouterLora",
    "RouterLoraConfig",
    "Routing",
    "RoutingConfig",
    "RoutingResult",
    "expert_letters",
    "format_routing",
    "gate_text",
    "limit_experts",
    "parse_routing",
    "pool_tokens",
    "read_routing_prompt",
    "routing_prompt",
    "split_routing_prompt",
]
