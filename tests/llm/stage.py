"""What a test that stops answers needs: servers, a client whose attempts are witnessed, and what has to be as
before when it is over.
"""

from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace

from tests.llm.conftest import QUICK, MakeStep
from tests.llm.held import HoldingServer, Witness, client_tasks, until
from tests.llm.promises import Asking
from tests.servers.fixtures import ServerFactory
from tests.servers.launch import RunningServer
from whisper_desktop.backends import Backend
from whisper_desktop.llm import LLMClient, Shared
from whisper_desktop.wire.http import Http

# What a test stops is not over by itself before.
TIMES = replace(QUICK, loading_poll=60, retry_pause=60, retry_after_most=60, drain=60, hedge=0.05)


@dataclass
class Stage:
    """What a chain is made of."""

    servers: ServerFactory
    step: MakeStep
    asking: Asking
    http: Http
    dead: Backend
    stack: AsyncExitStack
    witness: Witness = field(default_factory=Witness)

    def client(self, *steps: Backend, at_once: int = 10, hedge: float = TIMES.hedge) -> LLMClient:
        """A client whose attempts are witnessed."""
        shared = Shared(replace(TIMES, hedge=hedge), at_once=at_once, hooks=[self.witness])
        return self.asking.client(*steps, shared=shared, reach="my_network")


def counters(client: LLMClient, http: Http) -> tuple[object, ...]:
    """What has to be as before."""
    limiter = client.shared.limiter
    return (
        limiter.active,
        limiter.waiting,
        len(client.shared.metrics.active()),
        http.under_way,
        client_tasks(),
    )


async def closed_at(server: RunningServer | HoldingServer, number: int) -> float:
    """When a server saw the so many-th client leave."""
    if isinstance(server, HoldingServer):
        return await server.closed_at()
    await until(lambda: len(server.log("disconnect")) >= number)
    return float(server.log("disconnect")[number - 1]["time"])
