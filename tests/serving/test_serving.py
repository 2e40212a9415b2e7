"""What `serve` answers over HTTP: who may ask, what is too much, and that it stores nothing."""

import json
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests

from beyond_spectrograms import load_model
from beyond_spectrograms.cli import main
from beyond_spectrograms.cli.serve import listen
from beyond_spectrograms.inference.model import NO_NUMBERS
from beyond_spectrograms.representations.base import RepresentationError
from beyond_spectrograms.representations.mel import MelSpectrogram
from beyond_spectrograms.serving.analysis import analyse
from beyond_spectrograms.serving.app import MAX_BYTES
from beyond_spectrograms.serving.connections import Limits
from support.common import sound_file, tone
from support.models import edit_card, write_model
from support.odd_sounds import of_open_length
from support.repository import Capture, Patch
from support.serving import serving, serving_here

TOO_LONG = (
    "longer than 10 minutes, the longest this page takes. Use `beyond-spectrograms segment`, which takes any length."
)


@pytest.fixture(scope="module")
def temporary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("temporary")


@pytest.fixture(scope="module")
def address(model_folder: Path, temporary: Path) -> Iterator[str]:
    """Serve the model, with a folder of its own for temporary files."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(temporary))
        with serving(model_folder) as address:
            yield address


def ask(address: str, content: bytes, **headers: str) -> tuple[int, str]:
    """Send a sound; give the status and the error."""
    answer = requests.post(f"{address}/analyse", data=content, headers=headers, timeout=30)
    return answer.status_code, answer.json().get("error", "")


def test_a_sound_is_told_as_the_commands_tell_it(
    address: str, model_folder: Path, tmp_path: Path, temporary: Path, capsys: Capture
) -> None:
    content = sound_file(np.concatenate([tone(4.25, 400), tone(4, 4000), np.zeros(99_225, np.float32)]))
    answer = requests.post(f"{address}/analyse", data=content, timeout=30)
    told = answer.json()
    (tmp_path / "sound.wav").write_bytes(content)
    for command in ("segment", "classify"):
        assert main([command, str(tmp_path / "sound.wav"), "--model", str(model_folder), "--format", "json"]) == 0
        expected = json.loads(capsys.readouterr().out)
        [one] = expected if isinstance(expected, list) else [expected]
        assert told | {"file": one["file"], "windows": one["windows"]} == told | one
    assert [part["label"] for part in told["segments"]] == ["low", "high", None]
    assert len(told["windows"]) == 20
    assert (told["spectrogram"]["bands"], told["features"]["bands"]) == (96, 16)
    for picture in (told["spectrogram"], told["features"]):
        assert picture["columns"] * picture["column_s"] == pytest.approx(10.5, abs=0.05)
    assert answer.headers["Cache-Control"] == "no-store"
    assert list(temporary.iterdir()) == []


def test_what_is_unusual_is_told_as_segment_tells_it(model_folder: Path) -> None:
    model = load_model(model_folder, device="cpu")
    coarse = sound_file(np.stack([tone(0.5, 400)] * 3, axis=1), subtype="PCM_U8")
    assert analyse(model, coarse, threading.Event())["remarks"] == [
        "8-bit samples: quantisation noise at about -50 dBFS is part of the sound",
        "3 channels: mixed to mono by their mean",
        "0.500 s long, shorter than a window of 1 s: reflected",
    ]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty file (0 bytes)"),
        (b"this is no sound, but a text", "not decodable as audio: Format not recognised."),
        (sound_file(tone(0.05, 400)), "0.050 s long; the shortest that is classified is 0.1 s, a tenth of a window"),
        (sound_file(np.zeros(44_100)), "silent: its peak is 0, silence is 0.0001 or less"),
        (sound_file(np.zeros(8000 * 36_000, np.int16), 8000, "FLAC"), TOO_LONG),
        (of_open_length(sound_file(np.zeros(8000 * 601, np.int16), 8000, "FLAC")), TOO_LONG),
    ],
    ids=["empty", "text", "short", "silent", "ten hours", "a length the header hides"],
)
def test_a_bad_sound_is_refused(content: bytes, reason: str, address: str) -> None:
    assert ask(address, content) == (422, reason)


def test_too_many_bytes_are_refused_announced_or_not(address: str) -> None:
    reason = "larger than 100 MB, the most this page takes. Use `beyond-spectrograms segment`, which takes any size."
    answer = b""
    with socket.create_connection(("127.0.0.1", int(address.rsplit(":", 1)[1])), timeout=30) as asking:
        asking.sendall(f"POST /analyse HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {MAX_BYTES + 1}\r\n\r\n".encode())
        while not answer.endswith(b"}"):
            answer += asking.recv(1 << 16)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert json.loads(answer.split(b"\r\n\r\n")[1]) == {"error": reason}
    chunks = (bytes(1 << 20) for _ in range(MAX_BYTES // (1 << 20) + 1))
    assert requests.post(f"{address}/analyse", data=chunks, timeout=60).json() == {"error": reason}


def test_who_leaves_half_way_leaves_no_trace(address: str, temporary: Path) -> None:
    with socket.create_connection(("127.0.0.1", int(address.rsplit(":", 1)[1])), timeout=30) as asking:
        asking.sendall(b"POST /analyse HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000000\r\n\r\nRIFF")
    assert ask(address, b"") == (422, "empty file (0 bytes)")
    assert list(temporary.iterdir()) == []


def test_another_sites_page_and_name_are_refused(address: str) -> None:
    told = "This server is asked by its address, localhost or 127.0.0.1."
    for host in ("evil.example", "127.0.0.1.evil.example", "a b", ""):
        assert ask(address, b"", Host=host) == (403, f"Host is {host!r}. {told}")
        assert requests.get(address, headers={"Host": host}, timeout=30).status_code == 403
    for host in ("localhost", "localhost:1", "[::1]:80", "192.168.0.7"):
        assert ask(address, b"", Host=host) == (422, "empty file (0 bytes)")
    for origin in ("http://evil.example", "null", "http://127.0.0.1", "http://["):
        reason = f"Origin is {origin!r}. Sounds are taken from this server's own page alone."
        assert ask(address, b"", Origin=origin) == (403, reason)
    assert ask(address, b"", Origin=address) == (422, "empty file (0 bytes)")
    assert "Access-Control-Allow-Origin" not in requests.options(f"{address}/analyse", timeout=30).headers


def test_the_page_may_run_its_own_script_and_ask_its_own_server_alone(address: str) -> None:
    answer = requests.get(address, timeout=30)
    policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert policy.endswith("connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
    assert "://" not in answer.text.replace("http://www.w3.org/2000/svg", "")
    assert requests.get(f"{address}/docs", timeout=30).status_code == 404


def test_places_that_cannot_be_listened_at_are_told(model_folder: Path, capsys: Capture, tmp_path: Path) -> None:
    serve = ["serve", "--model", str(model_folder)]
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = taken.getsockname()[1]
        assert main([*serve, "--port", str(number)]) == 1
    told = f"127.0.0.1, port {number}: address already in use. Choose another --host or --port.\n"
    assert capsys.readouterr() == ("", told)
    assert main([*serve, "--host", "192.0.2.1"]) == 1
    assert capsys.readouterr().err == (
        "192.0.2.1, port 8000: cannot assign requested address. Choose another --host or --port.\n"
    )
    with pytest.raises(SystemExit):
        main([*serve, "--port", "70000"])
    assert capsys.readouterr().err.endswith("error: argument --port: '70000' is no port: 0 to 65535\n")
    assert main(["serve", "--model", str(tmp_path / "none"), "--port", "0"]) == 1
    assert capsys.readouterr().err.startswith(f"{tmp_path}/none: no such folder.")


def test_an_address_of_a_link_keeps_its_scope(monkeypatch: Patch) -> None:
    found = [(socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("fe80::1", 8000, 0, 7))]
    bound: list[Any] = []
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    monkeypatch.setattr(socket, "create_server", lambda *place, **family: bound.append((place, family)))
    listen("fe80::1%eth0", 8000)
    assert bound == [((("fe80::1", 8000, 0, 7),), {"family": socket.AF_INET6})]


def test_a_missing_extra_is_told(model_folder: Path, capsys: Capture, monkeypatch: Patch) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    assert main(["serve", "--model", str(model_folder)]) == 1
    assert capsys.readouterr().err == (
        "uvicorn is not installed. Install this project with its extra 'serve' (pip install -e '.[serve]' in its "
        "folder), or run pip install uvicorn.\n"
    )


def test_the_page_tells_of_answers_that_are_no_numbers(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "model")
    edit_card(folder, confidence={"temperature": 1e-320})
    with serving_here(folder, Limits()) as served:
        answer = requests.post(f"{served.address}/analyse", data=sound_file(tone(2, 400)), timeout=60)
    assert (answer.status_code, answer.json()) == (422, {"error": NO_NUMBERS})


def test_the_page_tells_of_a_sound_that_the_encoder_refuses(model_folder: Path, monkeypatch: Patch) -> None:
    def refuse(*_: object) -> None:
        raise RepresentationError("mel_16 gives values that are not finite.")

    monkeypatch.setattr(MelSpectrogram, "encode", refuse)
    with serving_here(model_folder, Limits()) as served:
        answer = requests.post(f"{served.address}/analyse", data=sound_file(tone(2, 400)), timeout=60)
    assert (answer.status_code, answer.json()) == (422, {"error": "mel_16 gives values that are not finite."})
