"""Sections of params.yaml about sound: data sets and where they come from, windows, splits."""

from collections.abc import Sequence
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from beyond_spectrograms.params.base import (
    AboveZero,
    Name,
    Pair,
    Pattern,
    Positive,
    Real,
    Section,
    Seed,
    Triple,
    is_unset,
)
from beyond_spectrograms.params.layouts import LabelTable, Layout
from beyond_spectrograms.util.patterns import groups_of

SAMPLE_RATES = (16_000, 22_050, 24_000, 48_000)  # Hz, of the formats in which clips are stored


class Windows(Section):
    """How clips are cut. Lengths in seconds."""

    length_s: Annotated[Real, Field(gt=0, le=1_000_000)]
    hop_s: Annotated[Real, Field(ge=0.001)]
    tail: Literal["drop", "reflect"]

    @model_validator(mode="after")
    def _whole_samples(self) -> Self:
        for rate in SAMPLE_RATES:
            if abs(self.length_s * rate - round(self.length_s * rate)) > 1e-6:
                raise ValueError(
                    f"length_s {self.length_s:g} is not a whole number of samples at {rate} Hz; take a multiple of 0.02"
                )
        return self


class FeatureSettings(Section):
    """How features are stored: as one array or, with `shards_mb`, in files of about so many megabytes.

    `codes` are the numbers of a codec's codebook entries, from which the features are made when they are read.
    `shards_at` is a folder or URL (s3://bucket/folder) where the shards lie. It decides no result, and is in no digest.
    """

    dtype: Literal["float32", "float16", "codes"]
    shards_mb: AboveZero | None = Field(default=None, exclude_if=is_unset)
    shards_at: Annotated[str, Field(min_length=1)] | None = Field(default=None, exclude=True)

    @model_validator(mode="after")
    def _codes_in_shards(self) -> Self:
        if self.dtype == "codes" and self.shards_mb is None:
            raise ValueError("dtype codes needs shards_mb: one array holds float32 or float16")
        if self.shards_at is not None and self.shards_mb is None:
            raise ValueError("shards_at needs shards_mb: one array lies in data/features")
        return self


class Split(Section):
    """How windows are dealt to train, validation and test: once by `seed`, or once by each of `seeds`.

    With `seeds` a run's seed decides its split too: a run of the n-th of them is of fold n.
    """

    kind: Literal["window", "source"]
    fractions: Triple | None = None
    seed: Seed | None = None
    seeds: Annotated[list[Seed], Field(min_length=1)] | None = None

    def runs(self, folds: int, seeds: Sequence[int]) -> list[tuple[int, int]]:
        """List (fold, seed) of every run of a protocol's `seeds`, where the split has so many folds."""
        if self.seeds is not None:
            return [(1 + self.seeds.index(seed), seed) for seed in seeds]
        return [(fold, seed) for seed in seeds for fold in range(1, 1 + folds)]

    @model_validator(mode="after")
    def _keys_of_window(self) -> Self:
        if (self.kind == "window") != (self.fractions is not None):
            raise ValueError("fractions belongs to kind window, and only there")
        if (self.seed is not None) + (self.seeds is not None) != (self.kind == "window"):
            raise ValueError("one of seed and seeds belongs to kind window, and only there")
        if self.seeds is not None and len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"seeds {self.seeds} name one twice")
        if self.fractions is not None and min(self.fractions) < 0:
            raise ValueError(f"fractions are {', '.join(map(str, self.fractions))}; none may be negative")
        if self.fractions is not None and abs(sum(self.fractions) - 1) > 1e-9:
            raise ValueError(f"fractions add up to {sum(self.fractions):g}, not 1")
        return self


class File(Section):
    """A file to download. Without a checksum its bytes are not stable and what is inside is checked instead.

    `md5` is for files of which their publisher names no sha256.
    """

    url: Annotated[str, Field(pattern=r"^https://|^http://127\.0\.0\.1[:/]")]
    bytes: Positive | None = None
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{8,64}$")] | None = None
    md5: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")] | None = None


class Archive(File):
    """A file with recordings, or one of weights."""

    licence: str


class SplitList(File):
    """A published list of the files of one part."""

    bytes: Positive
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    entries: Positive


class SplitLists(Section):
    """The three parts' lists."""

    train: SplitList
    validation: SplitList
    test: SplitList


class ListInside(Section):
    """A published list of the files of one part, in the archive itself: `member` is a regular expression."""

    member: Pattern
    entries: Positive


class ListsInside(Section):
    """The lists of two parts in the archive; files that are on neither train."""

    validation: ListInside
    test: ListInside


class TrialList(File):
    """A published list of trials, each a pair of recordings: 1 (of one speaker) or 0, and two file names a line."""


class MadeTrials(Section):
    """Trials drawn by `seed`: so many `pairs` of recordings of one speaker, and as many of two speakers.

    The speakers are dealt to `folds`. Both of a trial are of one fold; the speakers of the others standardise it.
    """

    seed: Seed
    pairs: Positive
    folds: Annotated[int, Field(ge=2)]


class Trials(Section):
    """Which pairs of recordings a data set's speakers are verified by: exactly one of `published`, `made`."""

    published: TrialList | None = None
    made: MadeTrials | None = None

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if (self.published is None) == (self.made is None):
            raise ValueError(f"needs exactly one of published, made; has {'none' if self.made is None else 'both'}")
        return self


class Synthetic(Section):
    """Sounds this project makes itself. `seconds` is the length of one clip."""

    seed: Seed
    clips_per_class: Positive
    seconds: Annotated[Real, Field(ge=1, le=600)]  # room for a chord or a phrase


