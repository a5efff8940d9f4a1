"""A report to hand to somebody who helps: a few texts without anything private, in one file.

The person sees what is inside before it is saved. Nothing is ever sent.
"""

import asyncio
import getpass
import io
import os
import socket
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from whisper_desktop.app.diagnosis import Diagnosis, diagnose
from whisper_desktop.app.redaction import Private, redactor, secrets_of
from whisper_desktop.errors import SettingsError
from whisper_desktop.language import tr
from whisper_desktop.settings.paths import log_dir

if TYPE_CHECKING:
    from whisper_desktop.app.core import App
    from whisper_desktop.settings import SecretStore

NAME = "whisper-desktop-report.zip"
_LARGEST_LOG = 200_000  # bytes from the end of each log
_MOST_LOGS = 20


@dataclass(frozen=True, slots=True)
class Enclosed:
    """One text of the report: its name there, what it is, and the text itself, already without secrets."""

    name: str
    about: str
    text: str


@dataclass(frozen=True, slots=True)
class Report:
    """What would be saved."""

    enclosed: tuple[Enclosed, ...]

    def as_zip(self) -> bytes:
        """All of it as one file."""
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            for each in self.enclosed:
                archive.writestr(each.name, each.text)
        return packed.getvalue()


async def make_report(app: "App", diagnosis: Diagnosis | None = None) -> Report:
    """What there is to tell, with keys, names, the home folder and everything written taken out."""
    told = diagnosis or await diagnose(app)
    known = [model.id for server in app.servers for model in server.models]
    return await asyncio.to_thread(_made, told, app.secrets, known)


def _made(diagnosis: Diagnosis, store: "SecretStore", known: list[str]) -> Report:
    clean = redactor(_private(store, known))
    texts = [Enclosed("diagnosis.txt", tr("what Diagnosis shows"), clean(diagnosis.text))]
    texts += [
        Enclosed(f"logs/{clean(file.name)}", tr("the end of a log"), clean(_end_of(file))) for file in _logs()
    ]
    return Report(tuple(texts))


def _private(store: "SecretStore", known: list[str], env: Mapping[str, str] | None = None) -> Private:
    environ = os.environ if env is None else env
    keys = (store.get(origin) for origin in store.list())
    host = socket.gethostname()
    home = Path.home()
    return Private(
        secrets=(*(key for key in keys if key), *secrets_of(environ)),
        homes=(str(home), os.path.realpath(home)),
        users=(_user(), home.name),
        computers=(host, host.partition(".")[0]),
        known=known,
    )


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # an account without a name
        return ""


def _logs() -> list[Path]:
    files = [path for path in log_dir().glob("*.log*") if path.is_file()]
    return sorted(files, key=lambda path: path.stat().st_mtime, reverse=True)[:_MOST_LOGS]


def _end_of(file: Path) -> str:
    """From a whole line on, so that no half of a secret is left that nobody recognises."""
    try:
        with file.open("rb") as stream:
            size = stream.seek(0, 2)
            stream.seek(max(size - _LARGEST_LOG, 0))
            text = stream.read(_LARGEST_LOG).decode("utf-8", "replace")
    except OSError as error:
        return tr("It cannot be read: {reason}.", reason=error.strerror or type(error).__name__)
    return text if size <= _LARGEST_LOG else text.partition("\n")[2]


async def save_report(report: Report, path: Path) -> None:
    """Write the report where the person wants it, for them alone. Raises `SettingsError`."""
    await asyncio.to_thread(_write, report.as_zip(), path)


def _write(data: bytes, path: Path) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            if os.name == "posix":
                os.fchmod(descriptor, 0o600)  # also where a file was there already
            file.write(data)
    except OSError as error:
        raise SettingsError(
            tr("The report cannot be saved there."),
            tr("The system says: {reason}.", reason=error.strerror or type(error).__name__),
            tr("Choose another folder."),
            where=str(path),
        ) from error
