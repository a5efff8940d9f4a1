"""The same questions, asked through each of the libraries that the benchmarks compare."""

import json
from contextlib import AsyncExitStack
from typing import Any

import aiohttp
import httpx

from tests.benchmarks._measure import Do
from whisper_desktop.backends import create_backend
from whisper_desktop.backends.base import Backend
from whisper_desktop.llm import LLMClient
from whisper_desktop.values import Deadlines, Message, Reach, Role, TextDelta
from whisper_desktop.wire.guarded_transport import GuardedTransport
from whisper_desktop.wire.http import Http

QUESTION = "Hello"
MESSAGES = [{"role": "user", "content": QUESTION}]


def body(model: str, *, stream: bool) -> dict[str, object]:
    """What the plain HTTP libraries send."""
    return {"model": model, "messages": MESSAGES, "stream": stream}


def backend(http: Http, api_base: str, model: str = "m", deadlines: Deadlines | None = None) -> Backend:
    """A backend for an address, as the door for scripts makes it."""
    config = {"backend": "openai_compatible", "url": api_base, "model": model, "reach": "this_machine"}
    return create_backend(config, http=http, deadlines=deadlines)


class Requests:
    """One short answer each, not streamed by those that can choose."""

    def __init__(self, stack: AsyncExitStack, api_base: str) -> None:
        self._stack = stack
        self._api_base = api_base
        self._url = f"{api_base}/chat/completions"

    async def httpx(self, library: Any = httpx) -> Do:
        """Plain httpx, or httpx2, which has the same names."""
        client = await self._stack.enter_async_context(library.AsyncClient(trust_env=False))

        async def do() -> object:
            response = await client.post(self._url, json=body("m", stream=False))
            return response.json()["choices"][0]["message"]["content"]

        return do

    async def aiohttp(self) -> Do:
        """aiohttp without a limit of connections."""
        connector = aiohttp.TCPConnector(limit=0)
        session = await self._stack.enter_async_context(aiohttp.ClientSession(connector=connector))

        async def do() -> object:
            async with session.post(self._url, json=body("m", stream=False)) as response:
                return (await response.json())["choices"][0]["message"]["content"]

        return do

    async def openai(self, library: Any, *, over_ours: bool = False) -> Do:
        """OpenAI's own client, over its own connections or over ours."""
        client = await openai_client(self._stack, library, self._api_base, over_ours=over_ours)

        async def do() -> object:
            answer = await client.chat.completions.create(model="m", messages=MESSAGES)
            return answer.choices[0].message.content

        return do

    async def litellm(self, library: Any) -> Do:
        """LiteLLM's router with one deployment."""
        router = litellm_router(library, self._api_base)

        async def do() -> object:
            return (await router.acompletion(model="m", messages=MESSAGES)).choices[0].message.content

        return do

    async def http(self) -> Do:
        """Our transport alone."""
        http = own_http(self._stack)

        async def do() -> object:
            asked = body("m", stream=False)
            reply = await http.request("POST", self._url, allowed=Reach.THIS_MACHINE, json=asked)
            value: Any = reply.json()
            return value["choices"][0]["message"]["content"]

        return do

    async def chain(self) -> Do:
        """The whole of ours, through the door for scripts."""
        client = await self._stack.enter_async_context(LLMClient([self._api_base], model="m"))

        async def do() -> object:
            return (await client.chat_completion(QUESTION)).text

        return do


class Streams:
    """An answer of `count` chunks each, every one of them looked at."""

    def __init__(self, stack: AsyncExitStack, api_base: str, model: str) -> None:
        self._stack = stack
        self._api_base = api_base
        self._url = f"{api_base}/chat/completions"
        self._model = model

    async def httpx(self, library: Any = httpx) -> Do:
        """`aiter_lines` and `json.loads`, as most programs do it."""
        client = await self._stack.enter_async_context(library.AsyncClient(trust_env=False))

        async def do() -> int:
            count = 0
            async with client.stream("POST", self._url, json=body(self._model, stream=True)) as response:
                async for line in response.aiter_lines():
                    if line.startswith("data: ") and line != "data: [DONE]":
                        count += bool(json.loads(line[6:])["choices"][0]["delta"].get("content"))
            return count

        return do

    async def openai(self, library: Any, *, over_ours: bool = False) -> Do:
        """OpenAI's own client, over its own connections or over ours."""
        client = await openai_client(self._stack, library, self._api_base, over_ours=over_ours)

        async def do() -> int:
            count = 0
            stream = await client.chat.completions.create(model=self._model, messages=MESSAGES, stream=True)
            async for chunk in stream:
                count += bool(chunk.choices and chunk.choices[0].delta.content)
            return count

        return do

    async def litellm(self, library: Any) -> Do:
        """LiteLLM's router with one deployment."""
        router = litellm_router(library, self._api_base, model=self._model)

        async def do() -> int:
            count = 0
            async for chunk in await router.acompletion(model="m", messages=MESSAGES, stream=True):
                count += bool(chunk.choices and chunk.choices[0].delta.content)
            return count

        return do

    async def bytes(self) -> Do:
        """Our transport alone: the bytes, not decoded."""
        http = own_http(self._stack)

        async def do() -> int:
            asked = body(self._model, stream=True)
            async with http.stream("POST", self._url, allowed=Reach.THIS_MACHINE, json=asked) as reply:
                found = 0
                while piece := await reply.next_piece():
                    found += piece.count(b'"content":" ')
                return found

        return do

    async def backend(self) -> Do:
        """Our backend: batches of events."""
        asked = [Message(Role.USER, QUESTION)]
        step = backend(own_http(self._stack), self._api_base, self._model)

        async def do() -> int:
            return sum(
                [type(event) is TextDelta async for batch in step.stream_batches(asked) for event in batch]
            )

        return do

    async def chain(self) -> Do:
        """The whole of ours, through the door for scripts: one event after the other."""
        client = await self._stack.enter_async_context(LLMClient([self._api_base], model=self._model))

        async def do() -> int:
            async with client.stream(QUESTION) as events:
                return sum([bool(event.text) async for event in events])

        return do


async def openai_client(stack: AsyncExitStack, library: Any, api_base: str, *, over_ours: bool) -> Any:
    """OpenAI's own client, closed with the stack."""
    client = None
    if over_ours:
        transport = GuardedTransport(own_http(stack), allowed=Reach.THIS_MACHINE)
        client = httpx.AsyncClient(transport=transport)
    return await stack.enter_async_context(
        library.AsyncOpenAI(base_url=api_base, api_key="none", max_retries=0, http_client=client)
    )


def own_http(stack: AsyncExitStack) -> Http:
    """Our transport, closed with the stack."""
    http = Http()
    stack.push_async_callback(http.aclose)
    return http


def litellm_router(library: Any, *api_bases: str, model: str = "m") -> Any:
    """A router whose group "m" has one deployment; further addresses are groups that it falls back to."""
    names = ["m", *(f"m{number}" for number in range(1, len(api_bases)))]
    deployments = [
        {
            "model_name": name,
            "litellm_params": {"model": f"openai/{model}", "api_base": api_base, "api_key": "none"},
        }
        for name, api_base in zip(names, api_bases, strict=True)
    ]
    library.suppress_debug_info = True
    return library.Router(model_list=deployments, fallbacks=[{"m": names[1:]}] if names[1:] else [])
