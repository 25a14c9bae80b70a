# ruff: noqa: E501 - style sheets
"""Documents as HTML: papers on a desk's colour, windows with a title bar, web pages, by seed."""

from __future__ import annotations

import random
from dataclasses import dataclass
from html import escape

from studies.nano.data.documents import (
    Block,
    Buttons,
    Choices,
    Columns,
    Document,
    Fields,
    Heading,
    Lines,
    Paragraph,
    Table,
)

_SERIF = ("Liberation Serif", "DejaVu Serif", "Noto Serif")
_SANS = (
    "Liberation Sans",
    "DejaVu Sans",
    "Noto Sans",
    "Roboto",
    "Lato",
    "Open Sans",
    "Liberation Sans Narrow",
)
_MONO = ("DejaVu Sans Mono", "Liberation Mono", "Noto Sans Mono")
_ACCENTS = (
    "#1a5fb4",
    "#26a269",
    "#c01c28",
    "#613583",
    "#e66100",
    "#333333",
    "#0b7285",
    "#8d6e63",
    "#c2185b",
    "#004d40",
)


@dataclass(frozen=True)
class Page:
    """HTML with the width of its window in pixels."""

    html: str
    width: int


def page(document: Document, rng: random.Random, *, paper: bool) -> Page:
    """The document, drawn. paper: on white, printed; otherwise as a screen shows it."""
    dark = not paper and rng.random() < 0.18
    accent = rng.choice(("#8ab4f8", "#81c995", "#f28b82", "#fdd663") if dark else _ACCENTS)
    size = rng.randint(13, 20)
    font = rng.choices(
        (_SANS, _SERIF, _MONO), (6, 3 if paper else 1, 3 if document.narrow and paper else 0.4)
    )[0]
    back, front = (
        ("#242424", "#eeeeee")
        if dark
        else (
            rng.choice(("#ffffff", "#ffffff", "#fbfbf7", "#f6f6f6", "#fffdf0")),
            rng.choice(("#000000", "#222222", "#2b2b40")),
        )
    )
    width = (
        round(size * rng.uniform(20, 28)) if document.narrow else round(size * rng.uniform(40, 58))
    )
    line = rng.choice(
        ("1px solid #999", "1px solid #ccc", "none", f"1px solid {accent}", "1px dashed #777")
    )
    table_line = rng.choice((line, "1px solid #bbb", "none"))
    head = rng.choice(
        (
            f"background:{accent};color:#fff",
            "border-bottom:2px solid currentColor",
            "font-weight:bold",
            "background:#8883",
            "font-style:italic",
        )
    )
    title_align = rng.choice(("left", "left", "center", "right"))
    title_size = rng.uniform(1.1, 2.2)
    css = f"""
    * {{ box-sizing: border-box; }}
    body {{ margin: 0; background: {_desk(rng, paper, back)}; font: {size}px/{rng.uniform(1.2, 1.6):.2f} '{rng.choice(font)}', sans-serif; color: {front}; }}
    .doc {{ background: {back}; margin: {rng.randint(0, 24)}px auto; padding: {rng.randint(8, 36)}px; width: {width}px; {"box-shadow: 0 1px 6px #0005;" if rng.random() < 0.5 else ""} }}
    .window {{ padding: 0; border: 1px solid #888; border-radius: {rng.choice((0, 4, 9))}px; overflow: hidden; }}
    .window > .inner {{ padding: {rng.randint(8, 24)}px; }}
    .bar {{ background: {rng.choice((accent, "#d8d8d8", "#eeeeee", "#3b3b3b"))}; padding: 0.35em 0.7em; font-weight: {rng.choice(("bold", "normal"))}; text-align: {rng.choice(("left", "center"))}; position: relative; }}
    .dots {{ position: absolute; right: 0.6em; top: 0.5em; }} .dots i {{ display: inline-block; width: 0.7em; height: 0.7em; border-radius: 50%; background: #0005; margin-left: 0.35em; }}
    h1 {{ font-size: {title_size:.2f}em; margin: 0.3em 0; text-align: {title_align}; color: {rng.choice((accent, front))}; {rng.choice(("", "", "text-transform: none; letter-spacing: 0.05em;"))} }}
    h2 {{ font-size: {rng.uniform(1.0, 1.4):.2f}em; margin: 0.7em 0 0.3em; color: {rng.choice((accent, front))}; }}
    p {{ margin: 0.5em 0; {rng.choice(("", "text-align: justify;"))} }}
    table {{ border-collapse: collapse; width: {rng.choice(("100%", "auto", "100%"))}; margin: 0.7em 0; }}
    td, th {{ border: {table_line}; padding: {rng.uniform(0.12, 0.5):.2f}em {rng.uniform(0.35, 0.9):.2f}em; text-align: left; vertical-align: top; }}
    th {{ {head}; }} {"tr:nth-child(even) td { background: #8882; }" if rng.random() < 0.4 else ""}
    td.n {{ text-align: right; white-space: nowrap; }}
    .fields {{ margin: 0.6em 0; }} .fields td {{ border: {rng.choice(("none", "none", line))}; }}
    .fields td:first-child {{ {rng.choice(("font-weight: bold", "color: #777", "", "text-align: right"))}; white-space: nowrap; }}
    .fields b {{ font-weight: {rng.choice(("bold", "normal"))}; }}
    .small {{ font-size: 0.8em; color: {"#bbb" if dark else "#666"}; }}
    .box {{ border: 1px solid #888; background: {"#333" if dark else "#fff"}; padding: 0.15em 0.5em; min-width: 8em; display: inline-block; border-radius: {rng.choice((0, 3))}px; }}
    .pick {{ position: relative; padding-right: 2em; }} .pick:after {{ content: ""; position: absolute; right: 0.6em; top: 0.65em; border: 0.35em solid transparent; border-top-color: #777; }}
    .columns {{ display: flex; gap: {rng.randint(12, 40)}px; justify-content: space-between; }} .columns > div {{ flex: {rng.choice(("1", "0 1 auto"))}; min-width: 0; }}
    .buttons {{ text-align: {rng.choice(("right", "center", "left"))}; margin-top: 1em; }}
    .buttons span {{ display: inline-block; border: 1px solid #888; border-radius: {rng.choice((0, 3, 6, 14))}px; padding: 0.25em 1em; margin: 0.15em 0.3em; background: {"#444" if dark else "#f2f2f2"}; }}
    .buttons span:first-child {{ {f"background: {accent}; color: #fff;" if rng.random() < 0.5 else ""} }}
    .menubar {{ word-spacing: 0.9em; border-bottom: 1px solid #8886; padding: 0.25em 0; }}
    .menu div {{ padding: 0.2em 0.4em; }} .menu div:first-child {{ background: #8884; }}
    .footer {{ text-align: {rng.choice(("center", "left"))}; margin-top: 1em; {rng.choice(("border-top: 1px solid #8886; padding-top: 0.4em;", ""))} }}
    .sign {{ text-align: center; font-size: {rng.uniform(1.0, 1.5):.2f}em; font-weight: {rng.choice(("bold", "normal"))}; }}
    hr {{ border: none; border-top: 1px dashed #777; }}
    """  # fmt: skip
    body = "".join(_block(b, document, rng) for b in document.blocks if not _in_bar(b, document))
    if document.window:
        titles = [
            b.text for b in document.blocks if isinstance(b, Heading) and _in_bar(b, document)
        ]
        bar = "".join(
            f'<div class="bar" style="color:{_on(css)}">{escape(t)}<span class="dots">{"<i></i>" * rng.randint(1, 3)}</span></div>'
            for t in titles
        )
        body = f'<div class="doc window">{bar}<div class="inner">{body}</div></div>'
    else:
        body = f'<div class="doc">{body}</div>'
    html = f"<!doctype html><meta charset=utf-8><style>{css}</style><body>{body}</body>"
    return Page(html, width + rng.choice((0, 0, 20, 60, 160)))


