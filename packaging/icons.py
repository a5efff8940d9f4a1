"""Draw the app's mark and write it to `resources/icons/`: run it again after changing a shape.

The mark is a speech bubble with a small "w" in it. Everything is a filled path (no strokes, no masks), so
that every SVG reader, Qt's included, shows the same picture at 16 px. States differ in shape, not only in
colour: *starting* is an outline, *working* has the three dots of somebody who writes, *attention* carries an
exclamation mark, *downloading* has an arrow and a bar below that the app fills as the download goes on.
"""

from pathlib import Path

from PySide6.QtCore import QPointF, QRectF, Qt  # noqa: TID251
from PySide6.QtGui import QPainterPath, QPainterPathStroker  # noqa: TID251

FOLDER = Path(__file__).resolve().parent.parent / "resources" / "icons"
GRID = 16
# Qt flattens small curves when it unites paths, so shapes are drawn this many times larger.
SCALE = 8

ACCENT, PAPER, AMBER = "#3f73e0", "#ffffff", "#c77700"
INK = {"color": ACCENT, "dark": "#24292f", "light": "#f4f5f7"}

Layer = tuple[str, QPainterPath]


def point(x: float, y: float) -> QPointF:
    """A point of the 16 by 16 grid."""
    return QPointF(x * SCALE, y * SCALE)


def stroked(path: QPainterPath, width: float) -> QPainterPath:
    """The outline of a round pen drawn along a path."""
    pen = QPainterPathStroker()
    pen.setWidth(width * SCALE)
    pen.setCapStyle(Qt.PenCapStyle.RoundCap)
    pen.setJoinStyle(Qt.PenJoinStyle.RoundJoin)
    return pen.createStroke(path).simplified()


def bubble() -> QPainterPath:
    """A rounded speech bubble whose tail points down and left."""
    body = QPainterPath()
    body.addRoundedRect(QRectF(point(0.75, 1.25), point(15.25, 12.5)), 4.25 * SCALE, 4.25 * SCALE)
    tail = QPainterPath(point(3.25, 11))
    tail.lineTo(point(3.25, 15.25))
    tail.quadTo(point(5.5, 14.6), point(7.75, 12))
    tail.closeSubpath()
    return body.united(tail).simplified()


def letter() -> QPainterPath:
    """The "w": four strokes of a round pen."""
    line = QPainterPath(point(4.1, 4.9))
    for x, y in ((6.05, 9.0), (8.0, 5.6), (9.95, 9.0), (11.9, 4.9)):
        line.lineTo(point(x, y))
    return stroked(line, 1.7)


def low_bubble() -> QPainterPath:
    """The bubble without its tail, and lower: the bar stands below it."""
    body = QPainterPath()
    body.addRoundedRect(QRectF(point(0.75, 0.25), point(15.25, 11.0)), 3.75 * SCALE, 3.75 * SCALE)
    return body


def arrow() -> QPainterPath:
    """The sign of *downloading*: an arrow that points down."""
    shaft = QPainterPath(point(8.0, 2.4))
    shaft.lineTo(point(8.0, 8.4))
    head = QPainterPath(point(5.0, 5.7))
    head.lineTo(point(8.0, 8.7))
    head.lineTo(point(11.0, 5.7))
    return stroked(shaft, 1.8).united(stroked(head, 1.8))


def bar() -> QPainterPath:
    """The bar of *downloading* while it is empty: a frame. `ui/icons.py` fills it."""
    outside, inside = QPainterPath(), QPainterPath()
    outside.addRect(QRectF(point(0.75, 12.5), point(15.25, 15.5)))
    inside.addRect(QRectF(point(1.5, 13.25), point(14.5, 14.75)))
    return outside.subtracted(inside)


def circle(center: QPointF, radius: float) -> QPainterPath:
    """A disc."""
    path = QPainterPath()
    path.addEllipse(center, radius * SCALE, radius * SCALE)
    return path


def dots() -> QPainterPath:
    """The sign of *working*: three dots in place of the letter."""
    path = QPainterPath()
    for x in (4.5, 8.0, 11.5):
        path.addEllipse(point(x, 6.9), 1.25 * SCALE, 1.25 * SCALE)
    return path


def exclamation() -> QPainterPath:
    """The sign inside the badge of *attention*."""
    line = QPainterPath(point(11.9, 9.9))
    line.lineTo(point(11.9, 12.1))
    return stroked(line, 1.5).united(circle(point(11.9, 14.1), 0.85))


def mark(state: str, ink: str) -> list[Layer]:
    """The layers of one icon, bottom to top. `ink` is a key of INK."""
    paper = PAPER if ink == "color" else None
    colour = INK[ink]
    center = point(11.9, 11.9)
    if state == "downloading":
        below = (colour, bar())
        if paper:
            return [(colour, low_bubble()), (paper, arrow()), below]
        return [(colour, low_bubble().subtracted(arrow())), below]
    if state == "starting":
        hollow = bubble().subtracted(inner_bubble())
        return [(colour, hollow.united(letter()))]
    whole, sign = bubble(), dots() if state == "working" else letter()
    if state == "attention":
        gap = circle(center, 4.9)
        whole, sign = whole.subtracted(gap), sign.subtracted(gap)
    layers: list[Layer] = [(colour, whole), (paper, sign)] if paper else [(colour, whole.subtracted(sign))]
    if state == "attention":
        badge = circle(center, 4.0)
        fill = AMBER if ink == "color" else colour
        layers += (
            [(fill, badge), (paper, exclamation())] if paper else [(fill, badge.subtracted(exclamation()))]
        )
    return layers


def inner_bubble() -> QPainterPath:
    """The bubble without its border of 1.4 units."""
    return bubble().subtracted(stroked(bubble(), 2.8))


def number(length: float) -> str:
    """A length in units of the grid, as short as it can be written."""
    return f"{length / SCALE:.2f}".rstrip("0").rstrip(".")


def path_data(path: QPainterPath) -> str:
    """A Qt path as the `d` of an SVG path."""
    parts, index = [], 0
    while index < path.elementCount():
        element = path.elementAt(index)
        kind = element.type
        if kind is QPainterPath.ElementType.MoveToElement:
            parts.append(f"M{number(element.x)} {number(element.y)}")
        elif kind is QPainterPath.ElementType.LineToElement:
            parts.append(f"L{number(element.x)} {number(element.y)}")
        else:
            corners = [path.elementAt(index + step) for step in range(3)]
            parts.append("C" + " ".join(f"{number(corner.x)} {number(corner.y)}" for corner in corners))
            index += 2
        index += 1
    return "".join(parts) + "Z"


def svg(layers: list[Layer]) -> str:
    """The layers as an SVG document."""
    paths = "\n".join(
        f'  <path fill="{colour}" fill-rule="evenodd" d="{path_data(path)}"/>' for colour, path in layers
    )
    return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {GRID} {GRID}">\n{paths}\n</svg>\n'


def main() -> None:
    """Write all icons."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    (FOLDER / "whisper.svg").write_text(svg(mark("ready", "color")), encoding="utf-8")
    for state in ("starting", "ready", "working", "downloading", "attention"):
        for ink in INK:
            (FOLDER / f"tray-{state}-{ink}.svg").write_text(svg(mark(state, ink)), encoding="utf-8")


if __name__ == "__main__":
    main()
