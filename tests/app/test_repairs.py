"""Repairs that were accepted: for which models, one of a kind, and what cannot be accepted."""

from pathlib import Path

import pytest

from whisper_desktop.app.repairs import of, offered, with_changes, without
from whisper_desktop.chat import failure_of
from whisper_desktop.errors import BackendError, ConsentRequired, EngineError
from whisper_desktop.llm.failures import broken, nobody_answered
from whisper_desktop.values import Attempt, EngineState, EngineStatus, ErrorKind, Reach, Repair

MODEL, OTHER = Path("/models/one.gguf"), Path("/models/other.gguf")
SHORTER = Repair("smaller_context", "Use a shorter context", "4,096 tokens.", change="n_ctx=4096")
NO_GPU = Repair("no_gpu", "Use the processor only", "Slower.", change="n_gpu_layers=0")
BUILD = Repair("other_build", "Install another build", "Downloads one.", command="whisper-desktop engine …")


def failed(*repairs: Repair) -> EngineStatus:
    return EngineStatus("builtin", EngineState.FAILED, "one", None, None, "It cannot run.", repairs=repairs)


def cannot_start(*repairs: Repair) -> BackendError:
    return BackendError(ErrorKind.ENGINE, "The engine cannot run.", repairs=repairs)


def tried(*kinds: ErrorKind) -> tuple[Attempt, ...]:
    return tuple(Attempt(f"b{number}", "B", "", None, kind, "No.", 0.1) for number, kind in enumerate(kinds))


def test_however_a_question_ends_the_repairs_of_its_engine_come_with_it() -> None:
    refused = BackendError(ErrorKind.CONNECT_REFUSED, "It is not running.")
    kinds = (ErrorKind.ENGINE, ErrorKind.ENGINE, ErrorKind.CONNECT_REFUSED)
    errors = [cannot_start(SHORTER), cannot_start(SHORTER, NO_GPU), refused]
    assert failure_of(nobody_answered(tried(*kinds), errors, None)).repairs == (SHORTER, NO_GPU)

    consent = ConsentRequired("It is in the cloud.", needed=Reach.CLOUD)
    asks = nobody_answered(
        tried(ErrorKind.ENGINE, ErrorKind.CONSENT_REQUIRED), [cannot_start(SHORTER), consent], None
    )
    assert isinstance(asks, ConsentRequired)
    assert failure_of(asks).repairs == (SHORTER,)

    broke_off = broken("one word", cannot_start(SHORTER), tried(ErrorKind.ENGINE))
    assert failure_of(broke_off).repairs == (SHORTER,)
    assert failure_of(EngineError("It cannot run.", repairs=(SHORTER,))).repairs == (SHORTER,)


def test_a_repair_is_accepted_for_the_model_whose_engine_offers_it() -> None:
    found = offered({MODEL: failed(NO_GPU, SHORTER), OTHER: failed(NO_GPU)}, "smaller_context")
    assert found == {MODEL: SHORTER}


def test_what_stops_every_engine_is_mended_for_all_of_them() -> None:
    assert set(offered({MODEL: failed(NO_GPU, SHORTER), OTHER: failed(NO_GPU)}, "no_gpu")) == {MODEL, OTHER}


@pytest.mark.parametrize(
    ("engines", "repair", "says"),
    [
        ({}, "no_gpu", "Nothing is to be repaired"),
        ({MODEL: failed(SHORTER, NO_GPU), OTHER: failed(NO_GPU)}, "x", "Offered: smaller_context, no_gpu."),
        ({MODEL: failed(BUILD)}, "other_build", "whisper-desktop engine …"),
    ],
)
def test_what_is_not_offered_or_not_done_by_itself_is_refused_with_the_way_out(
    engines: dict[Path, EngineStatus], repair: str, says: str
) -> None:
    with pytest.raises(EngineError, match=says) as caught:
        offered(engines, repair)
    assert caught.value.cause == "no_such_repair"


def test_a_change_takes_the_place_of_one_of_its_kind_and_leaves_other_models_alone() -> None:
    before = {str(MODEL): ("n_ctx=8192", "repack=off"), str(OTHER): ("n_ctx=512",)}
    after = with_changes(before, {MODEL: SHORTER})
    assert after == {str(MODEL): ("repack=off", "n_ctx=4096"), str(OTHER): ("n_ctx=512",)}
    assert of(after, [MODEL]) == ("repack=off", "n_ctx=4096")
    assert without(after, [MODEL, Path("/models/unknown.gguf")]) == {str(OTHER): ("n_ctx=512",)}
