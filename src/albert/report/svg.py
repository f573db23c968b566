"""Matplotlib's pictures as parts of an HTML page: with the page's colours and font, and without styles of their own."""

from __future__ import annotations

import io
import warnings
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from markupsafe import Markup

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Colours for pictures. The page's style sheet defines them for light, dark and print.
INK, MUTED, LINE, PAPER = "#000001", "#000002", "#000003", "#000004"
FIRST, SECOND = "#000005", "#000006"
_VARIABLES = {
    INK: "var(--ink)",
    MUTED: "var(--muted)",
    LINE: "var(--line)",
    PAPER: "var(--paper)",
    FIRST: "var(--first)",
    SECOND: "var(--second)",
}
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",  # text stays text, not outlines
    "svg.hashsalt": "albert",  # the same picture gives the same bytes
    "text.parse_math": False,  # a label may have dollar signs
    "text.color": INK,
    "axes.labelcolor": MUTED,
    "axes.edgecolor": LINE,
    "axes.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.labelsize": 11,
    "axes.titlesize": 11,
    "grid.color": LINE,
    "grid.linewidth": 0.6,
    "xtick.color": LINE,
    "ytick.color": LINE,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "xtick.labelsize": 10,
    "ytick.labelsize": 10,
    "legend.frameon": False,
    "legend.fontsize": 10,
    "lines.linewidth": 1.8,
}
_NAMESPACE = "{http://www.w3.org/2000/svg}"
_LINK = "{http://www.w3.org/1999/xlink}href"
_FONT = "font-family"  # the page's font instead


def inline(figure: Figure, name: str, description: str, *, wide: bool = False) -> Markup:
    """The figure as an <svg> element. `name` keeps its ids different from those of other pictures on the page."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # matplotlib's font lacks some characters; the reader's font has them
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    root = ElementTree.fromstring(buffer.getvalue())
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag in (f"{_NAMESPACE}metadata", f"{_NAMESPACE}style"):
                parent.remove(child)
    linked = {element.get(_LINK, "") for element in root.iter()}
    clips = {element.get("clip-path", "").removeprefix("url(").removesuffix(")") for element in root.iter()}
    for element in root.iter():
        _simplify(element, name, linked | clips)
    root.attrib = {
        "viewBox": root.get("viewBox", ""),
        "class": "wide" if wide else "",
        "role": "img",
        "aria-label": description,
    }
    return Markup(ElementTree.tostring(root, encoding="unicode"))


def _simplify(element: ElementTree.Element, name: str, wanted: set[str]) -> None:
    """Turns styles into attributes, because a policy may forbid inline styles. Keeps ids that are referred to."""
    element.tag = element.tag.removeprefix(_NAMESPACE)
    for declaration in element.attrib.pop("style", "").split(";"):
        key, _, value = (part.strip() for part in declaration.partition(":"))
        if key and key != _FONT:
            element.set(key, _VARIABLES.get(value, value))
    if (target := element.attrib.pop(_LINK, None)) is not None:
        element.set("href", f"#{name}-{target.removeprefix('#')}")
    if "clip-path" in element.attrib:
        element.set("clip-path", element.attrib["clip-path"].replace("url(#", f"url(#{name}-"))
    if (own := element.attrib.pop("id", None)) is not None and f"#{own}" in wanted:
        element.set("id", f"{name}-{own}")
