"""The public Python surface: what it promises, and what importing it costs."""

import subprocess
import sys
from importlib import import_module

import whisper_desktop

HEAVY = (
    "PySide6",
    "shiboken6",
    "qasync",
    "httpx",
    "aiohttp",
    "pydantic",
    "yaml",
    "keyring",
    "rich",
    "psutil",
)


def modules_after(statement: str) -> set[str]:
    """The top-level modules that are loaded in a fresh interpreter after a statement."""
    code = f"{statement}\nimport sys\nprint(*sorted({{name.split('.')[0] for name in sys.modules}}))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    return set(done.stdout.split())


def test_everything_promised_is_there_and_nothing_else_is_offered() -> None:
    offered = {name for name in dir(whisper_desktop) if not name.startswith("_")}
    modules = {name for name in offered if f"whisper_desktop.{name}" in sys.modules}
    assert offered - modules - {"import_module", "TYPE_CHECKING", "Any"} == set(whisper_desktop.__all__)
    assert len(set(whisper_desktop.__all__)) == len(whisper_desktop.__all__)


def test_each_name_is_the_one_its_room_exports() -> None:
    for name in whisper_desktop.__all__:
        value = getattr(whisper_desktop, name)
        home = whisper_desktop._HOME_OF[name]
        assert getattr(import_module(home), name) is value
        if home not in ("whisper_desktop.values", "whisper_desktop.errors"):
            assert name in import_module(home).__all__


def test_an_unknown_name_is_an_attribute_error() -> None:
    assert not hasattr(whisper_desktop, "Nonsense")


def test_importing_the_package_loads_nothing_heavy() -> None:
    assert not modules_after("import whisper_desktop").intersection(HEAVY)


def test_the_way_in_and_the_engine_child_load_nothing_heavy() -> None:
    assert not modules_after("import whisper_desktop.__main__").intersection(HEAVY)
    assert not modules_after("import whisper_desktop.engines.child").intersection(HEAVY)


def test_the_core_never_loads_qt() -> None:
    everything = "import whisper_desktop as w; [getattr(w, name) for name in w.__all__]"
    loaded = modules_after(everything + "; import whisper_desktop.cli.main, whisper_desktop.control")
    assert not loaded.intersection(("PySide6", "shiboken6", "qasync"))
