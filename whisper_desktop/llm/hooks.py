"""Guests that see every attempt: they may change what is sent, learn what came back, and fail alone.

A hook gets a copy of the request, so whatever it does to it, the next attempt begins with the original. It
may change the messages and the configuration, never who is asked or how far the prompt travels. It has
`Deadlines.hook` seconds; one that raises or takes longer is passed over, and after three failures in a row
it is off. What cannot be kept apart is a hook that blocks the thread: hooks share the loop of the answers.
"""

import asyncio
import logging
import traceback
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Protocol, TypeVar

from whisper_desktop.language import tr
from whisper_desktop.values import Completion, Deadlines, GenerationConfig, Message, Reach

T = TypeVar("T")

log = logging.getLogger(__name__)

_FAILURES_IN_A_ROW = 3


@dataclass(frozen=True, slots=True)
class HookRequest:
    """What one attempt is about to send, and to whom. `attempt` counts from 1."""

    attempt: int
    backend: str
    server_name: str
    model: str | None
    reach: Reach
    messages: tuple[Message, ...]
    config: GenerationConfig


class Hook(Protocol):
    """What a guest implements. Each call is about one attempt."""

    async def before(self, request: HookRequest) -> HookRequest | None:
        """Nothing is sent yet. What is returned is sent in its place; None changes nothing."""

    async def after(self, request: HookRequest, completion: Completion) -> None:
        """The answer is complete. `request` is what was sent."""

    async def cancelled(self, request: HookRequest) -> None:
        """The attempt ended without an answer: it failed, or nobody wants the answer any more."""


class HookRunner:
    """Runs the hooks, one after the other. It is false when there is none, so that nothing need be prepared.

    `warn` gets the sentence for the person when a hook is switched off.
    """

    def __init__(
        self, hooks: Sequence[Hook], deadlines: Deadlines, *, warn: Callable[[str], None] | None = None
    ) -> None:
        self._guests = tuple(_Guest(hook) for hook in hooks)
        self._deadlines = deadlines
        self._warn = warn
        self._running: set[asyncio.Task[object]] = set()

    def __bool__(self) -> bool:
        return bool(self._guests)

    async def before(self, request: HookRequest) -> HookRequest:
        """What is to be sent: each hook sees what the one before it made of the request."""
        for guest in self._guests:
            request = await self._run(guest, "before", _before, request) or request
        return request

    async def after(self, request: HookRequest, completion: Completion) -> None:
        """Tell the hooks that the answer is complete."""
        for guest in self._guests:
            await self._run(guest, "after", partial(_after, completion), request)

    async def cancelled(self, request: HookRequest) -> None:
        """Tell the hooks that there is no answer. The caller sees to it that they are told once."""
        for guest in self._guests:
            await self._run(guest, "cancelled", _cancelled, request)

    async def _run(self, guest: "_Guest", stage: str, call: "_Call[T]", request: HookRequest) -> T | None:
        """What the hook returned; None when it failed. It runs in a task of its own, so that it is clear
        whose cancellation is whose.
        """
        task = asyncio.create_task(_caught(call, guest.hook, request))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        try:
            await asyncio.wait({task}, timeout=self._deadlines.hook)
            late = not task.done()
        finally:
            if not task.done():
                task.cancel()
                await asyncio.wait({task}, timeout=self._deadlines.hook)
        if not task.done():
            self._failed(guest, stage, tr("does not let itself be cancelled"), for_good=True)
        elif late:
            self._failed(guest, stage, tr("took longer than {hook:g} s", hook=self._deadlines.hook))
        elif task.cancelled():
            self._failed(guest, stage, tr("cancelled itself"))
        elif isinstance(outcome := task.result(), _Failure):
            self._failed(guest, stage, outcome.how)
        else:
            guest.failures[stage] = 0
            return outcome
        return None

    def _failed(self, guest: "_Guest", stage: str, how: str, *, for_good: bool = False) -> None:
        guest.failures[stage] += 1
        log.info("The hook %s %s.", guest.name, how)
        if guest in self._guests and (for_good or guest.failures[stage] >= _FAILURES_IN_A_ROW):
            self._guests = tuple(other for other in self._guests if other is not guest)
            log.warning("The hook %s is off until the next start: it %s.", guest.name, how)
            if self._warn is not None:
                self._warn(
                    tr(
                        "The hook {guest_name} kept failing, so it is off until the next start.",
                        guest_name=guest.name,
                    )
                )


class _Guest:
    """A hook, and how often in a row each of its methods has failed."""

    __slots__ = ("failures", "hook", "name")

    def __init__(self, hook: Hook) -> None:
        self.hook = hook
        self.name = type(hook).__name__
        self.failures: Counter[str] = Counter()


@dataclass(frozen=True, slots=True)
class _Failure:
    """How a hook failed, without a word of what it was given."""

    how: str


_Call = Callable[[Hook, HookRequest], Awaitable[T]]


async def _caught(call: _Call[T], hook: Hook, request: HookRequest) -> T | _Failure:
    try:
        return await call(hook, request)
    except (Exception, SystemExit) as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        return _Failure(
            tr(
                "raised {name} in {path_name}, line {lineno}",
                name=type(error).__name__,
                path_name=Path(last.filename).name,
                lineno=last.lineno,
            )
        )


async def _before(hook: Hook, request: HookRequest) -> HookRequest:
    given = await hook.before(_copy(request))
    if given is None:
        return request
    messages = tuple(given.messages)
    if not messages or not all(isinstance(message, Message) for message in messages):
        raise TypeError("A hook must return a request with messages.")
    if not isinstance(given.config, GenerationConfig):
        raise TypeError("A hook must return a request with a configuration.")
    return _copy(replace(request, messages=messages, config=given.config))


async def _after(completion: Completion, hook: Hook, request: HookRequest) -> None:
    await hook.after(_copy(request), completion)


async def _cancelled(hook: Hook, request: HookRequest) -> None:
    await hook.cancelled(_copy(request))


def _copy(request: HookRequest) -> HookRequest:
    """A request that shares nothing with the first that can be changed."""
    config = request.config
    return replace(
        request,
        messages=tuple(replace(message) for message in request.messages),
        config=replace(
            config,
            tools=tuple(replace(tool, parameters=_own(tool.parameters)) for tool in config.tools),
            json_schema=None if config.json_schema is None else _own(config.json_schema),
            extra=_own(config.extra),
        ),
    )


def _own(value: Mapping[str, object]) -> dict[str, object]:
    return {key: _own_value(inner) for key, inner in value.items()}


def _own_value(value: object) -> object:
    if isinstance(value, Mapping):
        return _own(value)
    if isinstance(value, list | tuple):
        return [_own_value(inner) for inner in value]
    return value
