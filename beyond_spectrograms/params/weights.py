"""Sections of params.yaml about pretrained weights: single files, and models of the Hugging Face hub."""

from typing import Annotated

from pydantic import Field

from beyond_spectrograms.params.base import Name, Positive, Section
from beyond_spectrograms.params.datasets import Archive, File

HUB = "https://huggingface.co"
OF_PACKAGE = "package:"  # begins the URL of a file that the package carries
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Trained(Section):
    """What records of weights say beside their files: the corpora that they were trained on, None where nobody says.

    A data set drawn from one of these (its record's `drawn_from`) may hold sounds that the weights know.
    """

    trained_on: list[Name] | None = None


class WeightsRecord(Trained, Archive):
    """One file of pretrained weights, from the network or (`package:<path>`) from the installed package.

    Size and checksum are not optional.
    """

    url: Annotated[str, Field(pattern=rf"^https://|^http://127\.0\.0\.1[:/]|^{OF_PACKAGE}[a-z_]+(/[a-z_.]+)+$")]
    bytes: Positive
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{8,64}$")]

    @property
    def identity(self) -> str:
        """What decides its content."""
        return self.sha256


class HubFile(File):
    """A file of a model on the hub at a commit. A mirror has it at `place`, <owner>/<model>/<file>."""

    licence: str
    place: str
    revision: str


class HubEntry(Section):
    """A file of a model by its name; size and checksum are checked where they are known."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$")]
    bytes: Positive | None = None
    sha256: Sha256 | None = None


class HubRecord(Trained):
    """A model on the hub, `<owner>/<model>`, at one commit, and which of its files are needed."""

    hub: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*/[A-Za-z0-9][A-Za-z0-9_.-]*$")]
    revision: Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]
    licence: str
    files: Annotated[list[HubEntry], Field(min_length=1)]

    def downloads(self, endpoint: str = HUB) -> list[HubFile]:
        """List its files as something to download from `endpoint`."""
        return [
            HubFile(
                url=f"{endpoint}/{self.hub}/resolve/{self.revision}/{entry.name}",
                bytes=entry.bytes,
                sha256=entry.sha256,
                licence=self.licence,
                place=f"{self.hub}/{entry.name}",
                revision=self.revision,
            )
            for entry in self.files
        ]

    @property
    def identity(self) -> list[str | None]:
        """What decides its content."""
        return [self.revision, *(part for entry in self.files for part in (entry.name, entry.sha256))]
