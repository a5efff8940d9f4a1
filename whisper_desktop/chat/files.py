"""Files of the person's that a conversation reads: bounded, never waited for, refused in words."""

import os
import stat
from pathlib import Path

from whisper_desktop.errors import WhisperError
from whisper_desktop.language import tr

LONGEST_NAME = 120
_NO_WAIT = getattr(os, "O_NONBLOCK", 0)


class FileError(WhisperError):
    """A file that was chosen for a conversation cannot be used."""


def read_file(path: Path, most: int, too_large: str = "") -> bytes:
    """All bytes of a regular file (blocks: call it in a thread).

    Raises `FileError` for what is no file, cannot be read, or has more than `most` bytes; `too_large` says
    what to do then.
    """
    name = shown_name(path)
    try:
        _check_kind(os.stat(path).st_mode, name)  # opening a device can do something by itself
        # Non-blocking: opening a named pipe, put there meanwhile, would wait for its other end for ever.
        descriptor = os.open(path, os.O_RDONLY | _NO_WAIT | getattr(os, "O_BINARY", 0))
    except OSError as error:
        raise unreadable(name, error) from None
    except ValueError:  # a NUL in the path
        raise unreadable(name, FileNotFoundError()) from None
    with os.fdopen(descriptor, "rb") as file:
        _check_kind(os.fstat(file.fileno()).st_mode, name)
        try:
            data = file.read(most + 1)
        except OSError as error:
            raise unreadable(name, error) from None
    if len(data) > most:
        raise FileError(
            tr("{name} is larger than {limit}.", name=name, limit=shown_size(most)),
            "",
            too_large or tr("Choose a smaller file."),
        )
    return data


def _check_kind(mode: int, name: str) -> None:
    if stat.S_ISDIR(mode):
        raise FileError(
            tr("{name} is a folder.", name=name), "", tr("Choose the files in it, one or several at a time.")
        )
    if not stat.S_ISREG(mode):
        raise FileError(
            tr("{name} is not a file.", name=name),
            tr("It is a device or a connection between programs."),
            tr("Choose an ordinary file."),
        )


def unreadable(name: str, error: OSError) -> FileError:
    """What is said of a file that the system does not give."""
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return FileError(
            tr("{name} is not there any more.", name=name),
            tr("It was moved, renamed or deleted."),
            tr("Choose it again."),
        )
    if isinstance(error, PermissionError):
        return FileError(
            tr("{name} may not be read.", name=name),
            tr("The system does not allow it to this user."),
            tr("Allow it in the file's properties, or copy the file to a folder of your own."),
        )
    return FileError(
        tr("{name} cannot be read.", name=name),
        tr("The system says: {reason}.", reason=error.strerror or type(error).__name__),
        tr("Copy the file to another place and choose the copy."),
    )


def shown_name(path: Path | str) -> str:
    """A file's name as it may be shown, sent along, and put into a line: bounded, without control characters.

    The end, which says what kind of file it is, is kept.
    """
    name = path.name or str(path) if isinstance(path, Path) else path
    # What turns text round, to make ".exe" look like ".txt", is not printable either.
    name = "".join(
        letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in clean_text(name).strip()
    )
    if len(name) > LONGEST_NAME:
        keep = LONGEST_NAME // 2
        name = f"{name[: keep - 1]}…{name[-keep:]}"
    return name or tr("file")


def clean_text(text: str) -> str:
    """Text that can be kept anywhere: half surrogates are joined or replaced, and NUL is replaced."""
    try:
        text.encode()
    except UnicodeEncodeError:
        text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}")


def shown_size(size: int) -> str:
    """A size as people read it: "340 bytes", "12 kB", "4.9 MB"."""
    if size < 1000:
        return tr("{count} bytes", count=size)
    if size < 1_000_000:
        return tr("{count} kB", count=round(size / 1000))
    return tr("{count} MB", count=f"{size / 1e6:.1f}".removesuffix(".0"))
