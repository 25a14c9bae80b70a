"""Questions that need two experts: a sign beside a thing, a chart on a page."""

from __future__ import annotations

import base64
import io
import random

from studies.nano.data.browser import render
from studies.nano.data.charts import draw_chart
from studies.nano.data.charts import questions as chart_questions
from studies.nano.data.documents import Document, Heading, Paragraph
from studies.nano.data.effects import worn
from studies.nano.data.html import page
from studies.nano.data.phrases import ask
from studies.nano.data.pictures import article, cutouts, plural
from studies.nano.data.prose import paragraph
from studies.nano.data.record import Item, Question
from studies.nano.data.rendering import LONGEST
from studies.nano.data.scene import Scene, by_class, empty, noisy, paste, put_sign
from studies.nano.data.sources import licence
from studies.nano.data.windows import sign_lines
from studies.nano.data.words import Words


def make(rng: random.Random) -> Item:
    """A picture with up to three questions, at least one of which needs two experts."""
    return rng.choices((_two_signs, _counted, _named, _chart_page), (35, 20, 20, 25))[0](rng)


def _two_signs(rng: random.Random) -> Item:
    """Two things, each with a sign under or over it."""
    words, scene = Words(rng), empty(rng)
    width, height = scene.image.size
    above = rng.random() < 0.5
    asked = []
    used = {"stop sign"}  # it says something itself
    for side in (0.27, 0.73):
        name, things = by_class(rng, but=used)
        used.add(name)
        paste(
            scene, rng.choice(things), (side, 0.66 if above else 0.3), rng.uniform(0.28, 0.42), rng
        )
        lines = sign_lines(words)
        low, high = (0.05, 0.32) if above else (0.64, 0.95)
        area = ((side - 0.22) * width, low * height, (side + 0.22) * width, high * height)
        put_sign(scene, lines, area, rng)
        question = ask(rng, "sign-beside", one=name)
        asked.append(Question(task="sign-beside", question=question, answer=" ".join(lines)))
    return _scene_item(scene, asked, rng)


def _counted(rng: random.Random) -> Item:
    """Some things of a class, and a sign."""
    words, scene = Words(rng, "en"), empty(rng)
    width, height = scene.image.size
    name, things = by_class(rng, but={"stop sign"})
    count = rng.randint(1, 4)
    for place in range(count):
        at = ((place + 0.5) / count, rng.uniform(0.62, 0.75))
        paste(scene, rng.choice(things), at, min(0.36, 0.95 / count), rng)
    lines = sign_lines(words)
    put_sign(scene, lines, (0.1 * width, 0.04 * height, 0.9 * width, 0.38 * height), rng)
    text = " ".join(lines)
    key = rng.choice(("count-and-text", "is-and-text"))
    slots = {"many": plural(name), "a": article(name)}
    first = str(count) if key == "count-and-text" else "Yes"
    asked = [
        Question(task="count-and-text", question=ask(rng, key, **slots), answer=f"{first}; {text}"),
        Question(task="sign", question=ask(rng, "sign"), answer=text),
    ]
    return _scene_item(scene, asked, rng)


def _named(rng: random.Random) -> Item:
    """A thing with a sign."""
    words, scene = Words(rng, "en"), empty(rng)
    width, height = scene.image.size
    thing = rng.choice([c for c in cutouts() if not c.drawn and c.coco != "stop sign"])
    left = rng.random() < 0.5
    paste(scene, thing, (0.28 if left else 0.72, 0.55), rng.uniform(0.45, 0.6), rng)
    lines = sign_lines(words)
    start = 0.55 if left else 0.04
    put_sign(
        scene, lines, (start * width, 0.1 * height, (start + 0.41) * width, 0.85 * height), rng
    )
    text = " ".join(lines)
    answer = f"{thing.name}; {text}"
    asked = [
        Question(task="object-and-text", question=ask(rng, "object-and-text"), answer=answer),
        Question(task="object", question=ask(rng, "object"), answer=thing.name),
    ]
    return _scene_item(scene, asked, rng)


def _scene_item(scene: Scene, asked: list[Question], rng: random.Random) -> Item:
    boxes = [[cutout.name, cutout.coco, *box] for cutout, box in scene.boxes]
    return Item(
        domain="scene with text",
        source=", ".join(scene.packages),
        licence=licence(*scene.packages),
        questions=tuple(asked),
        image=noisy(scene.image, rng),
        words=tuple(scene.words),
        truth={"photo": True, "objects": boxes},
    )


def _chart_page(rng: random.Random) -> Item:
    """A page with a heading, text and a chart."""
    words = Words(rng, "en")
    spec, library, drawn = draw_chart(rng)
    text, asks = paragraph(words, rng.randint(1, 3))
    heading = (
        f"{words.one('Report', 'Overview', 'Chapter', 'Study', 'Figures')} {rng.randint(1, 30)}"
    )
    blocks = (Heading(heading, 0), Paragraph(text))
    document = Document(kind="a page", language="en", blocks=blocks)
    html = page(document, rng, paper=True)
    packed = io.BytesIO()
    drawn.image.save(packed, "PNG")
    data = base64.b64encode(packed.getvalue()).decode()
    style = "max-width:100%;display:block;margin:1em auto"
    figure = f'<img style="{style}" src="data:image/png;base64,{data}">'
    image, found = render(
        html.html.replace("</div></body>", f"{figure}</div></body>"),
        width=html.width,
        longest=LONGEST,
    )
    asked = [q for q in chart_questions(spec, rng) if q.task.startswith("chart")][:2]
    prose = rng.choice(asks)
    asked.append(
        Question(
            task="prose",
            question=prose.slots.get("text", "") or ask(rng, prose.key, **prose.slots),
            answer=prose.answer,
        )
    )
    asked.append(Question(task="title", question=ask(rng, "title"), answer=heading))
    return Item(
        domain="page with chart",
        source=f"templates, {library.name}",
        licence=f"Apache-2.0, {library.licence}",
        questions=tuple(asked),
        image=worn(image, rng) if rng.random() < 0.2 else image,
        words=found,
        truth={"library": library.name, "type": spec.kind},
    )
