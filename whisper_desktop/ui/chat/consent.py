"""Letting a server be asked of which nobody can say where its models run."""

import asyncio

from whisper_desktop.app.places import remember_allowed
from whisper_desktop.control.client import RemoteCore
from whisper_desktop.values import Deadlines


async def allow_server(place: str) -> None:
    """Remember that the server at this address may be asked, as the terminal does: kept with the settings,
    and whoever owns them is told over its socket, also where that is this very process.

    Runs on the core loop. Raises `SettingsError` where it cannot be kept, `ControlError` where the owner does
    not answer.
    """
    await asyncio.to_thread(remember_allowed, place)
    owner = await RemoteCore.connect(Deadlines())
    if owner is not None:
        try:
            await owner.reload()
        finally:
            await owner.close()
