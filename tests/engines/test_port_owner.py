"""A port that somebody else has: the error says who that is, as far as the system tells."""

import os
import socket
from dataclasses import replace

import pytest

from whisper_desktop.discovery.owners import describe_owner
from whisper_desktop.engines.spec import EngineSpec
from whisper_desktop.engines.supervisor import make_engine
from whisper_desktop.errors import EngineError
from whisper_desktop.wire.http import Http


async def test_who_has_the_engines_port_is_named(builtin: EngineSpec, http: Http) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        spec = replace(builtin, port=server.getsockname()[1])
        engine = make_engine(spec, http=http, describe_owner=describe_owner)
        with pytest.raises(EngineError) as caught:
            await engine.ensure_ready()
        await engine.stop()
    assert caught.value.cause == "port_taken"
    assert f"process {os.getpid()}" in caught.value.detail
    assert [repair.id for repair in caught.value.repairs] == ["other_port"]
