"""A data set at a URL, in tar shards or in an audio folder -> audio/<label>/<file>, as from a folder that is here."""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from beyond_spectrograms.data.archives import Placer, unpack
from beyond_spectrograms.data.audio_folders import list_audio_folder
from beyond_spectrograms.data.fetching import fetch_files, lay_out
from beyond_spectrograms.data.folders import RawDataError, check_names, find_folder, is_hidden, kind_of, sort_out
from beyond_spectrograms.data.labels import Told, write_labels
from beyond_spectrograms.data.tar_shards import list_shards, take_shards
from beyond_spectrograms.params.datasets import Source
from beyond_spectrograms.params.layouts import Layout
from beyond_spectrograms.util.files import digest_lines, read_told
from beyond_spectrograms.util.patterns import match_whole
from beyond_spectrograms.util.storage.places import is_elsewhere, place_at
from beyond_spectrograms.util.text import quoted

Found = tuple[str, str, str, Told]  # where a sound is, its name there, the name of its copy, and what is told of it


def take_elsewhere(source: Source, work: Path, audio: Path, check: Callable[[Sequence[str]], None]) -> dict[str, Any]:
    """Fill `audio` from a source whose path is a URL, or has a layout; return what source.json says of it.

    `work` keeps what was fetched, for a run that is stopped. Where folders alone say the labels, `check` is called with
    the names of sounds, <label>/<file>, before any is fetched.

    Raises:
        RawDataError: a file that is none of a data set, named.
        StorageError: the place does not give one.
    """
    assert source.path is not None
    if source.members is not None:
        return {"left_out": _take_members(source.path, source, work, audio)}
    if source.layout is None:
        return _take_classes(source.path, work, audio, check)
    if source.layout.kind == "shards":
        return _take_shards(source.path, source.layout, work, audio)
    return _take_audio_folder(source.path, source.layout, work, audio)


def _take_classes(path: str, work: Path, audio: Path, check: Callable[[Sequence[str]], None]) -> dict[str, Any]:
    entries = {entry.name: entry for entry in place_at(path).entries()}
    listed = sort_out(path, entries)
    check(sorted(listed.paths))
    fetch_files(place_at(path), [(entries[name], copy) for copy, name in listed.paths.items()], work / "files")
    lay_out(work / "files", audio, [(copy, copy) for copy in listed.paths])
    return {"left_out": listed.left_out}


def _take_members(path: str, source: Source, work: Path, audio: Path) -> dict[str, int]:
    """Fetch the files that an archive would hold, those that are wanted, and take them as from a folder laid out so."""
    assert source.members is not None
    patterns = {"members": source.members}
    if source.label_table is not None:
        patterns["label_table.member"] = source.label_table.member
    wanted, left_out = [], Counter[str]()
    for entry in place_at(path).entries():
        if is_hidden(entry.name) or not any(match_whole(*each, entry.name) for each in patterns.items()):
            left_out[kind_of(entry.name)] += 1
        else:
            check_names(path, entry.name)
            wanted.append((entry, entry.name))
    fetch_files(place_at(path), wanted, work / "files")
    try:
        left_out.update(unpack(work / "files", source.members, source.label_table, audio))
    except RawDataError as error:
        raise RawDataError(str(error).replace(str(work / "files"), path, 1)) from error
    return dict(sorted(left_out.items()))


def _take_shards(path: str, layout: Layout, work: Path, audio: Path) -> dict[str, Any]:
    listing, left_out, found, files = listing_of(path, layout), Counter[str](), list[Found](), list[str]()
    for shard in take_shards(path, layout, work):
        left_out.update(shard.left_out)
        found += [(shard.url, sound.member, sound.file, sound.told) for sound in shard.sounds]
        files += [f"{shard.folder.name}/{sound.file}" for sound in shard.sounds]
    placed = _place(found, layout)
    lay_out(work, audio, zip(placed, files, strict=True))
    _write_told(placed, layout, audio)
    return {"left_out": dict(sorted(left_out.items())), "listing_sha256": listing}


def _take_audio_folder(path: str, layout: Layout, work: Path, audio: Path) -> dict[str, Any]:
    listing, place = listing_of(path, layout), place_at(path)
    sounds, left_out = list_audio_folder(place, layout)
    placed = _place([(path, each.entry.name, each.file, each.told) for each in sounds], layout)
    fetch_files(place, [(each.entry, clip) for each, clip in zip(sounds, placed, strict=True)], work / "files")
    lay_out(work / "files", audio, [(clip, clip) for clip in placed])
    _write_told(placed, layout, audio)
    return {"left_out": left_out, "listing_sha256": listing}


def _place(found: Iterable[Found], layout: Layout) -> dict[str, Told]:
    """Give each sound its place, <label>/<file>, in the order given, and what is told of it.

    Raises:
        RawDataError: one cannot have its place, or another has it.
    """
    where = ""

    def refuse(name: str, reason: str) -> NoReturn:
        raise RawDataError(f"{where}: {quoted(name)} {reason}.")

    placer, placed, first = Placer(refuse, layout.separator), dict[str, Told](), dict[str, str]()
    for where, name, file, told in found:
        clip, slugs = placer.put(name, file, told)
        if clip in placed:
            refuse(name, f"and {first[clip]} are both {clip}")
        placed[clip], first[clip] = slugs, f"{quoted(name)} of {where}"
    return placed


def _write_told(placed: dict[str, Told], layout: Layout, audio: Path) -> None:
    if layout.separator or layout.group or layout.fold or layout.part:
        write_labels(audio, placed)


def listing_of(path: str, layout: Layout) -> str:
    """Digest what a layout's files are, by name and size, and what its metadata tells: the same wherever they lie.

    Raises:
        RawDataError: as list_shards or list_audio_folder.
    """
    if layout.kind == "shards":
        return digest_lines(f"{entry.size} {entry.name}" for entry in list_shards(path)[1])
    if not is_elsewhere(path):
        find_folder(path)
    sounds, _ = list_audio_folder(place_at(path), layout)
    return digest_lines(f"{each.entry.size} {each.entry.name} {json.dumps(each.told)}" for each in sounds)


def listing_changed(source: Source, raw: Path) -> bool:
    """Say whether the files of a layout are no longer those that data/raw/<dataset> was made of, as `listing_of`."""
    assert source.path is not None
    assert source.layout is not None
    was = read_told(raw / "source.json").get("listing_sha256")
    return bool(listing_of(source.path, source.layout) != was)
