"""The desktop's way in. The order is the point: first the icon on the screen, then everything else.

Until the icon is shown nothing but QtCore, QtGui, QtWidgets and our lightest modules is imported; the core
(settings, HTTP, keyring) loads in its own thread afterwards.
"""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from PySide6.QtCore import QEvent, QEventLoop, QSocketNotifier, QTimer, Signal
from PySide6.QtWidgets import QApplication

from whisper_desktop.ui.imports import leave_sources_unread

if TYPE_CHECKING:
    from whisper_desktop.app import App
    from whisper_desktop.ui.desktop import Desktop

APP_ID = "whisper-desktop"
_SIGNALS = (signal.SIGINT, signal.SIGTERM, *((signal.SIGHUP,) if sys.platform != "win32" else ()))
_LONGEST_END = 15.0  # seconds: more than all stages of quitting may take together


class Application(QApplication):
    """Qt would ask each window whether it may quit, and windows that are only hidden say no.

    Signals:
        quit_wanted: the system, or the session that ends, wants the app to quit.
    """

    quit_wanted = Signal()

    def event(self, event: QEvent) -> bool:
        if event.type() == QEvent.Type.Quit:
            self.quit_wanted.emit()
            return True
        return super().event(event)


def run_desktop(
    *, background: bool = False, link: str = "", make_app: "Callable[[], App] | None" = None
) -> int:
    """Run the desktop app until the person quits, and return the exit code.

    `background` opens no window (start with the computer). `link` is a `whisper://` link to open. A second
    start raises the first, which opens the link, and returns 0.
    """
    leave_sources_unread()
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_DFL)  # nothing to end in order yet: Ctrl+C ends it, without a trace
    application = Application(sys.argv[:1])
    application.setApplicationName("Whisper Desktop")
    application.setDesktopFileName(APP_ID)
    application.setQuitOnLastWindowClosed(False)

    from whisper_desktop.ui.tray.tray import Tray

    tray = Tray()
    _one_turn()
    return _run(application, tray, background=background, link=link, make_app=make_app)


def _one_turn() -> None:
    """One turn of Qt's loop, so that the icon is on the screen before the next imports begin."""
    turn = QEventLoop()
    QTimer.singleShot(0, turn.quit)
    turn.exec()


def _run(
    application: Application,
    tray: object,
    *,
    background: bool,
    link: str,
    make_app: "Callable[[], App] | None",
) -> int:
    import qasync

    from whisper_desktop.ui.desktop import Desktop
    from whisper_desktop.ui.logbook import start_logbook
    from whisper_desktop.ui.tray.tray import Tray

    assert isinstance(tray, Tray)
    loop = qasync.QEventLoop(application)
    desktop = Desktop(tray, loop, make_app=make_app, background=background, link=link)
    start_logbook(desktop.report)
    desktop.ending.connect(_end_in_any_case)
    application.quit_wanted.connect(desktop.quit)
    try:
        with _quitting_on_signals(desktop):
            code: int = loop.run_until_complete(desktop.run())
    finally:
        loop.close()
    if desktop.bridge.busy:
        # A thread that hangs in a system library must not keep a program alive that has said goodbye.
        os._exit(code)
    return code


def _end_in_any_case() -> None:
    """A stage of quitting, or a thread at the very end, may hang; the process does not."""
    import threading

    timer = threading.Timer(_LONGEST_END, os._exit, [1])
    timer.daemon = True
    timer.start()


@contextmanager
def _quitting_on_signals(desktop: "Desktop") -> Iterator[None]:
    """Ctrl+C and SIGTERM quit in the ordinary way. Qt's loop only runs Python's handlers when it is woken."""
    import socket  # late, like everything that the icon does not need

    woken, waker = socket.socketpair()
    with woken, waker:
        woken.setblocking(False)
        waker.setblocking(False)
        notifier = QSocketNotifier(woken.fileno(), QSocketNotifier.Type.Read)
        notifier.activated.connect(lambda: woken.recv(64))
        before = {number: signal.signal(number, lambda *_: desktop.quit()) for number in _SIGNALS}
        signal.set_wakeup_fd(waker.fileno(), warn_on_full_buffer=False)
        try:
            yield
        finally:
            signal.set_wakeup_fd(-1)
            notifier.setEnabled(False)
            for number, handler in before.items():
                signal.signal(number, handler)
