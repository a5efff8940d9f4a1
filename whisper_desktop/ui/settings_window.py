"""Settings: every declared setting with its value and the layer that wins, the reach, and the keys."""

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from PySide6.QtCore import QSize, Qt, QUrl
from PySide6.QtGui import QDesktopServices
from PySide6.QtWidgets import (
    QComboBox,
    QFrame,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QLineEdit,
    QPushButton,
    QTreeWidget,
    QTreeWidgetItem,
    QVBoxLayout,
    QWidget,
)

from whisper_desktop.errors import SecretsError
from whisper_desktop.events import BackendChosen
from whisper_desktop.settings import SETTINGS, Layer, example_config, paths
from whisper_desktop.ui.bridge import Bridge
from whisper_desktop.ui.theme import L, M, S
from whisper_desktop.ui.widgets import heading, plain, secondary, toned
from whisper_desktop.ui.window import AppWindow
from whisper_desktop.values import Reach

if TYPE_CHECKING:
    from whisper_desktop.app import App
    from whisper_desktop.settings import SettingInfo

_FIXED = (Layer.COMMAND_LINE, Layer.ENVIRONMENT, Layer.DICTIONARY)  # layers above what the app remembers
_COLUMNS = ("Setting", "Value", "From")


class SettingsWindow(AppWindow):
    """What is set, by whom, and the two things that are changed most: the reach and the keys."""

    def __init__(self, bridge: Bridge, app: "App") -> None:
        super().__init__("settings", "Settings – Whisper Desktop", bridge)
        self._app = app
        self.resize(QSize(720, 620))
        column = QVBoxLayout(self)
        column.setContentsMargins(L, L, L, L)
        column.setSpacing(M)
        self._problems = toned("", "warn")
        column.addWidget(self._problems)
        column.addLayout(self._reach_row())
        self._reach_note = secondary("")
        column.addWidget(self._reach_note)
        column.addWidget(heading("Keys"))
        self._keys = QVBoxLayout()
        self._keys.setSpacing(S)
        column.addLayout(self._keys)
        column.addWidget(heading("All settings"))
        self.search = QLineEdit()
        self.search.setPlaceholderText("Search settings")
        self.search.setAccessibleName("Search settings")
        self.search.setClearButtonEnabled(True)
        self.search.textChanged.connect(self._filter)
        column.addWidget(self.search)
        self.table = self._make_table()
        column.addWidget(self.table, 1)
        self._about = plain("")
        self._about.setMinimumHeight(3 * self.fontMetrics().lineSpacing())
        self._about.setAlignment(Qt.AlignmentFlag.AlignTop)
        column.addWidget(self._about)
        column.addLayout(self._buttons())
        bridge.event_arrived.connect(self._on_event)
        self._show()
        self.spawn(self._show_keys())

    def _reach_row(self) -> QHBoxLayout:
        row = QHBoxLayout()
        row.setSpacing(S)
        label = QLabel("Prompts may &go to")
        self.reach = QComboBox()
        for reach in Reach:
            self.reach.addItem(reach.words)
        label.setBuddy(self.reach)
        self.reach.activated.connect(lambda number: self.spawn(self._set_reach(list(Reach)[number])))
        row.addWidget(label)
        row.addWidget(self.reach)
        row.addStretch(1)
        return row

    def _make_table(self) -> QTreeWidget:
        table = QTreeWidget()
        table.setColumnCount(len(_COLUMNS))
        table.setHeaderLabels(_COLUMNS)
        table.setRootIsDecorated(False)
        table.setUniformRowHeights(True)
        table.setAlternatingRowColors(True)
        table.setAccessibleName("All settings")
        table.header().setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        table.header().setSectionResizeMode(1, QHeaderView.ResizeMode.Stretch)
        table.currentItemChanged.connect(self._explain)
        return table

    def _buttons(self) -> QHBoxLayout:
        row = QHBoxLayout()
        row.setSpacing(S)
        open_file = QPushButton("Open config.yaml")
        open_file.setToolTip("Your own settings file. The app never changes it by itself.")
        open_file.clicked.connect(lambda: self.spawn(self._open_file()))
        again = QPushButton("Read again")
        again.clicked.connect(lambda: self.spawn(self._read_again()))
        close = QPushButton("Close")
        close.clicked.connect(self.close)
        row.addWidget(open_file)
        row.addWidget(again)
        row.addStretch(1)
        row.addWidget(close)
        return row

    # --- showing --------------------------------------------------------------------------------------------

    def _show(self) -> None:
        loaded = self._app.loaded
        self._problems.setText("\n".join(str(problem) for problem in loaded.problems))
        self._problems.setVisible(bool(loaded.problems))
        self.reach.setCurrentIndex(list(Reach).index(loaded.settings.llm.reach))
        layer = loaded.sources.get("llm.reach", Layer.DEFAULT)
        self.reach.setEnabled(layer not in _FIXED)
        place = loaded.places.get("llm.reach", "")
        fixed = f"Fixed by {layer.value}{f' ({place})' if place else ''}."
        free = "Each includes those before it. A chat can be allowed more when it asks."
        self._reach_note.setText(fixed if layer in _FIXED else free)
        self.table.clear()
        for info in SETTINGS.values():
            value = _words(loaded.get(info.key), info)
            layer = loaded.sources.get(info.key, Layer.DEFAULT)
            item = QTreeWidgetItem([info.title, value, layer.value])
            item.setData(0, Qt.ItemDataRole.UserRole, info.key)
            item.setToolTip(1, value)
            item.setSizeHint(1, QSize(0, self.fontMetrics().lineSpacing() + S))
            if layer is not Layer.DEFAULT:
                font = item.font(1)
                font.setBold(True)
                item.setFont(1, font)
            self.table.addTopLevelItem(item)
        self._filter(self.search.text())

    def _filter(self, text: str) -> None:
        wanted = text.casefold().split()
        for number in range(self.table.topLevelItemCount()):
            item = self.table.topLevelItem(number)
            assert item is not None
            info = SETTINGS[tuple(item.data(0, Qt.ItemDataRole.UserRole).split("."))]
            everything = f"{info.title} {info.key} {info.description} {info.variable}".casefold()
            item.setHidden(not all(word in everything for word in wanted))

    def _explain(self, item: QTreeWidgetItem | None) -> None:
        if item is None:
            self._about.clear()
            return
        info = SETTINGS[tuple(item.data(0, Qt.ItemDataRole.UserRole).split("."))]
        places = f"In config.yaml: {info.key}, in the environment: {info.variable}."
        self._about.setText(f"{info.description}\nExpects {info.expects}. {places}")

    async def _show_keys(self) -> None:
        try:
            origins: Sequence[str] = await self.bridge.run(self._app.keys())
            sentence = "" if origins else "No key is kept. Setup asks for one where a service needs it."
        except SecretsError as error:
            origins, sentence = (), str(error)
        while (item := self._keys.takeAt(0)) is not None:
            if (widget := item.widget()) is not None:
                widget.deleteLater()
        for origin in origins:
            self._keys.addWidget(self._key_row(origin))
        if sentence:
            self._keys.addWidget(secondary(sentence))

    def _key_row(self, origin: str) -> QWidget:
        frame = QFrame()
        row = QHBoxLayout(frame)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(plain(origin), 1)
        remove = QPushButton("Remove")
        remove.setAccessibleName(f"Remove the key of {origin}")
        remove.clicked.connect(lambda: self.spawn(self._remove_key(origin)))
        row.addWidget(remove)
        return frame

    # --- doing ----------------------------------------------------------------------------------------------

    async def _set_reach(self, reach: Reach) -> None:
        await self.bridge.run(self._app.remember({"llm.reach": reach.value}))
        self._show()

    async def _remove_key(self, origin: str) -> None:
        await self.bridge.run(self._app.remove_key(origin))
        await self._show_keys()

    async def _read_again(self) -> None:
        await self.bridge.run(self._app.reload())
        self._show()

    async def _open_file(self) -> None:
        file = await self.bridge.run(asyncio.to_thread(_config_file))
        QDesktopServices.openUrl(QUrl.fromLocalFile(file))

    def _on_event(self, event: object) -> None:
        if isinstance(event, BackendChosen):
            self._show()


def _config_file() -> str:
    """The path of config.yaml; where there is none yet, one with every setting explained is put there."""
    file = paths.config_dir() / paths.CONFIG_FILE
    if not file.exists():
        with file.open("x", encoding="utf-8") as new:
            new.write(example_config())
    return str(file)


def _words(value: object, info: "SettingInfo") -> str:
    """A value as a person reads it."""
    if value is None:
        return "auto" if info.nullable and "auto" in info.description else "not set"
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, Reach):
        return value.words
    if isinstance(value, tuple | list):
        return ", ".join(str(part) for part in value) or "none"
    if isinstance(value, dict):
        return ", ".join(f"{key}: {part}" for key, part in value.items()) or "none"
    return str(value)
