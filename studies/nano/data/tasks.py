"""The tasks that questions belong to, and the experts that a task needs by construction."""

from __future__ import annotations

EXPERTS = ("text", "layout", "object", "location", "chart", "image_type")

TASKS: dict[str, tuple[str, ...]] = {
    # Documents, screens, receipts, signs.
    "field": ("text",),
    "cell": ("text",),
    "row": ("text",),
    "next-words": ("text",),
    "line": ("text",),
    "choice": ("text",),
    "transcript": ("text",),
    "sign": ("text",),
    "window": ("text",),
    "prose": ("text",),
    "missing": ("text",),
    "summary": ("text",),
    "title": ("text", "layout"),
    "heading": ("text", "layout"),
    "page-number": ("text", "layout"),
    "caption": ("text", "layout"),
    "layout": ("layout",),
    # Charts.
    "chart-value": ("chart",),
    "chart-label": ("chart",),
    "chart-largest": ("chart",),
    "chart-smallest": ("chart",),
    "chart-count": ("chart",),
    "chart-title": ("chart",),
    "chart-axis": ("chart",),
    # Photos.
    "object": ("object",),
    "describe": ("object",),
    "is-there": ("location",),
    "count": ("location",),
    "where": ("location",),
    "kind": ("image_type",),
    # What nobody sees.
    "unanswerable": (),
    # Two experts.
    "sign-beside": ("text", "location"),
    "object-and-text": ("text", "object"),
    "count-and-text": ("text", "location"),
}
"""By the task's name: text reads, layout knows the parts of a page, object names, location finds
and counts (COCO's classes), chart reads charts, image_type tells a photo from a map. () is what no
expert helps with."""

UNKNOWN = "I can't tell."
"""The answer where a picture or text doesn't say it."""


def experts(task: str) -> list[str]:
    """The experts of a task, in the order of EXPERTS."""
    return [name for name in EXPERTS if name in TASKS[task]]
