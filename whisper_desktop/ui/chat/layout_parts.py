"""What a row is made of once it is laid out. Coordinates start at the top left corner of its column."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from PySide6.QtCore import QPointF, QRectF

from whisper_desktop.chat.records import Attachment
from whisper_desktop.language import tr
from whisper_desktop.ui.chat.layout_flow import Flow, Piece, addresses, begins_code, copy_rect
from whisper_desktop.ui.chat.layout_style import Style
from whisper_desktop.ui.chat.rows import Row


@dataclass(frozen=True, slots=True)
class Spot:
    """A place that does something when clicked: "copy", "copy_code", "details", "reasoning", "aside", "more",
    or one of the actions of `rows`. `hover_only`: shown for the row that the pointer or the keyboard is on.
    """

    rect: QRectF
    action: str
    value: str = ""
    text: str = ""
    hover_only: bool = False


@dataclass(frozen=True, slots=True)
class Line:
    """A line of small text, at its top left corner. `tone` names a colour of `Colors`."""

    text: str
    rect: QRectF
    tone: str = "secondary"


@dataclass(frozen=True, slots=True)
class Chip:
    """An attachment: a picture, or its name and size."""

    attachment: Attachment
    rect: QRectF
    text: str = ""


@dataclass(slots=True)
class RowLayout:
    """One row, laid out. `seams` are heights, `flows` the texts by what they are.

    `unchanged`: so much of it, from its top, is as it was in the layout before.
    """

    row: Row
    style: Style
    height: float = 0.0
    flows: dict[str, Flow] = field(default_factory=dict)
    plain: list[Piece] = field(default_factory=list)
    own_spots: list[Spot] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    chips: list[Chip] = field(default_factory=list)
    bubble: QRectF | None = None
    seams: list[float] = field(default_factory=list)
    unchanged: float = 0.0

    @property
    def pieces(self) -> list[Piece]:
        """Every document, from top to bottom."""
        return [*self.plain, *(piece for flow in self.flows.values() for piece in flow.pieces)]

    @property
    def spots(self) -> list[Spot]:
        """Every place that can be clicked."""
        return [*self.own_spots, *self._code_spots()]

    def _code_spots(self) -> Iterator[Spot]:
        for flow in self.flows.values():
            for piece in flow.pieces:
                if begins_code(piece):
                    yield self._code_spot(flow, piece)

    def _code_spot(self, flow: Flow, piece: Piece) -> Spot:
        return Spot(copy_rect(piece, self.style), "copy_code", flow.code_of(piece), tr("Copy code"))

    def visible(self, top: float, bottom: float) -> Iterator[tuple[int, Piece]]:
        """The documents between two heights, with their numbers in `pieces`."""
        yield from enumerate(self.plain)
        before = len(self.plain)
        for flow in self.flows.values():
            for number, piece in flow.visible(top, bottom):
                yield before + number, piece
            before += len(flow.pieces)

    def piece_at(self, point: QPointF) -> int | None:
        """The piece nearest to a height, for selecting text; None where there is none."""
        pieces = self.pieces
        for number, piece in enumerate(pieces):
            if point.y() < piece.rect.bottom():
                return number
        return len(pieces) - 1 if pieces else None

    def over_text(self, point: QPointF) -> bool:
        """Whether a point is over text that can be selected."""
        return any(
            piece.rect.contains(point) for _number, piece in self.visible(point.y() - 1, point.y() + 1)
        )

    def link_at(self, point: QPointF) -> str:
        """The address under a point, an empty text where there is none."""
        for _number, piece in self.visible(point.y() - 1, point.y() + 1):
            if piece.rect.contains(point):
                return str(piece.document.documentLayout().anchorAt(point - piece.origin))
        return ""

    def spot_at(self, point: QPointF) -> Spot | None:
        """What would be clicked at a point."""
        for spot in self.own_spots:
            if spot.rect.contains(point):
                return spot
        for flow in self.flows.values():
            for _number, piece in flow.visible(point.y() - 1, point.y() + 1):
                if begins_code(piece) and copy_rect(piece, self.style).contains(point):
                    return self._code_spot(flow, piece)
        return None

    def links(self) -> tuple[str, ...]:
        """Every address in the row, in order, once."""
        return tuple(dict.fromkeys(addresses(self.pieces)))
