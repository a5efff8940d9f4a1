"""The step in which OpenRouter gets its key: by signing in in the browser, or by entering one."""

from PySide6.QtCore import QTimer, QUrl, Signal
from PySide6.QtGui import QDesktopServices, QGuiApplication
from PySide6.QtWidgets import QHBoxLayout, QLineEdit, QPushButton, QVBoxLayout, QWidget

from whisper_desktop.language import tr
from whisper_desktop.ui.fold import Fold
from whisper_desktop.ui.keys.field import KeyField
from whisper_desktop.ui.theme import XS, M, S
from whisper_desktop.ui.widgets import plain, secondary

_SAID_FOR = 2000  # ms


class CloudPanel(QWidget):
    """The key, then the model: they differ in price, so nobody else chooses.

    Signals:
        sign_in_wanted: the person wants to sign in in the browser.
        sign_in_cancelled: they have thought better of it.
        key_entered: a key.
        model_edited: the name of the model has changed.
    """

    sign_in_wanted = Signal()
    sign_in_cancelled = Signal()
    key_entered = Signal(str)
    model_edited = Signal()

    def __init__(self) -> None:
        super().__init__()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(M)
        row = QHBoxLayout()
        row.setSpacing(S)
        self.sign_in = QPushButton(tr("Sign in with the browser"))
        self.sign_in.setAutoDefault(False)
        self.sign_in.clicked.connect(self.sign_in_wanted)
        self.copy = QPushButton(tr("Copy the address"))
        self.copy.setAutoDefault(False)
        self.copy.clicked.connect(self._copy_address)
        self.cancel = QPushButton(tr("Cancel"))
        self.cancel.setAutoDefault(False)
        self.cancel.setAccessibleName(tr("Cancel the sign-in"))
        self.cancel.clicked.connect(self.sign_in_cancelled)
        for button in (self.sign_in, self.copy, self.cancel):
            row.addWidget(button)
        row.addStretch(1)
        column.addLayout(row)
        self._words = plain("")
        column.addWidget(self._words)
        self.key = KeyField("OpenRouter")
        self.key.entered.connect(self.key_entered)
        self.by_key = Fold(tr("Enter a key instead"), self.key)
        column.addWidget(self.by_key)
        self.model = QLineEdit()
        self.model.setPlaceholderText(tr("Model, as it is called there: maker/name"))
        self.model.setAccessibleName(tr("Model of this service"))
        self.model.textChanged.connect(self.model_edited)
        below = QVBoxLayout()
        below.setSpacing(XS)
        below.addWidget(self.model)
        below.addWidget(
            secondary(tr("Models differ in price. All of them, with prices: openrouter.ai/models"))
        )
        column.addLayout(below)
        self._address = ""
        self.show_waiting("")

    def show_waiting(self, address: str) -> None:
        """The browser is wanted at `address`; "" where no sign-in goes on."""
        self._address = address
        self.sign_in.setVisible(not address)
        self.copy.setVisible(bool(address))
        self.cancel.setVisible(bool(address))
        if not address:
            return
        # A system that has no browser says so here; one that lies about it leaves the address to copy.
        if QDesktopServices.openUrl(QUrl(address)):
            words = tr("The browser is open. Sign in there; this page notices.")
        else:
            words = tr("No browser could be opened. Copy the address and open it in one on this computer.")
        self._words.setText(words)

    def _copy_address(self) -> None:
        QGuiApplication.clipboard().setText(self._address)
        self.copy.setText(tr("Copied"))
        QTimer.singleShot(_SAID_FOR, self.copy, lambda: self.copy.setText(tr("Copy the address")))

    def tell(self, sentence: str) -> None:
        """Say how the sign-in went."""
        self._words.setText(sentence)

    def show_key(self, *, stored: bool) -> None:
        """Whether there is a key."""
        if stored and not self._address:
            self._words.setText(self._words.text() or tr("✓  There is a key."))
            self.sign_in.setText(tr("Sign in again"))

    def suggest(self, model: str | None) -> None:
        """Offer a model, where the person has written none."""
        if model and not self.model.text():
            self.model.setText(model)

    @property
    def wanted_model(self) -> str | None:
        """The model that the person wrote down."""
        return self.model.text().strip() or None
