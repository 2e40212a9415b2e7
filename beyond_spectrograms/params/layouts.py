"""How a data set's own files say what each sound is: tables, tar shards, and audio folders of the Hugging Face hub."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from beyond_spectrograms.params.base import Pattern, Positive, Section, is_unset

BY_FOLDERS = "folders"  # a layout's part: the folders train, validation and test name it


class LabelTable(Section):
    """A table among the files that names each file's label.

    Its column `file` has names with or without their suffix. `separator` parts the labels of a file that has several;
    `fold` is a column of published folds. `part` is one of published parts (train, val, test): then several tables may
    match `member`, and one without that column lists the test part. `header` names the columns of a table that has
    none but comments, lines that begin with #. Without `bytes` and `md5` the table is not fixed.
    """

    member: Pattern
    bytes: Positive | None = None
    md5: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")] | None = None
    file: str
    label: str
    separator: str | None = Field(default=None, exclude_if=is_unset)
    fold: str | None = Field(default=None, exclude_if=is_unset)
    part: str | None = Field(default=None, exclude_if=is_unset)
    header: list[str] | None = Field(default=None, exclude_if=is_unset)


class Layout(Section):
    """How the files at a `path` say what each sound is, where that is not by folders of classes alone.

    In tar `shards`, laid out as webdataset's, files beside a sound say it: `cls` is the whole text of <key>.cls,
    `json.label` a field of <key>.json. In an `audio_folder` of the Hugging Face hub the columns of its metadata.csv or
    metadata.jsonl do; where it has neither, folders name the label. `part: folders` takes the parts that its folders
    train, validation and test name. `separator` parts the labels of a sound that has several.
    """

    kind: Literal["shards", "audio_folder"]
    label: str | None = Field(default=None, exclude_if=is_unset)
    group: str | None = Field(default=None, exclude_if=is_unset)
    fold: str | None = Field(default=None, exclude_if=is_unset)
    part: str | None = Field(default=None, exclude_if=is_unset)
    separator: Annotated[str, Field(min_length=1)] | None = Field(default=None, exclude_if=is_unset)

    @property
    def told(self) -> dict[str, str]:
        """What is told of a sound (label, group, fold, part) -> where; `part: folders` is not among these."""
        given = {key: getattr(self, key) for key in ("label", "group", "fold", "part")}
        return {key: where for key, where in given.items() if where not in (None, BY_FOLDERS)}

    @model_validator(mode="after")
    def _says_the_label(self) -> Self:
        if self.kind == "shards" and self.label is None:
            raise ValueError("label is missing: which file beside a sound says it, cls, txt or json.<field>")
        if self.kind == "shards" and self.part == BY_FOLDERS:
            raise ValueError("part: folders is of kind audio_folder: shards have none")
        if self.kind == "audio_folder" and self.label is None and (self.told or self.separator):
            raise ValueError("label is missing: the column of the metadata that says it")
        if self.fold is not None and self.part is not None:
            raise ValueError("fold and part both say the parts: choose one")
        return self
