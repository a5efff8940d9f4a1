"""What the operating system must bring along: a few shared libraries, and for the tests a few programs.

Seen by what is there (the linker's cache, programs on the PATH), not by package names, because one library
comes in differently named packages. Installed only on Debian and its family, and only as root; elsewhere the
person is told.
"""

import os
import shutil
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from dev_process import Ended, quiet
from dev_say import Trouble, say
from dev_venv import missing_parts

_APT_LIMIT_S = 1800.0
_LDCONFIG_LIMIT_S = 15.0

# What `ldd` says of the wheels, without what their packages pull in. The values are Debian's package names.
LIBRARIES: dict[str, dict[str, str]] = {
    "engine": {  # xllamacpp
        "libgomp.so.1": "libgomp1",
        "libstdc++.so.6": "libstdc++6",
    },
    "qt": {  # PySide6: the libraries of Qt itself, then those of its plugins for X11 and for Wayland
        "libEGL.so.1": "libegl1",
        "libGL.so.1": "libgl1",
        "libX11.so.6": "libx11-6",
        "libdbus-1.so.3": "libdbus-1-3",
        "libfontconfig.so.1": "libfontconfig1",
        "libfreetype.so.6": "libfreetype6",
        "libxkbcommon.so.0": "libxkbcommon0",
        "libglib-2.0.so.0": "libglib2.0-0",
        "libbrotlidec.so.1": "libbrotli1",
        "libxcb.so.1": "libxcb1",
        "libX11-xcb.so.1": "libx11-xcb1",
        "libxkbcommon-x11.so.0": "libxkbcommon-x11-0",
        "libxcb-cursor.so.0": "libxcb-cursor0",
        "libxcb-icccm.so.4": "libxcb-icccm4",
        "libxcb-image.so.0": "libxcb-image0",
        "libxcb-keysyms.so.1": "libxcb-keysyms1",
        "libxcb-randr.so.0": "libxcb-randr0",
        "libxcb-render.so.0": "libxcb-render0",
        "libxcb-render-util.so.0": "libxcb-render-util0",
        "libxcb-shape.so.0": "libxcb-shape0",
        "libxcb-shm.so.0": "libxcb-shm0",
        "libxcb-sync.so.1": "libxcb-sync1",
        "libxcb-xfixes.so.0": "libxcb-xfixes0",
        "libxcb-xkb.so.1": "libxcb-xkb1",
        "libwayland-client.so.0": "libwayland-client0",
        "libwayland-cursor.so.0": "libwayland-cursor0",
        "libwayland-egl.so.1": "libwayland-egl1",
    },
}

# Programs that only the tests use: a screen, tray hosts, a Secret Service, a compiler for the engine.
TEST_PROGRAMS: dict[str, str] = {
    "Xvfb": "xvfb",
    "xauth": "xauth",
    "openbox": "openbox",
    "trayer": "trayer",
    "xfce4-panel": "xfce4-panel",
    "xdotool": "xdotool",
    "xprop": "x11-utils",
    "import": "imagemagick",
    "dbus-run-session": "dbus",
    "gdbus": "libglib2.0-bin",
    "desktop-file-validate": "desktop-file-utils",
    "systemd-inhibit": "systemd",
    "gnome-keyring-daemon": "gnome-keyring",
    "secret-tool": "libsecret-tools",
    "cmake": "cmake",
    "ninja": "ninja-build",
    "g++": "g++",
}

# How `ldconfig -p` marks the entries for a machine: a 32-bit library beside a 64-bit Python does not help it.
_LDCONFIG_TAGS = {"x86_64": "x86-64", "aarch64": "AArch64"}


class Missing(NamedTuple):
    """What is not there, and the Debian packages that bring it."""

    things: tuple[str, ...]
    packages: tuple[str, ...]


def libraries_in(ldconfig: str, machine: str) -> frozenset[str]:
    """The libraries for `machine` (as `platform.machine()` names it) in the output of `ldconfig -p`."""
    tag = _LDCONFIG_TAGS.get(machine, "")
    found = set()
    for line in ldconfig.splitlines():
        name, _, rest = line.strip().partition(" (")
        marks, arrow, _ = rest.partition(") => ")
        if arrow and tag in marks:
            found.add(name)
    return frozenset(found)


