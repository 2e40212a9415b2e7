"""What is killed on purpose, and how often: `make kills`. Every stage, the commands that write, `serve`, `dvc repro`.

Two tiny projects of other sounds are run stage by stage. A stage is killed in the state that those before it left of
the first project, and in the same with what it left of the second, as after an edit.
"""

import importlib
import io
import os
import runpy
import shutil
import signal
import socket
import sys
import tempfile
import threading
import time
import urllib.request
import warnings
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import chain
from pathlib import Path

import numpy as np
import soundfile

from beyond_spectrograms.cli import main as command_line
from beyond_spectrograms.training import run as training
from beyond_spectrograms.util.files import write_text
from support import cells, clones
from support.clones import TINY, decides, edit
from support.common import noise
from support.kills import Attempt, Tally, Work, attempt, kill_and_compare, left_in
from support.models import write_model
from support.servers import Answer, Server, running_server

STUDY, EVALUATE = "--study=demo", f"{clones.DEMO}:evaluate@demo"
REPRESENTATIONS, PROTOCOLS = ("mel", "encodec_24khz_untrained"), ("fair", "paper")
METRICS, PLOTS = "studies/demo/metrics/demo", "studies/demo/plots/demo"


def stage(name: str, *arguments: str) -> Callable[[], None]:
    """Make the work of a stage of the tiny demo; trainings keep a checkpoint after every epoch."""

    def do() -> None:
        training.CHECKPOINT_SECONDS, sys.argv = 0, [f"{name}.py", STUDY, *arguments]
        sys.modules.pop(module := f"stages.{name}", None)
        runpy.run_module(module, run_name="__main__")

    return do


def export(*more: str) -> None:
    """Export a cell again: what an earlier one left is removed, as its message says."""
    shutil.rmtree("exported", ignore_errors=True)
    assert command_line(["export", "demo", "mel", "fair", STUDY, "--out", "exported", *more]) == 0


def train() -> None:
    """Train on own sounds; where an earlier run has come to its end, it is refused."""
    training.CHECKPOINT_SECONDS = 0
    words = ("train", "sounds", "--representation", "mel", "--epochs", "2", "--out", "mine", "--onnx")
    ended = Path("mine").exists() and not Path("mine.partial-training").exists()
    status = command_line([*words])
    assert status == ended, "refused" if status else "not refused"
    write_text(Path("told"), "")  # by whom else writes here, what is left over of the first run is removed


def serve() -> None:
    """Serve a model until it has answered, and keep the answer."""
    address = f"http://127.0.0.1:{Path('port').read_text()}"

    def ask() -> None:
        for _ in range(6000):
            with suppress(OSError), urllib.request.urlopen(address) as answer:
                Path("answer.html").write_bytes(answer.read())
                break
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=ask).start()
    command_line(["serve", "--model", "model", "--port", address.rpartition(":")[2], "--device", "cpu"])


def repro() -> None:
    """Evaluate the tiny demo by DVC as `make demo` does; nothing is left to run then."""
    from dvc.cli import main
    from dvc.repo import Repo

    os.environ |= clones.environment(Path.cwd()) | {"DVC_SITE_CACHE_DIR": str(Path.cwd() / ".dvc/tmp/site")}
    sys.argv = ["locks.py"]
    runpy.run_module("stages.locks", run_name="__main__")
    if status := main(["repro", "-q", EVALUATE]):
        sys.exit(status)
    with Repo() as finished:
        assert finished.status([EVALUATE], with_deps=True) == {}


FEATURIZE = [Work(f"featurize {name}", stage("featurize", "demo", name)) for name in REPRESENTATIONS]
TRAIN = [
    Work(f"train {name}", stage("train", "demo", name), whole=(f"data/models/demo/demo/{name}",))
    for name in REPRESENTATIONS
]
# In the order of the pipeline.
STAGES = (
    Work("resolve", stage("resolve"), whole=("data/params/demo",)),
    Work("download and unpack", stage("download", "pets"), whole=("data/raw/pets",)),
    Work("synthesise", stage("download", "demo"), whole=("data/raw/demo",)),
    Work("resample", stage("resample", "demo"), whole=("data/clips/demo",)),
    Work("split", stage("split", "demo")),
    Work("audit", stage("audit", "demo")),
    *FEATURIZE,
    *TRAIN,
    Work("evaluate", stage("evaluate", "demo")),
    Work("illustrate", stage("illustrate", "demo"), whole=(f"{PLOTS}/figure_2",)),
    Work("report", stage("report", "demo"), whole=(f"{METRICS}/tables", f"{PLOTS}/figures")),
    Work("draw", stage("draw"), whole=("studies/demo/plots/figure_4",)),
    Work("page", stage("page")),
    Work("export", export, whole=("exported",)),
    Work("export as ONNX", lambda: export("--onnx", "exported.onnx"), whole=("exported",)),
)


def prepare_sounds(folder: Path) -> None:
    """Lay out own sounds: four noises of two classes."""
    cells.write_params(folder)
    for number in range(8):
        path = folder / f"sounds/{'low' if number % 2 else 'high'}/{number}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, noise(1.0, 22_050, number), 22_050)


def prepare_model(folder: Path) -> None:
    """Write a model, and a port that is free."""
    folder.mkdir()
    write_model(folder / "model")
    with socket.create_server(("127.0.0.1", 0)) as free:
        (folder / "port").write_text(f"{free.getsockname()[1]}")


