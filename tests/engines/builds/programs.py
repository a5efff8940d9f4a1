"""Small programs that stand where a llama-server could be, and builds of them that are installed."""

import sys
from pathlib import Path

from whisper_desktop.engines.builds import keep
from whisper_desktop.engines.builds.keep import Build

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
    flags = " ".join(f"'{flag}'" for flag in ("-c, --ctx-size N", "-m, --model FNAME", "--port PORT"))
    return (
        "#!/bin/sh\n"
        f'[ "$1" = --version ] && echo "version: {version}" && exit\n'
        f"[ \"$1\" = --help ] && printf '%s\\n' {flags} && exit\n"
        f'exec "{sys.executable}" -I -S "{FAKE_SERVER}" "$@"{f" --behave {behave}" if behave else ""}\n'
    )


def placed(name: str, text: str = "", *, used: bool = True) -> Build:
    """An installed build whose llama-server is this text; by whoever holds `keep.changing`."""
    fresh = keep.unfinished(keep.builds_dir(), name)
    binary = program(fresh / "build" / "bin", text)
    version, _, variant = name.partition("-")
    keep.describe_in(fresh, version=version, variant=variant or "cpu", says="1", binary=binary)
    build = keep.put_in_place(fresh, name)
    return keep.switch_to(name) if used else build
