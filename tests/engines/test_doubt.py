"""An engine that runs and fails every question: it is said why, and it does not stay as it is."""

import pytest

from tests.backends.conftest import ASK
from tests.engines.conftest import MakeEngine
from tests.engines.test_supervisor import Scripted
from whisper_desktop.backends import BackendConfig, create_backend
from whisper_desktop.errors import BackendError
from whisper_desktop.values import Deadlines, ErrorKind, Reach
from whisper_desktop.wire.http import Http


async def test_an_engine_that_fails_inside_proves_itself_and_is_started_anew(
    scripted: Scripted, start: MakeEngine, http: Http
) -> None:
    engine = start(scripted("breaks=1"))
    config = BackendConfig("builtin", "Built-in engine", model="tiny", reach=Reach.THIS_MACHINE)
    backend = create_backend(config, http=http, engine=engine, deadlines=Deadlines())
    first = (await engine.ensure_ready()).url
    with pytest.raises(BackendError) as caught:
        await backend.generate_text(ASK)
    assert caught.value.kind is ErrorKind.SERVER_ERROR
    assert caught.value.title == "There is not enough memory for this answer."
    assert "bad_alloc" in caught.value.detail
    assert [repair.id for repair in caught.value.repairs][:1] == ["smaller_context"]
    assert (await engine.ensure_ready()).url != first
    assert engine.status().cause == "stuck"
    assert "no longer answers since a question failed inside it" in engine.status().detail
