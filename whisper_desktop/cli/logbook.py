"""The terminal's log file: what libraries warn of, and the details of our own mistakes."""

import logging
import sys
import threading
from logging.handlers import RotatingFileHandler
from pathlib import Path
from types import TracebackType

from whisper_desktop.errors import WhisperError
from whisper_desktop.settings.paths import log_dir

LOG_FILE = "terminal.log"
_LARGEST = 500_000  # bytes, twice: the file and the one before

log = logging.getLogger("whisper_desktop")


def log_file() -> Path:
    """Where the terminal writes what goes wrong. Raises `SettingsError` where there can be no such folder."""
    return log_dir() / LOG_FILE


def start_logbook() -> None:
    """Send logging, warnings and errors of threads to the log file, and none of them to the terminal."""
    logging.raiseExceptions = False  # a full disk must not print the logging library's traceback
    root = logging.getLogger()
    root.addHandler(_handler())
    root.setLevel(logging.INFO)
    logging.captureWarnings(True)
    threading.excepthook = lambda args: _uncaught(args.exc_type, args.exc_value, args.exc_traceback)
    sys.unraisablehook = lambda args: _uncaught(args.exc_type, args.exc_value, args.exc_traceback)


def _handler() -> logging.Handler:
    try:
        path = log_file()
    except WhisperError:
        return logging.NullHandler()  # what goes wrong is still told, only its details are not kept
    handler = RotatingFileHandler(path, maxBytes=_LARGEST, backupCount=1, encoding="utf-8", delay=True)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    return handler


def _uncaught(kind: type[BaseException], error: BaseException | None, trace: TracebackType | None) -> None:
    log.error("An error that nobody caught", exc_info=(kind, error or kind(), trace))


def mistake(error: BaseException) -> WhisperError:
    """Writes the details of a mistake of ours to the log, and gives the sentences for the person."""
    log.critical("A mistake in the terminal", exc_info=error)
    try:
        where = f"The details are in {log_file()}."
    except WhisperError:
        where = "The details could not be kept, because there is no folder for logs."
    return InternalError(
        "Something went wrong inside Whisper Desktop.",
        f"It is our mistake. {where}",
        "Try again; if it comes back, report it with that file.",
    )


class InternalError(WhisperError):
    """A mistake of ours, in words for a person."""
