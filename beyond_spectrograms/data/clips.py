"""Raw files -> checked clips: every file is either stored in every format or set aside with its reason."""

import hashlib
import shutil
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import soundfile
import soxr

from beyond_spectrograms.data import audio
from beyond_spectrograms.data.labels import Told
from beyond_spectrograms.data.sound_files import read_recording
from beyond_spectrograms.params import Source
from beyond_spectrograms.params.protocols import SEVERAL
from beyond_spectrograms.util.cluster.pieces import on_cluster, run_in_groups
from beyond_spectrograms.util.errors import ProjectError
from beyond_spectrograms.util.files import digest_file, read_sealed, replace_folder, write_sealed, written_beside
from beyond_spectrograms.util.progress import track

GROUP = 16  # files that a worker of a cluster takes at a time
CLIP_VERSIONS = ("data", "soundfile", "soxr")  # of versions.yaml: what decides a clip


class DatasetError(ProjectError):
    """A data set is not what params.yaml says it is; the message has expected and found."""


class TooFewGroupsError(DatasetError):
    """A class has fewer recordings of different origin than there are folds."""

    def __init__(self, message: str, label: str, groups: int) -> None:
        super().__init__(message)
        self.label, self.groups = label, groups


@dataclass(frozen=True)
class Outcome:
    """What became of one raw file. `clip` is <label>/<file name>; `reason` is empty where the file is usable."""

    clip: str
    sha256: str
    reason: str = ""
    seconds: float = 0.0
    source_sample_rate: int = 0
    remarks: tuple[str, ...] = ()
    limited_samples: int = 0

    @property
    def label(self) -> str:
        """The class: the name of the file's folder."""
        return self.clip.split("/")[0]


def raw_files(folder: Path) -> list[Path]:
    """Files of <folder>/<label>/, sorted by label and name."""
    return sorted(path for path in folder.glob("*/*") if path.is_file() and not path.name.startswith("."))


def prepare_clips(
    raw: Path, work: Path, seconds: tuple[float, float], versions: Mapping[str, int | str] | None = None
) -> list[Outcome]:
    """Check every file of raw/<label>/ and write it as work/finished/<format>/<label>/<file name>.flac.

    A run that is killed leaves `work` behind; the next one keeps each clip whose source bytes and `versions`, those of
    CLIP_VERSIONS, are the same and whose stored bytes are those that were written.
    """
    files, libraries = raw_files(raw), (soundfile.__libsndfile_version__, soxr.__libsoxr_version__)
    decides = repr((sorted((versions or {}).items()), libraries, seconds))  # a clip's bytes, besides its source
    fingerprint = hashlib.sha256(decides.encode()).hexdigest()
    prepare = partial(_prepare_clip, work=work, seconds=seconds, fingerprint=fingerprint)
    if on_cluster():
        return run_in_groups(prepare, files, GROUP, called="resample", set_aside=_set_aside)
    # Decoding, resampling and FLAC all release the interpreter lock, so threads use every core.
    with ThreadPoolExecutor() as pool:
        return list(track(pool.map(prepare, files), "resample", len(files)))


def _set_aside(path: Path, reason: str) -> Outcome:
    return Outcome(f"{path.parent.name}/{path.name}", digest_file(path), reason)


def publish_clips(outcomes: list[Outcome], work: Path, clips: Path, told: Mapping[str, Told] | None = None) -> None:
    """Add the table of usable clips, clips.csv, and rename work/finished to `clips`.

    `told` is what labels.read_labels gives: labels in place of the folders' names, and further columns.
    """
    finished = work / "finished"
    expected = {path for outcome in outcomes if not outcome.reason for path in _stored(finished, outcome.clip)}
    for path in finished.rglob("*"):
        if path.is_file() and path not in expected:  # left by a killed run: half-written, or its source is gone
            path.unlink()
    columns = ["clip", "label", "seconds", "source_sample_rate", "sha256"]
    usable = [outcome for outcome in outcomes if not outcome.reason]
    rows = [{**asdict(each), "label": each.label, **(told[each.clip] if told else {})} for each in usable]
    columns += [column for column in (next(iter(told.values())) if told else ()) if column not in columns]
    with written_beside(finished / "clips.csv") as beside:
        pd.DataFrame(rows, columns=columns).to_csv(beside, index=False, lineterminator="\n")
    replace_folder(finished, clips)
    shutil.rmtree(work)


def _prepare_clip(path: Path, work: Path, seconds: tuple[float, float], fingerprint: str) -> Outcome:
    clip = f"{path.parent.name}/{path.name}"
    sha256 = digest_file(path)
    record = work / "records" / f"{clip}.json"
    known = _read_record(record, fingerprint, _stored(work / "finished", clip))
    if known and known.sha256 == sha256:
        return known
    try:
        recording = read_recording(path, seconds)
    except audio.BadAudioError as error:
        return Outcome(clip, sha256, reason=str(error))  # kept nowhere: with ffmpeg installed it may be read
    limited, stored = 0, _stored(work / "finished", clip)
    for form, place in zip(audio.FORMATS, stored, strict=True):
        samples, over = audio.convert(recording, form)
        with written_beside(place, flushed=False) as beside:
            audio.write_clip(beside, samples, form.sample_rate)
        limited += over
    outcome = Outcome(clip, sha256, "", recording.seconds, recording.sample_rate, recording.remarks, limited)
    content = {"fingerprint": fingerprint, "outcome": asdict(outcome), "stored": list(map(digest_file, stored))}
    write_sealed(record, content, flushed=False)
    return outcome


