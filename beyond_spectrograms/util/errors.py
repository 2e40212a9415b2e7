"""Errors that end a program with a line that says what to do, and no traceback."""

import errno
from importlib.util import find_spec

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # a full disk, a full quota, a file longer than is allowed
OF_WRITES = (*NO_ROOM, errno.EIO)  # Python's error of a write names no file

# Module -> (its package, the extra of pyproject.toml).
PACKAGES = {
    "PIL": ("pillow", "plot"),
    "ai_edge_litert": ("ai-edge-litert", "soundstream"),
    "distributed": ("distributed", "cluster"),
    "encodec": ("encodec", "encodec"),
    "fastapi": ("fastapi", "serve"),
    "fsspec": ("fsspec", "cluster"),
    "jinja2": ("jinja2", "serve"),
    "matplotlib": ("matplotlib", "plot"),
    "onnx": ("onnx", "onnx"),
    "onnxscript": ("onnxscript", "onnx"),
    "pyarrow": ("pyarrow", "cluster"),
    "torchaudio": ("torchaudio", "encodec"),
    "transformers": ("transformers", "transformers"),
    "uvicorn": ("uvicorn", "serve"),
}


class ProjectError(Exception):
    """Data, params, weights or results are not what they should be; the message says what to do."""


def one_line(error: BaseException) -> str:
    """Say in one line what an error of other people's code is, by its class where its text says little."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if isinstance(error, LookupError) or not text else text


def explain_refusal(error: OSError) -> str:
    """Say in one line what the system refused, and where; of a disk that is full also what to do."""
    # Where a file is copied or renamed, the second name is the one that is written to.
    place = error.filename2 or error.filename or ("output" if error.errno in OF_WRITES else None)
    reason = error.strerror or str(error)
    reason = reason[:1].lower() + reason[1:]
    told = reason if place is None else f"{place}: {reason}"
    return f"{told}. Make room there, and run the same command again." if error.errno in NO_ROOM else told


class MissingPackageError(ProjectError):
    """A package is not installed; the message names it and the extra that installs it."""


def require(*modules: str) -> None:
    """Check, before any work, that modules of `PACKAGES` are installed.

    Raises:
        MissingPackageError: some are not.
    """
    missing = [PACKAGES[module] for module in modules if find_spec(module) is None]
    if missing:
        names = ", ".join(name for name, _ in missing)
        raise MissingPackageError(
            f"{names} {'is' if len(missing) == 1 else 'are'} not installed. Install this project with its extra "
            f"'{missing[0][1]}' (pip install -e '.[{missing[0][1]}]' in its folder), or run pip install "
            f"{names.replace(',', '')}."
        )
