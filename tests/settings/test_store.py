"""Settings on disk: what `config set` and the app's own memory write, and what a crash leaves."""

import os
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import yaml

from tests.settings.conftest import Home
from whisper_desktop.errors import SettingsError
from whisper_desktop.settings.files import LOCK_FILE, locked, write_text
from whisper_desktop.settings.resolution import Layer
from whisper_desktop.settings.schema import SETTINGS
from whisper_desktop.settings.store import example_config, forget, remember, remember_all, set_config
from whisper_desktop.values import Deadlines, Reach

_unix = pytest.mark.skipif(os.name == "nt", reason="file modes, links and signals are a Unix matter")


# --- config set -------------------------------------------------------------------------------------------


def test_a_first_setting_makes_the_file(home: Home) -> None:
    assert set_config("llm.backend", "lmstudio", env=home.env) == "lm_studio"
    assert home.config.read_text() == "llm:\n  backend: lm_studio\n"
    loaded = home.load()
    assert loaded.settings.llm.backend == "lm_studio"
    assert loaded.sources["llm.backend"] is Layer.CONFIG


def test_comments_order_and_unknown_keys_survive(home: Home) -> None:
    text = "# mine\nnew_thing: 1 # kept\nllm:\n  # why\n  model_name: {}  # good\n  mode: http\n{}"
    home.config.write_text(text.format("a", ""))
    set_config("llm.model_name", "b", env=home.env)
    set_config("llm.reach", "my network", env=home.env)
    assert home.config.read_text() == text.format("b", "  reach: my_network\n")


@pytest.mark.parametrize(
    ("key", "text", "written"),
    [
        ("llm.lm_studio.port", "1300", {"llm": {"lmstudio": {"port": 1300}}}),
        ("llm.stub", "on", {"llm": {"stub": True}}),
        ("llm.fallback_chain", "jan, lmstudio", {"llm": {"fallback_chain": ["jan", "lm_studio"]}}),
        ("llm.backend", "auto", {"llm": {"backend": None}}),
        ("llm.llamacpp.n_ctx", "auto", {"llm": {"llamacpp": {"n_ctx": "auto"}}}),
        ("llm.model_cache_dir", "~/models", {"llm": {"model_cache_dir": "~/models"}}),
        ("llm.base_url", "localhost:8000", {"llm": {"base_url": "http://localhost:8000"}}),
        ("llm.gemini.top_k", "5", {"llm": {"gemini": {"top_k": 5}}}),
        (
            "privacy.server_reach",
            "{'http://h:1/v1': cloud}",
            {"privacy": {"server_reach": {"http://h:1": "cloud"}}},
        ),
    ],
)
def test_a_text_is_written_as_its_type(home: Home, key: str, text: str, written: dict[str, object]) -> None:
    set_config(key, text, env=home.env)
    assert yaml.safe_load(home.config.read_text()) == written
    assert home.load().problems == ()


@pytest.mark.parametrize(
    ("key", "text", "said"),
    [
        ("llm.lmstudio.port", "0", "from 1 to 65535"),
        ("llm.backnd", "ollama", "Did you mean llm.backend"),
        ("llm", "x", "Settings stand under it"),
        ("llm.backend.x", "x", "nothing under it"),
        ("", "x", "is not a setting"),
        ("llm.openrouter.api_key", "sk-or-v1-0123456789", "keys set"),
        ("llm.gemini.token", "sk-or-v1-0123456789", "keys set"),
    ],
)
def test_a_refused_setting_leaves_the_file_alone(home: Home, key: str, text: str, said: str) -> None:
    home.config.write_text("llm: {mode: http}\n")
    with pytest.raises(SettingsError, match=said) as caught:
        set_config(key, text, env=home.env)
    assert "0123456789" not in str(caught.value)
    assert home.config.read_text() == "llm: {mode: http}\n"


def test_a_file_that_cannot_be_read_is_not_touched(home: Home) -> None:
    home.config.write_text("llm: [\n")
    with pytest.raises(SettingsError, match="cannot be changed.*set it there: llm.mode: http"):
        set_config("llm.mode", "http", env=home.env)
    assert home.config.read_text() == "llm: [\n"


