"""A server that speaks like GPT4All's local API.

The traps: with `--disabled` it listens and every route is an empty 401; `stream: true` and several other
fields are refused; it listens on 127.0.0.1 only.
"""

import argparse

from tests.servers.http_wire import Request
from tests.servers.openai_server import OpenAIServer
from tests.servers.reactions import Reaction, Response, json_response
from tests.servers.serving import main

NOT_SUPPORTED = ("stream", "tools", "tool_choice", "logit_bias", "response_format", "seed", "stop")


def gpt4all_error(status: int, message: str, code: str | None = None) -> Response:
    """Its error object."""
    error = {"code": code, "message": message, "param": None, "type": "invalid_request_error"}
    return json_response({"error": error}, status)


class GPT4All(OpenAIServer):
    """See the module's docstring."""

    name = "gpt4all"
    owned_by = "humanity"

    @classmethod
    def add_options(cls, parser: argparse.ArgumentParser) -> None:
        """Whether the API is switched on in the app."""
        parser.add_argument("--disabled", action="store_true")

    def react(self, request: Request) -> Reaction:
        """Nothing at all while it is disabled."""
        if self.options.disabled:
            return Response(401, b"")
        if request.path == "/v1/models" and request.method != "GET":
            return gpt4all_error(405, "Only GET requests are accepted.", "method_not_supported")
        return super().react(request)

    def chat(self, request: Request) -> Reaction:
        """Refuses what it does not support."""
        body = request.fields()
        refused = next((name for name in NOT_SUPPORTED if body.get(name)), None)
        if refused:
            return gpt4all_error(400, f"'{refused}' is not supported")
        return super().chat(request)

    def missing(self, request: Request) -> Response:
        """Qt's empty 404."""
        return Response(404, b"")


SERVER = GPT4All

if __name__ == "__main__":
    main(GPT4All)