def _desk(rng: random.Random, paper: bool, back: str) -> str:
    if paper:
        return rng.choice((back, "#ffffff", "#dddddd", "#b0a18a", "#6d6d6d"))
    return rng.choice(
        (back, "#3a6ea5", "#2e3436", "#dfe3e8", "#5c3566", "#f0f0f0", "linear-gradient(#456,#89a)")
    )


def _on(css: str) -> str:
    """The bar's text colour: white on a dark bar."""
    colour = css.split(".bar { background: ")[1][1:7]
    light = sum(int(colour[i : i + 2], 16) for i in (0, 2, 4)) > 382
    return "#111" if light else "#fff"


def _in_bar(block: Block, document: Document) -> bool:
    return document.window and isinstance(block, Heading) and block.level == 0


def _block(block: Block, document: Document, rng: random.Random) -> str:
    match block:
        case Heading(text=text, level=level):
            return f"<h{level + 1}>{escape(text)}</h{level + 1}>"
        case Paragraph(text=text):
            return f"<p>{escape(text)}</p>"
        case Lines(texts=texts, style=style):
            small = " small" if style == "footer" and rng.random() < 0.5 else ""
            return (
                f'<div class="{style}{small}">'
                + "".join(f"<div>{escape(t)}</div>" for t in texts)
                + "</div>"
            )
        case Fields():
            return _fields(block, rng)
        case Table():
            return _table(block)
        case Choices():
            return _choices(block)
        case Buttons(texts=texts):
            return (
                '<div class="buttons">'
                + "".join(f"<span>{escape(t)}</span> " for t in texts)
                + "</div>"
            )
        case Columns(parts=parts):
            sides = "".join(
                "<div>" + "".join(_block(b, document, rng) for b in part) + "</div>"
                for part in parts
            )
            return f'<div class="columns">{sides}</div>'


