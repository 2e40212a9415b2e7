"""Clients that are slow, many or hostile: they are closed, refused in plain words, and keep nobody else out."""

import asyncio
import json
import socket
from collections import Counter
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import closing, suppress
from http.client import HTTPConnection
from itertools import repeat
from pathlib import Path

import pytest
import requests

from beyond_spectrograms.serving.app import TOO_LARGE
from beyond_spectrograms.serving.connections import Limits, Shares, address_of
from support.common import sound_file, tone
from support.serving import read_all, serving, serving_here

HEAD = b"POST /analyse HTTP/1.1\r\nHost: localhost\r\n"
HALF_HEAD = b"GET / HTTP/1.1\r\nHost: local"
HALF_BODY = HEAD + b"Content-Length: 1000000\r\n\r\nRIFF"
OF_EVERY_ANSWER = {
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


BUSY = (503, '{"error":"The server has too much to do. Try again in a moment."}', "1")


def flac(seconds: float) -> bytes:
    return sound_file(tone(seconds, 400), form="FLAC")


def raw_answer(received: bytes) -> tuple[int, str, dict[str, str]]:
    """Take status, error and headers of an answer apart."""
    head, _, body = received.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    headers = {name.title(): value for name, value in (line.split(": ", 1) for line in lines[1:])}
    return int(lines[0].split()[1]), json.loads(body)["error"], headers


def test_every_answer_has_the_headers_that_defend_the_page(model_folder: Path) -> None:
    with serving_here(model_folder, Limits(request_s=0.3, body_s=0.3, bytes_held=1)) as served:
        policy = requests.get(served.address, timeout=30).headers["Content-Security-Policy"]
        asked = [("GET", "/", {}, 200), ("GET", "/none", {}, 404), ("PUT", "/", {}, 405), ("GET", "/analyse", {}, 405)]
        asked += [("GET", "/", {"Host": "evil"}, 403), ("GET", "/none", {"Host": "evil"}, 403)]
        asked += [("POST", "/analyse", {}, 503), ("POST", "/analyse", {"Origin": "null"}, 403)]
        for method, path, headers, status in asked:
            answer = requests.request(method, served.address + path, headers=headers, data=b"RIFF", timeout=30)
            assert answer.status_code == status
            assert answer.headers.items() >= (OF_EVERY_ANSWER | {"Content-Security-Policy": policy}).items()
            assert "Server" not in answer.headers
        announced = HEAD + b"Connection: close\r\nContent-Length: %d\r\n\r\n"
        for content, expected in (
            (b"no HTTP\r\n\r\n", (400, "Invalid HTTP request received.")),
            (HALF_HEAD, (408, "The request was not whole after 0.3 seconds.")),
            (announced % 9, (408, "The sound was not whole after 0.3 seconds.")),
            (announced % 10**9, (413, TOO_LARGE)),
        ):
            status, error, found = raw_answer(read_all(served.connect(content)))
            assert (status, error) == expected
            assert found.items() >= (OF_EVERY_ANSWER | {"Content-Security-Policy": policy}).items()


@pytest.mark.parametrize("content", [b"", HALF_HEAD, HALF_BODY], ids=["nothing", "half a head", "half a body"])
def test_who_keeps_connections_open_shuts_nobody_out(content: bytes, model_folder: Path) -> None:
    with serving(model_folder) as address:
        place = ("127.0.0.1", int(address.rsplit(":", 1)[1]))
        opened = [socket.create_connection(place, timeout=60) for _ in range(300)]  # more than one address may have
        for each in opened:
            each.sendall(content)
        assert requests.get(address, timeout=30).status_code == 200
        assert requests.post(f"{address}/analyse", data=flac(1), timeout=30).status_code == 200
    for each in opened:
        each.close()


@pytest.mark.parametrize(
    "after", [b"", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"], ids=["at once", "after an answer"]
)
def test_a_head_must_be_whole_in_time_however_steadily_it_comes(after: bytes, model_folder: Path) -> None:
    with serving_here(model_folder, Limits(request_s=0.5)) as served, served.connect(after + HALF_HEAD) as opened:
        opened.settimeout(0.05)
        received = b""
        while b" 408 " not in received:
            try:
                received += opened.recv(1 << 16)
            except TimeoutError:
                opened.sendall(b"x")  # until the server answers
        assert received.count(b"HTTP/1.1 200") == bool(after)


def test_who_asks_nothing_reads_nothing_or_is_refused_and_sends_on_is_closed_in_the_end(model_folder: Path) -> None:
    with serving_here(model_folder, Limits(request_s=0.2)) as served:
        assert read_all(served.connect(b"")) == b""
        with served.connect(b"") as opened:
            opened.setblocking(False)
            with suppress(BlockingIOError):  # the server reads no further before its answers are read
                opened.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n" * 100_000)
            opened.setblocking(True)
            assert opened.recv(1, socket.MSG_PEEK) == b"H"
            assert served.wait_until(0)
        with served.connect(HEAD + b"Content-Length: 1000000000\r\n\r\n") as opened:
            assert opened.recv(12) == b"HTTP/1.1 413"
            with pytest.raises((ConnectionResetError, BrokenPipeError)):
                any(map(opened.sendall, repeat(bytes(1000))))


def test_too_many_connections_of_an_address_close_the_one_that_waits_longest(model_folder: Path) -> None:
    for limits in (Limits(of_address=3), Limits(connections=3)):
        with serving_here(model_folder, limits) as served:
            first, *others = [served.connect(HALF_HEAD) for _ in range(3)]
            assert served.wait_until(3)
            assert requests.get(served.address, timeout=30).status_code == 200
            assert read_all(first) == b""
            for each in others:
                each.sendall(b"host\r\nConnection: close\r\n\r\n")
                assert read_all(each).startswith(b"HTTP/1.1 200 OK")


def test_an_address_holds_a_part_of_what_there_is() -> None:
    shares = Shares(3, 2)
    assert [shares.take(name, 1) for name in "aaabbc"] == [True, True, False, True, False, False]
    shares.give_back("a", 1)
    assert [shares.take(name, 1) for name in "ac"] == [True, False]
    with Shares(1, 1).hold("a") as held:
        assert held


def test_who_waits_for_what_others_hold_goes_on_when_all_is_given_back() -> None:
    async def wait() -> list[str]:
        shares, seen = Shares(2, 1), list[str]()

        async def refuse() -> None:
            await shares.wait(60)
            seen.append("refused")

        async with asyncio.TaskGroup() as tasks:
            with shares.hold("a"):
                with shares.hold("b"):
                    tasks.create_task(refuse())
                    await asyncio.sleep(0)
                await shares.wait(0.01)  # and no longer, though one is held
                seen.append("one held")
        await shares.wait(0)
        return seen

    assert asyncio.run(wait()) == ["one held", "refused"]


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
    ],
)
def test_the_addresses_of_one_owner_count_as_one(host: str, address: str) -> None:
    assert address_of(host) == address


