"""The setup wizard as a pure state machine: frozen states in, frozen states out. No effects, no windows.

    WELCOME -> FOUND -> DO -> TEST -> PRIVACY -> START -> DONE
                  `------------^ `-------------------^      `back` from every page, without loss

DO is skipped by what can answer already, PRIVACY by the guide, which knows this computer only, START where
the app cannot be started with the computer. A front end shows `FlowState`, turns what the person does into
one of the functions below, runs the effects (scan, key, test) itself, and hands their outcome back in.
Nothing is written before `result` is taken; a state that is kept is where to go on.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from whisper_desktop.advice.steps import model_title
from whisper_desktop.language import tr
from whisper_desktop.values import (
    IDENTITIES,
    ConnectionReport,
    Reach,
    ResourceInfo,
    ServerInfo,
    ServerStatus,
    SetupRecommendation,
)

if TYPE_CHECKING:
    from whisper_desktop.models.download_jobs import Job


class Page(StrEnum):
    """Where the wizard stands."""

    WELCOME = "welcome"
    FOUND = "found"
    DO = "do"
    TEST = "test"
    PRIVACY = "privacy"
    START = "start"
    DONE = "done"


@dataclass(frozen=True, slots=True)
class Option:
    """One thing a person can choose: a backend, the model it would use, and the sentence that says why."""

    backend: str
    model: str | None
    title: str
    reason: str
    recommended: bool = False

    @property
    def reach(self) -> Reach:
        """How far prompts go with it."""
        return Reach.CLOUD if self.backend == "openrouter" else Reach.THIS_MACHINE


@dataclass(frozen=True, slots=True)
class SetupResult:
    """What the person decided. `backend` None is automatic; `skipped`: nothing was, so nothing changes.

    `start_with_computer` is None where that was not asked.
    """

    backend: str | None
    model: str | None = None
    reach: Reach = Reach.THIS_MACHINE
    skipped: bool = False
    start_with_computer: bool | None = None


@dataclass(frozen=True, slots=True)
class FlowState:
    """Everything the wizard knows. `resources` and `recommendation` are None until they are there.

    `download` is that of the chosen model, where the app fetches it itself. `reach` is None until the person
    has said how far prompts may go. `can_start`: the app could be started with the computer.
    """

    page: Page = Page.WELCOME
    resources: ResourceInfo | None = None
    servers: tuple[ServerInfo, ...] = ()
    scanning: bool = True
    recommendation: SetupRecommendation | None = None
    choice: Option | None = None
    chosen_by_person: bool = False
    key_stored: bool = False
    download: "Job | None" = None
    test: ConnectionReport | None = None
    reach: Reach | None = None
    can_start: bool = False
    start_with_computer: bool = False
    came_from: tuple[Page, ...] = ()


def machine_found(state: FlowState, resources: ResourceInfo) -> FlowState:
    """The machine has been looked at."""
    return replace(state, resources=resources)


def servers_found(state: FlowState, servers: Sequence[ServerInfo], *, scanning: bool) -> FlowState:
    """A scan has news. What was chosen stays chosen."""
    return replace(state, servers=tuple(servers), scanning=scanning)


def recommended(state: FlowState, recommendation: SetupRecommendation) -> FlowState:
    """The recommendation is there; it becomes the choice unless the person has made one."""
    state = replace(state, recommendation=recommendation)
    return state if state.chosen_by_person else replace(state, choice=options(state)[0])


def options(state: FlowState) -> tuple[Option, ...]:
    """What can be chosen: the recommendation first, then its alternatives, the guide last."""
    offered: list[Option] = []
    advice = state.recommendation
    if advice is not None:
        model = advice.ready_model or next(iter(advice.recommended_models), None)
        offered.append(
            Option(
                advice.preferred_server,
                model,
                _title(advice.preferred_server, model),
                advice.reasons[0] if advice.reasons else "",
                recommended=True,
            )
        )
        offered += [
            Option(other.server, other.model, _title(other.server, other.model), other.reason)
            for other in advice.alternatives
            if other.server != "guide"
        ]
    offered.append(
        Option(
            "guide", None, tr("Only the guide, for now"), tr("A tiny demo model that only knows this app.")
        )
    )
    return tuple(offered)


def choose(state: FlowState, option: Option) -> FlowState:
    """The person picks an option; what was tested and said of another one no longer counts."""
    before = state.choice
    same_backend = before is not None and before.backend == option.backend
    same_model = same_backend and before is not None and before.model == option.model
    return replace(
        state,
        choice=option,
        chosen_by_person=True,
        test=state.test if same_model else None,
        download=state.download if same_model else None,
        reach=state.reach if same_backend else None,
    )


def took_up(state: FlowState, backend: str, model: str | None) -> FlowState:
    """What the person had begun before (a download that goes on) is the choice, unless they have made one."""
    begun = (each for each in options(state) if (each.backend, each.model) == (backend, model))
    option = next(begun, None)
    return state if option is None or state.chosen_by_person else choose(state, option)


def key_stored(state: FlowState) -> FlowState:
    """The key for the chosen service has been kept."""
    return replace(state, key_stored=True)


def tested(state: FlowState, outcome: ConnectionReport) -> FlowState:
    """The test answer came, or did not."""
    return replace(state, test=outcome)


def to_download(state: FlowState) -> str | None:
    """The model that the app would fetch itself for the choice; None where another program brings it."""
    choice = state.choice
    return choice.model if choice is not None and choice.backend == "builtin" else None


def downloading(state: FlowState, job: "Job | None") -> FlowState:
    """The download for the choice has news; None where there is none."""
    return replace(state, download=job)


def chosen_server(state: FlowState) -> ServerInfo | None:
    """The server behind the choice, as last seen."""
    if state.choice is None:
        return None
    return next((server for server in state.servers if server.id == state.choice.backend), None)


def may_travel(state: FlowState, reach: Reach) -> FlowState:
    """The person says how far prompts may go."""
    return replace(state, reach=reach)


def reach_of(state: FlowState) -> Reach:
    """How far prompts may go: what the person said, else as far as the choice needs."""
    if state.reach is not None:
        return state.reach
    return state.choice.reach if state.choice is not None else Reach.THIS_MACHINE


def start_possible(state: FlowState, *, is_on: bool) -> FlowState:
    """The app can be started with the computer; `is_on`: it is now."""
    return replace(state, can_start=True, start_with_computer=is_on)


def start_with(state: FlowState, wanted: bool) -> FlowState:
    """The person says whether the app starts with the computer."""
    return replace(state, start_with_computer=wanted)


def is_ready(state: FlowState) -> bool:
    """Whether the choice can answer at once, so that nothing has to be installed or entered."""
    if state.choice is None:
        return False
    if state.choice.backend in ("guide", "stub"):
        return True
    if state.choice.backend == "openrouter":
        return state.key_stored
    return _held(state) is not None


def stand_in(state: FlowState) -> str | None:
    """A model that the chosen server has, where it lacks the chosen one: it could be used instead."""
    server = chosen_server(state)
    if server is None or server.status is not ServerStatus.AVAILABLE or _held(state) is not None:
        return None
    return next((model.id for model in server.chat_models if not model.remote), None)


def use_instead(state: FlowState) -> FlowState:
    """The person takes the model that the server has."""
    model = stand_in(state)
    if model is None or state.choice is None:
        return state
    return choose(state, replace(state.choice, model=model, title=_title(state.choice.backend, model)))


def _held(state: FlowState) -> str | None:
    """The chosen model as its server calls it; None where it has none such."""
    choice, server = state.choice, chosen_server(state)
    if choice is None or server is None or server.status is not ServerStatus.AVAILABLE:
        return None
    names = [model.id for model in server.chat_models]
    if choice.model is None or choice.model in names:
        return choice.model or next(iter(names), None)
    arrived = state.download.target if state.download is not None else None
    if choice.backend == "builtin":
        ours = (arrived.stem,) if arrived is not None else ()
        return next((name for name in names if name in ours or _is_file_of(name, choice.model)), None)
    return next((name for name in names if _folded(name) == _folded(choice.model)), None)


def _folded(name: str) -> str:
    """A model's name without what programs add to it: who made it, the tag that means no tag, the format."""
    return name.casefold().rpartition("/")[2].removesuffix(":latest").removesuffix("-gguf")


