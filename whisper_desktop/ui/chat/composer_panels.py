"""What the chat window has besides: a chat's settings and branches at the right, and two side by side."""

from typing import TYPE_CHECKING

from PySide6.QtCore import QObject
from PySide6.QtWidgets import QWidget

from whisper_desktop.chat import Session
from whisper_desktop.events import ConversationsChanged
from whisper_desktop.language import tr
from whisper_desktop.ui.bridge import Bridge

if TYPE_CHECKING:
    from whisper_desktop.app import App
    from whisper_desktop.ui.chat.parameters_panel import ParametersPanel
    from whisper_desktop.ui.chat.tree_panel import TreePanel
    from whisper_desktop.ui.chat.window import ChatWindow


class SidePanels(QObject):
    """Makes a panel when it is first wanted, and keeps it at the conversation that is shown."""

    def __init__(self, window: "ChatWindow", bridge: Bridge, app: "App") -> None:
        super().__init__(window)
        self._window = window
        self._bridge = bridge
        self._app = app
        self.parameters: ParametersPanel | None = None
        self.tree: TreePanel | None = None
        for name, words in (
            ("parameters", tr("Settings of this chat")),
            ("tree", tr("Branches")),
            ("compare", tr("Ask two side by side")),
        ):
            window.add_to_menu(name, words, lambda name=name: self.toggle(name))  # type: ignore[misc]  # mypy cannot infer a lambda with a default
        window.session_shown.connect(self._follow)
        for changed in (window.model.rowsInserted, window.model.rowsRemoved, window.model.modelReset):
            changed.connect(self._look)
        bridge.event_arrived.connect(self._on_event)

    def toggle(self, name: str) -> None:
        """Show "parameters" or "tree" at the right, or fold it away; "compare" begins to ask two."""
        if name == "compare":
            self._window.begin_compare()
            return
        panel: QWidget
        if name == "tree":
            panel, words = self._made_tree(), tr("Branches")
        else:
            panel, words = self._made_parameters(), tr("Settings of this chat")
        self._window.panes.toggle_panel(words, panel)

    def _made_tree(self) -> "TreePanel":
        if self.tree is None:
            from whisper_desktop.ui.chat.tree_panel import TreePanel

            self.tree = TreePanel()
            self.tree.node_chosen.connect(self._go_to)
            if self._window.conversation is not None:
                self.tree.follow(self._window.conversation.session)
        return self.tree

    def _made_parameters(self) -> "ParametersPanel":
        if self.parameters is None:
            from whisper_desktop.ui.chat.parameters_panel import ParametersPanel

            self.parameters = ParametersPanel(self._bridge, self._app, self._window.spawn)
            if self._window.conversation is not None:
                self.parameters.follow(self._window.conversation.session)
        return self.parameters

    def _follow(self, session: Session) -> None:
        if self.tree is not None:
            self.tree.follow(session)
        if self.parameters is not None:
            self.parameters.follow(session)

    def _look(self) -> None:
        if self.tree is not None:
            self.tree.look()

    def _on_event(self, event: object) -> None:
        if isinstance(event, ConversationsChanged):
            self._look()

    def _go_to(self, node: str) -> None:
        conversation = self._window.conversation
        if conversation is None:
            return
        if conversation.busy:
            self._window.notice.say(tr("An answer is being written. Stop it, or wait for its end."))
            return
        self._window.spawn(self._go(node))

    async def _go(self, node: str) -> None:
        conversation = self._window.conversation
        if conversation is not None:
            if conversation.number_of(node) is None:
                await conversation.go_to_branch(node)
            self._window.view.go_to(node)
            self._look()