def _fields(block: Fields, rng: random.Random) -> str:
    mark = escape(block.separator)
    pairs = [(escape(e.label), escape(e.value)) for e in block.entries]
    if block.layout == "inline":
        rows = "".join(f"<div><b>{label}{mark}</b> {value}</div>" for label, value in pairs)
    elif block.layout == "stacked":
        rows = "".join(
            f'<div style="margin-bottom:0.5em"><div class="small">{label}</div><div>{value}</div></div>'
            for label, value in pairs
        )
    elif block.layout == "header":
        heads, values = zip(*pairs, strict=True)
        rows = (
            "<table><tr>"
            + "".join(f"<th>{h}</th>" for h in heads)
            + "</tr><tr>"
            + "".join(f"<td>{v}</td>" for v in values)
            + "</tr></table>"
        )
    else:
        kind = ' class="box"' if block.layout == "form" else ""
        spread = block.layout == "pair" and rng.random() < 0.5
        style = ' style="text-align:right"' if spread else ""
        rows = (
            f'<table style="width:{"100%" if spread else "auto"}">'
            + "".join(
                f"<tr><td>{label}{mark}</td><td{style}><span{kind}>{value}</span></td></tr>"
                for label, value in pairs
            )
            + "</table>"
        )
    return f'<div class="fields">{rows}</div>'


def _table(block: Table) -> str:
    head = "<tr>" + "".join(f"<th>{escape(c.label)}</th>" for c in block.columns) + "</tr>"
    rows = "".join(
        "<tr>" + "".join(f'<td class="{_align(cell, index)}">{escape(cell)}</td>' for index, cell in enumerate(row)) + "</tr>"
        for row in block.rows
    )  # fmt: skip
    return f"<table>{head if block.header else ''}{rows}</table>"


def _align(cell: str, index: int) -> str:
    digits = sum(c.isdigit() for c in cell)
    return "n" if index and digits * 2 >= len(cell) else ""


def _choices(block: Choices) -> str:
    if block.style == "select":
        return f'<div>{escape(block.label)} <span class="box pick">{escape(block.options[block.selected])}</span></div>'
    options = "".join(
        f'<div><input type="radio" {"checked" if i == block.selected else ""}> {escape(option)}</div>'
        for i, option in enumerate(block.options)
    )  # fmt: skip
    return f"<div>{escape(block.label)}</div>{options}"
