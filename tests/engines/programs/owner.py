"""An app of ours in a process of its own, to be killed: starts LM Studio's AppImage on a virtual display.

    owner.py APPIMAGE PORT

Prints the guard's process id once LM Studio greets.
"""

import asyncio
import os
import sys
from pathlib import Path

from tests.engines.programs.conftest import PATIENT, yes
from whisper_desktop.engines.programs.lm_studio import LMStudio
from whisper_desktop.engines.programs.surroundings import Surroundings
from whisper_desktop.wire.http import Http


async def main(appimage: Path, port: int) -> None:
    """Runs until it is killed."""
    around = Surroundings(Http(allow_network=False), os.environ, PATIENT)
    studio = LMStudio(around, appimage_path=appimage, virtual=True)
    running = await studio.start(port, await yes("lm_studio", "start", port))
    assert running.child is not None
    print(running.child.pid, flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
