"""Other programs' engines as a front end offers them: which are here and do not run, and starting one."""

import asyncio
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from whisper_desktop.errors import EngineError
from whisper_desktop.language import tr
from whisper_desktop.values import IDENTITIES, Reach, ServerStatus
from whisper_desktop.wire.address import parse_url

if TYPE_CHECKING:
    from whisper_desktop.app.core import App
    from whisper_desktop.engines.programs.lm_studio import LMStudio
    from whisper_desktop.engines.programs.ollama import Ollama
    from whisper_desktop.engines.programs.surroundings import Surroundings

LM_STUDIO, OLLAMA = "lm_studio", "ollama"


class Programs:
    """LM Studio and Ollama on this computer. Coroutines run on the core loop."""

    def __init__(self, app: "App", *, env: Mapping[str, str] | None = None) -> None:
        self._app = app
        self._env = os.environ if env is None else env

    async def startable(self) -> tuple[tuple[str, str], ...]:
        """Id and name of each that is here, does not answer, and needs no administrator to be started."""
        answering = {
            server.id for server in self._app.servers if server.status is not ServerStatus.UNREACHABLE
        }
        wanted = [each for each in (LM_STUDIO, OLLAMA) if each not in answering]
        here = await asyncio.to_thread(lambda: [each for each in wanted if self._is_here(each)])
        return tuple((each, IDENTITIES[each].name) for each in here)

    async def start(self, program: str) -> str:
        """Start it, where it does not run: the person has just asked for exactly that.

        Returns a sentence that they should know, mostly "". Raises `EngineError`.
        """
        from whisper_desktop.engines.programs.consent import Action, ask

        port = self._port(program)
        if port is None:
            raise EngineError(
                tr("{program} is set to be on another computer.", program=IDENTITIES[program].name),
                tr("This app starts programs on this computer only."),
                cause="elsewhere",
            )
        consent = await ask(Action(program, "start", str(port)), _asked_for)
        assert consent is not None
        starting = self._lm_studio() if program == LM_STUDIO else self._ollama()
        return (await starting.start(port, consent)).note

    def _is_here(self, program: str) -> bool:
        if self._port(program) is None:
            return False
        if program == OLLAMA:
            found = self._ollama().installed()
            return not found.needs_root and bool(found.program or found.as_it_is)
        from whisper_desktop.engines.programs.lms import find_lms

        around, appimage = self._around(), self._app.loaded.settings.llm.lmstudio.appimage_path
        tool = find_lms(around.home, self._env, platform=around.platform)
        return tool is not None or (appimage is not None and appimage.expanduser().is_file())

    def _port(self, program: str) -> int | None:
        """Where its server is to be; None on another computer."""
        from whisper_desktop.discovery import configured

        llm = self._app.loaded.settings.llm
        if program == LM_STUDIO:
            return llm.lmstudio.port
        written = llm.ollama.base_url or configured.ollama_url(self._env.get("OLLAMA_HOST", ""))
        address = parse_url(written)
        return address.port if address.reach is Reach.THIS_MACHINE else None

    def _around(self) -> "Surroundings":
        from whisper_desktop.discovery.owners import describe_owner
        from whisper_desktop.engines.programs.surroundings import Surroundings

        return Surroundings(self._app.http, self._env, self._app.deadlines, describe_owner)

    def _lm_studio(self) -> "LMStudio":
        from whisper_desktop.engines.programs.lm_studio import LMStudio

        set_ = self._app.loaded.settings.llm.lmstudio
        return LMStudio(self._around(), appimage_path=set_.appimage_path, virtual=set_.use_xvfb)

    def _ollama(self) -> "Ollama":
        from whisper_desktop.engines.programs.ollama import Ollama

        return Ollama(self._around())


async def _asked_for(_action: object) -> bool:
    return True
