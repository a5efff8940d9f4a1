"""What the entries of the tray menu do, and what has to be looked up for them first."""

from dataclasses import replace
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Signal

from whisper_desktop.errors import WhisperError
from whisper_desktop.language import tr
from whisper_desktop.ui.bridge import Bridge
from whisper_desktop.ui.notifications import Notifier, Told
from whisper_desktop.ui.tray.glance import OwnModel
from whisper_desktop.ui.windows import NAMES, Windows
from whisper_desktop.values import IDENTITIES, ModelType, Reach

if TYPE_CHECKING:
    from whisper_desktop.app import App
    from whisper_desktop.app.choices import BackendChoice
    from whisper_desktop.app.programs import Programs

BUILTIN = "builtin"
_REACH = "llm.reach"


class Actions(QObject):
    """`own_models` are the files that the built-in engine can run, `startable` the programs that are here and
    do not run, each with its name; both as they were at the last `look`.

    Signals:
        changed: the menu has something new to show.
    """

    changed = Signal()

    def __init__(self, bridge: Bridge, app: "App", windows: Windows, notifier: Notifier) -> None:
        super().__init__()
        self._bridge = bridge
        self._app = app
        self._windows = windows
        self._notifier = notifier
        self._programs: Programs | None = None
        self._reach_before: Reach | None = None
        self._looking = False
        self.own_models: tuple[OwnModel, ...] = ()
        self.startable: tuple[tuple[str, str], ...] = ()

    def do(self, action: str, value: str | None = None) -> None:
        """Carry out an entry."""
        match action:
            case "chat":
                self._new_chat()
            case "backend":
                self.choose(value, None)
            case "model":
                backend, _, model = (value or "").partition("\n")
                self._bridge.spawn(self._use_model(backend, model))
            case "start":
                self._bridge.spawn(self._start(value or ""))
            case "sleep":
                self._bridge.spawn(self._free_memory())
            case "local_only":
                self._bridge.spawn(self._stay_local())
            case _ if action in NAMES:
                self._windows.show(self._app, action, value or "")

    def _new_chat(self) -> None:
        from whisper_desktop.ui.chat.window import ChatWindow

        window = self._windows.show(self._app, "chat")
        assert isinstance(window, ChatWindow)
        window.new_chat()

    # --- who answers ----------------------------------------------------------------------------------------

    def choose(self, backend: str | None, model: str | None, *, say: bool = True) -> None:
        """Switch the backend; the next message uses it. `say`: tell it, where no window shows it."""
        self._bridge.spawn(self._choose(backend, model, say=say))

    async def _choose(self, backend: str | None, model: str | None, *, say: bool = True) -> None:
        await self._bridge.run(self._app.choose(backend, model))
        self.changed.emit()
        if say:
            self._notifier.tell(switched(self._app.backend_choices(), self._app.state().backend, model))

    async def _use_model(self, backend: str, model: str) -> None:
        if backend != BUILTIN or not self.own_models:
            await self._choose(backend, model)
            return
        chosen = await self._bridge.run(self._app.models.use(model))
        self.own_models = tuple(OwnModel(each.name, each.name == model) for each in self.own_models)
        await self._choose(BUILTIN, None)
        if chosen.remark:
            self._notifier.tell(
                Told(tr("{model} is not used yet.", model=model), chosen.remark, True, "settings")
            )

    async def _stay_local(self) -> None:
        """Keep every prompt on this computer, or go back to what held before. Nothing is widened unseen:
        where that is not known, the settings open instead.
        """
        now = self._app.loaded.settings.llm.reach
        wanted = Reach.THIS_MACHINE if now is not Reach.THIS_MACHINE else self._reach_before
        if wanted is None:
            self.changed.emit()
            self._windows.show(self._app, "settings", _REACH)
            return
        self._reach_before = now
        await self._bridge.run(self._app.remember({_REACH: wanted.value}))
        self.changed.emit()
        if wanted is Reach.THIS_MACHINE:
            told = Told(tr("Everything stays on this computer now."), key="switch")
        else:
            told = Told(tr("Messages may go as far as: {place}.", place=wanted.words), key="switch")
        self._notifier.tell(told)

    # --- engines and programs -------------------------------------------------------------------------------

    async def _free_memory(self) -> None:
        if not await self._bridge.run(self._app.free_memory()):
            self._notifier.tell(
                Told(
                    tr("Nothing was freed."),
                    tr("The engine is answering. Try again when it has finished."),
                    problem=True,
                )
            )
        self.changed.emit()

    async def _start(self, program: str) -> None:
        if self._programs is None:
            return
        name = IDENTITIES[program].name
        self._notifier.tell(Told(tr("Starting {program}…", program=name), key="start"))
        note = await self._bridge.run(self._programs.start(program))
        await self._bridge.run(self._app.scan())
        self._notifier.tell(Told(tr("{program} runs.", program=name), note, key="start"))
        self.look()

    # --- what is looked up ----------------------------------------------------------------------------------

    def look(self) -> None:
        """See which models and programs there are; the menu has them a moment later."""
        if not self._looking:
            self._looking = True
            self._bridge.spawn(self._look())

    async def _look(self) -> None:
        from whisper_desktop.app.programs import Programs

        if self._programs is None:
            self._programs = Programs(self._app)
        before = (self.own_models, self.startable)
        try:
            self.startable = await self._bridge.run(self._programs.startable())
            if _answers_itself(self._app):
                self.own_models = await self._bridge.run(_own_models(self._app))
        except WhisperError:  # a folder that cannot be read; the models window says so
            self.own_models = ()
        finally:
            self._looking = False
        if before != (self.own_models, self.startable):
            self.changed.emit()


def _answers_itself(app: "App") -> bool:
    chosen = app.loaded.settings.llm.backend
    return BUILTIN in (chosen, app.state().backend)


async def _own_models(app: "App") -> tuple[OwnModel, ...]:
    """On the core loop: what the built-in engine can run, of what is on this computer."""
    shelf = await app.models.shelf()
    return tuple(
        OwnModel(model.name, app.models.is_own(model))
        for model in shelf.models
        if model.type is not ModelType.EMBEDDING
    )


def switched(choices: "tuple[BackendChoice, ...]", first: str | None, model: str | None) -> Told:
    """What now answers, and where. `first` is who is first in line, `model` the one that was chosen."""
    chosen = next((each.id for each in choices if each.chosen), None)
    answering = next((each for each in choices if each.id is not None and each.id == (chosen or first)), None)
    if answering is None:
        told = Told(tr("No model answers yet."), tr("Setup finds or installs one."), problem=True)
        return replace(told, window="setup", key="switch")
    who = tr("{model} on {backend}", model=model, backend=answering.name) if model else answering.name
    where = answering.reach.words if answering.reach is not None else tr("nobody knows where")
    title = tr("{who} answers from the next message on.", who=who)
    return Told(title, tr("It runs here: {place}.", place=where), key="switch")