def test_a_client_does_not_say_what_its_address_or_scheme_is(model_folder: Path) -> None:
    with serving_here(model_folder, Limits(sounds_of_address=0)) as served:
        told = {"X-Forwarded-For": "192.0.2.7", "X-Forwarded-Proto": "https"}
        origin = served.address.replace("http", "https")
        asked = [
            requests.post(f"{served.address}/analyse", headers=told | more, timeout=30)
            for more in ({}, {"Origin": origin})
        ]
        assert [answer.status_code for answer in asked] == [503, 403]


def post(port: int, content: bytes) -> tuple[int, str, str | None]:
    """Send a sound; give status, body and Retry-After."""
    with closing(HTTPConnection("127.0.0.1", port, timeout=120)) as connection:
        connection.request("POST", "/analyse", content)
        answer = connection.getresponse()
        return answer.status, answer.read().decode(), answer.headers["Retry-After"]


@pytest.mark.parametrize("held", [500_000_000, 10_000_000], ids=["memory for all", "memory for some"])
def test_two_hundred_at_once_are_answered_or_told_to_come_again(held: int, model_folder: Path) -> None:
    sound = flac(60)
    assert 10_000_000 / 20 < len(sound) < 500_000_000 / 2 / 200
    with serving_here(model_folder, Limits(bytes_held=held)) as served, ThreadPoolExecutor(200) as many:
        answers = Counter(many.map(lambda _: post(served.port, sound), range(200)))
        told = post(served.port, sound)
    assert told[0] == 200
    assert answers.keys() == {told, BUSY}
    assert answers.total() == 200


@pytest.mark.long
def test_who_ends_the_server_does_not_wait_for_sounds_that_are_analysed(
    model_folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    sound, limits = flac(600), Limits(sounds=10, sounds_of_address=10)
    with ThreadPoolExecutor(10) as many, serving_here(model_folder, limits) as served:
        asked = [many.submit(post, served.port, sound) for _ in range(10)]
        wait(asked, return_when=FIRST_COMPLETED)
    counts = Counter(each.result() for each in asked)
    stopped = counts.pop((503, '{"error":"The server was stopped."}', None))
    assert stopped > 1
    assert [told[0] for told in counts] == [200]
    assert capfd.readouterr().err == f"ERROR:    Cancel {stopped} running task(s), timeout graceful shutdown exceeded\n"
