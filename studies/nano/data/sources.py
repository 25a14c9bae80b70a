# ruff: noqa: E501 - a table
"""The packages that pictures are made of, with their licences; `python -m studies.nano.data.sources`
writes them as a table to studies/nano/SOURCES.md.

GPL pictures are trained on and never redistributed: only this code is in the repository.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Source:
    """A package: what is taken of it, and under which licence that is."""

    registry: str
    what: str
    licence: str
    kinds: str


SOURCES: dict[str, Source] = {
    "wordnet-base": Source(registry="Debian", what="definitions and sentences (data.noun)", licence="WordNet (BSD-like)", kinds="text, screens, receipts, reports, pairs"),
    "mate-backgrounds": Source(registry="Debian", what="nature photos as backgrounds", licence="GPL-2+", kinds="photos, places, signs, pairs, receipts"),
    "plasma-workspace-wallpapers": Source(registry="Debian", what="photos as backgrounds", licence="GPL-2+", kinds="photos, places, signs, pairs, receipts"),
    "lomiri-wallpapers-16.04": Source(registry="Debian", what="photos as backgrounds", licence="CC-BY-4.0, CC-BY-SA, CC0", kinds="photos, places, signs, pairs, receipts"),
    "stellarium-data": Source(registry="Debian", what="landscape photos as backgrounds", licence="GPL-2+", kinds="photos, places, signs, pairs, receipts"),
    "tuxpaint-stamps-default": Source(registry="Debian", what="photo cut-outs and drawings with names", licence="GPL-2", kinds="photos, places, pairs, kinds"),
    "sweethome3d-furniture": Source(registry="Debian", what="furniture with names", licence="CC-BY-3.0, CC0, Free Art", kinds="photos, places, pairs"),
    "openclipart-png": Source(registry="Debian", what="drawings", licence="public domain", kinds="kinds"),
    **{
        f"wesnoth-1.16-{name}": Source(registry="Debian", what="painted scenes and portraits", licence="GPL-2+", kinds="figures")
        for name in ("httt", "utbs", "ei")
    },
    "invesalius-examples": Source(registry="Debian", what="slices of a head by computed tomography", licence="GPL-2", kinds="kinds"),
    "kgeography-data": Source(registry="Debian", what="maps and flags with names", licence="GPL-2+, GFDL-1.2+, CC0", kinds="kinds"),
    **{
        name: Source(registry="Debian", what="PDF manual", licence=terms, kinds="pages, page_text, kinds")
        for name, terms in {
            "lilypond-doc-pdf": "GFDL-1.3+", "lilypond-doc-pdf-de": "GFDL-1.3+", "lilypond-doc-pdf-fr": "GFDL-1.3+", "lilypond-doc-pdf-es": "GFDL-1.3+",
            "debian-reference-en": "GPL-2+", "debian-reference-de": "GPL-2+", "debian-reference-fr": "GPL-2+", "debian-reference-es": "GPL-2+",
            "c++-annotations-pdf": "GPL", "auto-multiple-choice-doc-pdf": "GPL-3+", "glpk-doc": "GFDL-1.3+, GPL-3+", "gnuplot-doc": "gnuplot", "erlang-doc": "Apache-2.0", "freefem-doc": "GFDL-1.1+, GPL",
        }.items()
    },
    **{
        name: Source(registry="Debian", what="HTML manual", licence=terms, kinds="screens")
        for name, terms in {
            "git-doc": "GPL-2, GPL-2+", "apache2-doc": "Apache-2.0", "debian-policy": "GPL-2+",
            "sqlite3-doc": "public domain", "python3.11-doc": "PSF-2", "maxima-doc": "GPL-2+",
        }.items()
    },
}  # fmt: skip


def licence(*packages: str) -> str:
    """The licences of packages, each once."""
    return ", ".join(dict.fromkeys(SOURCES[name].licence for name in packages))


_BESIDE = """
Drawn by libraries of our own machine: matplotlib (PSF-like), seaborn (BSD-3), plotnine (MIT), Altair
with vl-convert (BSD-3), gnuplot (its own licence); words of Faker (MIT); pages by Chromium.

