"""The models window: what is here, what suits this computer, what is on its way, and a field to find more."""

from contextlib import aclosing
from typing import TYPE_CHECKING

from PySide6.QtCore import QSize
from PySide6.QtWidgets import QHBoxLayout, QLineEdit, QStackedWidget, QTabWidget, QVBoxLayout

from whisper_desktop.errors import WhisperError
from whisper_desktop.language import mark, tr
from whisper_desktop.models.download_jobs import Job
from whisper_desktop.ui.bridge import Bridge
from whisper_desktop.ui.models.choices_page import ChoicesPage
from whisper_desktop.ui.models.downloads_page import DownloadsPage
from whisper_desktop.ui.models.page import button
from whisper_desktop.ui.models.search_page import SearchPage
from whisper_desktop.ui.models.shelf_page import ShelfPage
from whisper_desktop.ui.models.watching import watched
from whisper_desktop.ui.theme import L, M, S
from whisper_desktop.ui.window import AppWindow

if TYPE_CHECKING:
    from whisper_desktop.app import App

_HINT = mark("Search Hugging Face, or paste OWNER/NAME/FILE, an address, ollama:TAG")


class ModelsWindow(AppWindow):
    """Three parts and a search. Closing it stops no download."""

    def __init__(self, bridge: Bridge, app: "App") -> None:
        super().__init__("models", tr("Models – Whisper Desktop"), bridge)
        self._app = app
        self.resize(QSize(900, 640))
        self._done: frozenset[int] = frozenset()
        self.shelf = ShelfPage(self, app)
        self.choices = ChoicesPage(self, app)
        self.downloads = DownloadsPage(self, app)
        self.results = SearchPage(self, app)
        column = QVBoxLayout(self)
        column.setContentsMargins(L, L, L, L)
        column.setSpacing(M)
        column.addLayout(self._search_row())
        self.tabs = QTabWidget()
        self.tabs.setAccessibleName(tr("Models"))
        self.tabs.addTab(self.shelf, tr("On this computer"))
        self.tabs.addTab(self.choices, tr("Recommended"))
        self.tabs.addTab(self.downloads, tr("Downloads"))
        self._stack = QStackedWidget()
        self._stack.addWidget(self.tabs)
        self._stack.addWidget(self.results)
        column.addWidget(self._stack, 1)
        self.results.left.connect(self._leave_results)
        for page in (self.shelf, self.downloads):
            page.suggestions_wanted.connect(lambda: self.tabs.setCurrentWidget(self.choices))
        self.spawn(self._follow())

    def _search_row(self) -> QHBoxLayout:
        row = QHBoxLayout()
        row.setSpacing(S)
        self.search = QLineEdit()
        self.search.setPlaceholderText(tr(_HINT))
        self.search.setAccessibleName(tr("Search for models"))
        self.search.setToolTip(tr(_HINT))
        self.search.setClearButtonEnabled(True)
        self.search.returnPressed.connect(self._find)
        self.search.textChanged.connect(lambda text: None if text else self._leave_results())
        row.addWidget(self.search, 1)
        row.addWidget(button(tr("Search"), self._find))
        return row

    def look_for(self, text: str) -> None:
        """Put words into the field. They may come from a link, so Enter stays the person's."""
        self.search.setText(text)
        self.search.setFocus()

    def _find(self) -> None:
        text = self.search.text().strip()
        if text:
            self._stack.setCurrentWidget(self.results)
            self.results.search(text)

    def _leave_results(self) -> None:
        self._stack.setCurrentWidget(self.tabs)
        self.search.clear()
        self.search.setFocus()

    async def _follow(self) -> None:
        """Show the downloads as they go on; they are the core's, and do not end with this window."""
        try:
            async with aclosing(self.bridge.stream(watched(self._app))) as batches:
                async for batch in batches:
                    self._show_jobs(batch[-1])
        except WhisperError as error:
            self.downloads.remark.fail(error)

    def _show_jobs(self, jobs: tuple[Job, ...]) -> None:
        for page in (self.choices, self.downloads, self.results):
            page.show_jobs(jobs)
        todo = sum(job.is_open for job in jobs)
        self.tabs.setTabText(
            self.tabs.indexOf(self.downloads),
            tr("Downloads ({todo})", todo=todo) if todo else tr("Downloads"),
        )
        done = frozenset(job.id for job in jobs if not job.is_open)
        if done - self._done:
            self.spawn(self.shelf.look())
        self._done = done
