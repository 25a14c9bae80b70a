"""How the page is laid out, and which button does what."""

import json
from abc import ABCMeta
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.data_classes import ImageData

from openmova.inference.engine import Engine
from openmova.runtime.assets import EXAMPLES, asset_folder
from openmova.serve.ui.handlers import ALWAYS, NEVER, NO_ANSWER, NO_COMPARISON, ROUTER, PageHandlers
from openmova.serve.ui.rendering import empty_html

CONVERSATIONS = 50
"""Conversations that are remembered; each holds a picture."""
HOUR = 3600
"""Seconds after which uploads are deleted."""


def _file(self: gr.Image, payload: ImageData | None) -> str | None:
    """Where Gradio keeps what was uploaded."""
    return None if payload is None else payload.path


# A picture that `load_image` opens, whose errors are one clear line; Gradio's are not. A class, as
# Gradio makes the component anew when an example is picked; not by a class statement, for which
# Gradio writes a .pyi beside this file.
PictureUpload: Any = ABCMeta.__new__(
    type(gr.Image), "PictureUpload", (gr.Image,), {"preprocess": _file, "is_template": True}
)


def build_page(handlers: PageHandlers, engine: Engine, *, model: str) -> gr.Blocks:
    """model: what the user called it."""
    mova = engine.mova
    with gr.Blocks(
        title="openmova", analytics_enabled=False, delete_cache=(HOUR, HOUR), fill_width=True
    ) as page:
        state = gr.State(None)
        gr.Markdown(
            f"# openmova\nAsk about an image. The model **{model}** names the vision experts that "
            "your question needs, and only these look. Image and questions stay with this server."
        )
        with gr.Row():
            with gr.Column(scale=2, min_width=320):
                image = PictureUpload(
                    label="Image",
                    sources=["upload", "clipboard"],
                    type="filepath",
                    image_mode=None,
                    height=280,
                    buttons=[],
                )
                conversation = gr.Chatbot(
                    label="Conversation",
                    height=260,
                    render_markdown=False,
                    buttons=["copy"],
                    feedback_options=None,
                    placeholder="Give an image, or none, and ask.",
                )
                question = gr.Textbox(
                    label="Question", placeholder="What is shown?", lines=1, max_lines=4
                )
                with gr.Row():
                    ask = gr.Button("Ask", variant="primary", min_width=80)
                    stop = gr.Button("Stop", min_width=80)
                    new = gr.Button("Start anew", min_width=80)
                with gr.Accordion("Force or forbid experts", open=False):
                    switches = [
                        gr.Radio(_switch(name), value=ROUTER, label=name, info=description)
                        for name, description in zip(
                            mova.experts, mova.model.config.descriptions, strict=True
                        )
                    ]
                gr.Examples(
                    shown := examples(),
                    [image, question],
                    example_labels=[f"{Path(file).stem}: {text}" for file, text in shown],
                    label="Examples",
                )
            with gr.Column(scale=3, min_width=320):
                gr.Markdown("## How the answer came about")
                about = gr.HTML(empty_html(NO_ANSWER), padding=False, elem_id="about")
        gr.Markdown("## Compare answers")
        compare = gr.Button("Compare with other experts")
        comparison = gr.HTML(empty_html(NO_COMPARISON), padding=False)

        hidden: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
        long = {**hidden, "concurrency_limit": engine.max_batch_size, "trigger_mode": "once"}
        asking = gr.on(
            [ask.click, question.submit],
            handlers.ask,
            [state, image, question, *switches],
            [state, conversation, question, about],
            **long,
        )
        comparing = compare.click(handlers.compare, [state, image, *switches], [comparison], **long)
        running = [asking, comparing]
        stop.click(handlers.stop, [state, image], [conversation], cancels=running, **hidden)
        gr.on(
            [new.click, conversation.clear],
            handlers.reset,
            None,
            [state, conversation, about, comparison],
            cancels=running,
            **hidden,
        )
        # In the browser, so that it cannot come after the next answer.
        blank = json.dumps(handlers.reset()[1:])
        image.change(None, None, [conversation, about, comparison], js=f"() => {blank}", **hidden)
    page.state_session_capacity = CONVERSATIONS
    return page


def _switch(name: str) -> list[tuple[str, str]]:
    """Of an expert's switch; each says whose it is, as Gradio names no group of radio buttons."""
    return [(f"{name} as routed", ROUTER), (f"{name} always", ALWAYS), (f"{name} never", NEVER)]


def examples() -> list[list[str]]:
    """The file of each of the examples' pictures, and a question about it."""
    folder = asset_folder(EXAMPLES)
    entries = json.loads((folder / "questions.json").read_text(encoding="utf-8"))
    last = {entry["image"]: entry["question"] for entry in entries}
    return [[str(folder / image), question] for image, question in sorted(last.items())]
