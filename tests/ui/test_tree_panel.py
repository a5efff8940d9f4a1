"""The branches of a chat: how they are arranged, shown, spoken and gone to."""

import time
from collections.abc import Sequence
from dataclasses import replace

import pytest
from PySide6.QtCore import QModelIndex, Qt
from PySide6.QtTest import QTest
from pytestqt.modeltest import ModelTester
from pytestqt.qtbot import QtBot

from tests.ui.conftest import answering, completion
from whisper_desktop.chat import Session
from whisper_desktop.chat.records import Attachment, Conversation, Node, TurnState
from whisper_desktop.ui.chat.tree_panel import TreePanel
from whisper_desktop.ui.chat.tree_panel_model import BranchModel, arranged, beginning
from whisper_desktop.values import Role


def message(name: str, parent: str | None) -> Node:
    """A question where the name begins with q, else an answer."""
    role = Role.USER if name.startswith("q") else Role.ASSISTANT
    provenance = None if role is Role.USER else completion("").provenance
    return Node(name, parent, role, f"text of {name}", 1_700_000_000.0, provenance=provenance)


def session(nodes: Sequence[Node], leaf: str) -> Session:
    return Session(answering(""), conversation=Conversation("c", 0, 0, leaf=leaf), nodes=nodes)


BRANCHED = tuple(
    message(*each)
    for each in (
        ("q1", None),
        ("a1", "q1"),
        ("q2", "a1"),
        ("a2", "q2"),
        ("q2b", "a1"),  # the second question, worded otherwise
        ("a2b", "q2b"),
        ("a2c", "q2b"),  # answered twice
        ("q3", "a2b"),
    )
)


def drawn(nodes: Sequence[Node], path: Sequence[str]) -> list[str]:
    """The lines in order, each set in by how deep it stands."""
    items, top = arranged({node.id: node for node in nodes}, path)

    def lines(numbers: list[int], depth: int) -> list[str]:
        return [
            line
            for number in numbers
            for line in ("." * depth + items[number].node, *lines(items[number].rows, depth + 1))
        ]

    return lines(top, 0)


def test_what_is_shown_runs_straight_down_and_the_others_fold_below_it() -> None:
    assert drawn(BRANCHED, ["q1", "a1", "q2b", "a2b", "q3"]) == [
        "q1", "a1", "q2b", ".q2", "..a2", "a2b", ".a2c", "q3",
    ]  # fmt: skip
    assert drawn(BRANCHED, ["q1", "a1", "q2", "a2"]) == [
        "q1", "a1", "q2", ".q2b", "..a2c", "...a2b", "....q3", "a2",
    ]  # fmt: skip


def test_two_beginnings_stand_in_one_place() -> None:
    nodes = (message("q1", None), message("q1b", None), message("a1", "q1"))
    assert drawn(nodes, ["q1", "a1"]) == ["q1", ".q1b", "a1"]


def test_a_long_chat_stays_flat() -> None:
    nodes = linear(500)
    assert drawn(nodes, [node.id for node in nodes]) == [node.id for node in nodes]


def linear(count: int) -> list[Node]:
    return [message(f"{'qa'[n % 2]}{n}", f"{'qa'[(n - 1) % 2]}{n - 1}" if n else None) for n in range(count)]


@pytest.fixture
def panel(qtbot: QtBot) -> TreePanel:
    panel = TreePanel()
    qtbot.addWidget(panel)
    panel.resize(320, 400)
    panel.follow(session(BRANCHED, "q3"))
    with qtbot.waitExposed(panel):
        panel.show()
    return panel


def texts(panel: TreePanel, parent: QModelIndex = QModelIndex()) -> list[str]:  # noqa: B008
    rows = range(panel.model.rowCount(parent))
    return [panel.model.node_at(panel.model.index(row, 0, parent)) for row in rows]


def test_the_model_is_one_as_qt_wants_it(qtmodeltester: ModelTester) -> None:
    model = BranchModel()
    model.set_tree({node.id: node for node in BRANCHED}, ["q1", "a1", "q2b", "a2b", "q3"])
    qtmodeltester.check(model)  # type: ignore[no-untyped-call]  # pytest-qt's own