def missing_libraries(groups: Iterable[str], present: frozenset[str]) -> Missing:
    wanted = {name: package for group in groups for name, package in LIBRARIES[group].items()}
    return _missing(wanted, present.__contains__)


def missing_programs(which: Callable[[str], str | None]) -> Missing:
    return _missing(TEST_PROGRAMS, lambda name: which(name) is not None)


def apt_command(packages: Iterable[str]) -> str:
    """The one line that a person can paste."""
    return "apt-get install -y --no-install-recommends " + " ".join(packages)


def how_to_get(missing: Missing, why: str, has_apt: bool) -> str:
    """What to tell someone who has to install it themselves."""
    lacks = f"This system lacks {', '.join(missing.things)}, wanted {why}. Going on without."
    if has_apt:
        return f"{lacks} To get them:\n    sudo {apt_command(missing.packages)}"
    return f"{lacks} To get them, ask this system's package manager for them."


def apt_step(line: str) -> str | None:
    """What a line of apt's output says is being done; None where it says nothing new."""
    words = line.split()
    if line.startswith("Get:"):
        return "fetching"
    if line.startswith("Unpacking ") and len(words) > 1:
        return f"unpacking {words[1]}"
    if line.startswith("Setting up ") and len(words) > 2:
        return f"setting up {words[2]}"
    return None


def ensure_libraries(groups: frozenset[str], why: str) -> bool:
    """Sees to the libraries of `groups`; True when all are there (or this system has no way to ask)."""
    if sys.platform != "linux":
        return True
    present = _present_libraries()
    if present is None:
        return True
    missing = missing_libraries(sorted(groups), present)
    if not missing.things:
        return True
    _get(missing, why)
    after = _present_libraries()
    return after is not None and not missing_libraries(groups, after).things


def ensure_for_tests() -> None:
    """Sees to what the tests use. If something stays missing, the tests that need it say so as they skip."""
    if sys.platform != "linux":
        return
    present = _present_libraries()
    libraries = missing_libraries(LIBRARIES, present) if present is not None else Missing((), ())
    programs = missing_programs(shutil.which)
    things = libraries.things + programs.things
    packages = libraries.packages + programs.packages
    # Only a Python that came from apt can get its venv module from apt.
    if sys.executable.startswith("/usr/bin/") and missing_parts():
        things += ("ensurepip",)
        packages += (f"python{sys.version_info[0]}.{sys.version_info[1]}-venv",)
    if things:
        _get(Missing(things, packages), "for the tests")


def _missing(wanted: Mapping[str, str], there: Callable[[str], bool]) -> Missing:
    things = tuple(name for name in wanted if not there(name))
    return Missing(things, tuple(dict.fromkeys(wanted[name] for name in things)))


def _present_libraries() -> frozenset[str] | None:
    """None where there is no linker cache to ask (musl systems, for one)."""
    # Debian keeps ldconfig out of the PATH of ordinary users.
    command = shutil.which("ldconfig", path=os.environ.get("PATH", "") + ":/sbin:/usr/sbin")
    if command is None:
        return None
    try:
        asked = quiet(
            [command, "-p"], limit_s=_LDCONFIG_LIMIT_S, keep=None, env={**os.environ, "LC_ALL": "C"}
        )
    except Trouble:
        return None
    return libraries_in("\n".join(asked.lines), os.uname().machine) if asked.code == 0 else None


def _get(missing: Missing, why: str) -> None:
    has_apt = shutil.which("apt-get") is not None
    if not has_apt or os.geteuid() != 0:
        say(how_to_get(missing, why, has_apt))
        return
    say(f"Installing system packages {why}: {' '.join(missing.packages)}")
    done = _apt(missing.packages)
    if done.code:
        say(f"{done.tail()}\nThe system packages could not be installed; going on without.")
        say(f"To try again by hand: {apt_command(missing.packages)}")


def _apt(packages: tuple[str, ...]) -> Ended:
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"}
    # Someone's unattended upgrade may hold the lock for a moment.
    apt = ["apt-get", "-o", "DPkg::Lock::Timeout=120", "-y"]
    # A failing update is not the end: one broken source of many, or packages already known.
    quiet([*apt, "update"], limit_s=_APT_LIMIT_S, env=env, step=apt_step)
    return quiet(
        [*apt, "install", "--no-install-recommends", *packages], limit_s=_APT_LIMIT_S, env=env, step=apt_step
    )
