"""The setup wizard as a pure state machine: frozen states in, frozen states out. No effects, no windows.

    FOUND -> DO -> TEST -> DONE          every page: `back` without loss, `skip` to a working app
       `----------^  (a server that is ready skips DO)

A front end shows `FlowState`, turns what the person does into one of the functions below, runs the effects
(scan, key, test) itself, and hands their outcome back in. Nothing is written before `result` is taken.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from whisper_desktop.advice.steps import model_title
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

    FOUND = "found"
    DO = "do"
    TEST = "test"
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
    """What the person decided. `backend` None is automatic; `skipped`: nothing was, so nothing changes."""

    backend: str | None
    model: str | None = None
    reach: Reach = Reach.THIS_MACHINE
    skipped: bool = False


@dataclass(frozen=True, slots=True)
class FlowState:
    """Everything the wizard knows. `resources` and `recommendation` are None until they are there.

    `download` is that of the chosen model, where the app fetches it itself.
    """

    page: Page = Page.FOUND
    resources: ResourceInfo | None = None
    servers: tuple[ServerInfo, ...] = ()
    scanning: bool = True
    recommendation: SetupRecommendation | None = None
    choice: Option | None = None
    chosen_by_person: bool = False
    key_stored: bool = False
    download: "Job | None" = None
    test: ConnectionReport | None = None
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
        Option("guide", None, "Only the guide, for now", "A tiny demo model that only knows this app.")
    )
    return tuple(offered)


def choose(state: FlowState, option: Option) -> FlowState:
    """The person picks an option; a test of another one no longer counts."""
    same = state.choice
    fresh = same is not None and same.backend == option.backend
    return replace(
        state,
        choice=option,
        chosen_by_person=True,
        test=state.test if fresh else None,
        download=state.download if same == option else None,
    )


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


def is_ready(state: FlowState) -> bool:
    """Whether the choice can answer at once, so that nothing has to be installed or entered."""
    if state.choice is None:
        return False
    if state.choice.backend in ("guide", "stub"):
        return True
    if state.choice.backend == "openrouter":
        return state.key_stored
    server = chosen_server(state)
    return server is not None and server.status is ServerStatus.AVAILABLE and bool(server.chat_models)


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
    following = {
        Page.FOUND: Page.TEST if is_ready(state) and not _lacks_model(state) else Page.DO,
        Page.DO: Page.TEST,
        Page.TEST: Page.DONE,
        Page.DONE: Page.DONE,
    }[state.page]
    if following is state.page:
        return state
    return replace(state, page=following, came_from=(*state.came_from, state.page))


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
    if state.choice.backend == "guide":
        return SetupResult(None)
    return SetupResult(state.choice.backend, state.choice.model, state.choice.reach)


def _title(backend: str, model: str | None) -> str:
    name = IDENTITIES[backend].name
    return f"{model_title(model)} on {name}" if model else name
