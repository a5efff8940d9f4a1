"""What all test servers share: options, models, faults, log, and the order in which a request meets them."""

import argparse
import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import ClassVar

from tests.servers import faults
from tests.servers.answers import (
    Answer,
    ToolUse,
    compose,
    embedding_of,
    texts_to_embed,
    token_limit,
    twisted,
)
from tests.servers.asks import has_images, understand
from tests.servers.faults import Fault, FaultSwitch
from tests.servers.http_wire import Reply, Request, reset, serve_connection
from tests.servers.model_specs import ModelSpec, parse_models, read_models
from tests.servers.playing import play
from tests.servers.reactions import HTML_PAGE, Reaction, Response, json_response
from tests.servers.request_log import RequestLog

# Requests that generate; faults concern these unless they say otherwise.
INFERENCE = (
    "/chat/completions",
    "/completions",
    "/completion",
    "/api/chat",
    "/api/generate",
    "/api/v1/chat",
    "/api/v1/generate",
    "/messages",
    "/responses",
    "/embeddings",
    "/api/embed",
    ":generateContent",
    ":streamGenerateContent",
    ":embedContent",
    ":batchEmbedContents",
)

CONTEXT_EXAMPLE = (13055, 4096)  # tokens asked, tokens there: what a context fault names


class Service:
    """Something that serves connections.

    `outages` are the times in which the process does not listen: seconds up, then seconds down (None: for
    good). Whoever changes them sets `outages_changed`. Where `accepts` is false nobody is ever let in.
    """

    name: ClassVar[str]
    accepts = True

    def __init__(self, options: argparse.Namespace) -> None:
        self.log = RequestLog(options.log)
        self.writers: set[asyncio.StreamWriter] = set()
        self.outages: Iterator[tuple[float, float | None]] = iter(())
        self.outages_changed = asyncio.Event()

    @classmethod
    def add_options(cls, parser: argparse.ArgumentParser) -> None:
        """Adds the options that only this server has."""

    @classmethod
    def create(cls, options: argparse.Namespace) -> "Service":
        """The service for these options."""
        return cls(options)

    async def converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serves one connection to its end."""
        raise NotImplementedError

    def drop_connections(self) -> None:
        """Breaks every open connection, as a process that dies does."""
        for writer in self.writers:
            reset(writer)


class Server(Service):
    """A server that speaks HTTP and has models. Subclasses say how they react and how they refuse."""

    common_headers: ClassVar[Mapping[str, str]] = {}
    idle_s: ClassVar[float | None] = None
    default_version: ClassVar[str] = "1.0.0"
    default_models: ClassVar[str] = '["llama-3.2-3b-instruct"]'

    def __init__(self, options: argparse.Namespace) -> None:
        super().__init__(options)
        self.models: list[ModelSpec] = options.models
        self.key: str = options.auth
        self.version: str = options.version or self.default_version
        self.options = options
        self.faults = FaultSwitch(options.fault)
        self.outages = self.faults.outages()

    # --- what a subclass says -----------------------------------------------------------------------------

    def react(self, request: Request) -> Reaction:
        """The answer of a healthy server."""
        raise NotImplementedError

    def refuse(self, kind: str, request: Request, arg: str) -> Response:
        """The answer to one of the kinds of `IN_OWN_WORDS`, in this server's words."""
        raise NotImplementedError

    def loading(self, request: Request) -> Response | None:
        """What is said while a model loads; None where the request simply waits for it."""
        return None

    # --- what a subclass uses -----------------------------------------------------------------------------

    @property
    def is_loading(self) -> bool:
        """Whether a `loading` fault runs."""
        return any(fault.mode == "loading" and fault.seconds_left for fault in self.faults.faults)

    def find(self, model_id: object) -> ModelSpec | None:
        """The model with this id."""
        return next((model for model in self.models if model.id == model_id), None)

    def answer(
        self,
        request: Request,
        model: str,
        limits: Sequence[str] = ("max_completion_tokens", "max_tokens"),
        *,
        reasoning: bool = True,
        continues: bool = False,
        limit: int | None = None,
    ) -> Answer:
        """What this server has to say to a request, in no dialect yet.

        `limits` are the names of the request's limit on generated tokens; `limit` is one that was found
        elsewhere. `continues` is for servers where a last message of the assistant is continued.
        """
        body = request.fields()
        answer = compose(
            body,
            model=model,
            text=self.options.answer,
            tokens=self.options.tokens,
            reasoning=self.options.reasoning if reasoning else "",
            limit=token_limit(body, *limits) if limit is None else limit,
            tool_calls=self.options.tool_call,
            tool_text=self.options.tool_text,
            continues=continues,
        )
        answer = replace(answer, cached_tokens=min(self.options.cached_tokens, answer.prompt_tokens))
        return twisted(answer, request.twist)

    def embeddings(self, request: Request) -> list[list[float]]:
        """A vector for each text of the request's `input`."""
        body = request.fields()
        wanted = token_limit(body, "dimensions") or self.options.dimensions
        return [embedding_of(text, wanted) for text in texts_to_embed(body.get("input"))]

    # --- one request --------------------------------------------------------------------------------------

    async def converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serves HTTP requests until either side has had enough."""
        idle = self.options.keep_alive if self.options.keep_alive is not None else self.idle_s
        await serve_connection(reader, writer, self.handle, self.log.note, self.common_headers, idle)

    async def handle(self, request: Request, reply: Reply) -> None:
        """Answers one request: the tests' own paths first, then the faults, then the server itself."""
        if request.path.startswith("/__test__/"):
            await play(self._control(request), reply, None, 0)
            return
        self.log.note_request(request)
        chat = request.method == "POST" and request.path.endswith(INFERENCE)
        fault = self.faults.take(request.path, chat=chat)
        if fault and await self._fails(fault, request, reply, chat=chat):
            return
        request.twist = fault
        reaction = self.react(request)
        if chat and not _refuses(reaction) and (lacking := self._lacking(request)):
            reaction = self.refuse(lacking, request, "")
        if _refuses(reaction):
            fault = None  # a refusal is not an answer that could break half way
        if chat and self.options.first_token_delay:
            await asyncio.sleep(self.options.first_token_delay)
        await play(reaction, reply, fault, self.options.token_delay)
        if fault and fault.mode == "close_after":
            reply.cut_after(fault.number() / 1000)

    def _lacking(self, request: Request) -> str | None:
        """The kind of refusal for what this server was told not to support."""
        body = request.fields()
        if self.options.no_tools and body.get("tools"):
            return "tools_refused"
        if self.options.no_vision and has_images(body):
            return "vision_refused"
        if self.options.no_schema and understand(body).schema is not None:
            return "schema_refused"
        if self.options.no_prefill and understand(body).prefill is not None:
            return "prefill_refused"
        return None

    async def _fails(self, fault: Fault, request: Request, reply: Reply, *, chat: bool) -> bool:
        """Plays a fault that replaces the answer; False where the answer is still to be given."""
        if fault.mode == "slow_accept":
            await asyncio.sleep(fault.number())
            return False
        if fault.mode == "loading":
            response = self.loading(request)
            if response is None:
                await asyncio.sleep(fault.seconds_left if chat else 0)
                return False
        elif fault.mode in faults.IN_OWN_WORDS:
            response = self.refuse(fault.mode, request, fault.arg)
        elif fault.mode == "busy_for":
            response = self.refuse("busy_503", request, fault.variant)
        elif fault.mode == "gzip" and fault.arg:
            response = self.refuse(fault.arg, request, "")
        elif fault.mode == "html_200":
            response = Response(200, HTML_PAGE, {"Content-Type": "text/html; charset=utf-8"})
        elif fault.mode == "json_error_200":
            said = self.refuse("error_500", request, "")
            response = Response(200, said.body, said.headers)
        elif fault.mode == "redirect":
            response = Response(307, b"", {"Location": fault.arg or "/elsewhere"})
        elif fault.mode == "login_302":
            response = Response(302, b"", {"Location": "/login"})
        elif fault.mode == "hang":
            await reply.silence()
            return True
        elif fault.mode == "reset_before_headers":
            await reply.reset()
            return True
        elif fault.mode == "close_before_headers":
            reply.cut()
            return True
        else:
            return False
        await play(response, reply, fault if fault.mode == "gzip" else None, 0)
        return True

    def _control(self, request: Request) -> Response:
        """The paths that no real server has: look at the log, set faults, change the models."""
        try:
            if request.target == "/__test__/log":
                return json_response(self.log.events)
            if request.target == "/__test__/fault":
                self.faults = FaultSwitch(faults.from_json(request.json()))
                self.outages = self.faults.outages()
                self.outages_changed.set()
                return json_response({"faults": len(self.faults.faults)})
            if request.target == "/__test__/models":
                self.models = read_models(request.json())
                return json_response({"models": len(self.models)})
        except (ValueError, TypeError) as error:
            return json_response({"error": str(error)}, 400)
        return json_response({"error": "there are log, fault and models"}, 404)


