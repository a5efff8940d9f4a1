"""What this program has changed, and told to the owner, over its socket also where that is this process."""

import asyncio
from collections.abc import Sequence

from whisper_desktop.control.client import RemoteCore
from whisper_desktop.errors import ControlError
from whisper_desktop.language import tr
from whisper_desktop.values import Deadlines


async def tell_owner() -> None:
    """The owner reads the settings and keys again; where there is none nobody has to be told.

    Raises `ControlError` where it does not answer.
    """
    owner = await RemoteCore.connect(Deadlines())
    if owner is not None:
        try:
            await owner.reload()
        finally:
            await owner.close()


async def tell_conversations_changed(ids: Sequence[str] = ()) -> None:
    """A running desktop looks again at these conversations, or, with none, at all of them.

    Raises `ControlError` where it does not answer.
    """
    owner = await RemoteCore.connect(Deadlines())
    if owner is not None:
        try:
            await owner.conversations_changed(ids)
        finally:
            await owner.close()


async def repair_engine(repair: str) -> None:
    """The owner accepts this repair of its engine. Raises `EngineError`, `SettingsError`, `ControlError`."""
    owner = await RemoteCore.connect(Deadlines())
    if owner is None:
        raise ControlError(
            tr("The repair was not made."), tr("The program that ran the engine has ended."), tr("Ask again.")
        )
    try:
        await owner.engine_repair(repair)
    finally:
        await owner.close()


async def allow_server(place: str) -> None:
    """Keep that the server at this address may be asked, of which nobody can say where its models run.

    Raises `SettingsError` where it cannot be kept, `ControlError` where the owner does not answer.
    """
    # Here, so that not every command that tells the owner loads it.
    from whisper_desktop.app.places import remember_allowed

    await asyncio.to_thread(remember_allowed, place)
    await tell_owner()