def _is_file_of(stem: str, model: str) -> bool:
    """Whether a file's name says that it holds this model: the name, then how it was quantized."""
    name, wanted = _folded(stem), _folded(model)
    return name == wanted or name.startswith((f"{wanted}-", f"{wanted}."))


def can_continue(state: FlowState) -> bool:
    """Whether *Next* does something on this page."""
    if state.page is Page.FOUND:
        return state.choice is not None
    if state.page is Page.DO:
        return is_ready(state)
    if state.page is Page.TEST:
        return state.test is not None and state.test.ok
    return True


def forward(state: FlowState) -> FlowState:
    """The next page. Stays where it is when `can_continue` is false."""
    if not can_continue(state):
        return state
    last = Page.START if state.can_start else Page.DONE
    guide = state.choice is not None and state.choice.backend == "guide"
    following = {
        Page.WELCOME: Page.FOUND,
        Page.FOUND: Page.TEST if is_ready(state) and not _lacks_model(state) else Page.DO,
        Page.DO: Page.TEST,
        Page.TEST: last if guide else Page.PRIVACY,
        Page.PRIVACY: last,
        Page.START: Page.DONE,
        Page.DONE: Page.DONE,
    }[state.page]
    if following is state.page:
        return state
    if following is Page.TEST:
        state = _as_served(state)
    return replace(state, page=following, came_from=(*state.came_from, state.page))


def _as_served(state: FlowState) -> FlowState:
    """The choice with its model as the server calls it."""
    name = _held(state)
    if name is None or state.choice is None or name == state.choice.model:
        return state
    return replace(state, choice=replace(state.choice, model=name))


def _lacks_model(state: FlowState) -> bool:
    """The cloud has hundreds of models, each at its price: one is chosen by hand, beside the key."""
    return state.choice is not None and state.choice.backend == "openrouter" and state.choice.model is None


def back(state: FlowState) -> FlowState:
    """The page before, with everything as it was left."""
    if not state.came_from:
        return state
    return replace(state, page=state.came_from[-1], came_from=state.came_from[:-1])


def result(state: FlowState) -> SetupResult:
    """What to write. Choosing the guide means automatic on this computer; skipping leaves all as it is."""
    if state.page is not Page.DONE or state.choice is None:
        return SetupResult(None, skipped=True)
    start = state.start_with_computer if state.can_start else None
    if state.choice.backend == "guide":
        return SetupResult(None, start_with_computer=start)
    return SetupResult(state.choice.backend, state.choice.model, reach_of(state), start_with_computer=start)


def _title(backend: str, model: str | None) -> str:
    name = IDENTITIES[backend].name
    return tr("{model} on {name}", model=model_title(model), name=name) if model else name
