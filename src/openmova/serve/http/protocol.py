"""What is said over HTTP: OpenAI's chat completions as far as MoVA has them, and `mova`.

Fields that would change the answer and are not supported are refused, not passed over; other
unknown fields are ignored, as a newer client may send them. `mova` is what OpenAI's API has no
word for, in the request and in the answer; a client may ignore it.
"""

import json
from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from openmova.errors import UserError
from openmova.routing.selection import Experts, ExpertSelection

MAX_STOPS = 4
IMPOSSIBLE = -9999.0
NEUTRAL: dict[str, tuple[Any, ...]] = {
    "audio": (),
    "frequency_penalty": (0,),
    "functions": ([],),
    "function_call": ("none", "auto"),
    "logit_bias": ({},),
    "modalities": (["text"],),
    "prediction": (),
    "presence_penalty": (0,),
    "tools": ([],),
    "tool_choice": ("none", "auto"),
    "web_search_options": (),
}
"""Fields of OpenAI's API that MoVA does not have, with the values that ask for nothing."""


class RequestModel(BaseModel):
    model_config = ConfigDict(strict=True, extra="allow")


class TextPart(RequestModel):
    type: Literal["text"]
    text: str


class ImageUrl(RequestModel):
    url: str = Field(
        description="data:image/...;base64,... or, where allowed, https://...",
        json_schema_extra={"format": "uri"},
    )


class ImagePart(RequestModel):
    type: Literal["image_url"]
    image_url: ImageUrl


Part = Annotated[TextPart | ImagePart, Field(discriminator="type")]
Content = Annotated[
    list[Part],
    BeforeValidator(
        lambda value: [{"type": "text", "text": value}] if isinstance(value, str) else value,
        json_schema_input_type=str | list[Part],
    ),
]
NonEmpty = Annotated[str, Field(min_length=1)]
Strings = Annotated[
    list[NonEmpty],
    BeforeValidator(
        lambda value: [value] if isinstance(value, str) else value,
        json_schema_input_type=NonEmpty | list[NonEmpty],
    ),
]


class Turn(RequestModel):
    role: Literal["system", "developer", "user", "assistant"]
    content: Content


class StreamOptions(RequestModel):
    include_usage: bool | None = None


class JsonSchema(RequestModel):
    schema_: dict[str, Any] = Field(default={"type": "object"}, alias="schema")


class ResponseFormat(RequestModel):
    """What the answer looks like."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None

    @property
    def schema_wanted(self) -> dict[str, Any] | None:
        """None where any text does."""
        if self.type == "text":
            return None
        named = self.json_schema if self.type == "json_schema" else None
        return (named or JsonSchema()).schema_


class MovaOptions(BaseModel):
    """Who decides on the experts."""

    model_config = ConfigDict(strict=True, extra="forbid")
    experts: Strings | None = Field(
        default=None, description="In place of the router's choice: names, or 'all' or 'none'."
    )
    max_experts: int | None = Field(
        default=None, ge=0, description="At most so many of the router's choice."
    )
    budget: str | None = Field(
        default=None,
        description="What its choice may cost together: seconds ('0.5s') or operations ('20G').",
    )

    def selection(self, pool: Sequence[str]) -> ExpertSelection:
        """Of a pool's experts. Raises UserError for what does not fit it."""
        experts: Experts = self.experts
        if experts is not None and len(experts) == 1:
            (experts,) = experts  # "all" and "none" are words only where they stand alone
        return ExpertSelection.of(experts, self.max_experts, pool, self.budget)


class ChatRequest(RequestModel):
    """A conversation, about pictures or about none."""

    model: str
    messages: list[Turn] = Field(min_length=1)
    max_tokens: int | None = Field(default=None, ge=1)
    max_completion_tokens: int | None = Field(default=None, ge=1)
    temperature: float | None = Field(default=None, ge=0, le=2, description="Default: 0, greedy.")
    top_p: float | None = Field(default=None, gt=0, le=1)
    seed: int | None = Field(default=None, ge=-(2**63), lt=2**63)
    n: int | None = Field(default=None, ge=1)
    stop: Annotated[Strings, Field(max_length=MAX_STOPS)] | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = Field(default=None, ge=0, le=20)
    response_format: ResponseFormat | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    mova: MovaOptions | None = None


