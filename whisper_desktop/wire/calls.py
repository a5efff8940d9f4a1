"""What the dialects share about function calls: ids, and arguments as text or object. No I/O."""

import json
from dataclasses import replace
from hashlib import blake2s

from whisper_desktop.language import tr
from whisper_desktop.values import ToolCall, ToolCallDelta
from whisper_desktop.wire import fields
from whisper_desktop.wire.decoding import LARGEST_ARGUMENTS, MOST_CALLS, CallParts, broken_call
from whisper_desktop.wire.text import text_of


class WholeCalls:
    """Takes the calls of one answer in a dialect that sends each in one piece, arguments as an object."""

    def __init__(self) -> None:
        self.number = 0

    def take(
        self, name: object, arguments: object, *, id: object, answer_id: object, signature: object = None
    ) -> ToolCallDelta | None:
        """The call; None where it names no function. Without an id it gets one that is made from `answer_id`.

        Raises `BackendError` MALFORMED beyond the bounds.
        """
        function = fields.name(name)
        if function is None:
            return None
        if self.number == MOST_CALLS:
            raise broken_call(tr("There are more than {most_calls} of them.", most_calls=MOST_CALLS))
        parts = CallParts(fields.name(id) or made_id(answer_id, self.number), function)
        parts.add(arguments_text(arguments))
        self.number += 1
        kept = text_of(signature)
        return ToolCallDelta(replace(parts.call(), signature=kept if len(kept) <= LARGEST_ARGUMENTS else ""))


def arguments_text(arguments: object) -> str:
    """Arguments that came as an object, as JSON text. Raises `BackendError` MALFORMED for bottomless ones."""
    try:
        return text_of(json.dumps(fields.table(arguments), ensure_ascii=False, separators=(",", ":")))
    except RecursionError:
        raise broken_call(tr("Its arguments are nested too deep.")) from None


def arguments_of(call: ToolCall) -> dict[str, object]:
    """A call's arguments as an object. Text that is none (models write such) stands under "arguments"."""
    if not call.arguments.strip():
        return {}
    value = fields.parsed(call.arguments)
    return value if isinstance(value, dict) else {"arguments": call.arguments}


def made_id(*parts: object) -> str:
    """An id for a call without one: the same for the same parts, so that decoding stays a pure function."""
    seed = "\0".join(map(str, parts)).encode("utf-8", "replace")
    return f"call_{blake2s(seed, digest_size=9).hexdigest()}"
