"""The parts of the chat window side by side; in a narrow one they take turns."""

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QHBoxLayout, QSplitter, QWidget

from whisper_desktop.ui.chat.window_panel import SidePanel

_NARROW = 100  # characters: below this width the list has no room beside a conversation
_MOST_DIGITS = 6
_SIDEBAR = 30  # characters: how wide the list is at first


class Panes(QWidget):
    """`sidebar` (None: there is none), `middle` and a panel that folds, with borders that can be dragged.

    Signals:
        sidebar_hidden: whether the list is out of sight, so that a button for it is needed.
        panel_closed: the right side was folded away.
    """

    sidebar_hidden = Signal(bool)
    panel_closed = Signal()

    def __init__(self, sidebar: QWidget | None, middle: QWidget) -> None:
        super().__init__()
        self._sidebar = sidebar
        self._middle = middle
        self._narrow = False
        self._wanted = True  # beside the conversation, where there is room
        self._open = False  # in its place, where there is none
        self.splitter = QSplitter(Qt.Orientation.Horizontal)
        self.splitter.setChildrenCollapsible(False)
        self.splitter.setHandleWidth(1)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.splitter)
        self.panel = SidePanel()
        self.panel.closed.connect(self.close_panel)
        for part in (sidebar, middle, self.panel):
            if part is not None:
                self.splitter.addWidget(part)
        self.splitter.setStretchFactor(self.splitter.indexOf(middle), 1)
        self._sidebar_width = self._characters(_SIDEBAR)
        self._split()

    def _characters(self, count: int) -> int:
        return self.fontMetrics().averageCharWidth() * count

    @property
    def arrangement(self) -> str:
        """How the person has arranged the parts, as text that can be kept."""
        sidebar = self.splitter.sizes()[0] if self._sidebar is not None and self._sidebar.isVisible() else 0
        if sidebar:
            self._sidebar_width = sidebar
        return f"{self._sidebar_width} {int(self._wanted)}"

    def arrange(self, text: str) -> None:
        """Arrange the parts as `arrangement` says. A text that says nothing changes nothing."""
        width, _, wanted = text.partition(" ")
        if width.isdecimal() and len(width) < _MOST_DIGITS and wanted in ("0", "1"):
            self._sidebar_width, self._wanted = int(width), wanted == "1"
            self._split()
            self._arrange()

    def _split(self) -> None:
        if self._sidebar is not None:
            rest = max(self.width() - self._sidebar_width, self._sidebar_width)
            self.splitter.setSizes([self._sidebar_width, rest, 0])

    def fit(self, width: int) -> None:
        """The window is this wide now."""
        narrow = width < self._characters(_NARROW)
        if narrow != self._narrow:
            self._narrow, self._open = narrow, False
            self._arrange()

    @property
    def sidebar_in_sight(self) -> bool:
        """Whether the list is shown."""
        return self._sidebar is not None and (self._open if self._narrow else self._wanted)

    def toggle_sidebar(self) -> None:
        """Show the list, or hide it."""
        if self._narrow:
            self._open = not self._open
        else:
            self._wanted = not self._wanted
        self._arrange()

    def show_sidebar(self) -> None:
        """The list is needed."""
        if not self.sidebar_in_sight:
            self.toggle_sidebar()

    def show_middle(self) -> None:
        """The conversation is needed: in a narrow window all else makes room."""
        if self._narrow and self._open:
            self.toggle_sidebar()
        if self._narrow:
            self.close_panel()

    def toggle_panel(self, title: str, panel: QWidget) -> None:
        """Show this at the right, or fold it away where it is shown already."""
        if self.panel.current is panel:
            self.close_panel()
        else:
            self._open = False
            self.panel.open(title, panel)
            self._arrange()

    def close_panel(self) -> None:
        """Fold the right side away."""
        if self.panel.current is not None:
            self.panel.hide()
            self._arrange()
            self.panel_closed.emit()

    def _arrange(self) -> None:
        listed, beside = self.sidebar_in_sight, self.panel.current is not None
        if self._sidebar is not None:
            self._sidebar.setVisible(listed)
        self._middle.setVisible(not (self._narrow and (listed or beside)))
        if self._narrow and listed:
            self.panel.hide()
        if self._sidebar is not None:
            self.sidebar_hidden.emit(not listed)
