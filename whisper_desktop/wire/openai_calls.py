"""Function calls of the OpenAI dialect, joined from their fragments as servers really send them. No I/O.

Fragments belong together by `index`. Servers without one send whole calls, or tell them apart by `id`; some
number every call 0; some repeat id and name in every fragment. Half a call must never be run, and none twice:
a call is handed out once, when its arguments are valid JSON and the next call or the end of the answer says
that no more of them can come.
"""

from collections.abc import Mapping
from dataclasses import replace

from whisper_desktop.language import tr
from whisper_desktop.values import BackendEvent, ToolCallDelta
from whisper_desktop.wire import fields
from whisper_desktop.wire.calls import arguments_text, made_id
from whisper_desktop.wire.decoding import MOST_CALLS, CallParts, broken_call
from whisper_desktop.wire.text import text_of


class CallJoiner:
    """Joins the calls of one answer. `answer_id` goes into the ids of calls that come without one."""

    def __init__(self, answer_id: object) -> None:
        self._answer_id = answer_id
        self._open: dict[int, CallParts] = {}
        self._handed_out: set[int] = set()
        self._ids: set[str] = set()
        self._current = 0
        self._number = 0
        self.grows = False
        """Whether the last fragment had a piece of arguments that is not their end."""

    def take(self, fragment: Mapping[str, object]) -> list[BackendEvent]:
        """One entry of `tool_calls`. Returns the calls that are complete because this one is the next.

        Raises `BackendError` MALFORMED for calls that cannot be put together, and beyond the bounds.
        """
        function = fields.table(fragment.get("function"))
        given_id, name = text_of(fragment.get("id")), text_of(function.get("name"))
        piece = _piece(function.get("arguments"))
        self.grows = bool(piece.strip()) and not piece.rstrip().endswith("}")
        index = fields.count(fragment.get("index"))
        self._current = at = self._current if index is None else index
        parts = self._open.get(at)
        if parts is not None and not _begins_another(parts, index, given_id, name, piece):
            if name and parts.name and name != parts.name:
                raise broken_call(tr("Two of them are mixed up."))
            parts.id, parts.name = parts.id or given_id, parts.name or name
            parts.add(piece)
            return []
        if at in self._handed_out and parts is None and not (name and piece):
            if piece:
                raise broken_call(tr("More of it came after it was complete."))
            return []
        return self._begin(at, given_id, name, piece)

    def finish(self) -> list[BackendEvent]:
        """The calls that are still open, because the answer is complete."""
        return [self._hand_out(at) for at in list(self._open)]

    def _begin(self, at: int, given_id: str, name: str, piece: str) -> list[BackendEvent]:
        events: list[BackendEvent] = []
        for earlier, parts in list(self._open.items()):
            # In their order, and the one in this place is over whatever it looks like.
            if not parts.complete and at not in self._open:
                break
            events.append(self._hand_out(earlier))
        self._number += 1
        if self._number > MOST_CALLS:
            raise broken_call(tr("An answer may have {most_calls} of them.", most_calls=MOST_CALLS))
        self._open[at] = CallParts(given_id, name)
        self._open[at].add(piece)
        return events

    def _hand_out(self, at: int) -> BackendEvent:
        call = self._open.pop(at).call()
        self._handed_out.add(at)
        if not call.id or call.id in self._ids:
            call = replace(call, id=made_id(self._answer_id, len(self._ids)))
        self._ids.add(call.id)
        return ToolCallDelta(call)


def _begins_another(parts: CallParts, index: int | None, given_id: str, name: str, piece: str) -> bool:
    """Whether a fragment that would belong to a call by its place is the first of another one."""
    if not name or not parts.name:
        return False
    if given_id and parts.id and given_id != parts.id:
        return True
    if index is None and not given_id:
        return True
    return (name != parts.name or piece.startswith("{")) and parts.complete


def _piece(arguments: object) -> str:
    """What a fragment adds: text, or, from servers that send whole calls, an object."""
    return arguments_text(arguments) if isinstance(arguments, dict) else text_of(arguments)