@_unix
def test_permissions_and_links_stay_and_a_new_file_is_private(home: Home, tmp_path: Path) -> None:
    set_config("llm.mode", "http", env=home.env)
    assert stat.S_IMODE(home.config.stat().st_mode) == 0o600
    real = tmp_path / "dotfiles.yaml"
    home.config.rename(real)
    real.chmod(0o640)
    home.config.symlink_to(real)
    set_config("llm.mode", "direct", env=home.env)
    assert home.config.is_symlink()
    assert real.read_text() == "llm:\n  mode: direct\n"
    assert stat.S_IMODE(real.stat().st_mode) == 0o640


# --- What the app remembers -------------------------------------------------------------------------------


def test_a_choice_is_remembered_above_the_file_and_can_be_taken_back(home: Home) -> None:
    home.config.write_text("llm: {backend: ollama}\n")
    remember("llm.backend", None, env=home.env)
    remember_all(
        {"llm.reach": Reach.CLOUD, "llm.fallback_chain": ("jan",), "ui.setup_done": True}, env=home.env
    )
    loaded = home.load()
    assert loaded.problems == ()
    assert loaded.settings.llm.backend is None
    assert loaded.settings.llm.reach is Reach.CLOUD
    assert loaded.settings.llm.fallback_chain == ("jan",)
    assert loaded.settings.ui.setup_done is True
    forget("llm.backend", env=home.env)
    assert home.load().settings.llm.backend == "ollama"
    forget("llm", env=home.env)
    assert home.load().settings.llm.reach is Reach.THIS_MACHINE
    assert home.load().settings.ui.setup_done is True


def test_what_the_person_sets_takes_back_what_a_window_remembered(home: Home) -> None:
    address = {"http://127.0.0.1:1337": "this_machine"}
    remember_all({"privacy.server_reach": address, "ui.theme": "dark"}, env=home.env)
    set_config("privacy.server_reach", "{}", env=home.env)
    loaded = home.load()
    assert loaded.get("privacy.server_reach") == {}
    assert (loaded.get("ui.theme"), loaded.sources["ui.theme"]) == ("dark", Layer.CHOICES)


def test_unknown_choices_are_kept(home: Home) -> None:
    home.choices.write_text("later:\n  thing: [1, {a: b}]\n")
    remember("ui.theme", "dark", env=home.env)
    remember("ui.theme", "light", env=home.env)
    kept = yaml.safe_load(home.choices.read_text())
    assert kept == {"later": {"thing": [1, {"a": "b"}]}, "ui": {"theme": "light"}}


def test_the_persons_file_is_never_written_by_a_choice(home: Home) -> None:
    home.config.write_text("ui:   {theme:   dark}\n")
    remember("ui.theme", "light", env=home.env)
    assert home.config.read_text() == "ui:   {theme:   dark}\n"


@pytest.mark.parametrize(
    ("key", "value"), [("ui.theme", "pink"), ("llm.mode", None), ("llm.openrouter.key", "k")]
)
def test_a_bad_choice_is_refused_and_nothing_of_it_kept(home: Home, key: str, value: object) -> None:
    with pytest.raises(SettingsError, match="Nothing was changed"):
        remember_all({"ui.setup_done": True, key: value}, env=home.env)
    assert not home.choices.exists()


def test_broken_choices_are_put_aside_and_begun_anew(home: Home) -> None:
    home.choices.write_text("llm: [")
    remember("ui.theme", "dark", env=home.env)
    assert home.load().settings.ui.theme == "dark"
    assert (home.folder / "choices.broken.yaml").read_text() == "llm: ["


# --- Many writers, and crashes ----------------------------------------------------------------------------

_WRITER = """
import sys
from whisper_desktop.settings.store import remember
number = int(sys.argv[1])
for round in range(10):
    remember(f"ui.writer_{number}_{round}", round)
"""


def test_writers_in_several_processes_lose_nothing(home: Home) -> None:
    environ = {**os.environ, **home.env}
    writers = [
        subprocess.Popen([sys.executable, "-c", _WRITER, str(number)], env=environ, stderr=subprocess.PIPE)
        for number in range(3)
    ]
    for writer in writers:
        _, errors = writer.communicate(timeout=60)
        assert writer.returncode == 0, errors.decode()
    kept = yaml.safe_load(home.choices.read_text())["ui"]
    assert len(kept) == 30


