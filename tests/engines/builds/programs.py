"""Small programs that stand where a llama-server could be."""

import sys
from pathlib import Path

FAKE_SERVER = Path(__file__).parents[1] / "fake_llama_server.py"


def program(folder: Path, text: str = "", name: str = "llama-server") -> Path:
    """A program of this text in the folder, which is made."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(text)
    path.chmod(0o755)
    return path


def working_server(version: str = "9999 (fake)", behave: str = "") -> str:
    """The text of a scripted llama-server that answers; `behave` as in `fake_llama_server.py`."""
    return (
        "#!/bin/sh\n"
        f'[ "$1" = --version ] && echo "version: {version}" && exit\n'
        f'exec "{sys.executable}" "{FAKE_SERVER}" "$@"{f" --behave {behave}" if behave else ""}\n'
    )
