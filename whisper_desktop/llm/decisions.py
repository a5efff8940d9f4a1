"""What the chain does about a failure: pure rules, the same for every backend.

- What would fail everywhere, or was declined, stops the chain and is told. It is not passed on to another
  server: a message that one provider declined goes to another one only by the person's own decision.
- A conversation that is too long goes on only to a backend whose context window is known to be larger.
- A server that loads its model is not dead. While somebody later in the chain could answer it gets a short
  grace, else it is waited for.
- One empty answer may be bad luck; a second one is told.
- Everything else moves on at once. Only the last step gets one second try, and only where that can help.
- After output was handed out, the person's choice decides: begin anew elsewhere, go on elsewhere, or stop.
  A function that a model has called may already have been carried out, so nothing begins anew after it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum
from urllib.parse import urlsplit

from whisper_desktop.language import listed, mark, tr
from whisper_desktop.values import (
    IDENTITIES,
    Attempt,
    Deadlines,
    ErrorKind,
    GenerationConfig,
    Message,
    OnInterruption,
    Reach,
)


class Action(Enum):
    """What happens next."""

    MOVE_ON = "move on"
    MOVE_ON_TO_LARGER = "move on to a larger context"
    WAIT = "wait"
    RETRY = "retry"
    STOP = "stop"


@dataclass(frozen=True, slots=True)
class Position:
    """Where the chain stands when a try of a step fails. `waited` is how long this step has been loading,
    `empty_before` whether another step gave an empty answer, `batch` whether nobody waits at a screen.
    """

    later_step: bool
    retried: bool = False
    waited: float = 0.0
    empty_before: bool = False
    batch: bool = False


@dataclass(frozen=True, slots=True)
class Decision:
    """An action, and for waiting and retrying the seconds until then."""

    action: Action
    pause: float = 0.0


_STOPPING = frozenset({ErrorKind.BAD_REQUEST, ErrorKind.CONTENT_FILTER, ErrorKind.CANCELLED})
_WORTH_A_SECOND_TRY = frozenset(
    {
        ErrorKind.SERVER_ERROR,
        ErrorKind.OVERLOADED,
        ErrorKind.RATE_LIMITED,
        ErrorKind.CLOSED_EARLY,
    }
)


def decide(
    kind: ErrorKind, position: Position, deadlines: Deadlines, retry_after: float | None = None
) -> Decision:
    """What to do about one failure before any output."""
    if kind in _STOPPING or (kind is ErrorKind.EMPTY and position.empty_before):
        return Decision(Action.STOP)
    if kind is ErrorKind.CONTEXT_OVERFLOW:
        return Decision(Action.MOVE_ON_TO_LARGER)
    if kind is ErrorKind.LOADING:
        patience = deadlines.loading_move_on if position.later_step else deadlines.loading_wait
        wait = position.waited < patience
        return Decision(Action.WAIT, deadlines.loading_poll) if wait else Decision(Action.MOVE_ON)
    if kind in _WORTH_A_SECOND_TRY and not position.later_step and not position.retried:
        pause = deadlines.retry_pause if retry_after is None else retry_after
        if pause <= longest_wait(deadlines, batch=position.batch):
            return Decision(Action.RETRY, pause)
    return Decision(Action.MOVE_ON)


def longest_wait(deadlines: Deadlines, *, batch: bool) -> float:
    """For how many seconds, at most, a server is waited for that wants to be left alone."""
    return deadlines.retry_after_most_batch if batch else deadlines.retry_after_most


def after_interruption(
    wish: OnInterruption, *, kind: ErrorKind, tool_called: bool, plain_text: bool
) -> OnInterruption:
    """What is done with an answer that broke off. What one provider withholds half way is not passed on."""
    if tool_called or kind in (ErrorKind.CONTENT_FILTER, ErrorKind.CANCELLED):
        return OnInterruption.STOP
    if wish is OnInterruption.CONTINUE and not plain_text:
        return OnInterruption.RESTART
    return wish


def may_ask(reach: Reach | None, allowed: Reach) -> bool:
    """Whether a backend may get the prompt. One that nobody can place counts as the cloud."""
    return allowed.allows(Reach.CLOUD if reach is None else reach)


def needs_of(messages: Sequence[Message], config: GenerationConfig) -> frozenset[str]:
    """The capabilities that a question needs beside completion."""
    needs = set()
    if config.tools:
        needs.add("tools")
    if config.json_schema is not None:
        needs.add("json_schema")
    if any(message.images for message in messages):
        needs.add("vision")
    return frozenset(needs)


def may_hedge(*, reach: Reach, ready: bool | None, paid: bool, paid_allowed: bool) -> bool:
    """Whether a backend may be asked side by side with one that is slow: only where that loads no second
    model onto this computer, and costs money only with consent.
    """
    if paid or reach is Reach.CLOUD:
        return paid_allowed
    return reach is not Reach.THIS_MACHINE or ready is True


_MOST_ACTIONABLE_FIRST = (
    ErrorKind.AUTH,
    ErrorKind.QUOTA,
    ErrorKind.BUDGET,
    ErrorKind.TOTAL_TIMEOUT,
    ErrorKind.CONTEXT_OVERFLOW,
    ErrorKind.MODEL_MISSING,
    ErrorKind.LOADING,
    ErrorKind.CONSENT_REQUIRED,
    ErrorKind.ENGINE,
    ErrorKind.RATE_LIMITED,
    ErrorKind.OVERLOADED,
    ErrorKind.QUEUE_FULL,
    ErrorKind.UNSUPPORTED,
    ErrorKind.NOT_AN_LLM,
    ErrorKind.TLS,
    ErrorKind.NAME_NOT_FOUND,
    ErrorKind.OFFLINE,
    ErrorKind.CONNECT_REFUSED,
    ErrorKind.NOT_CONFIGURED,
    ErrorKind.CANCELLED,
)


def most_actionable(attempts: Sequence[Attempt]) -> int:
    """The index of the failure that a person can do most about; the first one among equals."""

    def rank(index: int) -> int:
        kind = attempts[index].kind
        place = _MOST_ACTIONABLE_FIRST
        return place.index(kind) if kind in place else place.index(ErrorKind.TLS)

    return min(range(len(attempts)), key=rank)


def told_apart(attempts: Sequence[Attempt]) -> tuple[Attempt, ...]:
    """The attempts, with their address in the name where two servers have the same one."""
    urls: dict[str, set[str]] = {}
    for attempt in attempts:
        urls.setdefault(attempt.server_name, set()).add(attempt.url)
    return tuple(
        replace(attempt, server_name=f"{attempt.server_name} at {urlsplit(attempt.url).netloc}")
        if len(urls[attempt.server_name]) > 1 and attempt.url
        else attempt
        for attempt in attempts
    )


_NO_FAILOVER = frozenset(
    {
        ErrorKind.NOT_CONFIGURED,
        ErrorKind.CONSENT_REQUIRED,
        ErrorKind.BUDGET,
        ErrorKind.UNSUPPORTED,
        ErrorKind.CONTEXT_OVERFLOW,
    }
)


def is_failover(failed: Sequence[Attempt], answered: str) -> bool:
    """Whether somebody answered in place of another one with whom something was wrong."""
    return any(each.kind not in _NO_FAILOVER for each in failed if each.server_name != answered)


_DID = {
    ErrorKind.LOADING: mark("{who} was still loading its model"),
    ErrorKind.AUTH: mark("{who} refused access"),
    ErrorKind.QUOTA: mark("{who} has reached its limit"),
    ErrorKind.BUDGET: mark("{who} would cost more than is allowed"),
    ErrorKind.NOT_CONFIGURED: mark("{who} is not set up"),
    ErrorKind.CONSENT_REQUIRED: mark("{who} was not allowed"),
    ErrorKind.MODEL_MISSING: mark("{who} does not have the model"),
    ErrorKind.OVERLOADED: mark("{who} was busy"),
    ErrorKind.QUEUE_FULL: mark("{who} was busy"),
    ErrorKind.RATE_LIMITED: mark("{who} asked to slow down"),
    ErrorKind.SERVER_ERROR: mark("{who} failed"),
    ErrorKind.EMPTY: mark("{who} gave an empty answer"),
    ErrorKind.ENGINE: mark("{who} could not start"),
    ErrorKind.CONTEXT_OVERFLOW: mark("{who} has too small a context window"),
    ErrorKind.UNSUPPORTED: mark("{who} cannot do what was asked"),
    ErrorKind.STREAM_CUT: mark("{who} broke off"),
    ErrorKind.TRUNCATED: mark("{who} broke off"),
    ErrorKind.STALLED: mark("{who} stopped in the middle"),
    ErrorKind.CANCELLED: mark("{who} was slower"),
    ErrorKind.CONTENT_FILTER: mark("{who} declined the message"),
    ErrorKind.BAD_REQUEST: mark("{who} did not accept the request"),
    ErrorKind.MALFORMED: mark("{who} sent something that cannot be read"),
    ErrorKind.TOO_LARGE: mark("{who} sent too much"),
    ErrorKind.TOTAL_TIMEOUT: mark("{who} took too long"),
}
_SILENT = mark("{who} did not answer")
# Only a service is sure to have a key, and to be paid.
_A_SERVICE_DID = _DID | {
    ErrorKind.AUTH: mark("{who} did not accept the key"),
    ErrorKind.QUOTA: mark("{who} has no credit left"),
}


def reason_for(answered: str, failed: Sequence[Attempt]) -> str:
    """Why this backend answered, as a sentence: "LM Studio did not answer, so Ollama did"."""
    if not failed:
        return tr("{answered} comes first", answered=answered)
    others = [attempt for attempt in failed if attempt.server_name != answered]
    if not others:
        return tr("{answered} answered at the second try", answered=answered)
    what = what_happened(others)
    if list(_who_did_what(others))[-1] == _SILENT:  # "did not answer", and so the other one did
        return tr("{what}, so {answered} did", what=what, answered=answered)
    return tr("{what}, so {answered} answered", what=what, answered=answered)


def what_happened(failed: Sequence[Attempt]) -> str:
    """What the failed attempts did, joined: "LM Studio and Ollama did not answer"."""
    return listed([tr(did).format(who=listed(who)) for did, who in _who_did_what(failed).items()])


def _who_did_what(failed: Sequence[Attempt]) -> dict[str, list[str]]:
    """The names, by what each of them did, in the order of trying."""
    names: dict[str, list[str]] = {}
    for attempt in failed:
        identity = IDENTITIES.get(attempt.backend)
        table = _A_SERVICE_DID if identity is not None and identity.root else _DID
        did = table.get(attempt.kind, _SILENT) if attempt.kind is not None else _SILENT
        who = names.setdefault(did, [])
        if attempt.server_name not in who:
            who.append(attempt.server_name)
    return names
