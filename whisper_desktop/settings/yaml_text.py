"""YAML text to values with line numbers, and one value changed in the text without touching the rest.

The text is somebody's file: its size, its number of nodes and its depth are bounded before anything is built,
and only plain values are built. No files here; `files` reads and writes them.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import yaml
from yaml.nodes import CollectionNode, MappingNode, Node, ScalarNode

from whisper_desktop.language import mark, tr
from whisper_desktop.settings.schema import SECTIONS, SETTINGS, KeyPath, canonical_path

MAX_CHARACTERS = 1_000_000
MAX_NODES = 20_000
MAX_DEPTH = 32

# libyaml's parser where PyYAML was built with it: it only checks the bounds here, and 1 MB takes it no time.
_FAST_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class YamlProblem(Exception):
    """The text as a whole cannot be used. `line` counts from 1, and is None where there is no one line."""

    def __init__(self, reason: str, line: int | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.line = line


@dataclass(frozen=True, slots=True)
class Entry:
    """One value of the file: its path as settings name it, its line, and why it is unreadable, if so."""

    path: KeyPath
    value: object
    line: int
    problem: str = ""


def read_entries(text: str) -> tuple[Entry, ...]:
    """All values in the order of the text. An entry stops at a declared setting; below that it is one value.

    A repeated key is there once for each time. Raises `YamlProblem` when the text is not one YAML mapping.
    """
    loader, root = _composed(text)
    if root is None:
        return ()
    return tuple(_entries(loader, root, ()))


def with_value(text: str, path: KeyPath, value: object) -> str:
    """The text with one value changed or added, and everything else (comments, order) as it was.

    Raises `YamlProblem` when the text cannot be read, or is written in a way in which no one place can be
    changed without touching others (an alias, an unusual layout): then the person has to do it.
    """
    before = read_entries(text)
    after_text = _Edit(text).placed(path, value)
    wanted = {entry.path: entry.value for entry in before if not _overlaps(entry.path, path)}
    after = {entry.path: entry.value for entry in read_entries(after_text)}
    path = canonical_path(path)
    if not _same(after, wanted | {path: value}):
        line = next((entry.line for entry in before if entry.path == path), None)
        raise YamlProblem(tr("This place is written in a way that the app cannot change without risk."), line)
    return after_text


def as_yaml(value: object) -> str:
    """The value on one line, as YAML."""
    text: str = yaml.safe_dump(
        value, default_flow_style=True, width=math.inf, allow_unicode=True, sort_keys=False
    )
    return text.removesuffix("...\n").strip()


def as_block(values: dict[str, object]) -> str:
    """A whole table as YAML lines, in its order."""
    text: str = yaml.safe_dump(values, allow_unicode=True, sort_keys=False)
    return text


def plain_value(text: str) -> object:
    """The value that the text would have in a file (`8080` is a number), or the text where it is no YAML."""
    try:
        _check_bounds(text)
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        _count(node, 0, [0])
        return loader.construct_document(node)
    except (YamlProblem, yaml.YAMLError, ValueError, OverflowError):
        return text


# --- Reading ----------------------------------------------------------------------------------------------


def _composed(text: str) -> tuple[yaml.SafeLoader, MappingNode | None]:
    if len(text) > MAX_CHARACTERS:
        raise YamlProblem(
            tr("It is larger than {max_characters} MB.", max_characters=MAX_CHARACTERS // 1000000)
        )
    try:
        _check_bounds(text)
        loader = yaml.SafeLoader(text)
        root = loader.get_single_node()
        if root is None or (isinstance(root, ScalarNode) and root.tag.endswith(":null")):
            return loader, None
        if not isinstance(root, MappingNode):
            raise YamlProblem(tr("It has no `name: value` lines."), root.start_mark.line + 1)
        _count(root, 0, [0])
        _merge(loader, root)
        return loader, root
    except yaml.reader.ReaderError:
        raise YamlProblem(tr("It has characters in it that no text file has.")) from None
    except yaml.MarkedYAMLError as error:
        reason, line = _said_by_yaml(error)
        if line is not None and _is_indented_by_tab(text, line):
            reason = tr("A tab is used where YAML wants spaces.")
        raise YamlProblem(reason, line) from None


def _check_bounds(text: str) -> None:
    """Counts nodes and depth in the stream of parser events, before any tree is built by recursion."""
    depth = nodes = 0
    for event in yaml.parse(text, Loader=_FAST_LOADER):
        if isinstance(event, yaml.NodeEvent):
            nodes += 1
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if nodes > MAX_NODES or depth > MAX_DEPTH:
            raise YamlProblem(tr(_TOO_MUCH))


_TOO_MUCH = mark("It holds far more, or far more deeply nested, than any settings do.")


def _count(node: Node, depth: int, counter: list[int]) -> None:
    """Counts nodes as often as aliases repeat them: a few lines can stand for billions of values."""
    counter[0] += 1
    if counter[0] > MAX_NODES or depth > MAX_DEPTH:
        raise YamlProblem(tr(_TOO_MUCH), node.start_mark.line + 1)
    if isinstance(node, ScalarNode):
        return
    for child in node.value:
        for part in child if isinstance(child, tuple) else (child,):
            _count(part, depth + 1, counter)


def _merge(loader: yaml.SafeLoader, node: Node) -> None:
    """Resolves `<<` merges in place, deepest last, as the constructor would."""
    if isinstance(node, MappingNode):
        loader.flatten_mapping(node)
        for _, value in node.value:
            _merge(loader, value)


def _entries(loader: yaml.SafeLoader, mapping: MappingNode, above: KeyPath) -> Iterator[Entry]:
    for key, value in mapping.value:
        line = key.start_mark.line + 1
        if not isinstance(key, ScalarNode):
            yield Entry((*above, "?"), None, line, tr("A name here is one word, not a list."))
            continue
        # The text of the key, not its value: YAML reads an unquoted `on` or `1` as something else.
        path = canonical_path((*above, key.value))
        if isinstance(value, MappingNode) and path not in SETTINGS and (value.value or path in SECTIONS):
            yield from _entries(loader, value, path)
        else:
            yield _entry(loader, path, value, line)


def _entry(loader: yaml.SafeLoader, path: KeyPath, node: Node, line: int) -> Entry:
    try:
        return Entry(path, loader.construct_object(node, deep=True), line)
    except yaml.MarkedYAMLError as error:
        reason, at = _said_by_yaml(error)
        return Entry(path, None, at or line, reason)
    except (ValueError, OverflowError):
        # A date that does not exist, or a number with thousands of digits.
        return Entry(path, None, line, tr("It looks like a date or a number, but is none."))


def _said_by_yaml(error: yaml.MarkedYAMLError) -> tuple[str, int | None]:
    mark = error.problem_mark or error.context_mark
    problem = error.problem or tr("it is not YAML")
    if "could not determine a constructor" in problem:
        problem = tr("a tag (!...) asks for something other than a plain value")
    return tr("It says: {problem:.120}.", problem=problem), mark.line + 1 if mark else None


def _is_indented_by_tab(text: str, line: int) -> bool:
    lines = text.splitlines()
    return line <= len(lines) and "\t" in lines[line - 1][: -len(lines[line - 1].lstrip()) or None]


# --- Changing ---------------------------------------------------------------------------------------------


class _Edit:
    """One change of one text, by the marks of its nodes."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.newline = "\r\n" if "\r\n" in text else "\n"

    def placed(self, path: KeyPath, value: object) -> str:
        _, node = _composed(self.text)
        if node is None:
            return self._appended(path, value)
        for depth in range(len(path)):
            pair = _last_pair(node, path[:depth], canonical_path(path[: depth + 1]))
            if pair is None:
                return self._inserted(node, path[depth:], value, top=depth == 0)
            key, child = pair
            rest = path[depth + 1 :]
            if not rest:
                return self._replaced(key, child, value)
            if not isinstance(child, MappingNode):
                return self._filled(key, child, rest, value)
            node = child
        raise AssertionError("a path has at least one part")

    def _appended(self, path: KeyPath, value: object) -> str:
        start = self.text if not self.text or self.text.endswith("\n") else self.text + self.newline
        return start + self._lines(path, value, "") + self.newline

    def _lines(self, path: KeyPath, value: object, indent: str) -> str:
        lines = [f"{indent}{'  ' * depth}{as_yaml(name)}:" for depth, name in enumerate(path)]
        return self.newline.join(lines) + f" {as_yaml(value)}"

    def _inserted(self, mapping: MappingNode, path: KeyPath, value: object, *, top: bool) -> str:
        if mapping.flow_style:
            return self._inserted_in_braces(mapping, path, value)
        indent = " " * mapping.start_mark.column
        return self._after_line(self._end_of(mapping), self._lines(path, value, indent))

    def _inserted_in_braces(self, mapping: MappingNode, path: KeyPath, value: object) -> str:
        nested = value
        for name in reversed(path[1:]):
            nested = {name: nested}
        at = mapping.end_mark.index - 1
        comma = ", " if mapping.value else ""
        head = self.text[:at].rstrip() if mapping.value else self.text[:at]
        return f"{head}{comma}{as_yaml(path[0])}: {as_yaml(nested)}{self.text[at:]}"

    def _filled(self, key: Node, node: Node, path: KeyPath, value: object) -> str:
        """Puts lines under a name that has nothing under it yet (`llm:`)."""
        if not isinstance(node, ScalarNode) or node.value:
            raise YamlProblem(tr("Here stands a value where settings would go."), node.start_mark.line + 1)
        indent = " " * (key.start_mark.column + 2)
        return self._after_line(key.end_mark.index, self._lines(path, value, indent))

    def _replaced(self, key: Node, node: Node, value: object) -> str:
        start, end = node.start_mark.index, node.end_mark.index
        if start == end:
            # An empty value (`backend:`) has no text of its own; its mark may lie on a later line.
            start = end = self.text.index(":", key.end_mark.index) + 1
        else:
            end = self._end_of(node)
        before = self.text[:start]
        if start > 0 and self.text[start - 1] == ":":
            before += " "
        elif _is_block(node):
            # `key:` and an indented block below: the new value goes behind the name.
            before = before[: self.text.index(":", key.end_mark.index) + 1] + " "
        return before + as_yaml(value) + self.text[end:]

    def _end_of(self, node: Node) -> int:
        """Where the text of a node ends. The end mark of a block lies behind the comments that follow it."""
        while _is_block(node) and node.value:
            last = node.value[-1]
            node = last[1] if isinstance(last, tuple) else last
        return len(self.text[: node.end_mark.index].rstrip())

    def _after_line(self, index: int, lines: str) -> str:
        end = self.text.find("\n", index)
        if end < 0:
            return self.text + self.newline + lines + self.newline
        return self.text[: end + 1] + lines + self.newline + self.text[end + 1 :]


def _last_pair(mapping: MappingNode, above: KeyPath, wanted: KeyPath) -> tuple[Node, Node] | None:
    """The pair that counts: YAML takes the last of repeated keys."""
    for key, value in reversed(mapping.value):
        if isinstance(key, ScalarNode) and canonical_path((*above, key.value)) == wanted:
            return key, value
    return None


def _is_block(node: Node) -> bool:
    return isinstance(node, CollectionNode) and not node.flow_style


def _overlaps(one: KeyPath, other: KeyPath) -> bool:
    other = canonical_path(other)
    shorter = min(len(one), len(other))
    return one[:shorter] == other[:shorter]


def _same(one: dict[KeyPath, object], other: dict[KeyPath, object]) -> bool:
    """Equality that tells True from 1 and survives nan, which a file may hold."""
    return one.keys() == other.keys() and all(repr(one[key]) == repr(other[key]) for key in one)
