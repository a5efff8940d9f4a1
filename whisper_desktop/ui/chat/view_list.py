"""A list whose rows are laid out when they come near: until then their heights are estimates.

It stays a QListView, so a screen reader finds a list with an item for each row. What is read stays where it
is while estimates above it turn out wrong: an anchor, a row and a place in it, is what is kept in place.
"""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from PySide6.QtCore import (
    QModelIndex,
    QPersistentModelIndex,
    QPoint,
    QRect,
    QSize,
    Qt,
    QTimer,
    QTimerEvent,
)
from PySide6.QtGui import (
    QAccessible,
    QAccessibleEvent,
    QAccessibleTableModelChangeEvent,
    QPainter,
    QPaintEvent,
    QRegion,
    QResizeEvent,
)
from PySide6.QtWidgets import QAbstractItemView, QFrame, QListView, QStyle, QStyleOptionViewItem, QWidget

from whisper_desktop.ui.chat.view_heights import Heights

_NEAR_BOTTOM = 24  # px: closer than this counts as "at the bottom", and the view follows a growing answer
_AHEAD = 1.0  # heights of the view: so far beyond its edges rows are laid out while nothing else is to do
_IDLE = 20  # ms after the last movement

_Index = QModelIndex | QPersistentModelIndex


@dataclass(frozen=True, slots=True)
class Anchor:
    """The row at the upper edge, and how many pixels of it are above the edge."""

    row: int
    above: int


