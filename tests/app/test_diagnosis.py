"""What the app says about itself, and the report that is made of it."""

import getpass
import io
import os
import socket
import stat
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.integration.worlds import world
from tests.servers.fixtures import ServerFactory
from whisper_desktop.app import App
from whisper_desktop.app.diagnosis import diagnose, examine
from whisper_desktop.app.report import make_report, save_report
from whisper_desktop.errors import SettingsError
from whisper_desktop.settings.paths import log_dir

KEY = "sk-or-v1-0123456789abcdef0123"
ODD_KEY = "correct-horse"


@pytest.fixture(autouse=True)
def _no_keyring(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.fail.Keyring")


@pytest.fixture
async def app(servers: ServerFactory) -> AsyncIterator[App]:
    lm_studio = servers("lm_studio", models=[{"id": "qwen3.5-4b", "loaded": True}])
    async with world(lm_studio=lm_studio.url) as app:
        yield app


async def test_the_checks_say_what_can_answer_and_where_keys_are(app: App) -> None:
    checks = {check.id: check for check in await examine(app)}
    assert checks["settings"].ok
    assert checks["servers"].detail == "can answer: LM Studio"
    assert checks["keyring"].ok is None
    assert "no keyring" in checks["keyring"].detail


async def test_everything_is_in_the_text_and_no_key(app: App) -> None:
    await app.set_key("openrouter", KEY)
    await app.remember({"chat.bin_days": 3})
    text = (await diagnose(app)).text
    for part in (
        "Whisper Desktop ",
        "Python 3",
        "Memory: ",
        "LM Studio: ready",
        "qwen3.5-4b",
        "Automatic",
    ):
        assert part in text
    assert "chat.bin_days: 3 (choices.yaml)" in text
    assert KEY not in text


async def test_nothing_private_is_in_the_report(
    app: App, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SOME_API_TOKEN", "a-token-nobody-knows")
    await app.set_key("openrouter", KEY)
    await app.set_key("http://127.0.0.1:9", ODD_KEY)
    home, user, host = str(Path.home()), "grace-h", socket.gethostname()
    monkeypatch.setattr(getpass, "getuser", lambda: user)
    lines = [
        f"key {KEY} for {user} on {host}",
        f"again {ODD_KEY} and a-token-nobody-knows",
        f"opened {home}/models/a.gguf",
        'body: {"messages": [{"content": "my secret diary"}]}',
        "the last line",
    ]
    (log_dir() / "desktop.log").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (log_dir() / "engine-guide.log").write_text(f"loading\nAuthorization: Bearer {KEY}\n", encoding="utf-8")
    report = await make_report(app)
    assert {each.name for each in report.enclosed} == {
        "diagnosis.txt",
        "logs/desktop.log",
        "logs/engine-guide.log",
    }
    packed = report.as_zip()
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        everything = "\n".join(archive.read(name).decode() for name in archive.namelist())
    for private in (KEY, ODD_KEY, "a-token-nobody-knows", home, user, "my secret diary"):
        assert private not in everything
        assert private.encode() not in packed
    assert "opened ~/models/a.gguf" in everything
    assert "the last line" in everything


async def test_the_computers_name_is_not_in_the_report(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "engelbart.lan")
    (log_dir() / "desktop.log").write_text("Engelbart and engelbart.lan\n", encoding="utf-8")
    text = next(each.text for each in (await make_report(app)).enclosed if each.name == "logs/desktop.log")
    assert text == "[computer] and [computer]\n"


async def test_of_a_huge_log_the_end_is_enclosed_from_a_whole_line_on(app: App) -> None:
    (log_dir() / "desktop.log").write_text("".join(f"line {n}\n" for n in range(60_000)), encoding="utf-8")
    text = next(each.text for each in (await make_report(app)).enclosed if each.name == "logs/desktop.log")
    assert len(text) <= 200_000
    assert text.startswith("line ")
    assert text.endswith("line 59999\n")


async def test_the_report_is_for_the_person_alone(app: App, tmp_path: Path) -> None:
    file = tmp_path / "report.zip"
    file.touch(0o644)  # an older one, which others may read
    await save_report(await make_report(app), file)
    assert zipfile.is_zipfile(file)
    if os.name == "posix":
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


async def test_a_report_that_cannot_be_saved_says_why(app: App, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be saved there"):
        await save_report(await make_report(app), tmp_path / "nowhere" / "report.zip")
