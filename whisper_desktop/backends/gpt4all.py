"""GPT4All: it rejects `stream: true`, and several other fields, instead of ignoring them."""

from typing import ClassVar

from whisper_desktop.backends.openai_compatible import Json, OpenAICompatibleBackend
from whisper_desktop.backends.request import Question

_REJECTED = frozenset({"seed", "stop"})


class GPT4AllBackend(OpenAICompatibleBackend):
    """GPT4All's server: the answer comes in one piece."""

    streams: ClassVar[bool] = False
    capabilities = frozenset({"completion"})

    def _body(self, question: Question, model: str | None) -> Json:
        body = super()._body(question, model)
        return {name: value for name, value in body.items() if name not in _REJECTED}
