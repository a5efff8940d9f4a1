"""The transcript on the screen: layout, following, links, copying, selecting, accessible text."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PySide6.QtCore import QCoreApplication, QEvent, QObject, QPoint, QPointF, Qt
from PySide6.QtGui import QAccessible, QColor, QCursor, QDesktopServices, QGuiApplication, QImage, QPaintEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QLabel, QMenu, QPushButton, QWidget
from pytestqt.modeltest import ModelTester
from pytestqt.qtbot import QtBot

from tests.ui.conftest import completion
from whisper_desktop.chat.records import Attachment
from whisper_desktop.errors import ConsentRequired, LLMConnectionError
from whisper_desktop.ui.chat import rows
from whisper_desktop.ui.chat.failure import FailureCard
from whisper_desktop.ui.chat.layout import RowLayout
from whisper_desktop.ui.chat.transcript import TranscriptModel
from whisper_desktop.ui.chat.view import TranscriptView
from whisper_desktop.ui.chat.view_heights import Heights
from whisper_desktop.ui.theme import plain_palette
from whisper_desktop.values import (
    AnswerContinued,
    AnswerFinished,
    AnswerRestarted,
    AnswerStarted,
    Attempt,
    ErrorKind,
    Reach,
    ReasoningDelta,
    SetupGuidance,
    StreamEvent,
    TextDelta,
)

ANSWER = "See [the page](https://example.org/page).\n\n```python\nprint('hello')\n```\n\nThat is all."


def answer(text: str) -> rows.Row:
    row = rows.with_event(rows.waiting(guide=False), TextDelta(text))
    return rows.with_event(row, AnswerFinished(completion(text)))


@pytest.fixture
def model() -> TranscriptModel:
    return TranscriptModel()


@pytest.fixture
def view(model: TranscriptModel, qtbot: QtBot) -> TranscriptView:
    view = TranscriptView(model)
    qtbot.addWidget(view)
    view.resize(700, 500)
    with qtbot.waitExposed(view):
        view.show()
    return view


def layout(view: TranscriptView, number: int) -> RowLayout:
    return view.delegate.layout_of(number, view.rows.row(number))


def at(view: TranscriptView, number: int, point: QPointF) -> QPoint:
    """A point of a row's column, as a point of the viewport."""
    column = QPointF(view.delegate.style().column[0], 0)
    return view.visualRect(view.rows.index(number)).topLeft() + (point + column).toPoint()


def click(view: TranscriptView, qtbot: QtBot, number: int, point: QPointF) -> None:
    QTest.mouseClick(view.viewport(), Qt.MouseButton.LeftButton, pos=at(view, number, point))


def spot(view: TranscriptView, number: int, action: str) -> QPointF:
    return next(spot.rect.center() for spot in layout(view, number).spots if spot.action == action)


def test_the_model_keeps_qts_rules(model: TranscriptModel, qtmodeltester: ModelTester) -> None:
    qtmodeltester.check(model)  # type: ignore[no-untyped-call]
    number = model.append(rows.question("Why?"))
    model.append(rows.waiting(guide=False))
    model.replace(1, answer("Because."))
    model.cut(number + 1)
    model.append(answer("So."))
    assert [model.row(n).text for n in range(model.rowCount())] == ["Why?", "So."]


def test_every_row_has_words_for_a_screen_reader(model: TranscriptModel) -> None:
    model.append(rows.question("Why?"))
    model.append(answer("**Because**."))
    spoken = [model.data(model.index(n), int(Qt.ItemDataRole.AccessibleTextRole)) for n in range(2)]
    assert spoken[0] == "You: Why?"
    assert str(spoken[1]).startswith("qwen3.5:4b: Because.\nqwen3.5:4b · Ollama")


def test_a_growing_answer_is_followed(view: TranscriptView, model: TranscriptModel, qtbot: QtBot) -> None:
    model.append(rows.waiting(guide=False))
    row = model.row(0)
    for _ in range(40):
        row = rows.with_event(row, TextDelta("A line of text.\n\n"))
        model.replace(0, row)
    bar = view.verticalScrollBar()
    qtbot.waitUntil(lambda: bar.maximum() > 0 and bar.value() == bar.maximum())


def test_who_reads_above_is_not_pulled_down(
    view: TranscriptView, model: TranscriptModel, qtbot: QtBot
) -> None:
    for number in range(20):
        model.append(answer(f"Answer {number}\n\nwith a second line"))
    model.append(rows.waiting(guide=False))
    bar = view.verticalScrollBar()
    qtbot.waitUntil(lambda: bar.maximum() > 0 and bar.value() == bar.maximum())
    bar.setValue(0)
    most = bar.maximum()
    model.replace(20, rows.with_event(model.row(20), TextDelta("text\n\n" * 30)))
    qtbot.waitUntil(lambda: bar.maximum() > most)
    assert bar.value() == 0


