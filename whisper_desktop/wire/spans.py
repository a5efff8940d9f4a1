"""Which bytes of a file are there, and who fetches which of the others. Pure: no I/O, no clock."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

LEAST = 4 * 2**20
MOST = 64 * 2**20
"""Bytes that one request asks for: enough that the way there and back does not count, and few enough that
what arrives stays together, so that its checksum is computed meanwhile."""

_FAR_SLOWER = 4
_LEAST_KEPT = 2**18


class Spans:
    """A set of bytes, as ranges from a first one to one behind the last."""

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []
        self.size = 0

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return zip(self._starts, self._ends, strict=True)

    @property
    def front(self) -> int:
        """How many bytes are there from the first one on without a gap."""
        return self._ends[0] if self._starts and self._starts[0] == 0 else 0

    @property
    def end(self) -> int:
        """Behind the last byte that is there."""
        return self._ends[-1] if self._ends else 0

    def add(self, start: int, end: int) -> None:
        """These are there now, too."""
        if start >= end:
            return
        first, last = bisect_left(self._ends, start), bisect_right(self._starts, end)
        if first < last:
            start, end = min(start, self._starts[first]), max(end, self._ends[last - 1])
        self._replace(first, last, [(start, end)])

    def remove(self, start: int, end: int) -> None:
        """These are not there any more."""
        first, last = bisect_right(self._ends, start), bisect_left(self._starts, end)
        if start >= end or first >= last:
            return
        left = (self._starts[first], start)
        right = (end, self._ends[last - 1])
        self._replace(first, last, [each for each in (left, right) if each[0] < each[1]])

    def overlaps(self, start: int, end: int) -> bool:
        """Whether any of these is there."""
        first = bisect_right(self._ends, start)
        return first < len(self._starts) and self._starts[first] < end

    def missing(self, end: int) -> Iterator[tuple[int, int]]:
        """The gaps before `end`."""
        begin = 0
        for start, stop in self:
            if start >= end:
                break
            if begin < start:
                yield begin, start
            begin = stop
        if begin < end:
            yield begin, end

    def _replace(self, first: int, last: int, ranges: list[tuple[int, int]]) -> None:
        before = sum(self._ends[first:last]) - sum(self._starts[first:last])
        self._starts[first:last] = [start for start, _ in ranges]
        self._ends[first:last] = [end for _, end in ranges]
        self.size += sum(end - start for start, end in ranges) - before


@dataclass(slots=True, eq=False)
class Span:
    """What one connection fetches: `position` moves from `start` to `end`, which others may take nearer.

    `end` is None where nobody knows how long the file is.
    """

    start: int
    end: int | None
    position: int = field(init=False)

    def __post_init__(self) -> None:
        self.position = self.start

    @property
    def left(self) -> int:
        """Bytes that are yet to come; none where the end is unknown."""
        return 0 if self.end is None else self.end - self.position


class Plan:
    """Hands out what is missing of `total` bytes (None unknown) to connections, from the front to the end.

    `lanes` is how many connections there are; with one, what is missing is asked for in one piece.
    """

    def __init__(self, have: Spans, total: int | None, lanes: int) -> None:
        self.total = total
        self.lanes = lanes
        self.taken: set[Span] = set()
        self.have = have

    def next(self) -> Span | None:
        """What to fetch next; None where everything is there or being fetched."""
        if self.total is None:
            span = None if self.taken else Span(self.have.front, None)
        else:
            span = self._next_gap(self.total)
        if span is not None:
            self.taken.add(span)
        return span

    def give_back(self, span: Span) -> None:
        """What has not arrived of it is missing again."""
        self.taken.discard(span)

    def first_end(self) -> int | None:
        """How far a request may go that began at the front and was given everything."""
        if self.total is None or self.lanes == 1:
            return self.total
        return min(self.total, self._length(self.total))

    def slowest(self, rates: Mapping[Span, float], own: float, patience: float) -> Span | None:
        """The span that a connection without work should help with, which brings `own` bytes a second itself.

        `rates` are those of the spans that are being fetched. It is the one that takes longest: more than
        `patience` seconds, on a connection that is far slower; equals would only disturb each other.
        """
        late = {span: span.left / max(rates[span], 1.0) for span in self.taken if span in rates}
        worst = max(late, key=lambda span: late[span], default=None)
        if worst is None or late[worst] <= patience or rates[worst] * _FAR_SLOWER >= own:
            return None
        return worst

    def split(self, span: Span, own: float, its: float) -> Span:
        """Take the later part of a span that is being fetched, by the two rates, or all of it."""
        assert span.end is not None
        kept = int(span.left * its / (own + its))
        middle = span.position + (kept if kept >= _LEAST_KEPT else 0)
        rest, span.end = Span(middle, span.end), middle
        self.taken.add(rest)
        return rest

    def _next_gap(self, total: int) -> Span | None:
        busy = Spans()
        for start, end in self.have:
            busy.add(start, end)
        for span in self.taken:
            busy.add(span.start, total if span.end is None else span.end)
        gap = next(busy.missing(total), None)
        if gap is None:
            return None
        start, end = gap
        length = self._length(total - busy.size)
        return Span(start, end if self.lanes == 1 or end - start <= length + LEAST // 4 else start + length)

    def _length(self, missing: int) -> int:
        return min(MOST, max(LEAST, missing // (2 * self.lanes)))