COMMANDS = {
    Work("train on own sounds", train, whole=("mine", "mine-report")): prepare_sounds,
    Work("serve", serve, kinds=("change", "time", "time", "time")): prepare_model,
    Work(
        "dvc repro", repro, kinds=("change", "change", "time"), compared=decides, reach=0.25, in_a_row=15
    ): clones.smallest,
}
WORKS = tuple(work.name for work in (*STAGES, *COMMANDS))


def lay_out(folder: Path, seed: int, server: Server) -> None:
    """Lay out a project of a tiny demo, of own sounds, and of a data set whose archive a server has."""
    grid = {"datasets": ["demo", "pets"], "representations": [*REPRESENTATIONS], "protocols": [*PROTOCOLS]}
    cells.write_params(folder, study="demo", grid=grid)
    source = {"synthetic": TINY | {"seed": seed}, "clips": 24, "folds": 3}
    edit(folder, "datasets/demo.yaml", {"max_epochs": 2} | {f"source.{key}": of for key, of in source.items()})
    seeds = {f"protocols.{name}.seeds": [0] for name in PROTOCOLS}
    edit(folder, "params.yaml", seeds | {"audit.trees": 10})
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for number in range(12):
            content = np.random.default_rng([seed, number]).bytes(20_000)
            archive.writestr(f"top/{'cat' if number % 2 else 'dog'}/{number}.wav", content)
    url = server.serves(f"/{seed}/pets.zip", Answer(packed.getvalue()))
    shutil.copy(folder / "datasets/esc10.yaml", folder / "datasets/pets.yaml")
    of_pets = {"archives": [{"url": url, "licence": "CC0"}], "clips": 12, "classes": 2, "folds": 3, "fold_seed": 0}
    of_pets |= {"members": "top/(?P<label>[^/]+)/(?P<file>[^/]+)"}
    cells.edit_params(folder, lambda pets: pets.update(source=of_pets | {"seconds": [1, 600]}), "datasets/pets.yaml")
    cells.edit_params(folder, lambda pets: pets.update(drawn_from=[], known_pairs=[]), "datasets/pets.yaml")


def run_through(work: Work, folder: Path) -> Attempt:
    """Do a work undisturbed; import here what it has, for the next to start sooner."""
    listed = folder.parent / "modules.txt"

    def do() -> None:
        work.do()
        listed.write_text("\n".join(sys.modules), encoding="utf-8")

    done = attempt(do, folder)
    assert done.status == 0, done.said
    for name in listed.read_text(encoding="utf-8").split():
        with suppress(Exception):
            importlib.import_module(name)
    return done


def kill_stages(shares: dict[str, int], seed: int, folder: Path) -> Iterator[tuple[str, Tally]]:
    """Kill each stage as often as `shares` says, where the stages before it have run."""
    first, second, start, mixed = (folder / name for name in ("first", "second", "start", "mixed"))
    todo = max(number for number, work in enumerate(STAGES, 1) if shares[work.name])
    with running_server() as server:
        for number, project in enumerate((first, second)):
            lay_out(project, number, server)
        for work in STAGES[:todo]:
            for each in (start, mixed):
                shutil.copytree(first, each)
            before = left_in(second)
            run_through(work, second)
            for name, content in left_in(second).items():
                if before.get(name) != content and not name.startswith("data/downloads/"):  # where each has its own
                    (mixed / name).parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy(second / name, mixed / name)
            finished = (run_through(work, first), first)
            if count := shares[work.name]:
                yield work.name, kill_and_compare(work, [start, mixed], finished, count, seed)
            for each in (start, mixed):
                shutil.rmtree(each)


def kill_commands(shares: dict[str, int], seed: int, folder: Path) -> Iterator[tuple[str, Tally]]:
    """Kill each command as often as `shares` says, in a project of its own."""
    for work, prepare in COMMANDS.items():
        if count := shares[work.name]:
            start, whole = folder / "start", folder / "whole"
            prepare(start)
            shutil.copytree(start, whole, symlinks=True)
            finished = (run_through(work, whole), whole)
            yield work.name, kill_and_compare(work, [start], finished, count, seed)
            for each in (start, whole):
                shutil.rmtree(each)


def kill(names: Sequence[str], count: int, seed: int) -> list[str]:
    """Kill these works so many times in all; say what came of it, and give what went wrong."""
    shares = dict.fromkeys(WORKS, 0)
    shares |= dict.fromkeys(names, max(1, round(count / len(names))))
    tallies, began = dict[str, Tally](), time.monotonic()
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        parts = [kill_stages] * any(shares[work.name] for work in STAGES) + [kill_commands]
        for name, tally in chain.from_iterable(part(shares, seed, Path(folder)) for part in parts):
            kinds = ", ".join(f"{number} by {kind}" for kind, number in sorted(tally.kills.items()))
            told = f"{tally.rounds} times done whole, {tally.ended_before} ended before their kill"
            print(f"{name}: {tally.count} kills ({kinds}), {told}, {time.monotonic() - began:.0f} s", flush=True)
            print(*(f"  {wrong}" for wrong in tally.wrong), sep="\n", end="", flush=True)
            tallies[name] = tally
    wrong = [told for tally in tallies.values() for told in tally.wrong]
    total = sum(tally.count for tally in tallies.values())
    print(f"{total} kills, {len(wrong)} faults, {time.monotonic() - began:.0f} s", flush=True)
    return wrong


def main() -> None:
    """Kill works here: the name of one, or `all`, how many times, and the seed."""
    names = WORKS if sys.argv[1] == "all" else sys.argv[1].split(",")
    if wrong := kill(names, int(sys.argv[2]), int(sys.argv[3])):
        sys.exit(f"{len(wrong)} faults.")


if __name__ == "__main__":
    main()
