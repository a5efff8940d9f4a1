"""Commands in our sentences are shown as code, can be copied, and nothing else is taken for markup."""

from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtTest import QTest
from pytestqt.qtbot import QtBot

from whisper_desktop.ui.code_spans import commands_in, with_code, without_marks
from whisper_desktop.ui.widgets import Instruction

STEP = "In a terminal, run `ollama pull llama3.2:3b`."


def test_a_command_is_code_and_the_rest_is_shown_as_it_is() -> None:
    assert with_code(STEP) == "In a terminal, run <code>ollama pull llama3.2:3b</code>."
    assert with_code("<b>1 < 2</b> & `a <b>`") == "&lt;b&gt;1 &lt; 2&lt;/b&gt; &amp; <code>a &lt;b&gt;</code>"
    assert with_code("a lone ` stays") == "a lone ` stays"


def test_where_only_words_fit_the_marks_are_left_out() -> None:
    assert without_marks(STEP) == "In a terminal, run ollama pull llama3.2:3b."
    assert commands_in(STEP) == ("ollama pull llama3.2:3b",)


def test_a_link_after_the_command_copies_it_and_only_it(qtbot: QtBot) -> None:
    instruction = Instruction(f"{STEP} Or `ollama serve`.")
    qtbot.addWidget(instruction)
    assert instruction.text().count(">Copy ollama") == 2
    instruction.linkActivated.emit("1")
    assert QGuiApplication.clipboard().text() == "ollama serve"
    assert instruction.text().count(">Copy ollama") == 1
    assert instruction.text().endswith(">Copied ollama serve</a>")


def test_the_link_is_reached_by_keyboard(qtbot: QtBot) -> None:
    instruction = Instruction(STEP)
    qtbot.addWidget(instruction)
    with qtbot.waitExposed(instruction):
        instruction.show()
    instruction.setFocus()
    QTest.keyClick(instruction, Qt.Key.Key_Tab)
    QTest.keyClick(instruction, Qt.Key.Key_Return)
    assert QGuiApplication.clipboard().text() == "ollama pull llama3.2:3b"


def test_a_sentence_without_a_command_is_no_stop_of_the_tab_key(qtbot: QtBot) -> None:
    instruction = Instruction("Come back here.")
    qtbot.addWidget(instruction)
    assert not instruction.focusPolicy() & Qt.FocusPolicy.TabFocus
    assert "<a" not in instruction.text()