def _refuses(reaction: Reaction) -> bool:
    return isinstance(reaction, Response) and reaction.status >= 400


def _tool_use(text: str) -> ToolUse:
    """NAME:ARGUMENTS."""
    name, colon, arguments = text.partition(":")
    if not name or not colon:
        raise ValueError("a tool call is NAME:JSON")
    return ToolUse(name, arguments)


def _telling(read: Callable[[str], object]) -> Callable[[str], object]:
    """A type for argparse whose ValueError reaches the person with its text."""

    def reading(text: str) -> object:
        try:
            return read(text)
        except (ValueError, TypeError) as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return reading


def common_options(server: type[Service], prog: str) -> argparse.ArgumentParser:
    """A parser with the options every server has, and the server's own."""
    parser = argparse.ArgumentParser(prog=prog, allow_abbrev=False)
    parser.add_argument("--port", type=int, default=0, help="0: any free one")
    parser.add_argument("--host", default="127.0.0.1", help="one address, or several with commas")
    parser.add_argument("--log", help="file that gets a JSON line for everything that happens")
    parser.add_argument("--delay-listen", type=float, default=0, metavar="S", help="refuse for S seconds")
    parser.add_argument("--stay", action="store_true", help="serve on when standard input ends")
    if issubclass(server, Server):
        parser.add_argument("--models", type=_telling(parse_models), default=server.default_models)
        parser.add_argument("--auth", default="", metavar="KEY", help="the key that is wanted")
        parser.add_argument("--version", default="")
        parser.add_argument("--answer", help="what it says (default: You said: ...)")
        parser.add_argument("--reasoning", default="", help="what it thinks before")
        parser.add_argument("--tokens", type=int, help="answer with so many words")
        parser.add_argument("--tool-call", type=_telling(_tool_use), action="append", default=[])
        parser.add_argument("--tool-text", action="store_true", help="says something before it calls")
        parser.add_argument("--tool-style", choices=("fragments", "whole"), default="", help="of a stream")
        parser.add_argument("--reasoning-field", default="", metavar="NAME", help="not the server's own one")
        parser.add_argument("--cached-tokens", type=int, default=0, metavar="N")
        parser.add_argument("--dimensions", type=int, default=8, metavar="N", help="of an embedding")
        parser.add_argument("--no-tools", action="store_true", help="refuses requests with tools")
        parser.add_argument("--no-vision", action="store_true", help="refuses requests with images")
        parser.add_argument("--no-schema", action="store_true", help="refuses requests for structured output")
        parser.add_argument("--no-prefill", action="store_true", help="refuses to continue an answer")
        parser.add_argument("--token-delay", type=float, default=0, metavar="S")
        parser.add_argument("--first-token-delay", type=float, default=0, metavar="S")
        parser.add_argument("--keep-alive", type=float, metavar="S", help="close idle connections after S")
        parser.add_argument("--fault", type=_telling(faults.parse), action="append", default=[])
    server.add_options(parser)
    return parser
