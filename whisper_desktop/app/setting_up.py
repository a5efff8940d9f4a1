"""What setting the app up does beyond the app's own calls, for whichever front end walks `advice.flow`."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from whisper_desktop.advice.flow import Option
from whisper_desktop.app.engine_words import in_gigabytes
from whisper_desktop.app.model_host import OWN_MODEL
from whisper_desktop.errors import ModelFileError, SettingsError
from whisper_desktop.events import Notice
from whisper_desktop.language import tr
from whisper_desktop.machine import autostart

if TYPE_CHECKING:
    from whisper_desktop.app.core import App
    from whisper_desktop.app.model_host import ModelHost
    from whisper_desktop.models.download_jobs import Job


async def held(models: "ModelHost", name: str) -> Path | None:
    """The model's file, where it is on this computer already."""
    try:
        return (await models.model(name)).path
    except ModelFileError:
        return None


async def begun_option(app: "App", options: Sequence[Option]) -> Option | None:
    """The option whose model an earlier run began to download."""
    try:
        jobs, catalogue = await app.models.begun(), await app.models.catalogue()
    except SettingsError:  # no folder for models: nothing was begun there
        return None
    files = {each.target.name for job in jobs for each in job.files}
    for option in options:
        entry = catalogue.find(option.model) if option.backend == "builtin" and option.model else None
        if entry is not None and entry.file.rpartition("/")[2] in files:
            return option
    return None


async def remove_model(app: "App", name: str, job: "Job | None") -> str:
    """Delete what was downloaded; returns the sentence that says so. Raises `ModelFileError`."""
    path = job.target if job is not None else app.loaded.settings.llm.own_model
    model = await app.models.model(str(path) if path is not None else name)
    if app.models.is_own(model):
        await app.stop_engine()  # which may have the file open
        await app.remember({OWN_MODEL: None})
    freed = await app.models.delete(model)
    return tr("{name} is deleted: {freed} are free again.", name=model.name, freed=in_gigabytes(freed))


def autostart_standing() -> tuple[bool, str]:
    """Whether the app starts with the computer, and why that cannot be set. Blocks."""
    return autostart.is_on(), autostart.why_not()


async def start_with(app: "App", wanted: bool) -> None:
    """Have the app start with the computer, or not; where that fails, the setup is finished all the same."""
    if wanted == await asyncio.to_thread(autostart.is_on):
        return
    try:
        await asyncio.to_thread(autostart.set_on, wanted)
    except SettingsError as error:
        app.bus.publish(Notice(error.title, f"{error.detail} {error.next_step}".strip()))