class Mixtures(Section):
    """Sounds of two labels: two clips of the data set `of` at once, of different classes and of one published fold.

    `per_fold` of them are made of each fold. The second clip's mean square is `level_db` decibels (lowest, highest)
    above the first's.
    """

    of: Name
    seed: Seed
    per_fold: Positive
    level_db: Pair

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.level_db[0] > self.level_db[1]:
            raise ValueError(f"level_db is {list(self.level_db)}: the lowest comes first")
        return self


class Source(Section):
    """What a data set is and where it comes from: exactly one of `archives`, `synthetic`, `path`, `mixtures`.

    Whatever can change a result has no default here: a record says all that decides it. `tail` is for clips shorter
    than a window, in place of windows.tail. A `path` is a folder of this machine, or one at a URL (s3://bucket/folder).
    One with `members` holds what an archive would; one with a `layout` is a folder or files as that says.
    """

    archives: list[Archive] | None = None
    synthetic: Synthetic | None = None
    path: str | None = None
    layout: Layout | None = Field(default=None, exclude_if=is_unset)
    mixtures: Mixtures | None = Field(default=None, exclude_if=is_unset)
    members: Pattern | None = None
    label_table: LabelTable | None = None
    manifest_sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    clips: Positive | None = None
    classes: Positive | None = None
    known_bad: list[str] = Field(default_factory=list)
    seconds: Pair
    name: Pattern | None = None
    folds: Annotated[int, Field(ge=3)] | None = None
    fold_seed: Seed | None = None
    tail: Literal["drop", "reflect"] | None = None
    lists: SplitLists | None = None
    lists_inside: ListsInside | None = Field(default=None, exclude_if=is_unset)
    known_repetitions: dict[Name, list[Annotated[list[str], Field(min_length=2)]]] = Field(default_factory=dict)

    @property
    def _tables(self) -> list[LabelTable | Layout]:
        return [table for table in (self.label_table, self.layout) if table is not None]

    @property
    def has_several(self) -> bool:
        """Whether a sound may have several labels."""
        return self.mixtures is not None or any(table.separator is not None for table in self._tables)

    @property
    def has_folds(self) -> bool:
        """Whether folds, or the parts themselves, are published."""
        in_table = any(table.fold is not None for table in self._tables)
        in_name = "fold" in groups_of(self.name or "")
        return self.has_lists or self.mixtures is not None or in_table or in_name

    @model_validator(mode="after")
    def _members_are_of_files(self) -> Self:
        if (self.members is None) if self.archives else (self.members is not None and self.path is None):
            raise ValueError("archives and members go together")
        if self.label_table is not None and self.members is None:
            raise ValueError("label_table needs members, whose labels it names")
        return self

    @model_validator(mode="after")
    def _layout_is_of_a_path(self) -> Self:
        if self.layout is not None and (self.path is None or self.members is not None):
            raise ValueError("layout says how the files at a path are to be read, and needs no members")
        if self.layout is not None and self.layout.group is not None and self.name is not None:
            raise ValueError("name and layout.group both say the group: choose one")
        return self

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        if self.seconds[0] > self.seconds[1]:
            raise ValueError(f"seconds are {list(self.seconds)}: the shortest comes first")
        origins = ("archives", "synthetic", "path", "mixtures")
        given = [key for key in origins if getattr(self, key) is not None]
        if len(given) != 1:
            raise ValueError(f"needs exactly one of {', '.join(origins)}; has {', '.join(given) or 'none'}")
        for key, pattern in (("members", self.members), ("name", self.name)):
            groups = groups_of(pattern or "")
            if pattern and key == "name" and "group" not in groups:
                raise ValueError("name has no (?P<group>...)")
            if pattern and key == "members" and "file" not in groups:
                raise ValueError("members has no (?P<file>...)")
            if pattern and key == "members" and "label" not in groups and self.label_table is None:
                raise ValueError("members has no (?P<label>...), and there is no label_table")
        for key in ("folds", "fold_seed"):
            if self.has_folds != (getattr(self, key) is None):
                why = "has no use: folds or lists are published" if self.has_folds else "is missing: it deals the folds"
                raise ValueError(f"{key} {why}")
        for archive in self.archives or []:
            if archive.sha256 is None and self.manifest_sha256 is None and None in (self.clips, self.classes):
                raise ValueError("an archive without sha256 needs clips and classes, or manifest_sha256")
        return self

    @model_validator(mode="after")
    def _lists_have_a_place(self) -> Self:
        if self.lists_inside is not None and self.archives is None:
            raise ValueError("lists_inside are members of archives, of which there are none")
        if self.lists_inside is not None and self.lists is not None:
            raise ValueError("lists and lists_inside both say the parts: choose one")
        return self

    @property
    def has_lists(self) -> bool:
        """Say whether the parts are published, as lists of files or in a table of labels."""
        in_table = any(table.part is not None for table in self._tables)
        return self.lists is not None or self.lists_inside is not None or in_table


class Notice(Section):
    """The licence under which excerpts of a data set may be passed on, and whom to thank."""

    licence: str
    attribution: str


class Dataset(Section):
    """datasets/<name>.yaml: a data set, and the most epochs a protocol may spend on it (None: no cap).

    Without a `notice` no excerpt of it is put into pages. `known_pairs` are pairs of clips, <label>/<file name>, that
    stand in different parts where published folds or lists put them there; the audit reports them, but does not fail.
    `drawn_from` names its corpus, which other records may be editions of, and the corpora that its sounds were taken
    from: weights trained on one of these may know what tests (`trained_on` of records of weights).
    `trials` belong to data sets whose classes are speakers.
    """

    source: Source
    max_epochs: Positive | None
    notice: Notice | None
    drawn_from: list[Name]
    known_pairs: list[Annotated[list[str], Field(min_length=2, max_length=2)]]
    trials: Trials | None = Field(default=None, exclude_if=is_unset)
