"""The transcript on the screen: selecting, clicking, copying, finding, and the same by keyboard."""

from collections.abc import Iterable
from dataclasses import replace

from PySide6.QtCore import QEvent, QPersistentModelIndex, QPoint, QPointF, Qt, QUrl, Signal
from PySide6.QtGui import (
    QContextMenuEvent,
    QDesktopServices,
    QGuiApplication,
    QHelpEvent,
    QImage,
    QKeyEvent,
    QKeySequence,
    QMouseEvent,
    QResizeEvent,
)
from PySide6.QtWidgets import QAbstractItemView, QMenu, QToolTip, QWidget

from whisper_desktop.chat.markdown import is_web_address
from whisper_desktop.chat.records import Attachment, ReadingPlace
from whisper_desktop.language import tr
from whisper_desktop.ui.chat import highlight_document
from whisper_desktop.ui.chat.delegate import TextPosition, TranscriptDelegate
from whisper_desktop.ui.chat.failure import FailureCard
from whisper_desktop.ui.chat.layout import RowLayout, Style, lay_out
from whisper_desktop.ui.chat.layout_estimate import estimator
from whisper_desktop.ui.chat.markdown_html import to_plain
from whisper_desktop.ui.chat.rows import Kind, Row, actions, kept_text, offers, unfolded, whole_text
from whisper_desktop.ui.chat.transcript import TranscriptModel
from whisper_desktop.ui.chat.view_find import Finder
from whisper_desktop.ui.chat.view_list import VirtualList
from whisper_desktop.ui.chat.view_menu import menu_for
from whisper_desktop.ui.chat.view_select import moves_focus, selected_by

_STEP = 24  # px that an arrow of the scroll bar moves
_KEPT_IMAGES = 200
_LARGEST_IMAGE = 400  # px of a side; thumbnails are smaller also on a dense screen


