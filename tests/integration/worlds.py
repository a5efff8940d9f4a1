"""Worlds for the scenario tests: an app that sees just the servers a test has started, on their own ports."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.ports import closed_port
from whisper_desktop.app import App
from whisper_desktop.values import Deadlines

__all__ = ["closed_port", "world"]


@asynccontextmanager
async def world(
    *,
    lm_studio: str | None = None,
    ollama: str | None = None,
    openrouter: str | None = None,
    env: dict[str, str] | None = None,
    **settings: object,
) -> AsyncIterator[App]:
    """A started app. Servers are given by their addresses; without one, its usual port is a closed one."""
    overrides: dict[str, object] = {
        "llm.lmstudio.port": int(lm_studio.rsplit(":", 1)[1]) if lm_studio else closed_port(),
        "llm.llamacpp.port": closed_port(),
        **{name.replace("__", "."): value for name, value in settings.items()},
    }
    if openrouter is not None:
        overrides["llm.openrouter.base_url"] = openrouter
    surroundings = {
        **os.environ,
        "OLLAMA_HOST": ollama or f"127.0.0.1:{closed_port()}",
        **(env or {}),
    }
    app = App(env=surroundings, overrides=overrides, deadlines=Deadlines())
    await app.start()
    try:
        yield app
    finally:
        await app.stop()