def test_threads_take_turns_too(home: Home) -> None:
    threads = [
        threading.Thread(target=remember, args=(f"ui.thread_{number}", number), kwargs={"env": home.env})
        for number in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(yaml.safe_load(home.choices.read_text())["ui"]) == 8


def test_a_writer_that_does_not_finish_is_waited_for_and_then_told(home: Home) -> None:
    with (
        locked(home.folder, 0),
        pytest.raises(SettingsError, match="Another program is writing"),
    ):
        set_config("llm.mode", "http", env=home.env, deadlines=Deadlines(settings_lock=0.05))
    assert not home.config.exists()
    set_config("llm.mode", "http", env=home.env)


_CRASHER = """
import sys
from pathlib import Path
from whisper_desktop.settings.files import write_text
path = Path(sys.argv[1])
texts = ["a: " + "x" * 200_000 + "\\n", "b: " + "y" * 200_000 + "\\n"]
while True:
    for text in texts:
        write_text(path, text)
        print("written", flush=True)
"""


@_unix
@pytest.mark.chaos
def test_kill_9_while_writing_leaves_a_whole_file(home: Home) -> None:
    home.config.write_text("a: " + "x" * 200_000 + "\n")
    whole = {("a", "x"), ("b", "y")}
    for attempt in range(12):
        writer = subprocess.Popen(
            [sys.executable, "-c", _CRASHER, str(home.config)], stdout=subprocess.PIPE, text=True
        )
        assert writer.stdout is not None
        with writer.stdout:
            # Each attempt is killed after one write more, wherever the writer is by then.
            for _ in range(attempt + 1):
                assert writer.stdout.readline() == "written\n"
            writer.send_signal(signal.SIGKILL)
            writer.wait(10)
        text = home.config.read_text()
        assert len(text) == 200_004
        assert (text[0], text[3]) in whole
    assert len(list(home.folder.iterdir())) <= 2
    write_text(home.config, "after: 1\n")
    assert [path.name for path in home.folder.iterdir()] == ["config.yaml"]


@_unix
def test_a_full_or_read_only_place_is_told_and_the_old_file_stays(home: Home) -> None:
    home.config.write_text("llm: {mode: http}\n")
    (home.folder / ".config.yaml.new").mkdir()
    with pytest.raises(SettingsError, match="cannot be written.*Nothing was changed"):
        set_config("llm.mode", "direct", env=home.env)
    assert home.config.read_text() == "llm: {mode: http}\n"


def test_the_last_good_copy_waits_for_nobody(home: Home) -> None:
    home.config.write_text("llm: {mode: http}\n")
    with locked(home.folder, 0):
        assert home.load().problems == ()
    assert not home.last_good.exists()
    home.load()
    assert home.last_good.read_text() == home.config.read_text()
    assert (home.folder / LOCK_FILE).stat().st_size == 0


# --- The example file -------------------------------------------------------------------------------------


def test_the_example_file_is_valid_as_it_is_and_with_everything_switched_on(home: Home) -> None:
    home.config.write_text(example_config())
    assert home.load().problems == ()
    lines = [
        line.replace("#", "", 1)
        if line.lstrip().startswith("#") and not line.lstrip().startswith("# ")
        else line
        for line in example_config().splitlines()
    ]
    home.config.write_text("\n".join(lines))
    loaded = home.load()
    assert loaded.problems == ()
    for info in SETTINGS.values():
        assert loaded.get(info.key) == info.default, info.key
        assert f"{info.path[-1]}:" in example_config()


def test_every_setting_has_words_for_a_person() -> None:
    for info in SETTINGS.values():
        assert info.title, info.key
        assert info.description.endswith("."), info.key
        assert info.expects, info.key
    assert len({info.variable for info in SETTINGS.values()}) == len(SETTINGS)


def test_set_config_works_on_the_example_file(home: Home) -> None:
    home.config.write_text(example_config())
    set_config("llm.lmstudio.port", "1300", env=home.env)
    set_config("llm.mode", "http", env=home.env)
    set_config("ui.theme", "dark", env=home.env)
    loaded = home.load()
    assert loaded.problems == ()
    assert (loaded.settings.llm.lmstudio.port, loaded.settings.llm.mode) == (1300, "http")
    assert loaded.settings.ui.theme == "dark"
    old, new = example_config().splitlines(), home.config.read_text().splitlines()
    assert sorted(line.strip() for line in new if line not in old) == [
        "mode: http",
        "port: 1300",
        "theme: dark",
    ]
    assert [line for line in new if line in old] == old