def test_closed_blocks_keep_their_documents_while_the_answer_grows(
    view: TranscriptView, model: TranscriptModel
) -> None:
    model.append(rows.with_event(rows.waiting(guide=False), TextDelta("First.\n\nSecond.\n\nThi")))
    before = [piece.document for piece in layout(view, 0).pieces]
    model.replace(0, rows.with_event(model.row(0), TextDelta("rd.")))
    after = [piece.document for piece in layout(view, 0).pieces]
    assert after[:2] == before[:2]
    assert after[2] is not before[2]


def test_text_never_runs_wider_than_the_column(view: TranscriptView, model: TranscriptModel) -> None:
    model.append(answer("word " * 200 + "x" * 500))
    _left, width = layout(view, 0).style.column
    assert all(piece.rect.right() <= width + 1 for piece in layout(view, 0).pieces)


def test_code_is_copied_by_its_button(view: TranscriptView, model: TranscriptModel, qtbot: QtBot) -> None:
    model.append(answer(ANSWER))
    with qtbot.waitSignal(view.copied):
        click(view, qtbot, 0, spot(view, 0, "copy_code"))
    assert QGuiApplication.clipboard().text() == "print('hello')"


def test_an_answer_is_copied_as_markdown(view: TranscriptView, model: TranscriptModel, qtbot: QtBot) -> None:
    model.append(answer(ANSWER))
    with qtbot.waitSignal(view.copied):
        click(view, qtbot, 0, spot(view, 0, "copy"))
    assert QGuiApplication.clipboard().text() == ANSWER