Held out, and used by nothing here: gcompris-qt-data, kphotoalbum, invoice2data, ocrmypdf,
python-sklearn-doc, python-statsmodels-doc, python-pandas-doc, gimp-help-en, debian-handbook,
gnome-user-docs, gnumeric-doc, pspp, gretl-doc, labplot-data, gwenview, octave-doc, opencv-doc, darknet,
mricron-data, scikit-image, all charts of R, and the PDFs of r-doc-pdf and ngspice-doc. The photos of
labelme-examples are not used either.
"""


_GALLERY = """
Real pictures of `gallery`, of which contact sheets were looked at before they were taken in (of screenshots,
diagrams, photos and line charts a part):

| package | from | pictures by the kind of image | licence |
|---|---|---|---|"""


_MADE = """
Made once with `--seed 1` (`text` with `--seed 3`), on two cores shared with other
work, so the seconds are no more than a hint:

| kind | items | questions | seconds |
|---|---|---|---|
| text | 16,000 texts | 110,340 | 262 |
| page_text | 4,000 texts | 11,919 | 542 |
| receipts | 1,500 pictures | 4,631 | 423 |
| screens | 1,500 | 4,715 | 529 |
| pages | 1,500 | 5,994 | 416 |
| charts | 2,000 | 6,333 | 555 |
| photos | 2,000 | 4,246 | 81 |
| places | 1,500 | 5,742 | 28 |
| signs | 800 | 1,020 | 67 |
| pairs | 500 | 1,220 | 61 |
| reports | 500 | 2,523 | 77 |
| kinds | 600 | 713 | 57 |
| gallery | 600 | 600 | 30 |
| routing | 4,000 questions | 4,000 | 1 |
"""


def table() -> str:
    """The sources as a table of Markdown, with counts of what is usable in the packages as they are."""
    rows = ["| package | from | what | how many | licence | kinds |", "|---|---|---|---|---|---|"]
    for name, source in sorted(SOURCES.items(), key=lambda pair: (pair[1].what, pair[0])):
        rows.append(
            f"| {name} | {source.registry} | {source.what} | {_count(name, source)} | {source.licence} | {source.kinds} |"
        )
    head = "# Sources of nano's training data\n\nWritten by `python -m studies.nano.data.sources`; what is GPL or CC is trained on and not\nredistributed.\n"
    return "\n".join((head, *rows, _BESIDE)) + gallery_table() + _MADE


def gallery_table() -> str:
    """Of the kind `gallery`: the packages, how many pictures of which kinds of image, licences."""
    from studies.nano.data.gallery import gallery

    found: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for kind, sources in gallery().items():
        for source, files in sources:
            registry = "PyPI" if source.version else "Debian"
            found[source.package, registry, source.licence].append(f"{len(files)} {kind}")
    rows = [
        f"| {name} | {registry} | {', '.join(kinds)} | {terms} |"
        for (name, registry, terms), kinds in sorted(found.items())
    ]
    return "\n".join((_GALLERY, *rows, ""))


def _count(name: str, source: Source) -> str:
    from studies.nano.data import kinds, pages, pictures, prose, screens
    from studies.nano.data.figures import portraits, scenes

    special: dict[str, Callable[[], str]] = {
        "wordnet-base": lambda: (
            f"{len(prose.glossary())} definitions, {len(prose.examples())} sentences"
        ),
        "openclipart-png": lambda: f"{len(kinds.drawings())} drawings",
        "kgeography-data": lambda: f"{len(kinds.maps())} maps, {len(kinds.flags())} flags",
        "invesalius-examples": lambda: "1 head, {} x {} x {} voxels".format(*kinds.head().shape),
    }
    if name in special:
        return special[name]()
    if source.what == "PDF manual":
        files = pages.files(name)
        return f"{sum(map(pages.page_count, files))} pages in {len(files)} PDFs"
    if source.what == "HTML manual":
        return f"{len(screens.files(name))} pages"
    if source.what == "painted scenes and portraits":
        own = [sum(package == name for package, _ in some) for some in (scenes(), portraits())]
        return f"{own[0]} scenes, {own[1]} portraits"
    photos = [file for package, file in pictures.backgrounds() if package == name]
    if photos:
        return f"{len(photos)} photos"
    found = [cutout for cutout in pictures.cutouts() if cutout.package == name]
    drawn = sum(cutout.drawn for cutout in found)
    return f"{len(found) - drawn} cut-outs, {drawn} drawings, {len({c.name for c in found})} names"


if __name__ == "__main__":
    (Path(__file__).parents[1] / "SOURCES.md").write_text(table(), encoding="utf-8")
