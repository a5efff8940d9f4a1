"""One step of the chain, tried until it begins to answer or is given up: waits and second tries included."""

import time
from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import Protocol

from whisper_desktop.backends.base import Backend
from whisper_desktop.errors import BackendError, ReachError
from whisper_desktop.llm.attempt import Attempting, LeftOut
from whisper_desktop.llm.decisions import Action, Decision
from whisper_desktop.llm.failures import Failure
from whisper_desktop.llm.health import Shut
from whisper_desktop.llm.hooks import HookRequest
from whisper_desktop.values import AttemptFailed, ErrorKind, Phase, Progress, StreamEvent


class Run(Protocol):
    """What an opening needs of the question that it is for."""

    def attempting(self, backend: Backend, *, alone: bool, hooked: HookRequest | None) -> Attempting:
        """The next try of a backend."""
        ...

    def decide(self, failure: Failure, *, waited: float, retried: bool) -> Decision:
        """What to do about a failure before any output."""
        ...

    def failed(self, backend: Backend, failure: Failure, seconds: float, action: Action) -> AttemptFailed:
        """Record a failed try. Raises what ends the whole chain."""
        ...

    def left_out(self, backend: Backend, shut: Shut, *, alone: bool) -> AttemptFailed:
        """Record a step whose breaker opened while it waited, or that wants to be left alone."""
        ...

    def wait_for(self, shut: Shut) -> float | None:
        """Seconds until a server may be asked again, where that is worth waiting for."""
        ...

    async def pause(self, seconds: float) -> None:
        """Wait, as long as the caller's time lasts."""
        ...

    async def given_up(self, hooked: HookRequest) -> None:
        """Tell the hooks that what they saw begin is not tried again."""
        ...


class Opening:
    """Use `events` once; `won` is then the attempt that answers, if it does. `loading` says that it was given
    up because its model was still being loaded. `alone`: it is asked although it failed a moment ago.
    `waits` lets it wait for its model here; else it has one try.
    """

    def __init__(self, run: Run, backend: Backend, *, alone: bool, waits: bool = True) -> None:
        self.backend = backend
        self.won: Attempting | None = None
        self.loading = False
        self._run = run
        self._alone = alone
        self._waits = waits
        self._began = time.monotonic()
        self._trying: Attempting | None = None
        self._hooked: HookRequest | None = None

    @property
    def seconds(self) -> float:
        """How long the present try has lasted, waiting for its model included."""
        return time.monotonic() - self._began

    def overtaken(self) -> bool:
        """Another one began to answer first; whether this one was still trying."""
        if self._trying is not None:
            self._trying.overtaken()
        return self._trying is not None or self.won is not None

    async def close(self) -> None:
        """Let go of an answer that has begun and is not wanted: another one began first."""
        if self.won is not None:
            await self.won.close()

    async def events(self) -> AsyncGenerator[StreamEvent, None]:
        """What happens until the first output. Raises what stops the whole chain."""
        retried = False
        try:
            while True:
                alone = self._alone or retried
                attempt = self._trying = self._run.attempting(self.backend, alone=alone, hooked=self._hooked)
                self._hooked, again = None, False
                try:
                    if (queued := attempt.queued) is not None:
                        yield self._told(queued)
                    await attempt.open()
                    while not attempt.held:
                        for event in await attempt.wait():
                            yield self._told(event)
                    self.won = attempt
                    return
                except LeftOut as left_out:
                    pause = self._run.wait_for(left_out.shut) if self._alone else None
                    if pause is None:
                        yield self._run.left_out(self.backend, left_out.shut, alone=self._alone)
                        return
                    decision = Decision(Action.WAIT, pause)
                except (BackendError, ReachError) as error:
                    failure = error
                    attempt.failed(error)
                    decision = self._run.decide(error, waited=self.seconds, retried=retried)
                    self.loading = error.kind is ErrorKind.LOADING
                    again = self.loading and self._waits and decision.action is Action.WAIT
                finally:
                    self._trying = None
                    if self.won is None:
                        self._hooked = await attempt.close(again=again)
                if self.loading and not self._waits:
                    return
                if decision.action is Action.WAIT:
                    yield self._told(Progress(Phase.LOADING))
                    await self._run.pause(decision.pause)
                    continue
                yield self._run.failed(self.backend, failure, self.seconds, decision.action)
                if decision.action is not Action.RETRY:
                    return
                await self._run.pause(decision.pause)
                retried, self._began = True, time.monotonic()
        finally:
            if self._hooked is not None:
                hooked, self._hooked = self._hooked, None
                await self._run.given_up(hooked)

    def _told(self, event: Progress) -> Progress:
        return replace(event, server_name=self.backend.name)