def test_a_link_opens_after_a_click_and_not_before(
    view: TranscriptView, model: TranscriptModel, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    monkeypatch.setattr(QDesktopServices, "openUrl", lambda url: opened.append(url.toString()))
    model.append(answer(ANSWER))
    piece = layout(view, 0).pieces[0]
    words = piece.document.toPlainText()
    cursor = piece.document.find("the page")
    assert "the page" in words
    place = piece.document.documentLayout().blockBoundingRect(cursor.block())
    line = cursor.block().layout().lineAt(0)
    x = line.cursorToX(cursor.selectionStart() + 2)[0]  # type: ignore[index]
    point = piece.origin + QPointF(x, place.center().y())
    assert opened == []
    click(view, qtbot, 0, point)
    assert opened == ["https://example.org/page"]


def test_the_provenance_line_opens_every_attempt(
    view: TranscriptView, model: TranscriptModel, qtbot: QtBot
) -> None:
    model.append(answer("Short."))
    click(view, qtbot, 0, spot(view, 0, "details"))
    assert model.row(0).open
    assert any("Ollama (qwen3.5:4b): answered after 0.6 s" in line.text for line in layout(view, 0).lines)


def test_dragging_selects_text_and_copy_takes_it(
    view: TranscriptView, model: TranscriptModel, qtbot: QtBot
) -> None:
    model.append(answer("Hello there, world"))
    piece = layout(view, 0).pieces[0]
    start = piece.origin + QPointF(0, 5)
    end = piece.origin + QPointF(piece.document.idealWidth() + 5, 5)
    QTest.mousePress(view.viewport(), Qt.MouseButton.LeftButton, pos=at(view, 0, start))
    QTest.mouseMove(view.viewport(), at(view, 0, end))
    QTest.mouseRelease(view.viewport(), Qt.MouseButton.LeftButton, pos=at(view, 0, end))
    view.copy()
    assert QGuiApplication.clipboard().text() == "Hello there, world"
    assert not view.grab().isNull()  # painting a selection works


def test_the_keyboard_copies_and_opens_a_row(
    view: TranscriptView, model: TranscriptModel, qtbot: QtBot
) -> None:
    model.append(answer("Short."))
    view.setCurrentIndex(model.index(0))
    QTest.keyClick(view, Qt.Key.Key_C, Qt.KeyboardModifier.ControlModifier)
    assert QGuiApplication.clipboard().text() == "Short."
    QTest.keyClick(view, Qt.Key.Key_Space)
    assert model.row(0).open


def test_the_context_menu_offers_everything_that_a_click_can_do(
    view: TranscriptView, model: TranscriptModel
) -> None:
    model.append(answer(ANSWER))
    texts = [action.text() for action in view.menu_for(0).actions()]
    assert [text for text in texts if text] == [
        "Copy as markdown",
        "Copy as text",
        "Quote",
        "Try again",
        "With another model…",
        "Copy code",
        "Open https://example.org/page",
        "Copy https://example.org/page",
        "Show every attempt",
    ]


def test_the_menu_of_a_broken_answer_offers_to_try_again_once(
    view: TranscriptView, model: TranscriptModel
) -> None:
    model.append(replace(answer(ANSWER), can_retry=True))
    texts = [action.text() for action in view.menu_for(0).actions()]
    assert texts.count("Try again") == 1
    assert "With another model…" in texts


def test_a_click_on_another_branch_leads_back_to_writing(
    view: TranscriptView, model: TranscriptModel, qtbot: QtBot
) -> None:
    model.append(replace(answer(ANSWER), branch=(0, 2)))
    with qtbot.waitSignal(view.left):
        click(view, qtbot, 0, spot(view, 0, "branch_on"))


def test_a_failure_is_a_widget_with_its_buttons(
    view: TranscriptView, model: TranscriptModel, qtbot: QtBot
) -> None:
    attempt = Attempt("ollama", "Ollama", "", None, ErrorKind.CONNECT_REFUSED, "nothing listens there", 0.0)
    error = LLMConnectionError("Nobody answered.", "Ollama is not running.", "Start it.", attempts=(attempt,))
    number = model.append(rows.waiting(guide=False))
    model.replace(number, rows.broken(model.row(number), error))
    card = view.indexWidget(model.index(number))
    assert isinstance(card, FailureCard)
    buttons = {button.text(): button for button in card.findChildren(QPushButton)}
    assert set(buttons) == {"Try again", "Ask the guide", "Open setup", "Details"}
    with qtbot.waitSignal(view.failure_action) as said:
        buttons["Ask the guide"].click()
    assert said.args == [number, "guide"]
    before = view.visualRect(model.index(number)).height()
    buttons["Details"].click()
    qtbot.waitUntil(lambda: view.visualRect(model.index(number)).height() > before)


def test_every_kind_of_row_can_be_painted(view: TranscriptView, model: TranscriptModel) -> None:
    model.append(rows.question("Why?\nReally?"))
    model.append(answer("# All\n\n1. of\n2. it\n\n> quoted\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n---\n"))
    model.append(rows.stopped(rows.with_event(rows.waiting(guide=True), TextDelta("half"))))
    model.append(rows.waiting(guide=True))
    view.setFocus()
    view.setCurrentIndex(model.index(1))
    assert not view.grab().isNull()


def test_reasoning_is_folded_and_opens_with_a_click(
    view: TranscriptView, model: TranscriptModel, qtbot: QtBot
) -> None:
    row = rows.with_event(rows.waiting(guide=False), ReasoningDelta("First I think about it."))
    model.append(rows.with_event(row, TextDelta("Then I answer.")))
    assert len(layout(view, 0).pieces) == 1
    click(view, qtbot, 0, spot(view, 0, "reasoning"))
    assert layout(view, 0).pieces[0].document.toPlainText() == "First I think about it."


def test_try_again_stands_under_a_break_where_the_text_begins(
    view: TranscriptView, model: TranscriptModel
) -> None:
    model.append(rows.stopped(rows.with_event(rows.waiting(guide=False), TextDelta("Half an"))))
    laid = layout(view, 0)
    first, second = (spot for spot in laid.spots if spot.action in ("continue", "retry"))
    assert first.rect.left() == 0
    assert first.rect.right() < second.rect.left()
    assert "Stopped after 2 words." in shown_lines(view, 0)
    model.append(rows.broken(after(TextDelta("Half an")), LLMConnectionError("It broke.")))
    assert "⚠  It broke." in shown_lines(view, 1)  # a state of its own: colour, sign and words


@pytest.mark.parametrize("times", [1, 8])
def test_a_long_model_name_takes_a_line_of_its_own_before_any_of_it_is_left_out(
    times: int, view: TranscriptView, model: TranscriptModel
) -> None:
    done = completion("Hi")
    name = "hf.co/somebody/" + "a-long-name-" * times + "of-twenty-letters-GGUF:Q4_K_M"
    long = replace(done.provenance, model=name)
    row = rows.with_event(rows.waiting(guide=False), AnswerFinished(replace(done, provenance=long)))
    model.append(row)
    shown = next(spot.text for spot in layout(view, 0).spots if spot.action == "details")
    first, second = shown.split("\n")
    if times == 1:
        assert f"{first} · {second}" == rows.who_line(row)
    else:
        assert first.startswith("hf.co/somebody")
        assert first.endswith("Q4_K_M")
        assert second == "Ollama · this computer · 0.6 s · 31 tok/s"


BROKE = Attempt("lm_studio", "LM Studio", "", "m", ErrorKind.STREAM_CUT, "The connection broke.", 3.0)
OLLAMA_SPEAKS = AnswerStarted("ollama", "Ollama", "qwen3.5:4b", Reach.THIS_MACHINE)


def after(*events: StreamEvent) -> rows.Row:
    row = rows.waiting(guide=False)
    for event in events:
        row = rows.with_event(row, event)
    return row


def shown_lines(view: TranscriptView, number: int) -> list[str]:
    return [line.text for line in layout(view, number).lines]


def shown_texts(view: TranscriptView, number: int) -> list[str]:
    return [piece.document.toPlainText() for piece in layout(view, number).pieces]


def test_an_answer_that_began_anew_says_so_and_shows_what_came_first_on_a_click(
    view: TranscriptView, model: TranscriptModel, qtbot: QtBot
) -> None:
    model.append(after(TextDelta("one two"), AnswerRestarted(BROKE, "one two")))
    for event in (OLLAMA_SPEAKS, TextDelta("uno dos"), AnswerFinished(completion("uno dos"))):
        model.replace(0, rows.with_event(model.row(0), event))
    assert "LM Studio stopped after 2 words; Ollama began anew." in shown_lines(view, 0)
    assert shown_texts(view, 0) == ["uno dos"]
    click(view, qtbot, 0, spot(view, 0, "aside"))
    assert shown_texts(view, 0) == ["one two", "uno dos"]
    assert len(layout(view, 0).seams) == 1
    click(view, qtbot, 0, spot(view, 0, "aside"))
    assert shown_texts(view, 0) == ["uno dos"]
    assert not view.grab().isNull()


def test_what_came_first_opens_below_the_place_that_was_clicked_and_looks_like_an_answer(
    view: TranscriptView, model: TranscriptModel, qtbot: QtBot
) -> None:
    row = after(TextDelta("a **bold** one"), AnswerRestarted(BROKE, "a **bold** one"), TextDelta("uno"))
    model.append(rows.with_event(row, AnswerRestarted(replace(BROKE, server_name="Ollama"), "uno")))
    folded = spot(view, 0, "aside")
    click(view, qtbot, 0, folded)
    opened = layout(view, 0)
    assert spot(view, 0, "aside").y() == folded.y()
    assert all(piece.origin.y() > folded.y() for piece in opened.pieces)
    assert shown_texts(view, 0) == ["a bold one", "uno"]
    for name in ("LM Studio", "Ollama"):  # whose text it is stands above it, where there are several
        assert sum(line.startswith(name) for line in shown_lines(view, 0)) == 2


def test_the_keyboard_and_the_menu_show_and_copy_what_came_first(
    view: TranscriptView, model: TranscriptModel
) -> None:
    model.append(rows.stopped(after(TextDelta("one two"), AnswerRestarted(BROKE, "one two"))))
    view.setCurrentIndex(model.index(0))
    QTest.keyClick(view, Qt.Key.Key_Space)
    assert shown_texts(view, 0) == ["one two"]
    QTest.keyClick(view, Qt.Key.Key_Space)
    assert shown_texts(view, 0) == []
    entries = {action.text(): action for action in view.menu_for(0).actions()}
    entries["Show what came first"].trigger()
    assert shown_texts(view, 0) == ["one two"]
    entries["Copy what came first"].trigger()
    assert QGuiApplication.clipboard().text().endswith("one two")


def test_a_continued_answer_has_a_seam_and_every_character(
    view: TranscriptView, model: TranscriptModel, qtbot: QtBot
) -> None:
    model.append(after(TextDelta("one tw"), AnswerContinued(BROKE, 6), OLLAMA_SPEAKS))
    for piece in ("o th", "ree"):
        model.replace(0, rows.with_event(model.row(0), TextDelta(piece)))
        layout(view, 0)
    for _ in range(2):
        assert shown_texts(view, 0) == ["one tw", "o three"]
        assert "LM Studio stopped here; Ollama went on." in shown_lines(view, 0)
        assert len(layout(view, 0).seams) == 1
        model.replace(0, rows.with_event(model.row(0), AnswerFinished(completion("one two three"))))
    click(view, qtbot, 0, spot(view, 0, "copy"))
    assert "[LM Studio stopped here; Ollama went on.]" in QGuiApplication.clipboard().text()


def test_a_list_stays_a_list_on_both_sides_of_a_seam(view: TranscriptView, model: TranscriptModel) -> None:
    before, rest = "1. one\n2. tw", "o\n3. three\n4. four"
    grown = after(TextDelta(before), AnswerContinued(BROKE, len(before)), OLLAMA_SPEAKS)
    model.append(grown)
    for letter in rest:  # as it streams, and not only at the end
        model.replace(0, rows.with_event(model.row(0), TextDelta(letter)))
    for _active in (True, False):
        assert shown_texts(view, 0) == ["one", "tw", "o", "three", "four"]
        assert layout(view, 0).pieces[-1].document.firstBlock().textList() is not None
        model.replace(0, rows.with_event(model.row(0), AnswerFinished(completion("x"))))


def test_code_stays_code_on_both_sides_of_a_seam(view: TranscriptView, model: TranscriptModel) -> None:
    first = "See:\n\n```python\nprint(1)\n"
    for active in (True, False):
        row = after(TextDelta(first), AnswerContinued(BROKE, len(first)), TextDelta("print(2)\n```\n\nDone."))
        model.append(row if active else rows.stopped(row))
        pieces = layout(view, model.rowCount() - 1).pieces
        assert [(piece.document.toPlainText(), piece.panel is not None) for piece in pieces] == [
            ("See:", False),
            ("print(1)", True),
            ("print(2)", True),
            ("Done.", False),
        ]


def test_a_break_with_a_consent_offers_both_below_what_is_kept(
    view: TranscriptView, model: TranscriptModel, qtbot: QtBot
) -> None:
    consent = ConsentRequired("OpenRouter is in the cloud.", needed=Reach.CLOUD)
    model.append(rows.broken(after(TextDelta("one"), AnswerRestarted(BROKE, "one")), consent))
    for action, label in (("allow", "Allow the cloud in this chat"), ("retry", "Try again")):
        with qtbot.waitSignal(view.failure_action) as said:
            click(view, qtbot, 0, spot(view, 0, action))
        assert said.args == [0, action]
        assert label in [entry.text() for entry in view.menu_for(0).actions()]


def test_a_chain_that_stopped_to_ask_is_shown_as_a_question(
    view: TranscriptView, model: TranscriptModel
) -> None:
    asks = "OpenRouter could answer, but it is in the cloud."
    far = replace(BROKE, server_name="OpenRouter", kind=ErrorKind.CONSENT_REQUIRED, detail=asks, skipped=True)
    error = ConsentRequired(
        asks,
        "LM Studio did not answer.",
        "Allow the cloud for this conversation.",
        needed=Reach.CLOUD,
        attempts=(BROKE, far),
        setup_guidance=SetupGuidance("Or stay here.", ("Start LM Studio.", "Load a model.")),
    )
    model.append(rows.broken(rows.waiting(guide=False), error))
    card = view.indexWidget(model.index(0))
    assert isinstance(card, FailureCard)
    buttons = [button.text() for button in card.findChildren(QPushButton)]
    assert buttons == ["Allow the cloud in this chat", "Try again", "Open setup"]
    words = {label.text() for label in card.findChildren(QLabel) if label.isVisible()}
    assert {
        "?  OpenRouter could answer, but it is in the cloud.",
        "LM Studio did not answer.",
        "Allow the cloud for this conversation.",
        "Or stay here.",
        "1. Start LM Studio.",
        "2. Load a model.",
        "LM Studio (m): The connection broke (3.0 s)",
    } <= words


# --- long conversations -------------------------------------------------------------------------------------


def long_chat(messages: int) -> list[rows.Row]:
    found = []
    for number in range(messages):
        text = (
            f"Message {number}. " + "Some words of it. " * (number * 7 % 40) + "\n\n- item\n" * (number % 5)
        )
        row = rows.question(text) if number % 2 == 0 else answer(text)
        found.append(replace(row, node=f"n{number}"))
    return found


def tops(view: TranscriptView) -> dict[int, int]:
    """Where the rows are that are in sight."""
    rects = ((number, view.visualRect(view.rows.index(number))) for number in range(view.rows.rowCount()))
    return {
        number: rect.top()
        for number, rect in rects
        if rect.bottom() > 0 and rect.top() < view.viewport().height()
    }


@given(st.lists(st.integers(0, 60), max_size=40), st.data())
def test_heights_know_where_each_row_begins_and_which_row_is_where(
    known: list[int], data: st.DataObject
) -> None:
    heights = Heights(known)
    for _ in range(4):
        match data.draw(st.sampled_from(["set", "append", "cut"])):
            case "set" if known:
                row, height = data.draw(st.integers(0, len(known) - 1)), data.draw(st.integers(0, 60))
                known[row] = height
                heights.set(row, height)
            case "cut" if known:
                row = data.draw(st.integers(0, len(known) - 1))
                del known[row:]
                heights.cut(row)
            case _:
                height = data.draw(st.integers(0, 60))
                known.append(height)
                heights.append(height)
    assert [heights.top(row) for row in range(len(known) + 1)] == [
        sum(known[:row]) for row in range(len(known) + 1)
    ]
    for y in range(sum(known)):
        row = heights.at(y)
        assert heights.top(row) <= y < heights.top(row) + known[row]


def test_only_rows_that_come_near_are_laid_out(view: TranscriptView, monkeypatch: pytest.MonkeyPatch) -> None:
    laid: list[int] = []
    layout_of = view.delegate.layout_of

    def counted(number: int, row: rows.Row) -> RowLayout:
        laid.append(number)
        return layout_of(number, row)

    monkeypatch.setattr(view.delegate, "layout_of", counted)
    view.set_rows(long_chat(3000))
    view.grab()
    assert view.verticalScrollBar().value() == view.verticalScrollBar().maximum()
    assert 2999 in tops(view)
    assert min(laid) > 2900
    view.resize(500, 500)
    view.grab()
    assert min(laid) > 2900


@pytest.mark.parametrize("by", [-40, -170, -450, 60, 380])
def test_scrolling_moves_what_is_read_by_just_as_much_however_wrong_the_estimates_are(
    view: TranscriptView, by: int
) -> None:
    view.set_rows(long_chat(400))
    bar = view.verticalScrollBar()
    bar.setValue(bar.maximum() // 2)
    for _ in range(12):
        before = tops(view)
        bar.setValue(bar.value() + by)
        after_it = tops(view)
        both = before.keys() & after_it.keys()
        assert both
        assert {before[row] - after_it[row] for row in both} == {by}


@pytest.mark.parametrize("step", [-60, 60, 300])
def test_what_is_moved_on_the_screen_is_what_would_be_painted(
    view: TranscriptView, qtbot: QtBot, step: int
) -> None:
    def on_screen() -> QImage:
        QCoreApplication.sendPostedEvents()
        return view.screen().grabWindow(view.winId()).toImage().convertToFormat(QImage.Format.Format_RGB32)

    view.set_rows([*long_chat(100), after(TextDelta("It grows."))])
    bar = view.verticalScrollBar()
    bar.setValue(bar.maximum() - 1500)
    qtbot.waitUntil(lambda: on_screen() == view.grab().toImage().convertToFormat(QImage.Format.Format_RGB32))
    QCursor.setPos(view.mapToGlobal(QPoint(-20, -20)))  # Qt also paints the row under the pointer
    bar.setValue(bar.value() + step)
    QCoreApplication.sendPostedEvents()
    painted: list[int] = []
    counting = PaintCount(view.viewport(), painted)
    bar.setValue(bar.value() + step)
    bar.setValue(bar.maximum() if step == 300 else bar.value() + step)
    QCoreApplication.sendPostedEvents()
    view.rows.replace(100, rows.with_event(view.rows.row(100), TextDelta(" And\n\ngrows\n\n- on")))
    here = on_screen()
    assert step == 300 or max(painted) < 250
    counting.stop()
    view.rows.replace(100, rows.stopped(view.rows.row(100)))
    here = on_screen()
    assert here == view.grab().toImage().convertToFormat(QImage.Format.Format_RGB32)


class PaintCount(QObject):
    """Notes how high the areas are that a widget is asked to paint."""

    def __init__(self, widget: QWidget, found: list[int]) -> None:
        super().__init__(widget)
        self._found = found
        widget.installEventFilter(self)

    def stop(self) -> None:
        """Look away."""
        parent = self.parent()
        assert parent is not None
        parent.removeEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:  # noqa: N802
        if isinstance(event, QPaintEvent):
            self._found.append(event.rect().height())
        return False


def test_both_ends_can_be_reached_by_scrolling(view: TranscriptView) -> None:
    view.set_rows(long_chat(200))
    bar = view.verticalScrollBar()
    for _ in range(400):
        bar.setValue(bar.value() - bar.pageStep())
    assert bar.value() == 0
    assert tops(view)[0] == 0
    for _ in range(400):
        bar.setValue(bar.value() + bar.pageStep())
    last = view.visualRect(view.rows.index(199))
    assert last.bottom() + 1 == view.viewport().height()


def test_what_is_read_stays_where_it_is_when_the_view_gets_narrower(view: TranscriptView) -> None:
    view.set_rows(long_chat(400))
    view.go_to("n200")
    assert tops(view)[200] == 0
    before = view.visualRect(view.rows.index(199)).height()
    view.resize(440, 500)
    assert tops(view)[200] == 0
    for row in tops(view):
        laid = view.delegate.height_of(row, view.rows.row(row))
        assert view.visualRect(view.rows.index(row)).height() == laid
    assert view.visualRect(view.rows.index(199)).height() > before


def test_a_reading_place_is_found_again(view: TranscriptView, model: TranscriptModel, qtbot: QtBot) -> None:
    view.set_rows(long_chat(300))
    assert view.place() is None  # at the end
    assert view.go_to("n150", 0.5)
    place = view.place()
    assert place is not None
    assert place.message == "n150"
    assert place.above == pytest.approx(0.5, abs=0.05)
    assert not view.go_to("nowhere")
    other = TranscriptView(model)
    qtbot.addWidget(other)
    other.resize(500, 400)
    other.set_rows(long_chat(300))
    other.go_to(place.message, place.above)
    again = other.place()
    assert again is not None
    assert again.message == "n150"
    assert again.above == pytest.approx(0.5, abs=0.05)


def test_the_list_is_a_list_with_an_item_for_every_message(view: TranscriptView) -> None:
    view.set_rows(long_chat(50))
    spoken = QAccessible.queryAccessibleInterface(view)
    assert spoken.role() == QAccessible.Role.List
    assert spoken.childCount() == 50
    item = spoken.child(49)
    assert item.role() == QAccessible.Role.ListItem
    assert item.text(QAccessible.Text.Name).startswith("qwen3.5:4b: Message 49.")
    first = spoken.child(48).rect()
    assert first.height() == view.visualRect(view.rows.index(48)).height()


# --- a long answer that grows -------------------------------------------------------------------------------


def test_a_flush_into_endless_code_makes_one_small_document(
    view: TranscriptView, model: TranscriptModel
) -> None:
    line = "value = compute(1, 2, 3)\n"
    model.append(after(TextDelta("```python\n" + line * 2000)))
    before = [piece.document for piece in layout(view, 0).pieces]
    model.replace(0, rows.with_event(model.row(0), TextDelta(line)))
    laid = layout(view, 0)
    assert [piece.document for piece in laid.pieces][:-1] == before[:-1]
    assert laid.pieces[-1].document.characterCount() < 2_500
    copied = next(spot.value for spot in laid.spots if spot.action == "copy_code")
    assert copied == (line * 2001).rstrip("\n")
    assert len([spot for spot in laid.spots if spot.action == "copy_code"]) == 1


def test_a_finished_answer_keeps_the_documents_it_grew_with(
    view: TranscriptView, model: TranscriptModel
) -> None:
    model.append(after(TextDelta(ANSWER)))
    before = [piece.document for piece in layout(view, 0).pieces]
    model.replace(0, rows.with_event(model.row(0), AnswerFinished(completion(ANSWER))))
    assert [piece.document for piece in layout(view, 0).pieces] == before


def test_long_code_gets_its_colours_while_nothing_else_is_to_do(
    view: TranscriptView, model: TranscriptModel, qtbot: QtBot
) -> None:
    model.append(answer("```python\n" + "def f(): return 'words'\n" * 200 + "```"))

    def colored() -> bool:
        last = layout(view, 0).pieces[-1].document
        last.size()  # lays it out, as painting does
        return len(last.lastBlock().layout().formats()) > 2 and last.lastBlock().layout().lineCount() == 1

    qtbot.waitUntil(colored)


# --- what can be done with a message ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "action"), [("e", "edit"), ("r", ""), ("[", "branch_back"), ("]", "branch_on")]
)
def test_keys_of_a_question(view: TranscriptView, model: TranscriptModel, key: str, action: str) -> None:
    model.append(replace(rows.question("Why?"), branch=(0, 2)))
    view.setCurrentIndex(model.index(0))
    wanted: list[str] = []
    view.action.connect(lambda _number, name, _value: wanted.append(name))
    QTest.keyClicks(view, key)
    assert wanted == [action] * bool(action)


def test_keys_copy_ask_again_and_leave(view: TranscriptView, model: TranscriptModel, qtbot: QtBot) -> None:
    model.append(answer("**Short**."))
    view.setCurrentIndex(model.index(0))
    QTest.keyClicks(view, "c")
    assert QGuiApplication.clipboard().text() == "**Short**."
    with qtbot.waitSignal(view.action) as said:
        QTest.keyClicks(view, "r")
    assert said.args == [0, "regenerate", ""]
    with qtbot.waitSignal(view.left):
        QTest.keyClick(view, Qt.Key.Key_Escape)


def test_enter_shows_what_can_be_done(view: TranscriptView, model: TranscriptModel, qtbot: QtBot) -> None:
    model.append(answer("Short."))
    view.setCurrentIndex(model.index(0))
    QTest.keyClick(view, Qt.Key.Key_Return)
    menu = next(menu for menu in view.findChildren(QMenu) if menu.isVisible())
    entries = {action.text(): action for action in menu.actions()}
    with qtbot.waitSignal(view.action) as said:
        entries["With another model…"].trigger()
    assert said.args == [0, "regenerate_with", ""]
    menu.close()


def test_up_and_down_go_from_message_to_message(view: TranscriptView) -> None:
    view.set_rows(long_chat(30))
    QTest.keyClick(view, Qt.Key.Key_Up)
    assert view.currentIndex().row() == 29
    for _ in range(20):
        QTest.keyClick(view, Qt.Key.Key_Up)
        assert view.currentIndex().row() in tops(view)
    QTest.keyClick(view, Qt.Key.Key_Home)
    assert (view.currentIndex().row(), view.verticalScrollBar().value()) == (0, 0)


def test_the_branch_switcher_stands_at_a_message_with_siblings(
    view: TranscriptView, model: TranscriptModel, qtbot: QtBot
) -> None:
    model.append(replace(rows.question("Why?"), branch=(1, 3)))
    model.append(replace(answer("So."), branch=(0, 2)))
    assert "2 of 3" in [spot.text for spot in layout(view, 0).spots]
    with qtbot.waitSignal(view.action) as said:
        click(view, qtbot, 1, spot(view, 1, "branch_on"))
    assert said.args == [1, "branch_on", ""]


def test_selected_text_is_quoted_and_selected_by_keyboard(
    view: TranscriptView, model: TranscriptModel, qtbot: QtBot
) -> None:
    model.append(answer("One two.\n\nThree."))
    view.setCurrentIndex(model.index(0))
    for _ in range(3):
        QTest.keyClick(view, Qt.Key.Key_Right, Qt.KeyboardModifier.ShiftModifier)
    assert view.selected_text() == "One"
    entries = {action.text(): action for action in view.menu_for(0).actions()}
    with qtbot.waitSignal(view.action) as said:
        entries["Quote selection"].trigger()
    assert said.args == [0, "quote", "One"]
    for _ in range(7):  # over the end of the paragraph
        QTest.keyClick(view, Qt.Key.Key_Right, Qt.KeyboardModifier.ShiftModifier)
    assert view.selected_text() == "One two.\n\nT"
    QTest.keyClick(view, Qt.Key.Key_A, Qt.KeyboardModifier.ControlModifier)
    assert view.selected_text() == "One two.\n\nThree."
    QTest.keyClick(view, Qt.Key.Key_Escape)
    assert view.selected_text() == ""


PICTURE = Attachment("a" * 64, "beach.png", "image/png", 123_000)
PAPER = Attachment("b" * 64, "report.pdf", "application/pdf", 2_100_000, "text")


def test_attachments_are_pictures_and_names_and_open_with_a_click(
    view: TranscriptView, model: TranscriptModel, qtbot: QtBot
) -> None:
    wanted: list[str] = []
    view.image_wanted.connect(wanted.append)
    model.append(rows.question("What is this?", (PICTURE, PAPER)))
    assert wanted == [PICTURE.id]
    assert [chip.text for chip in layout(view, 0).chips] == ["", "report.pdf · 2.1 MB"]
    image = QImage(3000, 2000, QImage.Format.Format_RGB32)
    image.fill(Qt.GlobalColor.red)
    view.show_image(PICTURE.id, image)
    middle = at(view, 0, layout(view, 0).chips[0].rect.center())
    assert view.grab().toImage().pixelColor(middle) == QColor(Qt.GlobalColor.red)
    with qtbot.waitSignal(view.action) as said:
        click(view, qtbot, 0, layout(view, 0).chips[1].rect.center())
    assert said.args == [0, "open_attachment", PAPER]


# --- finding ------------------------------------------------------------------------------------------------


def test_words_are_found_from_place_to_place_and_round(view: TranscriptView) -> None:
    view.set_rows(
        [*long_chat(100), answer("Here is a **needle**, and a\n\n```\nNeedle\n```"), *long_chat(100)]
    )
    assert view.find("needle") == 1
    first = view.delegate.match
    assert first is not None
    assert first.row == 100
    assert 100 in tops(view)
    view.find_next()
    second = view.delegate.match
    assert second is not None
    assert (second.row, second.piece) == (100, first.piece + 1)
    view.find_next()
    assert view.delegate.match == first
    view.find_back()
    assert view.delegate.match == second
    view.find_back()
    view.rows.replace(20, replace(view.rows.row(20), text="A needle up here"))
    view.find_back()
    assert view.delegate.match is not None
    assert view.delegate.match.row == 20
    view.rows.replace(10, replace(view.rows.row(10), text="And a needle further up"))
    view.find_back()
    assert view.delegate.match.row == 10
    view.find_back()
    assert view.delegate.match == second
    assert view.find("no such words") == 0
    assert view.find("") == 0
    assert view.delegate.match is None


# --- directions ---------------------------------------------------------------------------------------------


def test_the_whole_view_is_mirrored_where_one_reads_from_right_to_left(
    view: TranscriptView, model: TranscriptModel, qtbot: QtBot
) -> None:
    model.append(rows.question("Why?"))
    model.append(answer("So."))
    view.setLayoutDirection(Qt.LayoutDirection.RightToLeft)
    bubble = layout(view, 0).bubble
    assert bubble is not None
    assert bubble.left() == 0
    details = next(spot for spot in layout(view, 1).spots if spot.action == "details")
    assert details.rect.right() == pytest.approx(layout(view, 1).style.column[1])
    with qtbot.waitSignal(view.copied):
        click(view, qtbot, 1, spot(view, 1, "copy"))


def test_text_follows_its_own_direction(view: TranscriptView, model: TranscriptModel) -> None:
    model.append(answer("שלום עולם"))
    model.append(answer("Hello"))
    for number, direction in ((0, Qt.LayoutDirection.RightToLeft), (1, Qt.LayoutDirection.LeftToRight)):
        assert layout(view, number).pieces[0].document.firstBlock().textDirection() == direction


def test_another_font_and_palette_are_followed_at_once(view: TranscriptView, model: TranscriptModel) -> None:
    model.append(answer("Some words of an answer. " * 20))
    before = view.visualRect(model.index(0)).height()
    font = view.font()
    font.setPointSizeF(font.pointSizeF() * 2)
    view.setFont(font)
    assert view.visualRect(model.index(0)).height() > before * 1.8
    view.setPalette(plain_palette(dark=True))
    assert layout(view, 0).style.colors.dark
