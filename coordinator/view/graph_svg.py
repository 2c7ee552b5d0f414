"""A pipeline's graph as a picture: one box per step, from generator steps at the top to leaves at the bottom."""

from __future__ import annotations

from collections.abc import Mapping
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from coordinator.plan.plan import Plan
from coordinator.view.graph_layout import Place, lay_out

BOX_HEIGHT = 44.0
LEAST_WIDTH = 120.0
GAP = (28.0, 44.0)
"""Space between boxes, across and down."""
MARGIN = 20.0
CHARACTER_WIDTH = 7.4
COLOURS = {"generator": "#d7ebd9", "step": "#dbe7f6", "global": "#f3e3c8"}
LEAF_EDGE, EDGE, LINE = "#1f4e79", "#7a8794", "#97a3ae"
STYLE = """
  .penstock text { font-family: ui-sans-serif, system-ui, sans-serif; fill: #1c2833; text-anchor: middle }
  .penstock .name { font-size: 13px; font-weight: 600 }
  .penstock .type { font-size: 11px; fill: #51606e }
"""


def draw_svg(plan: Plan, types: Mapping[str, str], routing: Mapping[str, str]) -> str:
    """A complete SVG document.

    Args:
        types: step -> name of its class.
        routing: routing step -> name of its function; its edges are dashed.
    """
    places = lay_out(plan)
    labels = {name: _label(plan, name, types.get(name, ""), routing.get(name)) for name in plan.steps}
    width = max([LEAST_WIDTH, *(CHARACTER_WIDTH * max(len(name), len(labels[name])) + 24 for name in plan.steps)])
    columns = 1 + max(place.column for place in places.values())
    rows = 1 + max(place.row for place in places.values())
    size = (2 * MARGIN + columns * (width + GAP[0]) - GAP[0], 2 * MARGIN + rows * (BOX_HEIGHT + GAP[1]) - GAP[1])
    root = Element(
        "svg",
        {
            "xmlns": "http://www.w3.org/2000/svg",
            "class": "penstock",
            "viewBox": f"0 0 {size[0]:g} {size[1]:g}",
            "width": f"{size[0]:g}",
            "height": f"{size[1]:g}",
            "role": "img",
        },
    )
    SubElement(root, "title").text = f"Pipeline of {len(plan.steps)} steps"
    SubElement(root, "style").text = STYLE
    _add_arrow(root)
    corners = {name: _corner(place, width) for name, place in places.items()}
    for name, step in plan.steps.items():
        for before in step.predecessors:
            _add_edge(root, corners[before], corners[name], width, dashed=before in routing)
    for name in plan.steps:
        _add_box(root, plan, name, labels[name], corners[name], width)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode") + "\n"


def _label(plan: Plan, name: str, type_name: str, function: str | None) -> str:
    marks = [type_name] if type_name else []
    if plan.steps[name].kind != "step":
        marks.append(plan.steps[name].kind)
    if function:
        marks.append(f"routed by {function}")
    return ", ".join(marks)


def _corner(place: Place, width: float) -> tuple[float, float]:
    return MARGIN + place.column * (width + GAP[0]), MARGIN + place.row * (BOX_HEIGHT + GAP[1])


def _add_arrow(root: Element) -> None:
    marker = SubElement(
        SubElement(root, "defs"),
        "marker",
        {
            "id": "penstock-arrow",
            "viewBox": "0 0 8 8",
            "refX": "7",
            "refY": "4",
            "markerWidth": "7",
            "markerHeight": "7",
            "orient": "auto",
        },
    )
    SubElement(marker, "path", {"d": "M0 0 L8 4 L0 8 z", "fill": LINE})


def _add_edge(
    root: Element, source: tuple[float, float], target: tuple[float, float], width: float, *, dashed: bool
) -> None:
    x1, y1 = source[0] + width / 2, source[1] + BOX_HEIGHT
    x2, y2 = target[0] + width / 2, target[1]
    bend = max(GAP[1], y2 - y1) / 2
    line = SubElement(
        root,
        "path",
        {
            "d": f"M{x1:g} {y1:g} C{x1:g} {y1 + bend:g} {x2:g} {y2 - bend:g} {x2:g} {y2:g}",
            "fill": "none",
            "stroke": LINE,
            "stroke-width": "1.5",
            "marker-end": "url(#penstock-arrow)",
        },
    )
    if dashed:
        line.set("stroke-dasharray", "5 4")


def _add_box(root: Element, plan: Plan, name: str, label: str, corner: tuple[float, float], width: float) -> None:
    leaf = name in plan.leaves
    box = {
        "x": f"{corner[0]:g}",
        "y": f"{corner[1]:g}",
        "width": f"{width:g}",
        "height": f"{BOX_HEIGHT:g}",
        "rx": "7",
        "fill": COLOURS[plan.steps[name].kind],
        "stroke": LEAF_EDGE if leaf else EDGE,
        "stroke-width": "2" if leaf else "1",
    }
    SubElement(root, "rect", box)
    middle = f"{corner[0] + width / 2:g}"
    SubElement(root, "text", {"class": "name", "x": middle, "y": f"{corner[1] + 19:g}"}).text = name
    SubElement(root, "text", {"class": "type", "x": middle, "y": f"{corner[1] + 35:g}"}).text = label