def _read_record(record: Path, fingerprint: str, stored: list[Path]) -> Outcome | None:
    """Read what became of a file in a run that was stopped; None where it was set aside, or is not what was written."""
    content = read_sealed(record)
    if content is None or content["fingerprint"] != fingerprint:
        return None
    if [digest_file(path) if path.exists() else "" for path in stored] != content["stored"]:
        return None
    return Outcome(**{**content["outcome"], "remarks": tuple(content["outcome"]["remarks"])})


def _stored(folder: Path, clip: str) -> list[Path]:
    """Where a clip is stored in each of the formats."""
    return [clip_path(folder, form, clip) for form in audio.FORMATS]


def clip_path(folder: Path, form: audio.Format, clip: str) -> Path:
    """Where `folder` (data/clips/<dataset>) holds `clip` in the format `form`."""
    return folder / form.name / f"{clip}.flac"


def read_clips(folder: Path) -> pd.DataFrame:
    """Read <folder>/clips.csv, a row a usable clip: clip, label, seconds, source_sample_rate, sha256.

    And group, fold and part where a table tells them.
    """
    text = dict.fromkeys(("clip", "label", "sha256", "group", "part"), str)  # whatever they look like
    return pd.read_csv(folder / "clips.csv", dtype=text, keep_default_na=False)


def stem(clip: str) -> str:
    """<label>/<file name> without suffix: one archive of GTZAN holds as .au what others and its lists name .wav."""
    return clip.rsplit(".", 1)[0]


def _labels_of(outcome: Outcome, told: Mapping[str, Told] | None) -> list[str]:
    return (told[outcome.clip]["label"] if told else outcome.label).split(SEVERAL)


def check_clips(dataset: str, outcomes: list[Outcome], source: Source, told: Mapping[str, Told] | None = None) -> None:
    """Stop where a data set is not what it should be; `told` as publish_clips takes it.

    Raises:
        DatasetError: a class without a usable file; or, where params say how many clips and classes there are, another
            number, or a file set aside that is not in known_bad.
    """
    usable = [outcome for outcome in outcomes if not outcome.reason]
    labels, found = ({label for o in some for label in _labels_of(o, told)} for some in (outcomes, usable))
    for label in sorted(labels - found):
        reasons = [f"  {o.clip}: {o.reason}" for o in outcomes if label in _labels_of(o, told)]
        raise DatasetError(f"{dataset}: class {label!r} has no usable file:\n" + "\n".join(reasons))
    if not usable:
        raise DatasetError(f"{dataset}: no audio file found")
    if source.classes not in (None, len(labels)):
        raise DatasetError(
            f"{dataset}: expected {source.classes} classes, found {len(labels)}: {', '.join(sorted(labels))}"
        )
    if source.clips is not None:
        bad = {stem(clip) for clip in source.known_bad}
        expected = source.clips - sum(bool(o.reason) and stem(o.clip) in bad for o in outcomes)
        if len(usable) != expected:
            unexpected = [f"  {o.clip}: {o.reason}" for o in outcomes if o.reason and stem(o.clip) not in bad]
            raise DatasetError(
                "\n".join([f"{dataset}: expected {expected} usable clips, found {len(usable)}", *unexpected])
            )


def describe_clips(dataset: str, outcomes: list[Outcome], told: Mapping[str, Told] | None = None) -> dict[str, Any]:
    """Figures of clips.json: counts, seconds, what was set aside and why; a clip counts for each of its labels."""
    usable = [outcome for outcome in outcomes if not outcome.reason]
    lengths = [outcome.seconds for outcome in usable]
    rates = sorted({outcome.source_sample_rate for outcome in usable})
    by_class = Counter(sorted(label for outcome in usable for label in _labels_of(outcome, told)))
    return {
        "dataset": dataset,
        "files": len(outcomes),
        "clips": len(usable),
        "classes": len(by_class),
        "seconds": round(sum(lengths), 3),
        "shortest_seconds": round(min(lengths), 3),
        "longest_seconds": round(max(lengths), 3),
        "limited_samples": sum(outcome.limited_samples for outcome in usable),
        "clips_by_sample_rate": {str(rate): sum(o.source_sample_rate == rate for o in usable) for rate in rates},
        "clips_by_class": dict(by_class),
        "set_aside_count": len(outcomes) - len(usable),
        "set_aside": {outcome.clip: outcome.reason for outcome in outcomes if outcome.reason},
        "remarks": {outcome.clip: list(outcome.remarks) for outcome in usable if outcome.remarks},
    }
