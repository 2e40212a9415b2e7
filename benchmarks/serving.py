"""Ask `serve` many times at once: how many are answered, how many told to come again, and how much longer they wait.

    python -m benchmarks.serving --model mine

The server is a process of its own; those who ask are threads of this one and share its processor. Each asks about the
same noise, once. Beside them one asks for the page, again and again.
"""

import argparse
import io
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from statistics import median
from typing import NamedTuple

import numpy as np

from beyond_spectrograms.cli.common import count
from beyond_spectrograms.util.commands import run
from beyond_spectrograms.util.errors import ProjectError

ALONE = 10  # times that one asks and nobody else
PAUSE_S = 0.05  # between two who ask for the page
SAMPLE_RATE = 44_100


class Asked(NamedTuple):
    """The status of an answer, and the seconds until it was read."""

    status: int
    seconds: float


def ask(port: int, method: str, path: str, content: bytes = b"") -> Asked:
    """Ask on a connection of its own."""
    began = time.perf_counter()
    with closing(HTTPConnection("127.0.0.1", port, timeout=600)) as connection:
        connection.request(method, path, content)
        answer = connection.getresponse()
        answer.read()
        return Asked(answer.status, time.perf_counter() - began)


@contextmanager
def serving(model: Path) -> Iterator[int]:
    """Serve a model in a process of its own; give the port.

    Raises:
        ProjectError: it does not start; its own words are on stderr.
    """
    command = [sys.executable, "-m", "beyond_spectrograms", "serve", "--model", str(model), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603  our own
        assert process.stdout is not None
        told = process.stdout.readline()
        if not told:
            raise ProjectError(f"{model}: `serve` did not start")
        try:
            yield int(told.split()[0].rpartition(":")[2])
        finally:
            process.terminate()


def noise(seconds: float) -> bytes:
    """Make an Ogg Vorbis file of noise."""
    import soundfile

    rng, written = np.random.default_rng(0), io.BytesIO()
    with soundfile.SoundFile(written, "w", SAMPLE_RATE, 1, format="OGG") as file:
        for _ in range(round(10 * seconds)):  # libsndfile writes no long Vorbis file at once
            file.write(rng.normal(0, 0.1, SAMPLE_RATE // 10))
    return written.getvalue()


def ask_at_once(port: int, sound: bytes, requests: int) -> tuple[list[Asked], list[Asked]]:
    """Ask so many times at once; give what was answered to them, and to who asks for the page meanwhile."""
    pages: list[Asked] = []
    done, together = threading.Event(), threading.Barrier(requests)

    def ask_for_the_page() -> None:
        while not done.wait(PAUSE_S):
            pages.append(ask(port, "GET", "/"))

    def ask_with_all(_: int) -> Asked:
        together.wait()
        return ask(port, "POST", "/analyse", sound)

    beside = threading.Thread(target=ask_for_the_page)
    beside.start()
    with ThreadPoolExecutor(requests) as many:
        answers = list(many.map(ask_with_all, range(requests)))
    done.set()
    beside.join()
    return answers, pages


def tell(name: str, asked: list[Asked]) -> str:
    """Say how long they waited: the median, and the longest."""
    seconds = [each.seconds for each in asked]
    if not seconds:
        return f"{name}: none"
    return f"{name}: {len(asked)}, {1000 * median(seconds):.0f} ms, at most {1000 * max(seconds):.0f}"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, metavar="FOLDER", help="as `train` writes it")
    parser.add_argument("--requests", type=count, default=200, metavar="N", help="at once (default: 200)")
    parser.add_argument("--seconds", type=float, default=10.0, help="of sound each (default: 10)")
    parser.add_argument("--rounds", type=count, default=5, metavar="N", help="default: 5")
    options = parser.parse_args()
    sound = noise(options.seconds)
    with serving(options.model) as port:
        ask(port, "POST", "/analyse", sound)  # loads what is loaded late
        all_longer = []
        for number in range(1, options.rounds + 1):
            alone = [ask(port, "POST", "/analyse", sound) for _ in range(ALONE)]
            answers, pages = ask_at_once(port, sound, options.requests)
            told = [each for each in answers if each.status == 200]
            others = Counter(each.status for each in answers if each.status != 200)
            longer = max((each.seconds for each in told), default=0.0) / median(each.seconds for each in alone)
            all_longer.append(longer)
            print(f"round {number}")
            print("  " + tell("alone", alone))
            print("  " + tell("answered", told) + f", {longer:.1f} times as long as alone")
            for status in others:
                print("  " + tell(f"status {status}", [each for each in answers if each.status == status]))
            print("  " + tell("pages meanwhile", pages))
        print(
            f"the slowest answer of a round took {median(all_longer):.1f} times as long as alone (median of the rounds)"
        )


if __name__ == "__main__":
    try:
        run(main)
    except OSError as error:
        sys.exit(f"no answer: {error}")
