"""llama-server's replay buffer: an answer whose connection was cut goes on where it stopped.

A request with the header `X-Conversation-Id` (https://github.com/ggml-org/llama.cpp/pull/23226) is generated
to its end whether or not anybody reads; `GET /v1/stream?conv_id=...&from=N` gives its bytes from the Nth on,
and `DELETE` stops it. Since closing the connection no longer stops the server then, every early end has to be
told, and a request that was cancelled before the server had read it may still begin. That is acceptable for a
process of our own, which ends with us; for a server of somebody else it is an option.
"""

import secrets
from collections.abc import Mapping
from urllib.parse import urlencode

LOOKUP: Mapping[str, object] = {"conversation_ids": []}
"""What is posted to `lookup_url`: a question about no answer at all."""

_HEADER = "x-conversation-id"


def headers() -> Mapping[str, str]:
    """What makes one request resumable. Offsets count bytes, so the answer must not be compressed."""
    return {_HEADER: secrets.token_hex(16), "accept-encoding": "identity"}


def conversation_of(headers: Mapping[str, str]) -> str | None:
    """The id that a request was made resumable with."""
    return headers.get(_HEADER)


def lookup_url(api_base: str) -> str:
    """Answers 200 to a POST where there is a replay buffer."""
    return f"{api_base}/streams/lookup"


def stream_url(api_base: str, conversation: str, start: int | None = None) -> str:
    """The rest of an answer from a byte on (GET); without one, what stops it (DELETE)."""
    query = {"conv_id": conversation} | ({} if start is None else {"from": str(start)})
    return f"{api_base}/stream?{urlencode(query)}"
