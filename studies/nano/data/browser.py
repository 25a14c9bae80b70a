"""A browser that renders HTML to a picture, with each word's exact box from the DOM."""

from __future__ import annotations

import atexit
import io
import shutil
from functools import cache
from typing import Any

from PIL import Image

from openmova.errors import UserError
from studies.nano.data.record import Box, Word

_ARGUMENTS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--force-color-profile=srgb",
)  # fmt: skip

_WORDS = """
() => {
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const range = document.createRange();
  while (walker.nextNode()) {
    const node = walker.currentNode;
    const style = node.parentElement && getComputedStyle(node.parentElement);
    if (!style || style.visibility === 'hidden' || style.opacity === '0') continue;
    for (const match of node.data.matchAll(/\\S+/g)) {
      range.setStart(node, match.index);
      range.setEnd(node, match.index + match[0].length);
      const rect = range.getBoundingClientRect();
      if (rect.width > 1 && rect.height > 1)
        found.push([match[0], rect.left + scrollX, rect.top + scrollY,
                    rect.right + scrollX, rect.bottom + scrollY]);
    }
  }
  return found;
}
"""


def render(html: str, *, width: int, longest: int) -> tuple[Image.Image, tuple[Word, ...]]:
    """The page as high as it is, at most `longest` pixels, and the words that are whole in it."""
    page = _page()
    page.set_viewport_size({"width": width, "height": 200})
    page.set_content(html)
    # What is wider than its window is shown whole; what is too high is cut.
    width = max(width, int(page.evaluate("document.documentElement.scrollWidth")))
    height = min(longest, int(page.evaluate("document.documentElement.scrollHeight")))
    page.set_viewport_size({"width": width, "height": height})
    image = Image.open(io.BytesIO(page.screenshot()))
    return image, _words(page, 0, width, height)


def visit(
    address: str, *, width: int, top: int, height: int
) -> tuple[list[tuple[str, str, float]], Image.Image, tuple[Word, ...]]:
    """The headings of a local page, with their heights in a window of that size from `top` on; what
    the window shows, and its words."""
    page = _page()
    page.set_viewport_size({"width": width, "height": height})
    page.goto(address, wait_until="load", timeout=20_000)
    full = page.evaluate("document.documentElement.scrollHeight")
    page.evaluate(f"window.scrollTo(0, {min(top, max(0, full - height))})")
    start = page.evaluate("scrollY")
    heads = page.evaluate(
        "[...document.querySelectorAll('h1,h2,h3')]"
        ".map(h => [h.tagName, h.innerText, h.getBoundingClientRect().top])"
    )
    image = Image.open(io.BytesIO(page.screenshot()))
    return heads, image, _words(page, start, width, height)


def _words(page: Any, top: float, width: float, height: float) -> tuple[Word, ...]:
    """The words that are whole in the window; parts that touch are one word: `<b>a</b>.`"""
    found: list[Word] = []
    for text, x0, y0, x1, y1 in page.evaluate(_WORDS):
        box = (x0, y0 - top, x1, y1 - top)
        if box[0] < 0 or box[1] < 0 or box[2] > width or box[3] > height:
            continue
        last = found[-1] if found else None
        if last and abs(last.box[2] - x0) < 0.5 and last.box[1] < box[3] and box[1] < last.box[3]:
            found[-1] = Word(text=last.text + text, box=_around(last.box, box))
        else:
            found.append(Word(text=text, box=box))
    return tuple(found)


def _around(a: Box, b: Box) -> Box:
    return (min(a[0], b[0]), min(a[1], b[1]), max(a[2], b[2]), max(a[3], b[3]))


@cache
def _page() -> Any:
    program = shutil.which("chromium")
    if program is None:
        raise UserError("rendering needs the program chromium: apt-get install chromium")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        raise UserError("rendering needs the package playwright: pip install playwright") from None
    driver = sync_playwright().start()
    browser = driver.chromium.launch(executable_path=program, args=list(_ARGUMENTS))
    atexit.register(driver.stop)
    atexit.register(browser.close)
    # Nothing is fetched: pages are made here or lie on the disk.
    return browser.new_context(offline=True, java_script_enabled=True).new_page()
