"""What goes along with a message: a chip for each attachment, which a click or Delete takes away."""

from collections.abc import Sequence

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtGui import QFocusEvent, QFontMetrics, QImage, QKeyEvent, QPixmap, QResizeEvent
from PySide6.QtWidgets import (
    QFrame,
    QHBoxLayout,
    QLabel,
    QScrollArea,
    QStyle,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from whisper_desktop.chat.files import shown_size
from whisper_desktop.chat.records import Attachment
from whisper_desktop.language import tr
from whisper_desktop.ui.chat.composer_box import Box
from whisper_desktop.ui.theme import XS, S
from whisper_desktop.ui.widgets import secondary

_LONGEST_NAME = 28  # characters
_REMOVING = (Qt.Key.Key_Delete, Qt.Key.Key_Backspace)


class Chip(Box):
    """One attachment: a small picture of it, its name and size, and a button that removes it.

    Signals:
        removed: it is not to go along.
        reached: the keyboard is at it.
    """

    removed = Signal()
    reached = Signal()

    def __init__(self, attachment: Attachment) -> None:
        super().__init__(filled=True)
        self.attachment = attachment
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        size = shown_size(attachment.size_bytes)
        self.setAccessibleName(tr("Attached: {name}, {size}", name=attachment.name, size=size))
        self.setAccessibleDescription(attachment.note or tr("Delete removes it."))
        self.setToolTip("\n".join(filter(None, (attachment.name, attachment.note))))
        metrics = QFontMetrics(self.font())
        self._side = 2 * metrics.lineSpacing()
        self.picture = QLabel()
        sign = self.style().standardIcon(QStyle.StandardPixmap.SP_FileIcon)
        self.picture.setPixmap(sign.pixmap(self._side, self._side))
        self.picture.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.picture.setFixedSize(self._side, self._side)
        width = metrics.averageCharWidth() * _LONGEST_NAME
        name = QLabel(metrics.elidedText(attachment.name, Qt.TextElideMode.ElideMiddle, width))
        name.setTextFormat(Qt.TextFormat.PlainText)
        words = secondary(tr("{size} · read in part", size=size) if attachment.note else size)
        words.setWordWrap(False)
        self.remove = QToolButton()
        self.remove.setText("✕")
        self.remove.setAutoRaise(True)
        self.remove.setFocusPolicy(Qt.FocusPolicy.NoFocus)  # the chip has the keyboard, and Delete
        self.remove.setToolTip(tr("Remove (Delete)"))
        self.remove.setAccessibleName(tr("Remove {name}", name=attachment.name))
        self.remove.clicked.connect(self.removed)
        lines = QVBoxLayout()
        lines.setSpacing(0)
        lines.addWidget(name)
        lines.addWidget(words)
        row = QHBoxLayout(self)
        row.setContentsMargins(S, XS, XS, XS)
        row.setSpacing(S)
        row.addWidget(self.picture)
        row.addLayout(lines)
        row.addWidget(self.remove, 0, Qt.AlignmentFlag.AlignTop)

    def show_image(self, image: QImage) -> None:
        """A small picture of it."""
        if image.isNull():
            return
        ratio = self.devicePixelRatioF()
        side = int(self._side * ratio)
        how = Qt.TransformationMode.SmoothTransformation
        pixmap = QPixmap.fromImage(image.scaled(side, side, Qt.AspectRatioMode.KeepAspectRatio, how))
        pixmap.setDevicePixelRatio(ratio)
        self.picture.setPixmap(pixmap)

    def keyPressEvent(self, event: QKeyEvent) -> None:  # noqa: N802
        if event.key() in _REMOVING:
            self.removed.emit()
        else:
            super().keyPressEvent(event)

    def focusInEvent(self, event: QFocusEvent) -> None:  # noqa: N802
        super().focusInEvent(event)
        self.reached.emit()


class AttachmentsBar(QScrollArea):
    """The chips in a row, which scrolls where it is too long. Out of sight while nothing is attached.

    Signals:
        changed: other attachments than before.
        left: the last one was removed by the keyboard, which goes back to the text.
        image_wanted: the id of an image of which there is no small picture; `show_image` takes it.
    """

    changed = Signal()
    left = Signal()
    image_wanted = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self._chips: list[Chip] = []
        self._images: dict[str, QImage] = {}
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setWidgetResizable(True)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setAccessibleName(tr("Attachments"))
        self.viewport().setAutoFillBackground(False)
        inside = QWidget()
        inside.setAutoFillBackground(False)
        self._inside = inside
        self._row = QHBoxLayout(inside)
        self._row.setContentsMargins(0, 0, 0, 0)
        self._row.setSpacing(S)
        self._row.addStretch(1)
        self.setWidget(inside)
        self.hide()

    @property
    def shown(self) -> tuple[Attachment, ...]:
        """What is attached, in order."""
        return tuple(chip.attachment for chip in self._chips)

    @property
    def chips(self) -> tuple[Chip, ...]:
        """One for each."""
        return tuple(self._chips)

    def show_all(self, attachments: Sequence[Attachment]) -> None:
        """These, in place of what was attached."""
        if tuple(attachments) == self.shown:
            return
        for chip in tuple(self._chips):
            self._drop(chip)
        self._images = {each.id: image for each in attachments if (image := self._images.get(each.id))}
        for each in attachments:
            self._put(each)
        self._changed()

    def add(self, attachment: Attachment) -> None:
        """One more; what is attached already stays once."""
        if attachment.id not in {each.id for each in self.shown}:
            self._put(attachment)
            self._changed()

    def show_image(self, attachment_id: str, image: QImage) -> None:
        """A small picture of an attachment that is here, or comes."""
        self._images[attachment_id] = image
        for chip in self._chips:
            if chip.attachment.id == attachment_id:
                chip.show_image(image)

    def _put(self, attachment: Attachment) -> None:
        chip = Chip(attachment)
        chip.removed.connect(lambda: self._remove(chip))
        chip.reached.connect(lambda: self.ensureWidgetVisible(chip, S, 0))
        self._row.insertWidget(len(self._chips), chip)
        self._chips.append(chip)
        if attachment.id in self._images:
            chip.show_image(self._images[attachment.id])
        elif attachment.is_image:
            self.image_wanted.emit(attachment.id)

    def _remove(self, chip: Chip) -> None:
        place, by_key = self._chips.index(chip), chip.hasFocus()
        self._images.pop(chip.attachment.id, None)
        self._drop(chip)
        if by_key and self._chips:
            self._chips[min(place, len(self._chips) - 1)].setFocus(Qt.FocusReason.OtherFocusReason)
        elif not self._chips:
            self.left.emit()
        self._changed()

    def _drop(self, chip: Chip) -> None:
        self._chips.remove(chip)
        self._row.removeWidget(chip)
        chip.hide()
        chip.deleteLater()

    def _changed(self) -> None:
        self.setVisible(bool(self._chips))
        self.updateGeometry()
        self.changed.emit()

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802
        """Taller by the scroll bar where it is narrower than the chips."""
        super().resizeEvent(event)
        self.updateGeometry()

    def sizeHint(self) -> QSize:  # noqa: N802
        inside = self._inside.sizeHint()
        bar = self.horizontalScrollBar().sizeHint().height() if inside.width() > self.width() else 0
        return QSize(inside.width(), inside.height() + bar)

    def minimumSizeHint(self) -> QSize:  # noqa: N802
        return QSize(0, self.sizeHint().height())