class VirtualList(QListView):
    """Shows the rows of a list model below each other, each as high as `measured` says.

    It follows its end for as long as that is in sight.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._heights = Heights()
        self._exact: set[int] = set()
        self.anchor = Anchor(0, 0)
        self._value = 0
        self._painted: Anchor | None = None  # what was at the upper edge when it was painted
        self.following = True
        self._settling = False
        self._ahead = QTimer(self, singleShot=True, interval=_IDLE)
        self._ahead.timeout.connect(self._measure_ahead)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.verticalScrollBar().valueChanged.connect(self._on_scrolled)

    @abstractmethod
    def measured(self, row: int) -> int:
        """The height of a row, laid out for it."""

    @abstractmethod
    def estimated(self, rows: range) -> list[int]:
        """About how high these rows are, without laying them out."""

    # --- heights --------------------------------------------------------------------------------------------

    def _count(self) -> int:
        model = self.model()
        return model.rowCount() if model is not None else 0

    def estimate_all(self) -> None:
        """Forget what was measured: the width, the font or all of the rows are others."""
        self._heights = Heights(self.estimated(range(self._count())))
        self._exact.clear()
        self._painted = None
        self._settle()

    def row_changed(self, row: int) -> None:
        """A row is shown otherwise, and may have another height."""
        if row < len(self._heights):
            self._set(row, self.measured(row))
            self._settle(changed=row)

    def unchanged_above(self, row: int) -> int:
        """So many pixels from the top of a row that was just measured again look as before."""
        return 0

    def _set(self, row: int, height: int) -> int:
        self._exact.add(row)
        return self._heights.set(row, height)

    def _measure(self, row: int) -> bool:
        if row in self._exact:
            return False
        self._set(row, self.measured(row))
        return True

    def _settle(self, changed: int | None = None) -> None:
        """Lay out what is in sight, give the scroll bar its range, and keep what is read where it is.

        From the row `changed` on, everything is painted again.
        """
        if self._settling:
            return
        self._settling = True
        try:
            count, height = len(self._heights), self.viewport().height()
            if self.following:
                self._measure_up(count - 1, height)
                value = max(self._heights.total - height, 0)
            else:
                anchor = Anchor(min(self.anchor.row, max(count - 1, 0)), self.anchor.above)
                if count:
                    self._measure_down(anchor.row, height + anchor.above)
                    value = self._heights.top(anchor.row) + min(anchor.above, self._heights[anchor.row])
                else:
                    value = 0
            self._show(value, changed)
        finally:
            self._settling = False
        self._ahead.start()

    def _measure_down(self, row: int, needed: int) -> None:
        while row < len(self._heights) and needed > 0:
            self._measure(row)
            needed -= self._heights[row]
            row += 1
        if needed > 0:  # the end is in sight: rows above come down
            self._measure_up(len(self._heights) - 1, self.viewport().height())

    def _measure_up(self, row: int, needed: int) -> None:
        while row >= 0 and needed > 0:
            self._measure(row)
            needed -= self._heights[row]
            row -= 1

    def _show(self, value: int, changed: int | None) -> None:
        """Move the scroll bar without taking it for the person's wish, and what is painted along with it."""
        bar, height = self.verticalScrollBar(), self.viewport().height()
        most = max(self._heights.total - height, 0)
        bar.setPageStep(height)
        if bar.maximum() != most:
            bar.setRange(0, most)
        bar.setValue(min(value, most))
        value = bar.value()
        painted = self._painted
        by = self._heights.top(painted.row) - value + painted.above if painted is not None else height
        if abs(by) >= height:
            self.viewport().update()
        else:
            if by:
                self.viewport().scroll(0, by)
            if changed is not None:
                top = self._heights.top(changed) - value + self.unchanged_above(changed)
                if top < height:
                    self.viewport().update(0, top, self.viewport().width(), height - top)
        self._keep_anchor()
        self._painted = self.anchor
        self.updateEditorGeometries()

    def scrollContentsBy(self, dx: int, dy: int) -> None:  # noqa: N802
        """What is painted is moved by `_show`: the scroll bar also moves when an estimate was wrong."""

    def _keep_anchor(self) -> None:
        value = self._value = self.verticalScrollBar().value()
        row = self._heights.at(value)
        self.anchor = Anchor(row, value - self._heights.top(row))

    def _on_scrolled(self, value: int) -> None:
        """The person scrolls: a short way from row to row, a long way by what is estimated."""
        if self._settling:
            return
        bar = self.verticalScrollBar()
        if bar.isSliderDown() and value == bar.maximum():
            self.following = True
        else:
            by = value - self._value
            if abs(by) <= 2 * self.viewport().height() and not (bar.isSliderDown() and value == 0):
                self._walk(by)
            else:
                self._keep_anchor()
            self.following = False
        self._settle()
        self.following = self._at_end()

    def _walk(self, by: int) -> None:
        """Move the anchor by pixels, over rows as high as they are and not as they are estimated."""
        row, above = self.anchor.row, self.anchor.above + by
        while above < 0 and row > 0:
            row -= 1
            self._measure(row)
            above += self._heights[row]
        while row + 1 < len(self._heights):
            self._measure(row)
            if above < self._heights[row]:
                break
            above -= self._heights[row]
            row += 1
        self.anchor = Anchor(row, max(above, 0))

    def _measure_ahead(self) -> None:
        """Lay out one row beyond the edges of the view, so that it is there when it comes into sight."""
        if not len(self._heights):
            return
        value, height = self.verticalScrollBar().value(), self.viewport().height()
        reach = int(height * _AHEAD)
        first = self._heights.at(max(value - reach, 0))
        last = self._heights.at(value + height + reach)
        here = self._heights.at(value)
        for row in (*range(here, last + 1), *range(here - 1, first - 1, -1)):
            if self._measure(row):
                self._settle()
                self._ahead.start(0)
                return

    # --- what the model tells -------------------------------------------------------------------------------

    def reset(self) -> None:
        super().reset()
        self.following = True
        self.anchor = Anchor(0, 0)
        self.estimate_all()

    def rowsInserted(self, parent: _Index, start: int, end: int) -> None:  # noqa: N802
        QAbstractItemView.rowsInserted(self, parent, start, end)
        for height in self.estimated(range(start, end + 1)):
            self._heights.append(height)
        self.following = True
        self._settle(changed=start)

    def rowsAboutToBeRemoved(self, parent: _Index, start: int, end: int) -> None:  # noqa: N802
        QAbstractItemView.rowsAboutToBeRemoved(self, parent, start, end)
        self._heights.cut(start)
        self._exact = {row for row in self._exact if row < start}
        self._painted = None
        self._settle()

    def dataChanged(  # noqa: N802
        self,
        topLeft: _Index,
        bottomRight: _Index,
        roles: Sequence[int] = (),  # noqa: N803
    ) -> None:
        # Not what QListView does: it would paint all of a row of which only the end has grown.
        if QAccessible.isActive():
            kind = QAccessibleTableModelChangeEvent.ModelChangeType.DataChanged
            event = QAccessibleTableModelChangeEvent(self, kind)
            event.setFirstRow(topLeft.row())
            event.setLastRow(bottomRight.row())
            QAccessible.updateAccessibility(event)
        self.row_changed(topLeft.row())

    # --- what Qt asks ---------------------------------------------------------------------------------------

    def doItemsLayout(self) -> None:  # noqa: N802
        """Nothing is laid out that is not near."""
        QAbstractItemView.doItemsLayout(self)

    def updateGeometries(self) -> None:  # noqa: N802
        """The scroll bar is ours."""
        self._settle()

    def verticalOffset(self) -> int:  # noqa: N802
        return self.verticalScrollBar().value()

    def horizontalOffset(self) -> int:  # noqa: N802
        return 0

    def visualRect(self, index: _Index) -> QRect:  # noqa: N802
        row = index.row()
        if not index.isValid() or row >= len(self._heights):
            return QRect()
        top = self._heights.top(row) - self.verticalScrollBar().value()
        return QRect(0, top, self.viewport().width(), self._heights[row])

    def indexAt(self, point: QPoint) -> QModelIndex:  # noqa: N802
        y = point.y() + self.verticalScrollBar().value()
        if not 0 <= y < self._heights.total:
            return QModelIndex()
        return self.model().index(self._heights.at(y), 0)

    def scrollTo(  # noqa: N802
        self, index: _Index, hint: QAbstractItemView.ScrollHint = QAbstractItemView.ScrollHint.EnsureVisible
    ) -> None:
        if not index.isValid() or index.row() >= len(self._heights):
            return
        row = index.row()
        if self._measure(row):
            self._settle()
        rect, height = self.visualRect(index), self.viewport().height()
        top = hint is QAbstractItemView.ScrollHint.PositionAtTop
        if top or rect.top() < 0 or rect.height() > height:
            if top or rect.top() > 0 or rect.bottom() < 0:
                self.show_at(row, 0)
        elif rect.bottom() > height:
            self.show_at(row, self._heights[row] - height)

    def show_at(self, row: int, above: int) -> None:
        """Bring a row to the upper edge, with so many pixels of it above the edge."""
        self._measure(row)
        value = self._heights.top(row) + above
        if value < 0:
            row = self._heights.at(value)
        elif above < 0:
            self._measure_up(row - 1, -above)
            value = self._heights.top(row) + above
            row = self._heights.at(value)
        self.following = False
        self.anchor = Anchor(row, max(value, 0) - self._heights.top(row))
        self._settle()
        self.following = self._at_end()

    def _at_end(self) -> bool:
        bar = self.verticalScrollBar()
        return bar.value() >= bar.maximum() - _NEAR_BOTTOM

    def moveCursor(  # noqa: N802
        self, action: QAbstractItemView.CursorAction, modifiers: Qt.KeyboardModifier
    ) -> QModelIndex:
        count = self._count()
        if not count:
            return QModelIndex()
        here = self.currentIndex().row()
        actions = QAbstractItemView.CursorAction
        value, height = self.verticalScrollBar().value(), self.viewport().height()
        match action:
            case actions.MoveUp | actions.MovePrevious | actions.MoveLeft:
                row = here - 1 if here >= 0 else count - 1
            case actions.MoveDown | actions.MoveNext | actions.MoveRight:
                row = here + 1 if here >= 0 else count - 1
            case actions.MoveHome:
                row = 0
            case actions.MoveEnd:
                row = count - 1
            case actions.MovePageUp:
                row = min(self._heights.at(value - height), here - 1) if here > 0 else 0
            case _:
                row = max(self._heights.at(value + height), here + 1)
        return self.model().index(min(max(row, 0), count - 1), 0)

    def visualRegionForSelection(self, selection: object) -> QRegion:  # noqa: N802
        return QRegion()

    def isIndexHidden(self, index: _Index) -> bool:  # noqa: N802
        return False

    def sizeHintForRow(self, row: int) -> int:  # noqa: N802
        return self._heights[row] if row < len(self._heights) else -1

    def viewportSizeHint(self) -> QSize:  # noqa: N802
        return QSize(400, 300)

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802
        if not len(self._heights):
            return
        painter = QPainter(self.viewport())
        option = QStyleOptionViewItem()
        self.initViewItemOption(option)
        area, value = event.rect(), self.verticalScrollBar().value()
        current = self.currentIndex().row() if self.hasFocus() else -1
        plain = option.state & ~QStyle.StateFlag.State_HasFocus
        row = self._heights.at(area.top() + value)
        y = self._heights.top(row) - value
        while row < len(self._heights) and y <= area.bottom():
            index = self.model().index(row, 0)
            option.rect = QRect(0, y, self.viewport().width(), self._heights[row])
            option.state = plain | QStyle.StateFlag.State_HasFocus if row == current else plain
            self.itemDelegate().paint(painter, option, index)
            y += self._heights[row]
            row += 1
        painter.end()

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802
        QAbstractItemView.resizeEvent(self, event)
        self._painted = None
        self._settle()

    def timerEvent(self, event: QTimerEvent) -> None:  # noqa: N802
        QAbstractItemView.timerEvent(self, event)  # a QListView would lay out its rows in batches

    def currentChanged(self, current: _Index, previous: _Index) -> None:  # noqa: N802
        QAbstractItemView.currentChanged(self, current, previous)
        if QAccessible.isActive() and current.isValid() and self.hasFocus():
            event = QAccessibleEvent(self, QAccessible.Event.Focus)
            event.setChild(current.row())
            QAccessible.updateAccessibility(event)
