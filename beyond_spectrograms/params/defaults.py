"""The settings of a checkout, or where there is none those that the installed package carries."""

from __future__ import annotations

from pathlib import Path

from beyond_spectrograms.params.experiment import Params
from beyond_spectrograms.params.loading import PARAMS_FILE, STUDIES, UNITED, load_params
from beyond_spectrograms.util.code_versions import VERSIONS_FILE

PACKAGED = Path(__file__).parents[1] / "defaults"  # where setup.py puts the checkout's settings into a wheel


def is_project(folder: Path = Path()) -> bool:
    """Say whether a folder is a checkout of this project, or laid out as one."""
    return (folder / PARAMS_FILE).is_file() and (folder / VERSIONS_FILE).is_file()


def load_all_params(root: Path | None = None) -> Params:
    """Read the root's params with the representations and protocols of every study beside its own.

    For what belongs to no study: models of one's own sounds, and the HEAR API. Packages may have any version:
    `versions` holds those installed ("none" for one that is not).

    Args:
        root: the folder that holds params.yaml; by default the current folder if it is a checkout, else the settings
            that the installed package carries.

    Raises:
        ParamsError: as load_params.
    """
    if root is None:
        root = next(filter(is_project, (Path(), PACKAGED)), PACKAGED.parents[1])  # last: an editable install
    params = load_params(root=root, pinned=False)
    for path in sorted((root / STUDIES).glob(f"*/{PARAMS_FILE}")):
        own = load_params(path.parent.relative_to(root), root, pinned=False)
        united = {key: getattr(params, key) | getattr(own, key) for key in UNITED}
        params = params.model_copy(update=united)
    return params
