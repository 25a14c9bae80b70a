"""MovaProcessor: pictures and questions to everything that the model's two passes need.

It makes the prompt of the answer, the prompt of the routing pass (instruction, pool of experts,
question), and the question as the adapter's gate reads it. What it needs to know of the model, the
numbers of image tokens and the pool, is saved with it.

Shapes: B batch, T tokens.
"""

import math
import re
from collections.abc import Mapping, Sequence
from itertools import takewhile
from typing import Any, Self

from torch import Tensor
from transformers import AutoProcessor, BatchFeature, PreTrainedTokenizerBase, ProcessorMixin
from transformers.processing_utils import ProcessingKwargs

from openmova.model.configuration_mova import MovaConfig
from openmova.model.image_processing_mova import MovaImageProcessor
from openmova.routing import INSTRUCTION, gate_text, routing_prompt, split_routing_prompt

IGNORED = -100  # the label of a token that has no loss
IMAGE_KEYS = ("image", "url", "path", "base64")
PADDING_OPTIONS = ("padding", "padding_side", "max_length", "pad_to_multiple_of")
TWICE = re.compile(r"\A(.+?)\s*\n\n\1\Z", re.DOTALL)
NO_OPENING = {"add_generation_prompt": False}
Conversation = Sequence[Mapping[str, Any]]


class MovaProcessorKwargs(ProcessingKwargs, total=False):  # type: ignore[call-arg]
    """Defaults: padding on the left, as generation needs it."""

    _defaults = {"text_kwargs": {"padding_side": "left"}}


class MovaInputs(BatchFeature):
    """The model's inputs. Labels that a trainer puts beside them leave out the image tokens."""

    image_token_id: int | None = None

    def __init__(
        self,
        data: Mapping[str, Any] | None = None,
        tensor_type: str | None = None,
        image_token_id: int | None = None,
    ) -> None:
        self.image_token_id = image_token_id
        super().__init__(data, tensor_type)

    def __setitem__(self, name: str, value: Any) -> None:
        if name == "labels" and self.image_token_id is not None:
            value = value.masked_fill(self["input_ids"] == self.image_token_id, IGNORED)
        super().__setitem__(name, value)


