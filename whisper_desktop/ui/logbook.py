"""The desktop's log file, and where errors go that nobody caught."""

import logging
import sys
from collections.abc import Callable
from logging.handlers import RotatingFileHandler
from pathlib import Path
from types import TracebackType

from PySide6.QtCore import QMessageLogContext, QtMsgType, qInstallMessageHandler

from whisper_desktop.settings.paths import log_dir

LOG_FILE = "desktop.log"
_LARGEST = 500_000  # bytes, twice: the file and the one before

_LEVELS = {
    QtMsgType.QtDebugMsg: logging.DEBUG,
    QtMsgType.QtInfoMsg: logging.INFO,
    QtMsgType.QtWarningMsg: logging.WARNING,
    QtMsgType.QtCriticalMsg: logging.ERROR,
    QtMsgType.QtFatalMsg: logging.CRITICAL,
}


def log_file() -> Path:
    """Where the desktop writes what goes wrong."""
    return log_dir() / LOG_FILE


def start_logbook(report: Callable[[BaseException], None]) -> None:
    """Write warnings of ours, of Qt and of Python to the log file; uncaught errors go to `report`."""
    handler = RotatingFileHandler(log_file(), maxBytes=_LARGEST, backupCount=1, encoding="utf-8", delay=True)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(logging.INFO)

    def uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        report(error)

    def from_qt(kind: QtMsgType, context: QMessageLogContext, message: str | None) -> None:
        logging.getLogger("qt").log(_LEVELS.get(kind, logging.WARNING), "%s", message)

    sys.excepthook = uncaught
    qInstallMessageHandler(from_qt)
