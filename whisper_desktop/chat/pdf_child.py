"""Takes the text out of a PDF, and prints it as JSON. Runs in a process of its own.

A PDF comes from anywhere and can be made to take hours or all memory, so it is read by a child with limits
that can be killed. This file is run by its path and imports nothing of ours, so that it starts quickly and
needs nothing installed but pypdf.

Reads the PDF on standard input; the first argument is the memory it may take, in bytes, the second the most
characters to print, the third how many seconds of the processor it may take. Prints
{"pages": 12, "texts": ["...", "", null]}: one text a page, fewer than `pages` when the rest would be too
much, "" for a page without text, null for one that cannot be read; or
{"refused": "encrypted" | "damaged" | "memory"}.
"""

import contextlib
import io
import json
import os
import sys
import threading
import time
from typing import Any

OUT_OF_MEMORY = 86  # the exit code when the watching thread ends the process
_MOST_PAGES = 5_000
_POLL_SECONDS = 0.05


def take_text(data: bytes, most_characters: int) -> dict[str, Any]:
    """The answer for a PDF."""
    import logging

    logging.disable()  # pypdf warns about every oddity, and nobody reads it
    from pypdf import PdfReader
    from pypdf.errors import DependencyError, FileNotDecryptedError, WrongPasswordError

    try:
        reader = PdfReader(io.BytesIO(data))
        if reader.is_encrypted and not reader.decrypt(""):
            return {"refused": "encrypted"}
        count = len(reader.pages)
        texts: list[str | None] = []
        left = most_characters
        for number in range(min(count, _MOST_PAGES)):
            text = _text_of(reader, number)
            if (left := left - len(text or "") - 2) < 0:
                break
            texts.append(text)
    except (FileNotDecryptedError, WrongPasswordError, DependencyError):
        return {"refused": "encrypted"}
    except MemoryError:
        return {"refused": "memory"}
    except Exception:  # what a broken file makes of its reader has no bounds
        return {"refused": "damaged"}
    return {"pages": count, "texts": texts}


def _text_of(reader: Any, number: int) -> str | None:  # noqa: ANN401
    """One page; None for one that cannot be read, so that the others still are."""
    try:
        text: str = reader.pages[number].extract_text() or ""
    except MemoryError:
        raise
    except Exception:
        return None
    return "".join(letter for letter in text if letter.isprintable() or letter in "\n\t").strip()


def bound(memory: int, seconds: int, *, watched: bool = sys.platform != "linux") -> None:
    """Take no more memory than this and no more of the processor's seconds, write no file, leave no core.

    Who started it ends it sooner; the seconds are for a parent that was killed meanwhile. `watched`: the
    memory by a thread that looks.

    Only Linux holds a process to its address space (RLIMIT_AS); elsewhere what it takes is looked at.
    """
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
        if not watched:
            resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    if watched:
        threading.Thread(target=_watch, args=(memory,), daemon=True).start()


def _watch(memory: int) -> None:
    import psutil

    own = psutil.Process()
    while own.memory_info().rss < memory:
        time.sleep(_POLL_SECONDS)
    os._exit(OUT_OF_MEMORY)


def main(arguments: list[str]) -> int:
    """Print the answer; 0 also for one that says why there is none."""
    memory, most_characters, seconds = (int(argument) for argument in arguments)
    data = sys.stdin.buffer.read()
    bound(memory + len(data), seconds)
    answer = json.dumps(take_text(data, most_characters), ensure_ascii=False).encode("utf-8", "replace")
    sys.stdout.buffer.write(answer)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
