"""The project's `.venv`: made once, filled by pip, and left alone for as long as nothing has changed.

A stamp inside it remembers what it was filled for. When the stamp still says the same, a start costs a few
milliseconds; this module therefore imports its heavier helpers only when there is something to do.
"""

import hashlib
import importlib
import os
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
VENV = os.path.join(ROOT, ".venv")
_STAMP = os.path.join(VENV, "whisper-desktop-stamp")
_PIP_LIMIT_S = 1800.0
_VENV_LIMIT_S = 300.0
_PYTHON_LIMIT_S = 30.0


def program(name: str) -> str:
    """Where the virtual environment keeps the program `name`."""
    if os.name == "nt":
        return os.path.join(VENV, "Scripts", name + ".exe")
    return os.path.join(VENV, "bin", name)


def ready(extras: frozenset[str], libraries: frozenset[str]) -> bool:
    """Is everything installed, with at least these extras, and these groups of system libraries seen?"""
    stamp = _read_stamp()
    return (
        bool(stamp)
        and stamp == {**stamp, **_facts()}
        and extras <= _words(stamp, "extras")
        and libraries <= _words(stamp, "libraries")
    )


def ensure(extras: frozenset[str]) -> None:
    """Makes `.venv` and installs the project into it with `extras`, unless that is already so."""
    if ready(extras, frozenset()):
        return
    from pathlib import Path

    from dev_lock import only_one

    _project()  # complains about an incomplete checkout before anything is made
    with only_one(Path(ROOT, ".venv.lock"), "installing into .venv", _PIP_LIMIT_S):
        if ready(extras, frozenset()):  # the other one did it
            return
        stamp = _read_stamp()
        # The tools of an earlier `test` stay, and stay current.
        extras |= _words(stamp, "extras")
        _forget_stamp()
        _make(moved=stamp.get("place", ROOT) != ROOT)
        _fill(extras)
        _write_stamp({**_facts(), "extras": " ".join(sorted(extras)), "libraries": ""})


def remember_libraries(groups: frozenset[str]) -> None:
    """Notes that these groups of system libraries are there, so that the next start need not look."""
    stamp = _read_stamp()
    _write_stamp({**stamp, "libraries": " ".join(sorted(groups | _words(stamp, "libraries")))})


def missing_parts() -> list[str]:
    """The parts of Python itself that making a virtual environment needs and this Python lacks."""
    missing = []
    importlib.invalidate_caches()  # they may have been installed since we last looked
    for name in ("venv", "ensurepip"):
        try:
            importlib.import_module(name)
        except ImportError:
            missing.append(name)
    return missing


def how_to_get_venv(version: tuple[int, int], debian: bool) -> str:
    """The sentence for a Python whose venv or ensurepip module was left out by the distribution."""
    if debian:
        package = f"python{version[0]}.{version[1]}-venv"
        how = f"As root, `apt-get update && apt-get install -y {package}` brings it"
    else:
        how = "Your distribution has a package for it, often called python3-venv or python3-virtualenv"
    return (
        f"This Python has no venv module, which keeps the app's packages apart. {how}; then run this again."
    )


def pip_step(line: str) -> str | None:
    """What a line of pip's output says is being done; None where it says nothing new."""
    words = line.split()
    if not words:
        return None
    if words[0] == "Collecting" and len(words) > 1:
        return f"looking up {words[1]}"
    if words[0] == "Downloading" and len(words) > 1:
        size = f" {words[2]} {words[3]}" if len(words) > 3 else ""
        return f"downloading {words[1].rsplit('/', 1)[-1].split('-')[0]}{size}"
    if line.startswith("Installing collected packages:"):
        return f"unpacking {len(words) - 3} packages"
    if line.lstrip().startswith(("Installing build dependencies", "Preparing")):
        return "preparing the project itself"
    return None


def pip_advice(lines: list[str]) -> str:
    """What to do after pip failed with this output."""
    text = "\n".join(lines)
    if "No space left on device" in text:
        return "The disk is full. Free about 1 GB, then run the same command again."
    if any(sign in text for sign in _NO_NETWORK):
        return (
            "pip could not reach the package index. Check the network (or pip's own settings, if you use a "
            "mirror or a proxy), then run the same command again; what has arrived is kept."
        )
    if "No matching distribution found" in text or "ResolutionImpossible" in text:
        return (
            "One of the packages named in pyproject.toml is not available for this system and Python. The "
            "lines above name it; another Python version (3.11 to 3.13) may help."
        )
    return "The lines above say why. When that is mended, run the same command again."