class BadRequest(UserError):
    """A request that is answered with 400; param: the field that is to blame."""

    def __init__(self, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.param = param


def read_request(body: bytes | str) -> ChatRequest:
    """The request in a JSON text. Raises BadRequest for what is none or is not supported."""
    try:
        request = ChatRequest.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        param = ".".join(str(step) for step in first["loc"]) or None
        where = f"{param}: " if param else ""
        raise BadRequest(f"{where}{first['msg']}", param) from error
    for name, neutral in NEUTRAL.items():
        value = (request.model_extra or {}).get(name)
        if value is not None and value not in neutral:
            raise BadRequest(f"{name} is not supported: leave it out", name)
    return request


class Usage(BaseModel):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class RoutingInfo(BaseModel):
    experts: list[str]
    scores: dict[str, float]
    raw: str
    left_out: list[str] | None = Field(
        default=None, description="Named by the router, and not run for the budget or a limit."
    )


class ImageInfo(BaseModel):
    """How one image was looked at."""

    routing: RoutingInfo
    gates: list[dict[str, float]]


class MovaInfo(BaseModel):
    """How the answer came about; of a stream, routing and gates come first, the rest last."""

    routing: RoutingInfo | None = Field(default=None, description="For the last image.")
    gates: list[dict[str, float]] | None = Field(
        default=None, description="For each block of the adapter, the weight of each expert."
    )
    images: list[ImageInfo] | None = Field(
        default=None, description="At each image, in order; of a conversation with several."
    )
    timings: dict[str, float] | None = Field(
        default=None, description="Seconds of each stage, shared with the batch, and in total."
    )
    confidence: list[float] | None = Field(
        default=None,
        description="Of each choice, the probability that it is right; if the model is calibrated.",
    )
    unsure: list[bool] | None = Field(
        default=None, description="Of each choice, whether its confidence is low."
    )


class LikelyToken(BaseModel):
    token: str
    logprob: float
    bytes: list[int]

    @classmethod
    def of(cls, text: str, log_prob: float, **rest: Any) -> Self:
        """Of a token that is impossible the number that OpenAI gives, as JSON has no infinity."""
        data = list(text.encode())
        return cls(token=text, logprob=max(log_prob, IMPOSSIBLE), bytes=data, **rest)


class WrittenToken(LikelyToken):
    top_logprobs: list[LikelyToken]


class Logprobs(BaseModel):
    content: list[WrittenToken]
    refusal: None = None


class AnswerMessage(BaseModel):
    role: Literal["assistant"] = "assistant"
    content: str
    refusal: None = None


class AnswerChoice(BaseModel):
    index: int
    message: AnswerMessage
    finish_reason: Literal["stop", "length"]
    logprobs: Logprobs | None = None


class ChatCompletion(BaseModel):
    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    choices: list[AnswerChoice]
    usage: Usage
    mova: MovaInfo


class Delta(BaseModel):
    role: Literal["assistant"] | None = None
    content: str | None = None


class ChunkChoice(BaseModel):
    index: int
    delta: Delta
    finish_reason: Literal["stop", "length"] | None = None
    logprobs: Logprobs | None = None


class ChatChunk(BaseModel):
    id: str
    object: Literal["chat.completion.chunk"] = "chat.completion.chunk"
    created: int
    model: str
    choices: list[ChunkChoice]
    usage: Usage | None = None
    mova: MovaInfo | None = None

    def to_json(self) -> str:
        """On one line, without what the chunk does not say."""
        said = self.model_dump(exclude_none=True)
        for choice, whole in zip(said["choices"], self.choices, strict=True):
            choice["finish_reason"] = whole.finish_reason  # clients expect the field
        return json.dumps(said, ensure_ascii=False)


class ModelInfo(BaseModel):
    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: Literal["openmova"] = "openmova"
    experts: list[str]


class ModelList(BaseModel):
    object: Literal["list"] = "list"
    data: list[ModelInfo]


class ErrorInfo(BaseModel):
    message: str
    type: str
    param: str | None = None
    code: str | None = None


class ErrorAnswer(BaseModel):
    error: ErrorInfo
