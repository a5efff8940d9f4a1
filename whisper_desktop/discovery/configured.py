"""Where Ollama and LM Studio were told to listen: OLLAMA_HOST, and LM Studio's own configuration file."""

import json
from collections.abc import Mapping
from pathlib import Path

from whisper_desktop.discovery.answers import count, fields
from whisper_desktop.engines.programs.lm_studio_home import lm_studio_home

_OLLAMA_PORT = 11434
_LARGEST_FILE = 100_000


def ollama_url(host: str) -> str:
    """The address that a value of OLLAMA_HOST means to a client, as Ollama's own client reads it.

    From envconfig/config.go (`Host`, `ConnectableHost`) of https://github.com/ollama/ollama: the port
    defaults to 11434, or to the scheme's own where one is written; a port that is none counts as the
    default; an empty host is this computer, and so is one that only means "listen everywhere". A bare
    `ollama.com` is Ollama's cloud.
    """
    text = host.strip().strip("\"'").strip()
    scheme, separator, rest = text.partition("://")
    if not separator:
        scheme, rest = "http", text
    default_port = {"http": 80, "https": 443}.get(scheme, _OLLAMA_PORT) if separator else _OLLAMA_PORT
    authority, slash, path = rest.partition("/")
    if authority == "ollama.com" and not separator:
        scheme, default_port = "https", 443
    name, port = _host_and_port(authority, default_port)
    name = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(name, name)
    shown = f"[{name}]" if ":" in name else name
    return f"{scheme}://{shown}:{port}{slash}{path}".rstrip("/")


def _host_and_port(authority: str, default: int) -> tuple[str, int]:
    if authority.startswith("["):
        name, _, port = authority[1:].partition("]")
        port = port.removeprefix(":")
    elif authority.count(":") > 1:
        name, port = authority, ""
    else:
        name, _, port = authority.partition(":")
    return name, int(port) if port.isdecimal() and 0 < int(port) <= 65535 else default


def lm_studio_port(home: Path) -> int | None:
    """The port that LM Studio's server used last, from its own file; None where there is none."""
    try:
        told = json.loads(_read(lm_studio_home(home) / ".internal" / "http-server-config.json") or "null")
    except (ValueError, RecursionError):
        return None
    port = count(fields(told).get("port"))
    return port if port is not None and port <= 65535 else None


def home_folder(env: Mapping[str, str]) -> Path:
    """The person's home, by the environment that was given."""
    named = env.get("USERPROFILE") or env.get("HOME")
    return Path(named) if named else Path.home()


def _read(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            return file.read(_LARGEST_FILE).decode("utf-8", "replace")
    except (OSError, ValueError):
        return None
