"""What the operating system lacks, found in recorded output of `ldconfig -p` and named as Debian packages."""

from pathlib import Path

import dev_system
import pytest
from dev_system import LIBRARIES, Missing

# Captured on Debian 12 (x86_64), cut down to the libraries of the table and a few neighbours.
DEBIAN_12 = (Path(__file__).parent / "samples" / "ldconfig-debian12-x86_64.txt").read_text(encoding="utf-8")


def without(*names: str) -> str:
    return "\n".join(line for line in DEBIAN_12.splitlines() if not line.strip().startswith(names))


def missing(ldconfig: str, groups: list[str], machine: str = "x86_64") -> Missing:
    return dev_system.missing_libraries(groups, dev_system.libraries_in(ldconfig, machine))


def test_nothing_is_missing_where_all_is_there() -> None:
    assert missing(DEBIAN_12, ["engine", "qt"]) == Missing((), ())


def test_the_packages_of_missing_libraries_are_named_in_order() -> None:
    found = missing(without("libxcb-icccm.so", "libxcb-keysyms.so", "libgomp.so"), ["engine", "qt"])
    assert found.things == ("libgomp.so.1", "libxcb-icccm.so.4", "libxcb-keysyms.so.1")
    assert found.packages == ("libgomp1", "libxcb-icccm4", "libxcb-keysyms1")


def test_a_library_whose_name_only_begins_alike_does_not_count() -> None:
    assert missing(without("libxkbcommon.so"), ["qt"]).things == ("libxkbcommon.so.0",)


def test_the_engine_alone_needs_nothing_of_qt() -> None:
    assert missing("", ["engine"]).packages == ("libgomp1", "libstdc++6")


def test_a_32_bit_library_does_not_help_a_64_bit_python() -> None:
    """Constructed: the line's form is ldconfig's for an i386 library."""
    only_32 = without("libgomp.so") + "\n\tlibgomp.so.1 (libc6) => /lib/i386-linux-gnu/libgomp.so.1"
    assert missing(only_32, ["engine"]).things == ("libgomp.so.1",)


def test_arm_libraries_are_seen_on_arm() -> None:
    """Constructed: ldconfig marks 64-bit ARM as AArch64, with hwcaps in the same parentheses."""
    arm = (
        "\tlibgomp.so.1 (libc6,AArch64) => /lib/aarch64-linux-gnu/libgomp.so.1\n"
        "\tlibstdc++.so.6 (libc6,AArch64, OS ABI: Linux 3.7.0) => /lib/aarch64-linux-gnu/libstdc++.so.6\n"
    )
    assert missing(arm, ["engine"], "aarch64") == Missing((), ())
    assert missing(arm, ["engine"], "x86_64").things == ("libgomp.so.1", "libstdc++.so.6")


@pytest.mark.parametrize(
    "text", ["", "578 libs found in cache `/etc/ld.so.cache'", "\x00", "a => b\n(\n) => \n"]
)
def test_output_that_says_nothing_finds_nothing(text: str) -> None:
    assert not dev_system.libraries_in(text, "x86_64") & LIBRARIES["engine"].keys()


def test_missing_programs_are_named_with_their_packages() -> None:
    there = {
        "Xvfb",
        "xauth",
        "openbox",
        "trayer",
        "xfce4-panel",
        "import",
        "dbus-run-session",
        "gdbus",
        "desktop-file-validate",
        "systemd-inhibit",
        "secret-tool",
        "cmake",
        "g++",
    }
    found = dev_system.missing_programs(lambda name: f"/usr/bin/{name}" if name in there else None)
    assert found.things == ("xdotool", "xprop", "gnome-keyring-daemon", "ninja")
    assert found.packages == ("xdotool", "x11-utils", "gnome-keyring", "ninja-build")


def test_a_person_without_root_gets_one_line_to_paste() -> None:
    text = dev_system.how_to_get(Missing(("libgomp.so.1",), ("libgomp1",)), "to run", has_apt=True)
    assert text.splitlines()[-1].strip() == "sudo apt-get install -y --no-install-recommends libgomp1"
    assert "lacks libgomp.so.1, wanted to run" in text


def test_a_system_without_apt_gets_the_names_of_the_libraries() -> None:
    text = dev_system.how_to_get(Missing(("libgomp.so.1",), ("libgomp1",)), "to run", has_apt=False)
    assert "libgomp.so.1" in text
    assert "apt" not in text


def test_apt_steps_are_told_in_plain_words() -> None:
    """Lines of apt 2.6, captured; only the name of the mirror is replaced."""
    said = [
        dev_system.apt_step(line)
        for line in (
            "Get:4 http://mirror.example/debian bookworm/main amd64 gcr amd64 3.41.1-1+b1 [272 kB]",
            "Unpacking trayer (1.1.8-4) ...",
            "Setting up gnome-keyring (42.1-1+b2) ...",
            "Reading package lists...",
            "Setting up",
        )
    ]
    assert said == ["fetching", "unpacking trayer", "setting up gnome-keyring", None, None]
