"""What every control of a setting is."""

from PySide6.QtCore import QEvent, QObject, Qt, Signal
from PySide6.QtWidgets import QWidget


class Control(QWidget):
    """Shows a value, and tells when the person has set another.

    Signals:
        chosen: the new value, as `remember` takes it.
    """

    chosen = Signal(object)

    wide = False
    """Whether it takes the whole width, below the sentence, instead of standing beside the title."""

    def show_value(self, value: object) -> None:
        """Show a value; nothing is told."""
        raise NotImplementedError

    @property
    def field(self) -> QWidget:
        """What takes the focus."""
        raise NotImplementedError


class KeepsWheel(QObject):
    """Lets the wheel scroll the page: a field only takes it while it has the focus."""

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:  # noqa: N802
        if event.type() == QEvent.Type.Wheel and isinstance(watched, QWidget) and not watched.hasFocus():
            event.ignore()
            return True
        return False


def leave_wheel(field: QWidget) -> None:
    """Let the wheel over this field scroll the page while the field is not used."""
    field.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
    field.installEventFilter(KeepsWheel(field))
