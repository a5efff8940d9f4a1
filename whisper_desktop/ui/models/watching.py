"""The downloads as a stream for Qt's side of the bridge."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TYPE_CHECKING

from whisper_desktop.models.download_jobs import Job

if TYPE_CHECKING:
    from whisper_desktop.app import App


async def watched(app: "App") -> AsyncGenerator[tuple[Job, ...], None]:
    """On the core loop: the downloads after each change; what an earlier run left waiting goes on."""
    downloads = app.models.downloads
    await downloads.open()
    if any(job.state == "waiting" for job in downloads.jobs()):
        await app.models.fetch()
    async with aclosing(downloads.watch()) as changes:
        async for jobs in changes:
            yield jobs
