"""Engines: server processes that we own, started, proved, watched and ended here.

`make_engine(spec, ...)` gives an `Engine`; callers ask it for the outcome, `ensure_ready()`.
Names are loaded on first use: the child that serves a model passes through here, and must start at once.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from whisper_desktop.engines.builds.found import find_binary
    from whisper_desktop.engines.command import own_program
    from whisper_desktop.engines.log import read_log
    from whisper_desktop.engines.offer import engine_for
    from whisper_desktop.engines.orphans import end_orphans
    from whisper_desktop.engines.own_server import builtin_server
    from whisper_desktop.engines.spec import EngineAddress, EngineSpec, default_threads, guide_spec
    from whisper_desktop.engines.supervisor import Engine, make_engine

_HOMES = {
    "own_program": "command",
    "find_binary": "builds.found",
    "read_log": "log",
    "builtin_server": "own_server",
    "engine_for": "offer",
    "end_orphans": "orphans",
    "EngineAddress": "spec",
    "EngineSpec": "spec",
    "default_threads": "spec",
    "guide_spec": "spec",
    "Engine": "supervisor",
    "make_engine": "supervisor",
}

__all__ = [
    "Engine",
    "EngineAddress",
    "EngineSpec",
    "builtin_server",
    "default_threads",
    "end_orphans",
    "engine_for",
    "find_binary",
    "guide_spec",
    "make_engine",
    "own_program",
    "read_log",
]


def __getattr__(name: str) -> object:
    from importlib import import_module

    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