class MovaProcessor(ProcessorMixin):
    """Image processor, tokenizer of the language model, tokenizer of the gate's text encoder.

    image_token: the token that stands for one image token; image_tokens and routing_tokens: how
    many of it a picture takes in the answer's and in the routing pass; instruction, descriptions
    and pool_first: of the routing prompt; question_length: most tokens of the gate's text.
    split_at_image: make the ids as the released code does, each text around the picture with the
    tokenizer's own special tokens, and none asked for or left out.
    """

    def __init__(
        self,
        image_processor: MovaImageProcessor,
        tokenizer: PreTrainedTokenizerBase,
        question_tokenizer: PreTrainedTokenizerBase,
        chat_template: str | None = None,
        image_token: str = "<image>",
        image_tokens: int = 576,
        routing_tokens: int = 144,
        instruction: str = INSTRUCTION,
        descriptions: Sequence[str] = (),
        pool_first: bool = False,
        question_length: int = 512,
        split_at_image: bool = False,
    ):
        self.image_token = image_token
        self.image_tokens = image_tokens
        self.routing_tokens = routing_tokens
        self.instruction = instruction
        self.descriptions = list(descriptions)
        self.pool_first = pool_first
        self.question_length = question_length
        self.split_at_image = split_at_image
        # Whatever the prompts' sides are set to: the gate reads the question's first token.
        question_tokenizer.padding_side = question_tokenizer.truncation_side = "right"
        super().__init__(
            image_processor,
            tokenizer,
            question_tokenizer,
            chat_template=chat_template or tokenizer.chat_template,
        )
        self.image_token_id = tokenizer.convert_tokens_to_ids(image_token)

    @classmethod
    def from_config(
        cls,
        config: MovaConfig,
        tokenizer: PreTrainedTokenizerBase,
        question_tokenizer: PreTrainedTokenizerBase,
        *,
        image_token: str = "<image>",
        chat_template: str | None = None,
        max_side: int = 2048,
        split_at_image: bool = False,
    ) -> Self:
        """The processor that fits a model. Raises ValueError if the image token does not."""
        processor = cls(
            MovaImageProcessor(max_side=max_side),
            tokenizer,
            question_tokenizer,
            chat_template=chat_template,
            image_token=image_token,
            image_tokens=config.adapter.tokens,
            routing_tokens=math.prod(config.routing.grid),
            instruction=config.routing.instruction,
            descriptions=config.routing_pool,
            pool_first=config.routing.pool_first,
            question_length=config.gate_text_config.max_position_embeddings,
            split_at_image=split_at_image,
        )
        if processor.image_token_id != config.image_token_id:
            raise ValueError(
                f"the tokenizer's {image_token!r} has the id {processor.image_token_id}, the "
                f"config's image_token_id is {config.image_token_id}: add the token to the "
                "tokenizer, or correct the config"
            )
        return processor

    @property
    def model_input_names(self) -> list[str]:
        return [
            *("input_ids", "attention_mask", "pixel_values", "image_sizes"),
            *("question_input_ids", "question_attention_mask"),
            *("routing_input_ids", "routing_attention_mask"),
        ]

    def __call__(
        self,
        images: Any = None,
        text: str | Sequence[str] | None = None,
        videos: None = None,
        audio: None = None,
        *,
        questions: str | Sequence[str] | Sequence[Sequence[str]] | None = None,
        pool: Sequence[str] | Sequence[Sequence[str]] | None = None,
        with_routing: bool = True,
        **kwargs: Any,
    ) -> BatchFeature:
        """Everything that `MovaForConditionalGeneration` takes.

        images: one picture, a list of one a row, or a list of lists with one or none a row; see
        `MovaImageProcessor`. questions: what is asked, one a row; or beside text a list a row, with
        one for each of its pictures, of which there may be any number. text: the rendered prompts
        with the image token once where a picture goes; default: the chat template around the
        questions. pool: descriptions for the routing prompt in place of the saved ones, the same
        for all rows or a list a row. with_routing: whether to make the routing prompt. Other
        options go to the tokenizer; with return_tensors, padding is the default, on the left.

        Returns input_ids and attention_mask, [B, T] or lists; with P pictures also tensors
        pixel_values uint8 [P, 3, H, W] and image_sizes [P, 2]; with pictures and questions also
        question_input_ids, question_attention_mask, routing_input_ids, routing_attention_mask.
        Without questions the model finds these in the prompts.
        Raises ValueError for rows that do not fit together.
        """
        options = self._merge_kwargs(
            MovaProcessorKwargs, tokenizer_init_kwargs=self.tokenizer.init_kwargs, **kwargs
        )["text_kwargs"]
        tensors = options.pop("return_tensors", None)
        rows = _image_rows(images)
        asked: list[Any] = [questions] if isinstance(questions, str) else list(questions or ())
        if text is None:
            if rows and len(rows) != len(asked):
                raise ValueError(
                    f"{len(rows)} pictures for {len(asked)} questions: give one of each a row"
                )
            texts = [
                self.render([self._turn(question, has_image=bool(row))])
                for question, row in zip(asked, rows or [[]] * len(asked), strict=True)
            ]
            options["add_special_tokens"] = False  # the template wrote them
        else:
            texts = [text] if isinstance(text, str) else list(text)
        if not texts or (asked and len(asked) != len(texts)):
            raise ValueError(
                f"{len(texts)} texts and {len(asked)} questions do not fit: give one of each a row"
            )
        counts = [len(row) for row in rows or [[]] * len(texts)]
        several = any(not isinstance(question, str) for question in asked)
        self._check_places(counts, texts, [len(row) for row in asked] if several else None)
        options.setdefault("padding", tensors is not None)
        # Else an answer that a trainer reads by itself; its prompt has the special tokens.
        is_prompt = bool(rows or asked) or options.get("add_special_tokens", True)
        split = self.split_at_image and is_prompt
        data = self._encode(texts, self.image_tokens, options, split=split)
        if pictures := [picture for row in rows for picture in row]:
            data |= self.image_processor(pictures)
        if several:
            asked = [question for row in asked for question in row]
        if pictures and asked:
            data |= self.question_inputs(asked)
            if with_routing:
                data |= self.routing_inputs(asked, pool)
        return MovaInputs(data, tensors, self.image_token_id)

    def question_inputs(self, questions: Sequence[str]) -> dict[str, Any]:
        """question_input_ids and question_attention_mask [B, t]: what the gate reads."""
        encoded = self.sentence_inputs([gate_text([question]) for question in questions])
        return {f"question_{name}": ids for name, ids in encoded.items()}

    def sentence_inputs(self, texts: Sequence[str]) -> dict[str, Any]:
        """input_ids and attention_mask [B, t] of texts for the gate's text encoder."""
        encoded = self.question_tokenizer(
            list(texts), padding=True, truncation=True, max_length=self.question_length
        )
        return {name: encoded[name] for name in ("input_ids", "attention_mask")}

    def routing_inputs(
        self,
        questions: Sequence[str],
        pool: Sequence[str] | Sequence[Sequence[str]] | None = None,
    ) -> dict[str, Any]:
        """routing_input_ids and routing_attention_mask [B, T]: the prompts of the routing pass."""
        pools = _pools(self.descriptions if pool is None else pool, len(questions))
        prompts = [
            routing_prompt(self.instruction, descriptions, question)
            for descriptions, question in zip(pools, questions, strict=True)
        ]
        encoded = self._encode(
            [self.render([self.routing_turn(prompt)]) for prompt in prompts],
            self.routing_tokens,
            {"padding": True, "padding_side": "left", "add_special_tokens": False},
        )
        return {f"routing_{name}": values for name, values in encoded.items()}

    def render(
        self, messages: Conversation, *, add_generation_prompt: bool = True, **kwargs: Any
    ) -> str:
        """The prompt of a conversation: its chat template, or its bare texts without one.

        Contents are texts or lists of parts; a picture becomes the image token and a newline.
        """
        flat = [{**message, "content": self._flat(message["content"])} for message in messages]
        template = kwargs.pop("chat_template", None) or self.chat_template
        if template is None:
            return "".join(message["content"] for message in flat)
        return self.tokenizer.apply_chat_template(
            flat,
            chat_template=template,
            tokenize=False,
            add_generation_prompt=add_generation_prompt,
            **kwargs,
        )

    def apply_chat_template(
        self,
        conversation: Conversation | Sequence[Conversation],
        chat_template: str | None = None,
        *,
        tokenize: bool = False,
        return_dict: bool = False,
        return_tensors: str | None = None,
        processor_kwargs: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> Any:
        """A conversation, or a list of them, to prompts (tokenize=False) or to the model's inputs.

        A message's content is a text or a list of parts, `{"type": "text", "text": ...}` and
        `{"type": "image", "image": ...}` (also "url", "path", "base64"); one picture a
        conversation. The question for the router and the gate is the last user's text.
        processor_kwargs go to the processor, the others to the template.
        Returns prompts, or with tokenize the input_ids, or with return_dict all inputs.
        """
        batched = not isinstance(conversation[0], Mapping)
        conversations: Any = conversation if batched else [conversation]
        prompts = [
            self.render(messages, chat_template=chat_template, **{**NO_OPENING, **kwargs})
            for messages in conversations
        ]
        if not tokenize:
            return prompts if batched else prompts[0]
        options = {"add_special_tokens": False, **(processor_kwargs or {})}
        images = options.pop("images", [_pictures(messages) for messages in conversations])
        inputs = self(
            images=images if any(images) else None,
            text=prompts,
            questions=[self.last_question(messages) for messages in conversations],
            return_tensors=return_tensors,
            **options,
        )
        return inputs if return_dict else inputs["input_ids"]

    def prompt_ids(self, prompt: str, *, pooled: bool = False) -> list[int]:
        """The ids of one rendered prompt, with room for the image tokens; pooled: for those of the
        routing pass."""
        tokens = self.routing_tokens if pooled else self.image_tokens
        encoded = self._encode([prompt], tokens, {"add_special_tokens": False, "padding": False})
        return encoded["input_ids"][0]

    def _encode(
        self,
        prompts: Sequence[str],
        tokens: int,
        options: Mapping[str, Any],
        *,
        split: bool | None = None,
    ) -> dict[str, Any]:
        """input_ids and attention_mask [B, T], with the image token as often as the model needs.

        split: by the released rule; default: as the checkpoint was trained.
        """
        if self.split_at_image if split is None else split:
            return self._encode_split(prompts, tokens, options)
        bos = self.tokenizer.bos_token
        doubled = bos is not None and all(prompt.startswith(bos) for prompt in prompts)
        expanded = [
            prompt.replace(self.image_token, self.image_token * tokens) for prompt in prompts
        ]
        encoded = self.tokenizer(
            expanded, **{"add_special_tokens": not doubled, **options}, return_token_type_ids=False
        )
        return {name: encoded[name] for name in ("input_ids", "attention_mask")}

    def _encode_split(
        self, prompts: Sequence[str], tokens: int, options: Mapping[str, Any]
    ) -> dict[str, Any]:
        """As `_encode`, by the released code's rule (behaviour 2.6).

        The text between pictures is tokenised piece by piece, each with the special tokens that the
        tokenizer adds. If the first piece begins with bos, one bos stays and the first id of every
        piece goes, whether or not it is a bos: a tokenizer that adds none loses the first token
        after the picture there, and one that adds bos to a prompt that has it keeps two.
        """
        rows = []
        for prompt in prompts:
            pieces = [self.tokenizer(text)["input_ids"] for text in prompt.split(self.image_token)]
            has_bos = pieces[0][:1] == [self.tokenizer.bos_token_id]
            ids = pieces[0][:1] if has_bos else []
            for number, piece in enumerate(pieces):
                if number:
                    ids += [self.image_token_id] * tokens
                ids += piece[1:] if has_bos else piece
            rows.append(ids)
        if options.get("truncation"):
            rows = [row[: options.get("max_length")] for row in rows]
        padding = {name: options[name] for name in PADDING_OPTIONS if name in options}
        padded = self.tokenizer.pad(
            {"input_ids": rows}, return_attention_mask=True, verbose=False, **padding
        )
        return {name: padded[name] for name in ("input_ids", "attention_mask")}

    def routing_turn(self, prompt: str, picture: Any = None) -> dict[str, Any]:
        """The user's turn of the routing pass: a prompt of `routing_prompt` with its picture, which
        stands in front or, where `pool_first` is set, after the pool."""
        pool, question = split_routing_prompt(prompt) if self.pool_first else ("", prompt)
        shown = {"type": "image"} if picture is None else {"type": "image", "image": picture}
        texts = [{"type": "text", "text": text} for text in (pool, question.removeprefix("\n"))]
        return {"role": "user", "content": [*texts[:-1], shown, *texts[-1:]]}

    def _turn(self, text: str, *, has_image: bool = True) -> dict[str, Any]:
        parts = [{"type": "image"}] if has_image else []
        return {"role": "user", "content": [*parts, {"type": "text", "text": text}]}

    def _flat(self, content: str | Sequence[Mapping[str, Any]]) -> str:
        if isinstance(content, str):
            return content
        return "".join(
            f"{self.image_token}\n" if _is_image(part) else self._plain(part["text"])
            for part in content
        )

    def _plain(self, text: str) -> str:
        """What a person wrote stands for no picture, even if it holds the image token."""
        return text.replace(self.image_token, "")

    def last_question(self, messages: Conversation) -> str:
        """The text of the last user's message, for the router and the gate."""
        return self._question([m["content"] for m in messages if m["role"] == "user"][-1])

    def picture_questions(self, messages: Conversation) -> list[str]:
        """Of each picture, in order, what is asked about it: the last user's text before other
        pictures are shown."""
        questions: list[str] = []
        shown = 0  # pictures of the message that last showed any
        for content in (message["content"] for message in messages if message["role"] == "user"):
            if new := 0 if isinstance(content, str) else sum(map(_is_image, content)):
                questions += [""] * new
                shown = new
            if shown:
                questions[-shown:] = [self._question(content)] * shown
        return questions

    def _question(self, content: str | Sequence[Mapping[str, Any]]) -> str:
        if isinstance(content, str):
            return self._plain(content).strip()
        return "".join(self._plain(part["text"]) for part in content if not _is_image(part)).strip()

    def questions_in(self, input_ids: Tensor, attention_mask: Tensor) -> list[str]:
        """The last user's text in each prompt [B, T], whatever was answered to it; once, where the
        chat template writes it before the image and after it.

        Of a prompt that no chat template wrote, it is all of the text.
        """
        start, end = self._around_question()
        questions = []
        for ids, seen in zip(input_ids, attention_mask.bool(), strict=True):
            words = ids[seen & (ids != self.image_token_id)]
            text = self.tokenizer.decode(words, clean_up_tokenization_spaces=False)
            last = text.rpartition(start)[2] if start else text
            question = (last.partition(end)[0] if end else last).strip()
            questions.append(TWICE.sub(r"\1", question))
        return questions

    def _around_question(self) -> tuple[str, str]:
        """What the chat template writes right before a user's text and right after it."""
        if not self.chat_template:
            return "", ""
        mark = "\N{REPLACEMENT CHARACTER}"
        turns = [{"role": role, "content": mark} for role in ("user", "assistant", "user")]
        first, answer, later, last = self.render(turns).split(mark)
        start = _common_start(first[::-1], later[::-1])[::-1]
        return start.strip(), _common_start(answer, last).strip()

    def _check_places(
        self, counts: Sequence[int], texts: Sequence[str], asked: Sequence[int] | None
    ) -> None:
        """Raises ValueError unless each text marks the places of so many pictures, one at most, or
        as many as questions are asked about them."""
        if len(counts) != len(texts):
            raise ValueError(f"{len(counts)} pictures for {len(texts)} texts: give one a row")
        for number, (count, text) in enumerate(zip(counts, texts, strict=True)):
            places = text.count(self.image_token)
            if count != places or (count > 1 if asked is None else count != asked[number]):
                raise ValueError(
                    f"row {number} has {count} pictures and {places} {self.image_token!r} in "
                    "its text: give at most one picture a row, and mark its place once"
                )


def _pools(pool: Sequence[str] | Sequence[Sequence[str]], rows: int) -> list[list[str]]:
    """The descriptions of each row's routing prompt."""
    shared = [texts for texts in pool if isinstance(texts, str)]
    if len(shared) == len(pool):
        return [shared] * rows
    if shared or len(pool) != rows:
        raise ValueError(f"{len(pool)} pools for {rows} rows: give one pool, or one a row")
    return [list(descriptions) for descriptions in pool]


def _common_start(a: str, b: str) -> str:
    return "".join(
        x for x, y in takewhile(lambda pair: pair[0] == pair[1], zip(a, b, strict=False))
    )


def _is_image(part: Mapping[str, Any]) -> bool:
    return part["type"] in ("image", "image_url")


def _pictures(messages: Conversation) -> list[Any]:
    """The pictures in a conversation, in order."""
    found = []
    for message in messages:
        parts = [] if isinstance(message["content"], str) else message["content"]
        for part in filter(_is_image, parts):
            if part["type"] == "image_url":
                found.append(part["image_url"]["url"])
            found += [part[key] for key in IMAGE_KEYS if part.get(key) is not None]
    return found


def _image_rows(images: Any) -> list[list[Any]]:
    """The pictures of each row, as a list of lists; empty without pictures."""
    if images is None:
        return []
    rows = list(images) if isinstance(images, list | tuple) else [images]
    rows = [row if isinstance(row, list | tuple) else [row] for row in rows]
    return [[image for image in row if image is not None] for row in rows]


AutoProcessor.register(MovaConfig, MovaProcessor)
