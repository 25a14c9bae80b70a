"""What the documentation site is made of beside docs/*.md (MkDocs calls it; see mkdocs.yml).

Pages that stand elsewhere in the repository, the tutorials, the OpenAPI document; and for a line
`<!-- generate: NAME ARGUMENTS -->` what the generator of that name writes.
"""

from __future__ import annotations

import csv
import json
import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "examples/README.md": "examples/index.md",
    "models/nano/README.md": "nano.md",
}
"""File of the repository -> page of the site. Those of docs/ have their own names."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    scripts = sorted(ROOT.glob("examples/tutorials/*.py"))
    PAGES.update((f"examples/tutorials/{s.name}", f"tutorials/{s.stem}.md") for s in scripts)
    pictures = [*ROOT.glob("examples/*.jpg"), *ROOT.glob("examples/*.png")]
    places = PAGES | {
        f"examples/{picture.name}": f"examples/{picture.name}" for picture in pictures
    }
    for source, place in places.items():
        path = str(ROOT / source)
        if path.endswith(".py"):
            files.append(
                File.generated(
                    config, place, content=tutorial(Path(path).read_text(encoding="utf-8"))
                )
            )
        else:
            files.append(File.generated(config, place, abs_src_path=path))
    files.append(File.generated(config, "openapi.json", content=json.dumps(openapi())))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    def generated(found: re.Match[str]) -> str:
        return str(GENERATORS[found[1]](*found[2].split()))

    source = {place: file for file, place in PAGES.items()}.get(page.file.src_uri)
    folder = posixpath.dirname(source or f"docs/{page.file.src_uri}")

    def moved(found: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(folder, found[1]))
        place = PAGES.get(target, target.removeprefix("docs/"))
        return "](" + posixpath.relpath(place, posixpath.dirname(page.file.src_uri) or ".")

    markdown = re.sub(r"^<!-- generate: (\S+)(.*) -->$", generated, markdown, flags=re.M)
    return re.sub(r"\]\(([^)#\s:]+)(?=[)#])", moved, markdown)


def tutorial(script: str) -> str:
    """A script in the percent format as Markdown; what is above its first cell is left out."""
    pages = []
    for cell in re.split(r"^# %%", script, flags=re.M)[1:]:
        kind, _, body = cell.partition("\n")
        text = re.sub(r"^# ?", "", body, flags=re.M) if "[markdown]" in kind else None
        pages.append(text or f"```python\n{body.strip()}\n```\n")
    return "\n".join(pages)


def openapi() -> dict[str, Any]:
    """The server's OpenAPI document; a tiny model stands in for one that is served."""
    from openmova import Mova
    from openmova.checkpoints.tiny import tiny_mova
    from openmova.serve.http.chat_api import create_app
    from openmova.serve.http.server_options import ServerOptions

    app = create_app(Mova(*tiny_mova()), ServerOptions(model="nano"))
    app.state.server.engine.close()
    return dict(app.openapi())


def command_line() -> str:
    """Every command with its arguments, options and examples, as `--help` tells them."""
    import typer
    from typer.cli import get_docs_for_click

    from openmova.cli import app

    command = typer.main.get_command(app)
    text = get_docs_for_click(obj=command, ctx=typer.Context(command), name="openmova")
    examples = re.compile(r"^\x08\nExamples:\n((?:  .*\n)+)", re.M)
    return examples.sub(r"**Examples**:\n\n```sh\n\1```\n", text).partition("\n")[2]


def walk(part: str) -> str:
    """A part of docs/walk.json, what `openmova inspect --json` found out about one question."""
    found = json.loads((DOCS / "walk.json").read_text(encoding="utf-8"))
    routing, gates = found["routing"], found["gates"]
    if part == "prompt":
        return f"```text\n{found['routing_prompt']}\n```"
    if part == "attention":  # the report's pictures; the first one is the image itself
        report = (DOCS / "walk.html").read_text(encoding="utf-8")
        return "\n".join(re.findall(r"<img src=[^>]*>", report)[1:])
    if part == "scores":
        told = f"It wrote `{routing['raw']}`: {' and '.join(routing['experts'])}."
        scores = [[name, f"{score:.2f}"] for name, score in routing["scores"].items()]
        return f"{markdown_table(['expert', 'score'], scores)}\n\n{told}"
    if part == "gates":
        rows = [[str(n), *(f"{w:.2f}" for w in block.values())] for n, block in enumerate(gates, 1)]
        return markdown_table(["block", *gates[0]], rows)
    rows = [["as routed", found["answer"]]]
    rows += [[other["what"], other["answer"]] for other in found["switched"]]
    return markdown_table(["experts", "answer"], rows)


def results(table: str) -> str:
    """A table of docs/results.csv: shares in per cent with their 95% intervals."""
    with open(DOCS / "results.csv", newline="", encoding="utf-8") as file:
        cells = [cell for cell in csv.DictReader(file) if cell["table"] == table]
    rows: dict[str, dict[str, str]] = {}
    for cell in cells:
        value, low, high = (100 * float(cell[name]) for name in ("value", "low", "high"))
        shown = rows.setdefault(cell["row"], {})
        shown[cell["column"]] = f"{value:.1f} ({low:.0f} to {high:.0f})"
        shown["seconds"] = f"{float(cell['seconds']):.2f}"  # of the last column, all questions
    columns = [*dict.fromkeys(cell["column"] for cell in cells), "seconds"]
    body = [[row, *(shown.get(column, "") for column in columns)] for row, shown in rows.items()]
    return markdown_table(["", *columns], body)


def claims() -> str:
    """docs/claims.csv."""
    with open(DOCS / "claims.csv", newline="", encoding="utf-8") as file:
        head, *rows = csv.reader(file)
    return markdown_table(head, rows)


def markdown_table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


GENERATORS = {"command-line": command_line, "walk": walk, "results": results, "claims": claims}
