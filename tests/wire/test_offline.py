"""A name that cannot be found is told apart from a computer that has no network."""

import shutil
import socket
import subprocess
import sys

import pytest

from whisper_desktop.values import ErrorKind
from whisper_desktop.wire.address import parse_url
from whisper_desktop.wire.failures import not_found

_UNKNOWN = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
_PROGRAM = """
import socket
from whisper_desktop.wire.address import parse_url
from whisper_desktop.wire.failures import not_found
error = not_found(parse_url("https://openrouter.ai"), socket.gaierror(socket.EAI_NONAME, "unknown"))
print(error.kind.value, error.next_step)
"""


def test_without_a_network_nobody_is_told_to_check_the_spelling() -> None:
    if shutil.which("unshare") is None or subprocess.run(["unshare", "-rn", "true"], check=False).returncode:
        pytest.skip("unshare: no network namespace can be made here")
    alone = ["unshare", "-rn", sys.executable, "-c", _PROGRAM]
    told = subprocess.run(alone, capture_output=True, text=True, check=True).stdout
    assert told.startswith(f"{ErrorKind.OFFLINE.value} Check the network connection")


def test_a_name_at_home_is_no_question_of_the_internet() -> None:
    assert not_found(parse_url("http://nas.local:8080"), _UNKNOWN).kind is ErrorKind.NAME_NOT_FOUND