def test_a_click_and_enter_choose_a_message(panel: TreePanel, qtbot: QtBot) -> None:
    index = panel.model.index_of("a1")
    with qtbot.waitSignal(panel.node_chosen) as chosen:
        place = panel.tree.visualRect(index).center()
        QTest.mouseClick(panel.tree.viewport(), Qt.MouseButton.LeftButton, pos=place)
    assert chosen.args == ["a1"]
    panel.tree.setFocus()
    QTest.keyClick(panel.tree, Qt.Key.Key_Down)
    with qtbot.waitSignal(panel.node_chosen) as chosen:
        QTest.keyClick(panel.tree, Qt.Key.Key_Return)
    assert chosen.args == ["q2b"]


def test_a_folded_version_is_reached_by_the_arrows(panel: TreePanel, qtbot: QtBot) -> None:
    panel.tree.setFocus()
    panel.tree.setCurrentIndex(panel.model.index_of("q2b"))
    QTest.keyClick(panel.tree, Qt.Key.Key_Right)
    QTest.keyClick(panel.tree, Qt.Key.Key_Down)
    with qtbot.waitSignal(panel.node_chosen) as chosen:
        QTest.keyClick(panel.tree, Qt.Key.Key_Return)
    assert chosen.args == ["q2"]


def test_nothing_moves_while_the_person_goes_from_branch_to_branch(panel: TreePanel, qtbot: QtBot) -> None:
    shown = panel._session
    assert shown is not None
    before = texts(panel)
    shown.show("q2")
    panel.look()
    qtbot.waitUntil(lambda: is_bold(panel, "q2"))
    assert texts(panel) == before
    assert not is_bold(panel, "q2b")
    panel.follow(shown)
    assert texts(panel) == ["q1", "a1", "q2", "a2"]


def is_bold(panel: TreePanel, node: str) -> bool:
    font = panel.model.data(panel.model.index_of(node), int(Qt.ItemDataRole.FontRole))
    return font is not None and font.bold()  # type: ignore[attr-defined]


def test_a_new_message_is_arranged_anew(panel: TreePanel, qtbot: QtBot) -> None:
    shown = panel._session
    assert shown is not None
    shown.take_in(replace(shown.conversation, leaf="a3"), [message("a3", "q3")])
    panel.look()
    qtbot.waitUntil(lambda: texts(panel)[-1] == "a3")


def test_a_line_says_whose_it_is_when_and_what_stands_beside_it(panel: TreePanel) -> None:
    spoken = panel.model.data(panel.model.index_of("q2b"), int(Qt.ItemDataRole.AccessibleTextRole))
    assert spoken == "You, 2023-11-14, text of q2b, on the branch that is shown, 1 other version"
    aside = panel.model.index_of("a2").siblingAtColumn(1)
    assert panel.model.data(aside) == "qwen3.5:4b"


@pytest.mark.parametrize(
    ("node", "words"),
    [
        (Node("n", None, Role.USER, "**Bold** `code`\n\nmore", 0.0), "Bold code more"),
        (Node("n", None, Role.USER, "", 0.0, (Attachment("a", "notes.txt", "text/plain", 1),)), "notes.txt"),
        (Node("n", None, Role.ASSISTANT, "", 0.0, state=TurnState.STREAMING), "being written…"),
        (Node("n", None, Role.ASSISTANT, "", 0.0, state=TurnState.STOPPED), "nothing was answered"),
    ],
)
def test_a_line_begins_with_what_there_is(node: Node, words: str) -> None:
    assert beginning(node) == words


def test_an_empty_chat_says_what_will_be_here(qtbot: QtBot) -> None:
    panel = TreePanel()
    qtbot.addWidget(panel)
    panel.follow(Session(answering("")))
    assert panel._stack.currentWidget() is panel._empty


def test_ten_thousand_messages_are_there_in_two_tenths_of_a_second(qtbot: QtBot) -> None:
    nodes = linear(9_000) + [replace(message(f"a{n}x", f"q{n}"), text="x") for n in range(0, 2_000, 2)]
    large = session(nodes, "a8999")
    panel = TreePanel()
    qtbot.addWidget(panel)
    panel.resize(320, 400)
    panel.show()
    taken = []
    for _ in range(3):
        began = time.perf_counter()
        panel.follow(large)
        panel.tree.viewport().repaint()
        taken.append(time.perf_counter() - began)
    assert panel.model.rowCount() == 9_000
    assert min(taken) < 0.2
