"""How the page is laid out, and which button does what."""

from __future__ import annotations

import json
from pathlib import Path

import gradio as gr
from gradio.data_classes import ImageData

from openmova.inference.engine import Engine
from openmova.runtime.assets import EXAMPLES, asset_folder
from openmova.serve.ui.handlers import ALWAYS, NEVER, NO_ANSWER, NO_COMPARISON, ROUTER, PageHandlers
from openmova.serve.ui.rendering import nothing_yet

VISITS = 50
"""Conversations that are remembered; each holds a picture."""
HOUR = 3600
"""Seconds after which uploads are deleted."""


def build(answering: PageHandlers, engine: Engine, *, model: str) -> gr.Blocks:
    """model: what the user called it."""
    mova = engine.mova
    with gr.Blocks(
        title="openmova", analytics_enabled=False, delete_cache=(HOUR, HOUR), fill_width=True
    ) as page:
        visit = gr.State(None)
        gr.Markdown(
            f"# openmova\nAsk about an image. The model **{model}** names the vision experts that "
            "your question needs, and only these look. Image and questions stay with this server."
        )
        with gr.Row():
            with gr.Column(scale=2, min_width=320):
                image = gr.Image(
                    label="Image",
                    sources=["upload", "clipboard"],
                    type="filepath",
                    image_mode=None,
                    height=280,
                    buttons=[],
                )
                # Opened by `load_image`, whose faults are told as a sentence; Gradio's are not.
                image.preprocess = _file  # type: ignore[method-assign, assignment]
                conversation = gr.Chatbot(
                    label="Conversation",
                    height=260,
                    render_markdown=False,
                    buttons=["copy"],
                    feedback_options=None,
                    placeholder="Give an image, and ask about it.",
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
                        gr.Radio(_places(name), value=ROUTER, label=name, info=description)
                        for name, description in zip(
                            mova.experts, mova.processor.descriptions, strict=True
                        )
                    ]
                gr.Examples(
                    shown := examples(),
                    [image, question],
                    example_labels=[f"{Path(file).stem}: {asked}" for file, asked in shown],
                    label="Examples",
                )
            with gr.Column(scale=3, min_width=320):
                gr.Markdown("## How the answer came about")
                told = gr.HTML(nothing_yet(NO_ANSWER), padding=False, elem_id="told")
        gr.Markdown("## Compare answers")
        compare = gr.Button("Compare with other experts")
        compared = gr.HTML(nothing_yet(NO_COMPARISON), padding=False)

        asking = gr.on(
            [ask.click, question.submit],
            answering.ask,
            [visit, image, question, *switches],
            [visit, conversation, question, told],
            concurrency_limit=engine.max_batch_size,
            show_progress="hidden",
            trigger_mode="once",
            api_visibility="private",
        )
        comparing = compare.click(
            answering.compare,
            [visit, *switches],
            [compared],
            concurrency_limit=engine.max_batch_size,
            show_progress="hidden",
            trigger_mode="once",
            api_visibility="private",
        )
        stop.click(
            answering.stopped,
            [visit],
            [conversation],
            cancels=[asking, comparing],
            api_visibility="private",
        )
        gr.on(
            [new.click, conversation.clear],
            answering.begin,
            None,
            [visit, conversation, told, compared],
            cancels=[asking, comparing],
            show_progress="hidden",
            api_visibility="private",
        )
    page.state_session_capacity = VISITS
    return page


def _file(given: ImageData | None) -> str | None:
    """Where Gradio keeps what was uploaded."""
    return None if given is None else given.path


def _places(name: str) -> list[tuple[str, str]]:
    """Of an expert's switch; each says whose it is, as Gradio names no group of radio buttons."""
    return [(f"{name} as routed", ROUTER), (f"{name} always", ALWAYS), (f"{name} never", NEVER)]


def examples() -> list[list[str]]:
    """The file of each of the examples' pictures, and a question about it."""
    folder = asset_folder(EXAMPLES)
    entries = json.loads((folder / "questions.json").read_text(encoding="utf-8"))
    last = {entry["image"]: entry["question"] for entry in entries}
    return [[str(folder / image), question] for image, question in sorted(last.items())]
