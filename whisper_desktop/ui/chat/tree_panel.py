"""All branches of one conversation, to see and to go to."""

from PySide6.QtCore import QEvent, Qt, QTimer, Signal
from PySide6.QtGui import QKeyEvent, QResizeEvent, QShowEvent
from PySide6.QtWidgets import (
    QAbstractItemView,
    QFrame,
    QHeaderView,
    QStackedWidget,
    QTreeView,
    QVBoxLayout,
    QWidget,
)

from whisper_desktop.chat import Session
from whisper_desktop.language import tr
from whisper_desktop.ui.chat.tree_panel_model import BranchModel
from whisper_desktop.ui.theme import S, colors
from whisper_desktop.ui.widgets import secondary

_SOON = 200  # ms: changes within this time are shown together
_ENTER = (Qt.Key.Key_Return, Qt.Key.Key_Enter)
_ASIDE = 0.35  # of the width: who or when, at most
_ASIDE_CHARACTERS = 14
_NARROWEST = 44  # characters


class _Tree(QTreeView):
    chosen = Signal(object)

    def keyPressEvent(self, event: QKeyEvent) -> None:  # noqa: N802
        if event.key() in _ENTER and self.currentIndex().isValid():
            self.chosen.emit(self.currentIndex())
        else:
            super().keyPressEvent(event)


class TreePanel(QWidget):
    """Follows one conversation. The path that is shown is bold and runs straight down; the other messages in
    a place are folded below it. Nothing moves while the person goes from branch to branch here.

    Signals:
        node_chosen: the id of a message whose branch is wanted: a click, or Enter.
    """

    node_chosen = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self._session: Session | None = None
        self.model = BranchModel(self)
        self.model.set_colors(colors(self.palette()))
        self.tree = _Tree()
        self.tree.setModel(self.model)
        self.tree.setAccessibleName(tr("Branches of this chat"))
        self.tree.setHeaderHidden(True)
        self.tree.setUniformRowHeights(True)
        self.tree.setExpandsOnDoubleClick(False)
        self.tree.setIndentation(2 * S)
        self.tree.setFrameShape(QFrame.Shape.NoFrame)
        self.tree.setAllColumnsShowFocus(True)
        self.tree.setTextElideMode(Qt.TextElideMode.ElideRight)
        self.tree.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.tree.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        header = self.tree.header()
        header.setStretchLastSection(False)
        header.setMinimumSectionSize(0)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        header.setSectionResizeMode(1, QHeaderView.ResizeMode.Fixed)
        self.tree.clicked.connect(self._choose)
        self.tree.chosen.connect(self._choose)
        self._empty = secondary(
            tr("Every message will be a line here. Other versions of a question or an answer fold below it.")
        )
        self._empty.setAlignment(Qt.AlignmentFlag.AlignTop)
        self._stack = QStackedWidget()
        self._stack.addWidget(self._empty)
        self._stack.addWidget(self.tree)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self._stack)
        self.setFocusProxy(self.tree)
        self.setMinimumWidth(self.fontMetrics().averageCharWidth() * _NARROWEST)
        self._soon = QTimer(self, singleShot=True, interval=_SOON)
        self._soon.timeout.connect(self._look_now)

    def follow(self, session: Session) -> None:
        """Show the branches of this conversation."""
        self._session = session
        self._arrange()

    def look(self) -> None:
        """Something has changed in it; shown a moment later."""
        if self.isVisible():
            self._soon.start()

    def showEvent(self, event: QShowEvent) -> None:  # noqa: N802
        super().showEvent(event)
        self._look_now()

    def _look_now(self) -> None:
        """The same messages keep their lines; others are arranged anew."""
        self._soon.stop()
        if self._session is None:
            return
        nodes = self._session.nodes
        if nodes.keys() == self.model.ids:
            self.model.set_shown(nodes, [node.id for node in self._session.path])
        else:
            self._arrange()

    def _arrange(self) -> None:
        assert self._session is not None
        path = [node.id for node in self._session.path]
        self.model.set_tree(self._session.nodes, path)
        self._stack.setCurrentWidget(self.tree if path else self._empty)
        if path:
            self.tree.setCurrentIndex(self.model.index_of(path[-1]))
            self.tree.scrollTo(self.model.index_of(path[-1]))

    def _choose(self, index: object) -> None:
        node = self.model.node_at(index)  # type: ignore[arg-type]  # of this model
        if node:
            self.node_chosen.emit(node)

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802
        super().resizeEvent(event)
        wanted = self.fontMetrics().averageCharWidth() * _ASIDE_CHARACTERS
        self.tree.header().resizeSection(1, min(wanted, int(self.width() * _ASIDE)))

    def changeEvent(self, event: QEvent) -> None:  # noqa: N802
        super().changeEvent(event)
        if event.type() == QEvent.Type.PaletteChange:
            self.model.set_colors(colors(self.palette()))