class TranscriptView(VirtualList):
    """Shows a `TranscriptModel`.

    Keys: Up and Down go from message to message, Enter or Menu shows what can be done with one, Space opens
    what is folded in it, C copies it, E edits it, R asks again, [ and ] show the branch before and the next,
    Shift with an arrow selects, Esc leaves.

    Signals:
        failure_action: the row of a failed or broken answer and what was clicked ("retry", "allow", "edit",
            or the window to open).
        copied: something went to the clipboard; says what.
        action: the number of a row, what is wanted of it, and a value: "quote" (the text), "regenerate",
            "regenerate_with", "edit", "continue", "branch_back", "branch_on", "show_tree", "delete",
            "open_attachment" (the `Attachment`), and the actions of `rows.offers` and of a failure's buttons.
        image_wanted: the id of an attached image that is in sight; `show_image` takes it.
        left: Esc was pressed; the keyboard goes back to the composer.
    """

    failure_action = Signal(int, str)
    copied = Signal(str)
    action = Signal(int, str, object)
    image_wanted = Signal(str)
    left = Signal()

    def __init__(self, model: TranscriptModel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.rows = model
        self.delegate = TranscriptDelegate(self)
        self._finder = Finder(model, self.delegate)
        self._cards: dict[int, Row] = {}
        self._measured_in: Style | None = None
        self._wanted: set[str] = set()
        self._pressed: TextPosition | None = None
        self._press_point = QPointF()
        self.setItemDelegate(self.delegate)
        self.setModel(model)
        self.setMouseTracking(True)
        self.setAccessibleName(tr("Conversation"))
        self.verticalScrollBar().setSingleStep(_STEP)
        model.modelAboutToBeReset.connect(lambda: self._forget_from(0))
        model.rowsAboutToBeRemoved.connect(lambda _parent, first, _last: self._forget_from(first))
        self.delegate.formulas.changed.connect(self._draw_formulas)
        highlight_document.painter().colored.connect(self.viewport().update)

    # --- what it shows --------------------------------------------------------------------------------------

    def set_rows(self, rows: Iterable[Row]) -> None:
        """Show other rows altogether, from their end on."""
        self.rows.set_rows(rows)

    def place(self) -> ReadingPlace | None:
        """Where the person reads; None at the end of the conversation."""
        if self.following or not self.rows.rowCount():
            return None
        row, above = self.anchor.row, self.anchor.above
        node = self.rows.row(row).node
        height = self.visualRect(self.rows.index(row)).height()
        return ReadingPlace(node, min(above / max(height, 1), 1.0)) if node else None

    def go_to(self, node: str, above: float = 0.0) -> bool:
        """Bring a message to the top, `above` of its height out of sight. False where there is none."""
        found = (number for number in range(self.rows.rowCount()) if self.rows.row(number).node == node)
        number = next(found, None)
        if number is None:
            return False
        self.show_at(number, int(self.measured(number) * above))
        return True

    def find(self, words: str) -> int:  # type: ignore[override]  # Qt's finds windows, by a static call
        """Mark the words wherever they stand and go to the first place; how many messages have them."""
        count = self._finder.look_for(words)
        self.viewport().update()
        if count:
            self.find_next()
        return count

    def find_next(self) -> None:
        """Go on to the next place of the words."""
        self._go_to_match(1)

    def find_back(self) -> None:
        """Go back to the place before."""
        self._go_to_match(-1)

    def _go_to_match(self, by: int) -> None:
        match = self._finder.step(by)
        if match is not None:
            self.show_at(match.row, int(self._finder.y_of(match)) - self.viewport().height() // 3)
        self.viewport().update()

    def show_image(self, attachment_id: str, image: QImage) -> None:
        """An attached image that was wanted."""
        images = self.delegate.images
        if len(images) >= _KEPT_IMAGES:
            del images[next(iter(images))]
        if max(image.width(), image.height()) > _LARGEST_IMAGE:
            image = image.scaled(
                _LARGEST_IMAGE,
                _LARGEST_IMAGE,
                Qt.AspectRatioMode.KeepAspectRatio,
                Qt.TransformationMode.SmoothTransformation,
            )
        images[attachment_id] = image
        self._wanted.discard(attachment_id)
        self.viewport().update()

    # --- heights --------------------------------------------------------------------------------------------

    def measured(self, row: int) -> int:
        value = self.rows.row(row)
        if value.kind is Kind.FAILURE:
            return self._card_height(row, value)
        if row in self._cards:
            del self._cards[row]
            self.setIndexWidget(self.rows.index(row), None)  # type: ignore[arg-type]  # PySide's stub errs
        layout = self.delegate.layout_of(row, value)
        self._want_images(layout)
        return int(layout.height) + 1

    def unchanged_above(self, row: int) -> int:
        value = self.rows.row(row)
        return 0 if value.kind is Kind.FAILURE else int(self.delegate.layout_of(row, value).unchanged)

    def estimated(self, rows: range) -> list[int]:
        self._measured_in = self.delegate.style()
        height = estimator(self._measured_in)
        return [height(self.rows.row(number)) for number in rows]

    def _card_height(self, number: int, row: Row) -> int:
        index = self.rows.index(number)
        if self._cards.get(number) is not row and row.error is not None:
            self._cards[number] = row
            left, width = self.delegate.style().column
            card = FailureCard(row.error, guide=row.guide, last=row.can_retry, left=left, width=width)
            kept = QPersistentModelIndex(index)
            card.chosen.connect(lambda action: self._chosen(kept.row(), action))
            card.height_changed.connect(lambda: self.row_changed(kept.row()))
            self.setIndexWidget(index, card)
        shown = self.indexWidget(index)
        return shown.heightForWidth(self.viewport().width()) if shown is not None else 0

    def _chosen(self, number: int, action: str) -> None:
        self.failure_action.emit(number, action)
        self.action.emit(number, action, "")

    def _want_images(self, layout: RowLayout) -> None:
        for chip in layout.chips:
            name = chip.attachment.id
            if chip.attachment.is_image and name not in self.delegate.images and name not in self._wanted:
                self._wanted.add(name)
                self.image_wanted.emit(name)

    def _forget_from(self, number: int) -> None:
        self.delegate.selection = self.delegate.match = None
        self.delegate.forget_from(number)
        self._cards = {row: value for row, value in self._cards.items() if row < number}

    def _draw_formulas(self) -> None:
        """Formulas are there that were shown as their source until now."""
        for number, layout in self.delegate.kept():
            redrawn = [flow.redraw() for flow in layout.flows.values()]
            if any(redrawn):
                again = lay_out(layout.row, layout.style, layout)
                layout.height, layout.own_spots = again.height, again.own_spots
                layout.lines, layout.seams = again.lines, again.seams
                self.row_changed(number)

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802
        width = event.size().width() != event.oldSize().width()
        super().resizeEvent(event)
        if not width:
            return
        left, column = self.delegate.style().column
        for number in self._cards:
            card = self.indexWidget(self.rows.index(number))
            if isinstance(card, FailureCard):
                card.place(left, column)
        if self._measured_in is None or not self.delegate.style().fits(self._measured_in):
            self.estimate_all()

    def changeEvent(self, event: QEvent) -> None:  # noqa: N802
        super().changeEvent(event)
        kinds = QEvent.Type
        looks = (kinds.PaletteChange, kinds.FontChange, kinds.StyleChange, kinds.LayoutDirectionChange)
        if event.type() in looks:
            self._look_changed()

    def _look_changed(self) -> None:
        self.delegate.forget_style()
        self.estimate_all()

    # --- the pointer ----------------------------------------------------------------------------------------

    def _hit(self, point: QPoint) -> tuple[int, Row, QPointF] | None:
        """The row under a point of the viewport, and the point within that row's column."""
        index = self.indexAt(point)
        if not index.isValid():
            return None
        row = self.rows.row(index.row())
        if row.kind is Kind.FAILURE:
            return None
        within = QPointF(point - self.visualRect(index).topLeft())
        return index.row(), row, within - QPointF(self.delegate.style().column[0], 0)

    def mousePressEvent(self, event: QMouseEvent) -> None:  # noqa: N802
        hit = self._hit(event.position().toPoint())
        if event.button() != Qt.MouseButton.LeftButton:
            return  # the selection stays for the menu
        super().mousePressEvent(event)
        self.delegate.selection = None
        self._press_point = event.position()
        if hit is not None:
            self._pressed = self.delegate.position_at(*hit)
        self.viewport().update()

    def mouseMoveEvent(self, event: QMouseEvent) -> None:  # noqa: N802
        hit = self._hit(event.position().toPoint())
        if self._pressed is not None and hit is not None and hit[0] == self._pressed.row:
            here = self.delegate.position_at(*hit)
            if here is not None and here != self._pressed:
                self.delegate.selection = (self._pressed, here)
            self.viewport().update()
            return
        self._hover(hit[0] if hit is not None else -1)
        self.viewport().setCursor(self._cursor_over(hit))

    def _hover(self, number: int) -> None:
        if number != self.delegate.hovered_row:
            self.delegate.hovered_row = number
            self.viewport().update()

    def _cursor_over(self, hit: tuple[int, Row, QPointF] | None) -> Qt.CursorShape:
        if hit is None:
            return Qt.CursorShape.ArrowCursor
        number, row, point = hit
        layout = self.delegate.layout_of(number, row)
        spot = layout.spot_at(point)
        if (spot is not None and spot.action) or layout.link_at(point):
            return Qt.CursorShape.PointingHandCursor
        return Qt.CursorShape.IBeamCursor if layout.over_text(point) else Qt.CursorShape.ArrowCursor

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:  # noqa: N802
        super().mouseReleaseEvent(event)
        self._pressed = None
        hit = self._hit(event.position().toPoint())
        distance = (event.position() - self._press_point).manhattanLength()
        moved = distance > QGuiApplication.styleHints().startDragDistance()
        if event.button() != Qt.MouseButton.LeftButton or hit is None or moved:
            return
        number, row, point = hit
        layout = self.delegate.layout_of(number, row)
        spot = layout.spot_at(point)
        if spot is not None:
            self.do(number, spot.action, spot.value)
            if spot.action in _ON_TO_WRITING:
                self.left.emit()
        elif link := layout.link_at(point):
            open_link(link)

    def viewportEvent(self, event: QEvent) -> bool:  # noqa: N802
        if event.type() == QEvent.Type.Leave:
            self._hover(-1)
        elif event.type() == QEvent.Type.ToolTip and isinstance(event, QHelpEvent):
            hit = self._hit(event.pos())
            address = self.delegate.layout_of(hit[0], hit[1]).link_at(hit[2]) if hit is not None else ""
            QToolTip.showText(event.globalPos(), address, self.viewport())
            return True
        elif event.type() == QEvent.Type.DevicePixelRatioChange:
            self._look_changed()
        return super().viewportEvent(event)

    # --- what can be done -----------------------------------------------------------------------------------

    def do(self, number: int, action: str, value: str = "") -> None:
        """Do something with a row, or ask whoever shows the view to do it."""
        row = self.rows.row(number)
        match action:
            case "":
                return
            case "copy":
                self._copy(whole_text(row), tr("The message was copied."))
            case "copy_text":
                text = whole_text(row)
                self._copy(
                    text if row.kind is Kind.QUESTION else to_plain(text), tr("The message was copied.")
                )
            case "copy_code":
                self._copy(value, tr("The code was copied."))
            case "copy_aside":
                self._copy(kept_text(row), tr("What came first was copied."))
            case "details":
                self.rows.replace(number, replace(row, open=not row.open))
            case "reasoning":
                self.rows.replace(number, replace(row, reasoning_open=not row.reasoning_open))
            case "aside":
                self.rows.replace(number, replace(row, aside_open=not row.aside_open))
            case "more":
                self._show_menu(number, by_key=False)
            case "quote":
                self.action.emit(number, "quote", value or whole_text(row))
            case "open_attachment":
                self.action.emit(number, action, _attachment(row, value))
            case _:
                if action in dict(offers(row)):
                    self.failure_action.emit(number, action)
                self.action.emit(number, action, value)

    def quote_selection(self) -> None:
        """Ask for the selected text to be quoted."""
        selection = self.delegate.selection
        if selection is not None:
            self.do(selection[0].row, "quote", self.selected_text())

    def selected_text(self) -> str:
        """The text that is selected in a message, as it is shown."""
        selection = self.delegate.selection
        return self.delegate.selected_text(self.rows.row(selection[0].row)) if selection is not None else ""

    def copy(self) -> None:
        """Copy the selected text, or else the whole current row."""
        if self.delegate.selection is not None:
            self._copy(self.selected_text(), tr("The selected text was copied."))
        elif self.currentIndex().isValid():
            self._copy(str(self.currentIndex().data()), tr("The message was copied."))

    def copy_address(self, address: str) -> None:
        """Copy the address of a link."""
        self._copy(address, tr("The address was copied."))

    def open_address(self, address: str) -> None:
        """Open a link's address."""
        open_link(address)

    def _copy(self, text: str, said: str) -> None:
        QGuiApplication.clipboard().setText(text)
        self.copied.emit(said)

    # --- the keyboard ---------------------------------------------------------------------------------------

    def keyPressEvent(self, event: QKeyEvent) -> None:  # noqa: N802
        if event.matches(QKeySequence.StandardKey.Copy):
            self.copy()
            return
        number = self.currentIndex().row()
        if event.key() == Qt.Key.Key_Escape:
            if self.delegate.selection is not None:
                self._select(None)
            else:
                self.left.emit()
        elif number >= 0 and self._row_key(event, number):
            return
        else:
            if moves_focus(event):
                self._select(None)
            QAbstractItemView.keyPressEvent(self, event)

    def _row_key(self, event: QKeyEvent, number: int) -> bool:
        """What a key does with the current row; False where it does nothing with it."""
        row = self.rows.row(number)
        if row.kind is not Kind.FAILURE:
            layout = self.delegate.layout_of(number, row)
            if (selection := selected_by(event, number, layout, self.delegate.selection)) is not None:
                self._select(selection)
                return True
        shift = Qt.KeyboardModifier.ShiftModifier | Qt.KeyboardModifier.KeypadModifier
        if event.modifiers() & ~shift:
            return False
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_Menu):
            self._show_menu(number, by_key=True)
        elif event.key() == Qt.Key.Key_Space:
            self.rows.replace(number, unfolded(row))
        elif (action := _KEYS.get(event.text().lower())) is None:
            return False
        elif action in dict(actions(row)):
            self.do(number, action)
        return True

    def _select(self, selection: tuple[TextPosition, TextPosition] | None) -> None:
        self.delegate.selection = selection
        self.viewport().update()

    # --- the menu -------------------------------------------------------------------------------------------

    def contextMenuEvent(self, event: QContextMenuEvent) -> None:  # noqa: N802
        by_key = event.reason() == QContextMenuEvent.Reason.Keyboard
        index = self.currentIndex() if by_key else self.indexAt(event.pos())
        if index.isValid():
            self._show_menu(index.row(), by_key=by_key, at=event.pos())

    def _show_menu(self, number: int, *, by_key: bool, at: QPoint | None = None) -> None:
        if by_key or at is None:
            rect = self.visualRect(self.rows.index(number)).intersected(self.viewport().rect())
            at = rect.center() if by_key else self.viewport().mapFromGlobal(self.cursor().pos())
        self.menu_for(number).popup(self.viewport().mapToGlobal(at))

    def menu_for(self, number: int) -> QMenu:
        """Everything that can be done with a row."""
        return menu_for(self, number)


_KEYS = {"c": "copy", "e": "edit", "r": "regenerate", "[": "branch_back", "]": "branch_on"}
_ON_TO_WRITING = {"regenerate", "retry", "continue", "branch_back", "branch_on"}
"""What is typed after a click on these is the next message, not a key for the row."""


def _attachment(row: Row, name: str) -> Attachment | None:
    return next((attachment for attachment in row.attachments if attachment.id == name), None)


def open_link(address: str) -> None:
    """Open a web page in the person's browser; any other kind of address is not opened."""
    if is_web_address(address):
        QDesktopServices.openUrl(QUrl(address))
