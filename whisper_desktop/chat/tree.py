"""The messages of a conversation as a tree: paths, siblings, what hangs below, and what a damaged file left.

The index of children is made once and then kept up to date, so that nothing here walks over all messages but
`mended`, and `below` over those it returns.
"""

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from whisper_desktop.chat.records import Node


class Tree:
    """Messages by id, in order of creation, and what follows each. Every parent is there, and none is below
    itself: `mended` sees to it before nodes that come from a file are handed in.
    """

    def __init__(self, nodes: Iterable[Node] = ()) -> None:
        self._nodes: dict[str, Node] = {}
        self._children: dict[str | None, list[str]] = {None: []}
        self._place: dict[str, int] = {}
        self._added = 0
        for node in nodes:
            self.put(node)

    @property
    def nodes(self) -> Mapping[str, Node]:
        """Every message by its id, in order of creation."""
        return self._nodes

    def __len__(self) -> int:
        return len(self._nodes)

    def __contains__(self, node_id: str) -> bool:
        return node_id in self._nodes

    def __getitem__(self, node_id: str) -> Node:
        return self._nodes[node_id]

    def put(self, node: Node) -> None:
        """Add a message as the newest, or put a newer value in the place of one; its parent stays."""
        if node.id not in self._nodes:
            self._children[node.parent].append(node.id)  # KeyError: a parent that is not there
            self._children[node.id] = []
            self._place[node.id] = self._added
            self._added += 1
        self._nodes[node.id] = node

    def children(self, node_id: str | None) -> tuple[str, ...]:
        """What follows a message (None: the first messages), oldest first. Raises `KeyError`."""
        return tuple(self._children[node_id])

    def siblings(self, node_id: str) -> tuple[str, ...]:
        """A message and those in its place, oldest first. Raises `KeyError`."""
        return self.children(self._nodes[node_id].parent)

    def path_to(self, node_id: str | None) -> tuple[str, ...]:
        """The way from the first message down to this one; none for None. Raises `KeyError`."""
        path: list[str] = []
        while node_id is not None:
            path.append(node_id)
            node_id = self._nodes[node_id].parent
        return tuple(reversed(path))

    def below(self, node_id: str) -> Iterator[str]:
        """A message and everything below it, each after its parent. Raises `KeyError`."""
        if node_id not in self._nodes:
            raise KeyError(node_id)
        waiting = [node_id]
        while waiting:
            current = waiting.pop()
            yield current
            waiting += self._children[current]

    def newest_below(self, node_id: str) -> str:
        """The newest of the messages below this one that nothing follows; itself where nothing does."""
        leaves = (each for each in self.below(node_id) if not self._children[each])
        return max(leaves, key=self._place.__getitem__)

    def newest(self) -> str | None:
        """The newest message that nothing follows; None in an empty conversation."""
        return max(self._nodes, key=self._place.__getitem__, default=None)

    def remove(self, node_id: str) -> tuple[str, ...]:
        """Remove a message and everything below it; returns their ids. Raises `KeyError`."""
        gone = tuple(self.below(node_id))
        self._children[self._nodes[node_id].parent].remove(node_id)
        for each in gone:
            del self._nodes[each], self._children[each], self._place[each]
        return gone


def new_id() -> str:
    """An id that nothing else has: 128 random bits."""
    return os.urandom(16).hex()


def mended(nodes: Iterable[Node]) -> tuple[Node, ...]:
    """Nodes that form a tree, each after its parent.

    One whose parent is missing, or that is below itself, becomes a first message: nothing is lost. Of an id
    that comes twice the last value counts.
    """
    by_id = {node.id: node for node in nodes}
    settled: set[str] = set()
    ordered: list[Node] = []
    for start in by_id:
        way: list[str] = []
        on_way: set[str] = set()
        current: str | None = start
        while current is not None and current not in settled:
            way.append(current)
            on_way.add(current)
            parent = by_id[current].parent
            if parent is not None and (parent not in by_id or parent in on_way):
                by_id[current] = replace(by_id[current], parent=None)
                parent = None
            current = parent
        settled |= on_way
        ordered += (by_id[each] for each in reversed(way))
    return tuple(ordered)
