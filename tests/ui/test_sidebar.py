"""The list of conversations: sections, news, what is done with one, search, the bin."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from PySide6.QtCore import QAbstractItemModel, QModelIndex, QPersistentModelIndex, Qt
from PySide6.QtGui import QAction
from PySide6.QtTest import QAbstractItemModelTester, QTest
from PySide6.QtWidgets import QLabel, QLineEdit, QMenu
from pytestqt.qtbot import QtBot

from tests.ui.conftest import WAIT, Chats, Shown
from whisper_desktop.app import App
from whisper_desktop.chat.records import Conversation, Folder, Hit
from whisper_desktop.ui.bridge import Bridge
from whisper_desktop.ui.chat.search_results import lines
from whisper_desktop.ui.chat.sidebar import Sidebar
from whisper_desktop.ui.chat.sidebar_model import ID_ROLE, SidebarModel
from whisper_desktop.ui.chat.sidebar_sections import Section, sections
from whisper_desktop.ui.chat.sidebar_tree import SidebarTree
from whisper_desktop.ui.chat.window import ChatWindow
from whisper_desktop.values import Role

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=timezone(timedelta(hours=1)))


def talk(id: str, ago: timedelta = timedelta(), **changes: Any) -> Conversation:
    """A conversation that was last used this long before `NOW`."""
    used = (NOW - ago).timestamp()
    return replace(Conversation(id, used, used, title=f"Chat {id}"), **changes)


def month(year: int, number: int) -> str:
    return f"{number}/{year}"


def listed(shown: tuple[Section, ...]) -> list[tuple[str, list[str]]]:
    return [(section.title, [each.id for each in section.conversations]) for section in shown]


# --- sections ----------------------------------------------------------------------------------------------


def test_conversations_stand_under_the_day_of_their_last_use() -> None:
    given = [
        talk("noon"),
        talk("night", timedelta(hours=11, minutes=59)),
        talk("yesterday", timedelta(hours=12, minutes=1)),
        talk("two", timedelta(days=2)),
        talk("seven", timedelta(days=7)),
        talk("eight", timedelta(days=8)),
        talk("october", timedelta(days=40)),
        talk("last year", timedelta(days=400)),
    ]
    assert listed(sections(given, (), NOW, month)) == [
        ("Today", ["noon", "night"]),
        ("Yesterday", ["yesterday"]),
        ("Previous 7 days", ["two", "seven"]),
        ("11/2026", ["eight"]),
        ("10/2026", ["october"]),
        ("10/2025", ["last year"]),
    ]


def test_pinned_ones_and_folders_come_first_and_empty_folders_are_shown() -> None:
    folders = (Folder("w", "Work", 1), Folder("h", "Home", 0))
    given = [talk("a", folder="w"), talk("b", pinned=True, folder="w"), talk("c", folder="gone")]
    assert listed(sections(given, folders, NOW, month)) == [
        ("Pinned", ["b"]),
        ("Home", []),
        ("Work", ["a"]),
        ("Today", ["c"]),
    ]


def test_the_day_is_that_of_the_persons_own_clock() -> None:
    tokyo = NOW.astimezone(timezone(timedelta(hours=9)))  # 20:00 there
    given = [talk("a", timedelta(hours=19)), talk("b", timedelta(hours=21))]
    assert listed(sections(given, (), tokyo, month)) == [("Today", ["a"]), ("Yesterday", ["b"])]


# --- the model ---------------------------------------------------------------------------------------------


def shown_by(model: SidebarModel) -> list[tuple[str, list[str]]]:
    """What a view would read."""
    return [
        (str(top.data()), [str(model.index(row, 0, top).data()) for row in range(model.rowCount(top))])
        for top in (model.index(row, 0) for row in range(model.rowCount()))
    ]


def model_of(*given: Conversation, folders: tuple[Folder, ...] = ()) -> SidebarModel:
    model = SidebarModel()
    model.show(sections(given, folders, NOW, month))
    return model


def test_the_model_keeps_the_rules_of_qt_through_every_change() -> None:
    day = timedelta(days=1)
    model = model_of(talk("a"), talk("b", day), talk("c", 3 * day))
    # What breaks a rule is a warning of Qt, and fails the test.
    _watching = QAbstractItemModelTester(model, QAbstractItemModelTester.FailureReportingMode.Warning)
    steps: list[tuple[list[Conversation], tuple[Folder, ...]]] = [
        ([talk("c"), talk("a", timedelta(hours=1)), talk("b", day)], ()),
        ([talk("c", folder="w"), talk("b", day, pinned=True)], (Folder("w", "Work"),)),
        ([talk("x"), talk("y", timedelta(hours=1)), talk("c", folder="w")], (Folder("w", "Office"),)),
        ([], (Folder("w", "Office"),)),
        ([], ()),
    ]
    for given, folders in steps:
        wanted = sections(given, folders, NOW, month)
        model.show(wanted)
        titles = [(each.title, [f"Chat {one.id}" for one in each.conversations]) for each in wanted]
        assert shown_by(model) == titles


def test_a_conversation_that_is_used_moves_up_and_nothing_else_does(qtbot: QtBot) -> None:
    hours = [talk(str(number), timedelta(hours=number)) for number in range(1, 9)]
    model = model_of(*hours)
    kept = QPersistentModelIndex(model.index_of("7"))
    moved: list[tuple[int, int]] = []
    model.rowsMoved.connect(lambda _parent, first, _last, _to, row: moved.append((first, row)))
    model.rowsInserted.connect(lambda *_: pytest.fail("inserted"))
    model.rowsRemoved.connect(lambda *_: pytest.fail("removed"))
    model.modelReset.connect(lambda: pytest.fail("reset"))
    used = replace(hours[6], updated=NOW.timestamp())
    model.show(sections([used, *hours[:6], hours[7]], (), NOW, month))
    assert moved == [(6, 0)]
    assert kept.row() == 0


def test_five_thousand_conversations_are_put_in_at_once_and_one_more_as_one_row() -> None:
    given = [talk(str(number), timedelta(hours=number)) for number in range(5000)]
    model = model_of(*given)
    changes: list[tuple[int, int]] = []
    model.rowsInserted.connect(lambda _parent, first, last: changes.append((first, last)))
    model.dataChanged.connect(lambda *_: pytest.fail("changed"))
    model.show(sections([talk("new"), *given], (), NOW, month))
    assert changes == [(0, 0)]


def test_a_title_that_comes_later_changes_one_row() -> None:
    model = model_of(talk("a"), talk("b"), talk("c"))
    changed: list[str] = []
    model.dataChanged.connect(lambda first, _last: changed.append(str(first.data())))
    model.show(sections([talk("a"), talk("b", title="Found"), talk("c")], (), NOW, month))
    assert changed == ["Found"]


def test_a_conversation_that_is_answered_and_one_with_news_say_so() -> None:
    model = model_of(talk("a"), talk("b"), talk("c"))
    model.set_signs(answering=["a"], unread=["b"])
    spoken = [model.index_of(each).data(Qt.ItemDataRole.AccessibleTextRole) for each in "abc"]
    assert spoken == ["Chat a, being answered", "Chat b, new answer", "Chat c"]
    model.set_signs(answering=[], unread=[])
    assert model.index_of("a").data(Qt.ItemDataRole.AccessibleTextRole) == "Chat a"


def dropped(model: QAbstractItemModel, conversation: QModelIndex, on: QModelIndex) -> None:
    data = model.mimeData([conversation])
    model.dropMimeData(data, Qt.DropAction.MoveAction, -1, -1, on)


def test_dropping_one_on_a_folder_asks_for_it_to_be_moved_there(qtbot: QtBot) -> None:
    model = model_of(talk("a"), talk("p", pinned=True), folders=(Folder("w", "Work"),))
    pinned, work, today = (model.index(row, 0) for row in range(3))
    with qtbot.waitSignal(model.dropped) as said:
        dropped(model, model.index_of("a"), work)
    assert said.args == ["a", "w"]
    with qtbot.waitSignal(model.dropped) as said:
        dropped(model, model.index_of("a"), today)
    assert said.args == ["a", None]
    with qtbot.waitSignal(model.pin_wanted) as said:
        dropped(model, model.index_of("a"), pinned)
    assert said.args == ["a"]


# --- on the screen -----------------------------------------------------------------------------------------


def test_what_is_in_sight_stays_where_it_is_when_news_come(qtbot: QtBot) -> None:
    tree = SidebarTree(SidebarModel())
    qtbot.addWidget(tree)
    tree.resize(240, 300)
    tree.show()
    given = [talk(str(number), timedelta(minutes=number)) for number in range(200)]
    tree.show_sections(sections(given, (), NOW, month))
    tree.set_current("120")
    tree.scrollTo(tree.list.index_of("120"))
    before = tree.visualRect(tree.list.index_of("120")).top()
    tree.show_sections(sections([talk("new"), *given], (), NOW, month))
    assert tree.visualRect(tree.list.index_of("120")).top() == before
    assert tree.currentIndex().data() == "Chat 120"


def test_a_conversation_stays_marked_when_it_moves_to_another_section(qtbot: QtBot) -> None:
    tree = SidebarTree(SidebarModel())
    qtbot.addWidget(tree)
    tree.show_sections(sections([talk("a"), talk("b", timedelta(days=1))], (), NOW, month))
    tree.set_current("b")
    tree.show_sections(sections([talk("b"), talk("a")], (), NOW, month))
    assert [index.data() for index in tree.selectedIndexes()] == ["Chat b"]


@pytest.fixture
def window(app: App, bridge: Bridge, shown: Shown) -> ChatWindow:
    return shown(ChatWindow(bridge, app))


@pytest.fixture
def sidebar(window: ChatWindow) -> Sidebar:
    assert window.sidebar is not None
    return window.sidebar


def titles(sidebar: Sidebar) -> list[tuple[str, list[str]]]:
    return shown_by(sidebar.model)


def entry(menu: QMenu, *path: str) -> QAction:
    """An entry of a menu, by the words on the way to it."""
    found = next(action for action in menu.actions() if action.text() == path[0])
    inside = found.menu()
    return entry(inside, *path[1:]) if len(path) > 1 and isinstance(inside, QMenu) else found


def until(qtbot: QtBot, seen: Callable[[], object], wanted: object) -> None:
    """Wait until something is so, and say what it was where it never is."""

    def so() -> None:
        assert seen() == wanted

    qtbot.waitUntil(so, timeout=WAIT)


def test_an_empty_list_says_what_will_be_there(sidebar: Sidebar, qtbot: QtBot) -> None:
    assert "will be listed here" in sidebar._empty.text()
    assert sidebar._empty.isVisible()


def test_a_new_conversation_appears_by_itself_with_its_first_message(
    window: ChatWindow, sidebar: Sidebar, qtbot: QtBot
) -> None:
    assert titles(sidebar) == []
    window.ask("Three days in Lisbon")
    qtbot.waitUntil(lambda: len(sidebar.model.in_order()) == 1, timeout=WAIT)
    assert window.conversation is not None
    assert sidebar.tree.currentIndex().data(ID_ROLE) == window.conversation.session.id


def test_a_title_that_comes_later_is_shown_everywhere(
    window: ChatWindow, sidebar: Sidebar, chats: Chats, qtbot: QtBot
) -> None:
    made = chats("Lisbon")
    window.open_chat(made)
    until(qtbot, window.windowTitle, "Lisbon – Whisper Desktop")
    chats.do(sidebar._chats.rename(made, "Porto"))
    until(qtbot, lambda: titles(sidebar), [("Today", ["Porto"])])
    assert window.header.title.text() == "Porto"
    assert window.windowTitle() == "Porto – Whisper Desktop"


def test_a_click_opens_a_conversation(
    window: ChatWindow, sidebar: Sidebar, chats: Chats, qtbot: QtBot
) -> None:
    chats("Lisbon", "By train?")
    until(qtbot, lambda: titles(sidebar), [("Today", ["Lisbon"])])
    place = sidebar.tree.visualRect(sidebar.model.index(0, 0, sidebar.model.index(0, 0))).center()
    QTest.mouseClick(sidebar.tree.viewport(), Qt.MouseButton.LeftButton, pos=place)
    qtbot.waitUntil(lambda: window.model.rowCount() == 2, timeout=WAIT)
    assert window.model.row(0).text == "By train?"
    assert window.windowTitle() == "Lisbon – Whisper Desktop"
    assert window.composer.editor.hasFocus()


def test_enter_opens_and_f2_renames_in_place(
    window: ChatWindow, sidebar: Sidebar, chats: Chats, qtbot: QtBot
) -> None:
    made = chats("Lisbon")
    until(qtbot, lambda: titles(sidebar), [("Today", ["Lisbon"])])
    sidebar.tree.setFocus()
    sidebar.tree.setCurrentIndex(sidebar.model.index_of(made))
    QTest.keyClick(sidebar.tree, Qt.Key.Key_F2)
    editor = sidebar.tree.viewport().findChild(QLineEdit)
    assert editor is not None
    editor.setText("Porto")
    QTest.keyClick(editor, Qt.Key.Key_Return)
    until(qtbot, lambda: [each.title for each in chats.do(sidebar._chats.list())], ["Porto"])
    QTest.keyClick(sidebar.tree, Qt.Key.Key_Return)
    until(qtbot, window.windowTitle, "Porto – Whisper Desktop")


def test_pinning_moving_and_copying_are_in_the_menu(sidebar: Sidebar, chats: Chats, qtbot: QtBot) -> None:
    made = chats("Lisbon")
    chats.do(sidebar._chats.new_folder("Trips"))
    until(qtbot, lambda: titles(sidebar), [("Trips", []), ("Today", ["Lisbon"])])
    entry(sidebar.menu_for(made), "Move to folder", "Trips").trigger()
    until(qtbot, lambda: titles(sidebar), [("Trips", ["Lisbon"])])
    entry(sidebar.menu_for(made), "Pin").trigger()
    until(qtbot, lambda: titles(sidebar), [("Pinned", ["Lisbon"]), ("Trips", [])])
    entry(sidebar.menu_for(made), "Unpin").trigger()
    until(qtbot, lambda: titles(sidebar), [("Trips", ["Lisbon"])])
    entry(sidebar.menu_for(made), "Move to folder", "Out of the folder").trigger()
    until(qtbot, lambda: titles(sidebar), [("Trips", []), ("Today", ["Lisbon"])])
    entry(sidebar.menu_for(made), "Duplicate").trigger()
    qtbot.waitUntil(lambda: len(sidebar.model.in_order()) == 2, timeout=WAIT)


def test_a_folder_is_named_as_soon_as_it_is_made_and_its_chats_outlive_it(
    window: ChatWindow, sidebar: Sidebar, chats: Chats, qtbot: QtBot
) -> None:
    made = chats("Lisbon")
    until(qtbot, lambda: titles(sidebar), [("Today", ["Lisbon"])])
    entry(sidebar.menu_for(made), "Move to folder", "New folder…").trigger()
    qtbot.waitUntil(lambda: sidebar.tree.viewport().findChild(QLineEdit) is not None, timeout=WAIT)
    editor = sidebar.tree.viewport().findChild(QLineEdit)
    assert editor is not None
    editor.setText("Trips")
    QTest.keyClick(editor, Qt.Key.Key_Return)
    until(qtbot, lambda: titles(sidebar), [("Trips", ["Lisbon"])])
    entry(sidebar.folder_menu(sidebar.folders[0].id), "Remove the folder").trigger()
    until(qtbot, lambda: titles(sidebar), [("Today", ["Lisbon"])])
    assert "Trips" in window.notice.text


def test_a_deleted_chat_is_back_with_undo(
    window: ChatWindow, sidebar: Sidebar, chats: Chats, qtbot: QtBot
) -> None:
    made = chats("Lisbon")
    until(qtbot, lambda: titles(sidebar), [("Today", ["Lisbon"])])
    sidebar.tree.setFocus()
    sidebar.tree.setCurrentIndex(sidebar.model.index_of(made))
    QTest.keyClick(sidebar.tree, Qt.Key.Key_Delete)
    until(qtbot, lambda: titles(sidebar), [])
    until(qtbot, lambda: window.notice.text, "“Lisbon” is in the bin.")
    window.notice.button.click()
    until(qtbot, lambda: titles(sidebar), [("Today", ["Lisbon"])])


def test_the_bin_gives_back_and_forgets_only_when_it_is_said_twice(
    window: ChatWindow, sidebar: Sidebar, chats: Chats, qtbot: QtBot
) -> None:
    first, second = chats("First"), chats("Second")
    for each in (first, second):
        chats.do(sidebar._chats.delete(each))
    sidebar.bin_button.click()
    until(qtbot, sidebar.bin.list.count, 2)
    shown = [sidebar.bin.list.item(row).text() for row in range(2)]
    sidebar.bin.list.setCurrentRow(shown.index("First"))
    sidebar.bin.restore.click()
    until(qtbot, lambda: titles(sidebar), [("Today", ["First"])])
    until(qtbot, sidebar.bin.list.count, 1)
    sidebar.bin.purge.click()
    assert "Second" in window.notice.text
    assert chats.do(sidebar._chats.deleted())
    window.notice.button.click()
    until(qtbot, lambda: chats.do(sidebar._chats.deleted()), ())


def test_deleting_the_chat_that_is_shown_leaves_a_new_one(
    window: ChatWindow, sidebar: Sidebar, chats: Chats, qtbot: QtBot
) -> None:
    window.open_chat(chats("Lisbon"))
    qtbot.waitUntil(lambda: window.model.rowCount() == 2, timeout=WAIT)
    window.header.chosen.emit("delete", None)
    qtbot.waitUntil(window.empty.isVisible, timeout=WAIT)
    assert window.windowTitle() == "New chat – Whisper Desktop"


def test_the_sections_are_looked_at_again_after_midnight(sidebar: Sidebar, qtbot: QtBot) -> None:
    qtbot.waitUntil(sidebar._midnight.isActive, timeout=WAIT)
    assert 0 < sidebar._midnight.remainingTime() <= 90_000_000  # ms: the longest day has 25 hours


# --- the search --------------------------------------------------------------------------------------------


def hit(conversation: str, message: str | None, *parts: tuple[str, bool]) -> Hit:
    role = Role.ASSISTANT if message else None
    return Hit(conversation, f"Chat {conversation}", message, role, 0.0, parts)


def test_hits_are_grouped_by_conversation_in_the_order_of_the_first_one() -> None:
    found = lines(
        [
            hit("b", "1", ("x", True)),
            hit("a", "2", ("x", True)),
            hit("b", "3", ("x", True)),
            hit("c", None, ("x", True)),
        ]
    )
    shown = [(each.hit.conversation, None if each.title else each.hit.message) for each in found]
    assert shown == [("b", None), ("b", "1"), ("b", "3"), ("a", None), ("a", "2"), ("c", None)]


def test_a_snippet_begins_shortly_before_the_first_of_the_words() -> None:
    parts = (("…", False), ("so many words before ", False), ("train", True), (" x", False))
    _title, line = lines([hit("a", "1", *parts)])
    assert line.hit.snippet == (("…many words before ", False), ("train", True), (" x", False))


def test_a_search_leads_to_the_message_and_marks_it(
    window: ChatWindow, sidebar: Sidebar, chats: Chats, qtbot: QtBot
) -> None:
    chats("Other", "Nothing of it")
    made = chats("Trip", "By train?", "By plane?", "On foot?")
    QTest.keyClick(window, Qt.Key.Key_K, Qt.KeyboardModifier.ControlModifier)
    assert sidebar.search.hasFocus()
    QTest.keyClicks(sidebar.search, "plane")
    qtbot.waitUntil(sidebar.results.isVisible, timeout=WAIT)
    words = sidebar.results.list.model()
    spoken = [words.index(n, 0).data(Qt.ItemDataRole.AccessibleTextRole) for n in range(words.rowCount())]
    assert spoken[0] == "Chat: Trip"
    place = spoken.index("You wrote: By plane?")
    for _ in range(place):
        QTest.keyClick(sidebar.search, Qt.Key.Key_Down)
    QTest.keyClick(sidebar.search, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: window.model.rowCount() == 6, timeout=WAIT)
    assert window.conversation is not None
    assert window.conversation.session.id == made
    assert window.find_bar.field.text() == "plane"
    assert "in 2 messages" in [label.text() for label in window.find_bar.findChildren(QLabel)]


def test_words_that_are_nowhere_are_answered_kindly(sidebar: Sidebar, chats: Chats, qtbot: QtBot) -> None:
    chats("Trip")
    sidebar.search.setText("xylophone")
    qtbot.waitUntil(sidebar.results.nothing.isVisible, timeout=WAIT)
    assert sidebar.results.nothing.text() == (
        "Nothing has the words “xylophone”. Fewer or other words may find it."
    )
    QTest.keyClick(sidebar.search, Qt.Key.Key_Escape)
    assert sidebar.search.text() == ""
    assert sidebar.tree.isVisible()


def test_a_menu_leaves_the_chat_that_is_shown_marked(window: ChatWindow, chats: Chats, qtbot: QtBot) -> None:
    assert window.sidebar is not None
    tree = window.sidebar.tree
    shown, other = chats("Shown"), chats("Other")
    qtbot.waitUntil(lambda: tree.list.index_of(other).isValid() and tree.list.index_of(shown).isValid())
    tree.set_current(shown)
    place = tree.visualRect(tree.list.index_of(other)).center()
    QTest.mouseClick(tree.viewport(), Qt.MouseButton.RightButton, pos=place)
    assert tree.currentIndex().data(ID_ROLE) == shown
    QTest.mouseClick(tree.viewport(), Qt.MouseButton.LeftButton, pos=place)
    assert tree.currentIndex().data(ID_ROLE) == other
