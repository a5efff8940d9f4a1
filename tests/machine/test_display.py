"""Whether windows can be shown: a display must answer, a name alone is not enough."""

import socket
from pathlib import Path

import pytest

from whisper_desktop.machine.display import has_display, x11_addresses


def test_no_names_no_display() -> None:
    assert not has_display({})


def test_a_display_that_has_gone_is_none(tmp_path: Path) -> None:
    assert not has_display({"DISPLAY": ":4099"})
    assert not has_display({"DISPLAY": "127.0.0.1:59000"})
    assert not has_display({"WAYLAND_DISPLAY": "wayland-0", "XDG_RUNTIME_DIR": str(tmp_path)})


def test_a_wayland_display_that_answers(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "wayland-7"))
        server.listen()
        assert has_display({"WAYLAND_DISPLAY": "wayland-7", "XDG_RUNTIME_DIR": str(tmp_path)})
        assert has_display({"WAYLAND_DISPLAY": str(tmp_path / "wayland-7")})


def test_a_display_over_tcp_that_answers() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        number = server.getsockname()[1] - 6000
        assert has_display({"DISPLAY": f"127.0.0.1:{number}.0"})


@pytest.mark.parametrize("platform", ["offscreen", "minimal", "vnc:size=800x600"])
def test_a_qt_platform_without_a_display_is_a_wish_for_windows(platform: str) -> None:
    assert has_display({"QT_QPA_PLATFORM": platform})


@pytest.mark.parametrize(
    ("display", "addresses"),
    [
        ("", ()),
        ("nonsense", ()),
        (":", ()),
        (":-1", ()),
        (":99999", ()),
        (":1.0", ("/tmp/.X11-unix/X1", "\0/tmp/.X11-unix/X1")),
        ("unix:0", ("/tmp/.X11-unix/X0", "\0/tmp/.X11-unix/X0")),
        ("localhost:10.0", (("localhost", 6010),)),
    ],
)
def test_where_an_x11_display_listens(display: str, addresses: tuple[object, ...]) -> None:
    assert x11_addresses(display) == addresses
