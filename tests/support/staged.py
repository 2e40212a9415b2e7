"""A tiny project as it stands before and after each stage and command, on which faults are tried."""

import hashlib
import io
import os
import shutil
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random

import soundfile

from beyond_spectrograms.util.files import PARTIAL
from support import cells
from support.clones import edit
from support.common import noise, tone
from support.kills import left_in
from support.servers import Answer, Server
from support.warmed import Ended, Warmed, warmed

# How many points of each stage and command have a fault of a kind, beside the first; FAULT_POINTS tries more.
POINTS = int(os.environ.get("FAULT_POINTS", "1"))
ENCODER = "encodec_24khz_untrained"
PROTOCOLS, FEW = ("fair", "mean_linear"), {"seeds": [0], "batch_size": 16}
SOUNDS = "data/raw/packed/audio"
STEPS = {
    "resolve": ("stages.resolve",),
    "download": ("stages.download", "packed"),
    "resample": ("stages.resample", "packed"),
    "split": ("stages.split", "packed"),
    "featurize": ("stages.featurize", "packed", "mel"),
    "featurize_codec": ("stages.featurize", "packed", ENCODER),
    "train": ("stages.train", "packed", "mel"),
    "evaluate": ("stages.evaluate", "packed"),
    "report": ("stages.report", "packed"),
    "draw": ("stages.draw",),
    "page": ("stages.page",),
    "export": ("beyond_spectrograms", "export", "packed", "mel", "mean_linear", "--out", "exported"),
    "search": ("beyond_spectrograms", "search", f"{SOUNDS}/high/0.wav", SOUNDS, "--representation", "mel"),
    "own": (
        "beyond_spectrograms", "train", SOUNDS, "--representation", "mel", "--classifier", "probe_mean",
        "--epochs", "1", "--folds", "3", "--out", "mine",
    ),
}  # fmt: skip
IMPORTED = (
    *dict.fromkeys(module for module, *_ in STEPS.values() if module.startswith("stages.")),
    *(f"beyond_spectrograms.{name}" for name in ("cli", "inference.export", "inference.search", "serving.app")),
    *(f"beyond_spectrograms.inference.{name}" for name in ("multi_label", "own_model", "own_sounds", "rejection")),
    *("encodec", "librosa", "matplotlib.figure", "sklearn.linear_model"),
)
OF_THIS_RUN = ("data/durations/", "data/rates.json", "data/partial/", "mine.partial-training/")  # times, work to go on


@dataclass(frozen=True)
class Staged:
    """What the tests are given: `before` each step a folder to copy, `after` it what was decided there."""

    process: Warmed
    folder: Path
    after: dict[str, dict[str, bytes]]
    ended: dict[str, Ended]

    def before(self, step: str) -> Path:
        """Name the folder as it stands before a step. Read-only: copy it."""
        return self.folder / step

    def copy(self, step: str, place: Path) -> Path:
        """Copy the project as it stands before a step."""
        shutil.rmtree(place, ignore_errors=True)
        return Path(shutil.copytree(self.before(step), place))

    def points(self, step: str, kind: str) -> list[int]:
        """Draw points of a step: the first, and some others, for each kind of fault other ones."""
        count = len(self.ended[step].points)
        others = Random(f"{step} {kind}").sample(range(1, count), min(POINTS, count - 1))
        return [0, *sorted(others)]


@contextmanager
def staged(folder: Path, server: Server) -> Iterator[Staged]:
    """Go through all steps once, undisturbed."""
    project = folder / "project"
    write_project(project, server)
    after: dict[str, dict[str, bytes]] = {}
    ended: dict[str, Ended] = {}
    with warmed(*IMPORTED) as process:
        for step, command in STEPS.items():
            shutil.copytree(project, folder / step)
            ended[step] = process.run(project, *command)
            assert (ended[step].status, ended[step].left) == (0, 0), ended[step].errors
            after[step] = decided(project)
        yield Staged(process, folder, after, ended)


def write_project(folder: Path, server: Server) -> None:
    """Write params of a data set `packed`, an archive that the server has, and of `again`, the same archive."""
    cells.write_params(folder, device="cpu", grid=cells.grid("packed", ["mel", ENCODER], PROTOCOLS))
    few = {f"protocols.{name}.{key}": value for name in PROTOCOLS for key, value in FEW.items()}
    edit(folder, "params.yaml", few)
    content = pack(folder.with_name("packed.zip"))
    url = server.serves("/packed.zip", Answer(content))
    archive = {"url": url, "licence": "CC0", "sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    packed = {"archives": [archive], "members": r"(?P<label>[^/]+)/(?P<file>[^/]+\.wav)", "clips": 8, "classes": 2}
    packed |= {"seconds": [0.5, 600], "folds": 3, "fold_seed": 0}
    for name in ("packed", "again"):
        cells.write_record(folder, name, packed, max_epochs=2)


def pack(place: Path) -> bytes:
    """Pack eight sounds of two classes."""
    with zipfile.ZipFile(place, "w") as archive:
        for number in range(4):
            for label, hertz in (("high", 4000), ("low", 400)):
                heard, sound = tone(1.2, hertz + 10 * number) + noise(1.2, seed=number) / 10, io.BytesIO()
                soundfile.write(sound, heard, 44_100, format="WAV")
                archive.writestr(zipfile.ZipInfo(f"{label}/{number}.wav"), sound.getvalue())
    return place.read_bytes()


def decided(folder: Path) -> dict[str, bytes]:
    """Read what a step left, but what belongs to one run alone: how long it took, and work that is to be gone on."""
    return left_in(folder, lambda name: not name.startswith(OF_THIS_RUN))


def half_written(found: Mapping[str, bytes], before: Mapping[str, bytes], after: Mapping[str, bytes]) -> set[str]:
    """Name the files that are neither as they were before a step nor as it leaves them."""
    return {name for name, content in found.items() if content not in (before.get(name), after.get(name))}


def left_over(folder: Path) -> list[str]:
    """List what no ended process may leave: locks, and files or folders half-written."""
    found = (path for path in folder.rglob("*") if path.suffix == ".lock" or PARTIAL.fullmatch(path.name))
    return sorted(path.relative_to(folder).as_posix() for path in found)
