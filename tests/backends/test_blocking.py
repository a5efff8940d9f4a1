"""The blocking twin: the same names without await, from any thread, and nothing left behind."""

import gc
import signal
import subprocess
import sys
import textwrap
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.servers.fixtures import ServerFactory
from tests.servers.launch import RunningServer
from whisper_desktop.blocking import BlockingBackend, create_backend
from whisper_desktop.errors import BackendError
from whisper_desktop.values import ErrorKind, StreamEnd, TextDelta

CHAT = "/v1/chat/completions"


def backend_for(server: RunningServer, model: str | None = "tiny") -> BlockingBackend:
    return create_backend({"backend": server.name, "url": server.url, "model": model})


def loops() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "whisper-backend"]


def test_a_script_needs_nothing_but_a_name() -> None:
    with create_backend({"backend": "stub"}) as backend:
        assert backend.generate_text("Hi").text.endswith("You said: Hi")
        assert (backend.id, backend.model_id, backend.base_url) == ("stub", None, "")
        assert backend.is_healthy()
        assert len(backend.embed(["a", "b"]).vectors) == 2
        assert backend.list_models()[0].id == "stub"
        backend.setup()
        backend.load_model()
        backend.unload_model()
        assert "completion" in backend.capabilities
    assert loops() == []


def test_the_pieces_of_an_answer_come_in_a_plain_loop(servers: ServerFactory) -> None:
    with backend_for(servers("llama_cpp", "--tokens", "50")) as backend:
        events = list(backend.generate_stream("Hi"))
    words = "".join(event.text for event in events if isinstance(event, TextDelta))
    assert words.split()[-1] == "word49"
    assert isinstance(events[-1], StreamEnd)


def test_leaving_the_loop_stops_the_generation(servers: ServerFactory) -> None:
    server = servers("llama_cpp", "--tokens", "1000", "--token-delay", "0.02")
    with backend_for(server) as backend:
        for event in backend.generate_stream("Hi"):
            if isinstance(event, TextDelta):
                break
        assert server.wait_for("disconnect")["tokens_sent"] < 30


def test_closing_an_answer_that_another_thread_reads_ends_both(servers: ServerFactory) -> None:
    server = servers("llama_cpp", "--first-token-delay", "60")
    with backend_for(server) as backend, ThreadPoolExecutor(1) as pool:
        stream = backend.generate_stream("Hi")
        reading = pool.submit(list, stream)
        server.wait_for("request", 2)
        stream.close()
        with pytest.raises(BackendError) as caught:
            reading.result(5)
        assert caught.value.kind is ErrorKind.CANCELLED
        server.wait_for("disconnect")


def test_many_threads_share_one_backend(servers: ServerFactory) -> None:
    server = servers("llama_cpp")
    with backend_for(server) as backend, ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda number: backend.generate_text(f"number {number}").text, range(40)))
        assert len(loops()) == 1
    assert answers == [f"You said: number {number}" for number in range(40)]


def test_a_failure_is_the_same_one(servers: ServerFactory) -> None:
    server = servers("llama_cpp", "--fault", "error_500")
    with backend_for(server) as backend:
        with pytest.raises(BackendError) as caught:
            backend.generate_text("Hi")
        assert caught.value.kind is ErrorKind.SERVER_ERROR
        with pytest.raises(BackendError):
            list(backend.generate_stream("Hi"))


def test_after_its_end_it_says_so_and_ending_twice_is_fine() -> None:
    backend = create_backend({"backend": "stub"})
    backend.generate_text("Hi")
    backend.shutdown()
    backend.shutdown()
    with pytest.raises(BackendError) as caught:
        backend.generate_text("Hi")
    assert caught.value.kind is ErrorKind.CANCELLED


def test_shutting_down_ends_what_another_thread_waits_for(servers: ServerFactory) -> None:
    server = servers("llama_cpp", "--first-token-delay", "60")
    backend = backend_for(server)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(backend.generate_text, "Hi")
        server.wait_for("request", 2)
        backend.shutdown()
        with pytest.raises(BackendError):
            waiting.result(5)
    server.wait_for("disconnect")
    assert loops() == []


def test_who_lets_go_of_a_backend_leaves_no_thread() -> None:
    backend = create_backend({"backend": "stub"})
    backend.generate_text("Hi")
    assert len(loops()) == 1
    del backend
    gc.collect()
    assert loops() == []


async def test_it_works_inside_a_running_loop_which_it_stops_meanwhile() -> None:
    with create_backend({"backend": "stub"}) as backend:
        assert backend.generate_text("Hi").text


@pytest.mark.skipif(sys.platform == "win32", reason="signals to one process are POSIX")
@pytest.mark.parametrize("call", ["backend.generate_text('Hi')", "list(backend.generate_stream('Hi'))"])
def test_ctrl_c_during_a_wait_ends_the_request_and_the_program(servers: ServerFactory, call: str) -> None:
    server = servers("llama_cpp", "--first-token-delay", "60")
    program = textwrap.dedent(f"""
        from whisper_desktop.blocking import create_backend
        backend = create_backend({{"backend": "llama_cpp", "url": {server.url!r}, "model": "tiny"}})
        try:
            {call}
        except KeyboardInterrupt:
            print("stopped", flush=True)
        input()
    """)
    pipe = subprocess.PIPE
    process = subprocess.Popen([sys.executable, "-c", program], stdin=pipe, stdout=pipe, stderr=pipe)
    server.wait_for("request", 2)
    process.send_signal(signal.SIGINT)
    server.wait_for("disconnect")  # while the program lives on
    said, complaints = process.communicate(b"\n", timeout=10)
    assert (said, complaints, process.returncode) == (b"stopped\n", b"", 0)


def test_a_program_that_forgets_to_shut_down_ends_all_the_same(servers: ServerFactory) -> None:
    server = servers("llama_cpp", "--tokens", "1000", "--token-delay", "0.02")
    program = textwrap.dedent(f"""
        from whisper_desktop.blocking import create_backend
        backend = create_backend({{"backend": "llama_cpp", "url": {server.url!r}, "model": "tiny"}})
        stream = backend.generate_stream("Hi")
        next(stream)
    """)
    command = [sys.executable, "-W", "error", "-c", program]
    done = subprocess.run(command, capture_output=True, timeout=20)
    assert (done.returncode, done.stderr) == (0, b"")
    server.wait_for("disconnect")
