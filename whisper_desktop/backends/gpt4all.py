"""GPT4All: it rejects `stream: true`, and several other fields, instead of ignoring them."""

from collections.abc import Sequence
from typing import ClassVar

from whisper_desktop.backends.openai_compatible import OpenAICompatibleBackend
from whisper_desktop.values import GenerationConfig, Message
from whisper_desktop.wire.openai import encode_chat

_REJECTED = ("seed", "stop")


class GPT4AllBackend(OpenAICompatibleBackend):
    """GPT4All's server: the answer comes in one piece."""

    streams: ClassVar[bool] = False
    capabilities = frozenset({"completion"})

    def _body(self, messages: Sequence[Message], config: GenerationConfig, model: str | None) -> object:
        body = encode_chat(messages, config, model, stream=False)
        return {name: value for name, value in body.items() if name not in _REJECTED}