_NO_NETWORK = (
    "Temporary failure in name resolution",
    "Name or service not known",
    "nodename nor servname provided",
    "getaddrinfo failed",
    "Network is unreachable",
    "Connection refused",
    "Failed to establish a new connection",
    "Read timed out",
    "ConnectTimeoutError",
    "Cannot connect to proxy",
)


def _facts() -> dict[str, str]:
    """What the content of `.venv` depends on. A venv knows its own place, so a moved one is not the same."""
    interpreter = os.path.realpath(program("python"))
    return {
        "pyproject": _project(),
        "python": interpreter if os.path.exists(interpreter) else "gone",
        "place": ROOT,
    }


def _project() -> str:
    try:
        with open(os.path.join(ROOT, "pyproject.toml"), "rb") as file:
            return hashlib.sha256(file.read()).hexdigest()
    except FileNotFoundError:
        from dev_say import Trouble

        raise Trouble(
            f"There is no pyproject.toml in {ROOT}: this copy of the project is incomplete."
        ) from None


def _read_stamp() -> dict[str, str]:
    try:
        with open(_STAMP, encoding="utf-8") as file:
            return dict(line.rstrip("\n").partition(" ")[::2] for line in file)
    except (OSError, UnicodeDecodeError):
        return {}


def _write_stamp(stamp: dict[str, str]) -> None:
    beside = f"{_STAMP}.{os.getpid()}"
    with open(beside, "w", encoding="utf-8") as file:
        file.writelines(f"{name} {value}\n" for name, value in stamp.items())
    os.replace(beside, _STAMP)


def _forget_stamp() -> None:
    if os.path.exists(_STAMP):
        os.remove(_STAMP)


def _words(stamp: dict[str, str], name: str) -> frozenset[str]:
    return frozenset(stamp.get(name, "").split())


def _make(moved: bool) -> None:
    from dev_process import quiet
    from dev_say import Trouble, say

    python = program("python")
    if os.path.exists(python) and not moved and _starts(python):
        return
    if missing_parts():
        debian = os.path.exists("/etc/debian_version")
        raise Trouble(how_to_get_venv(sys.version_info[:2], debian))
    say(f"Making .venv with Python {sys.version_info[0]}.{sys.version_info[1]}.")
    made = quiet([sys.executable, "-m", "venv", "--clear", VENV], limit_s=_VENV_LIMIT_S)
    if made.code:
        raise Trouble(f"{made.tail()}\nThe folder .venv could not be made. The lines above say why.")


def _starts(python: str) -> bool:
    """Does this venv's Python start, is it new enough, and does it see the packages beside it?

    After an upgrade of the system's Python it may start and look for its packages in another folder.
    """
    from dev_process import quiet
    from dev_say import Trouble

    question = "import sys, pip; sys.exit(sys.version_info < (3, 11))"
    try:
        return quiet([python, "-c", question], limit_s=_PYTHON_LIMIT_S).code == 0
    except Trouble:
        return False


def _fill(extras: frozenset[str]) -> None:
    from dev_process import quiet
    from dev_say import Trouble, duration, say

    chosen = f"[{','.join(sorted(extras))}]" if extras else ""
    what = "Whisper Desktop and the packages it needs" + (" for its tests" if "dev" in extras else "")
    say(f"Installing {what} into .venv. The first time this takes a minute or two, mostly downloads.")
    command = [program("python"), "-m", "pip", "install", "--no-input", "--progress-bar", "off"]
    # A person's `user = true` in pip.conf would make every install into a venv fail.
    env = {**os.environ, "PIP_USER": "0", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    filled = quiet([*command, "-e", ROOT + chosen], limit_s=_PIP_LIMIT_S, step=pip_step, env=env)
    if filled.code:
        raise Trouble(f"{filled.tail()}\nInstalling failed. {pip_advice(filled.lines)}")
    say(f"Installed in {duration(filled.seconds)}.")
