"""Autostart is what the system says it is: entries written, read back, switched off by others."""

import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from whisper_desktop.errors import SettingsError
from whisper_desktop.machine import autostart, desktop_entry
from whisper_desktop.machine.own_program import own_command

GOOD = autostart.entry()


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    """An account of its own."""
    return {"HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path / "config"), "PATH": os.environ["PATH"]}


def test_it_is_off_until_it_is_switched_on_and_after_it_is_switched_off(env: dict[str, str]) -> None:
    assert not autostart.is_on(env, platform="linux")
    autostart.set_on(True, env, platform="linux")
    assert autostart.is_on(env, platform="linux")
    autostart.set_on(False, env, platform="linux")
    assert not autostart.is_on(env, platform="linux")
    autostart.set_on(False, env, platform="linux")


def test_the_entry_starts_this_program_in_the_background_by_its_absolute_path(env: dict[str, str]) -> None:
    keys = desktop_entry.read(autostart.entry(env))
    program = own_command(env)[0]
    assert os.path.isabs(program)
    assert keys["Exec"].startswith(program)
    assert keys["Exec"].endswith(" --background")
    assert keys["TryExec"] == program


@pytest.mark.parametrize(
    ("change", "on"),
    [
        ("", True),
        ("Hidden=true", False),
        ("Hidden=false", True),
        ("X-GNOME-Autostart-enabled=false", False),
        ("X-KDE-autostart-disabled=true", False),
        ("OnlyShowIn=KDE;", False),
        ("OnlyShowIn=GNOME;KDE;", True),
        ("NotShowIn=GNOME;", False),
        ("TryExec=/nowhere/at-all", False),
    ],
)
def test_a_desktop_that_switched_it_off_is_believed(change: str, on: bool) -> None:
    text = f"[Desktop Entry]\nType=Application\nExec=/bin/true --background\n{change}\n"
    assert autostart.entry_is_on(text, "ubuntu:GNOME") is on


def test_an_entry_that_starts_nothing_is_off() -> None:
    assert not autostart.entry_is_on("[Desktop Entry]\nType=Application\n", "")
    assert not autostart.entry_is_on("[Other]\nExec=/bin/true\n", "")


def test_what_was_switched_off_by_the_desktop_is_switched_on_again(env: dict[str, str]) -> None:
    autostart.set_on(True, env, platform="linux")
    file = Path(env["XDG_CONFIG_HOME"], "autostart", desktop_entry.FILE)
    file.write_text(file.read_text("utf-8") + "Hidden=true\n", encoding="utf-8")
    assert not autostart.is_on(env, platform="linux")
    autostart.set_on(True, env, platform="linux")
    assert autostart.is_on(env, platform="linux")


def test_bytes_that_are_no_entry_are_off(env: dict[str, str]) -> None:
    file = Path(env["XDG_CONFIG_HOME"], "autostart", desktop_entry.FILE)
    file.parent.mkdir(parents=True)
    file.write_bytes(b"\xff\xfe\x00 nonsense")
    assert not autostart.is_on(env, platform="linux")


def test_a_folder_that_cannot_be_made_is_told_in_words(env: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "config").write_text("a file where the folder should be")
    with pytest.raises(SettingsError) as caught:
        autostart.set_on(True, env, platform="linux")
    assert "computer" in caught.value.title
    assert caught.value.detail


def test_the_agent_of_macos_is_read_back(env: dict[str, str]) -> None:
    autostart.set_on(True, env, platform="darwin")
    assert autostart.is_on(env, platform="darwin")
    file = next(Path(env["HOME"]).glob("Library/LaunchAgents/*.plist"))
    file.write_bytes(file.read_bytes().replace(b"<key>RunAtLoad</key>", b"<key>Disabled</key>"))
    assert not autostart.is_on(env, platform="darwin")
    file.write_bytes(b"no list")
    assert not autostart.is_on(env, platform="darwin")


@pytest.mark.parametrize(
    ("data", "approved"), [(b"", True), (b"\x02" + bytes(11), True), (b"\x03" + bytes(11), False)]
)
def test_the_task_manager_of_windows_has_the_last_word(data: bytes, approved: bool) -> None:
    assert autostart.is_approved(data) is approved


@pytest.mark.parametrize(
    "word", ["plain", "with space", 'a "quoted" one', "back\\slash", "$HOME", "100%", "`tick`", ""]
)
def test_any_word_of_a_command_survives_an_entry(word: str, tmp_path: Path) -> None:
    """A real reader of entries starts the program with exactly these words."""
    launcher = shutil.which("gio")
    if launcher is None:
        pytest.skip("not installed: gio")
    told, program = tmp_path / "told", tmp_path / "program"
    os.mkfifo(told)
    program.write_text(f'#!/bin/sh\nprintf "%s|" "$@" > {told}\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    keys = {"Type": "Application", "Name": "x", "Exec": desktop_entry.exec_line([str(program), word, "end"])}
    entry = tmp_path / "x.desktop"
    entry.write_text(desktop_entry.written({"Desktop Entry": keys}), encoding="utf-8")
    subprocess.run([launcher, "launch", str(entry)], check=True, timeout=20)
    assert told.read_text() == f"{word}|end|"


def test_the_entry_for_packagers_is_the_one_the_app_writes() -> None:
    file = Path(__file__).parents[2] / "packaging" / "linux" / desktop_entry.FILE
    assert file.read_text("utf-8") == desktop_entry.menu_entry(["whisper-desktop"])


def test_the_menu_entry_is_valid_and_comes_with_its_icon(env: dict[str, str], tmp_path: Path) -> None:
    icon = tmp_path / "mark.svg"
    icon.write_text("<svg/>")
    entry = desktop_entry.install(icon, env)
    keys = desktop_entry.read(entry.read_text("utf-8"))
    assert keys["MimeType"] == "x-scheme-handler/whisper;"
    pictures = list(tmp_path.glob(".local/share/icons/hicolor/scalable/apps/*.svg"))
    assert [picture.stem for picture in pictures] == [keys["Icon"]]
    desktop_entry.remove(env)
    assert not entry.exists()
    assert not list(tmp_path.glob(".local/share/**/*.svg"))


@pytest.mark.skipif(
    shutil.which("desktop-file-validate") is None, reason="not installed: desktop-file-validate"
)
def test_our_entries_pass_the_validator_of_the_desktops(tmp_path: Path) -> None:
    for name, text in {
        "menu": desktop_entry.menu_entry(own_command()),
        "autostart": autostart.entry(),
    }.items():
        file = tmp_path / f"{name}.desktop"
        file.write_text(text, encoding="utf-8")
        done = subprocess.run(
            ["desktop-file-validate", str(file)], capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stdout + done.stderr) == (0, "")
