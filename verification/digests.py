"""Which code belongs to each noun of versions.yaml, its digest, and the nouns that run it.

Until a noun's code is proven again, its digest differs from the one recorded, and a test fails.
"""

from __future__ import annotations

import ast
import hashlib
from functools import cache
from itertools import groupby
from pathlib import Path

from beyond_spectrograms.util.code_versions import NOUNS, NUMBERED, SHARED, VersionsError

_SCORES = ("agreement", "calibration", "metrics", "predict", "records", "result_files")
_EVIDENCE = (
    *("bitrates", "claims", "clip_results", "comparisons", "convergence", "ladder", "pareto", "results", "robustness"),
    *("label_contrasts", "uncertainty"),
)
_COSTS = ("cost_measurement", "costs")
CODE: dict[str, tuple[str, ...]] = {
    "data": (
        "beyond_spectrograms/data/*.py",
        *(f"stages/{name}.py" for name in ("download", "resample", "split")),
    ),
    "representations": ("beyond_spectrograms/representations/**/*.py", "stages/featurize.py"),
    "classifiers": ("beyond_spectrograms/classifiers/**/*.py",),
    "training": ("beyond_spectrograms/training/**/*.py", "stages/train.py"),
    "disturbances": ("beyond_spectrograms/data/disturbances.py", "stages/disturb.py"),
    "evaluation": (
        *(f"beyond_spectrograms/evaluation/{name}.py" for name in ("__init__", *_SCORES)),
        *(f"stages/{name}.py" for name in ("evaluate", "run")),
    ),
    "leakage": ("beyond_spectrograms/leakage/*.py", "stages/audit.py"),
    "costs": (
        *(f"beyond_spectrograms/evaluation/{name}.py" for name in _COSTS),
        "stages/measure.py",
    ),
    "label_scores": ("beyond_spectrograms/evaluation/label_scores.py",),
    "trials": (
        "beyond_spectrograms/data/trials.py",
        *(f"beyond_spectrograms/evaluation/{name}.py" for name in ("embeddings", "verification")),
        "stages/score_trials.py",
    ),
    "codec": (
        "beyond_spectrograms/codec/*.py",
        *(f"stages/{name}_codec.py" for name in ("audit", "export", "judge", "train")),
    ),
    "report": (
        *(f"beyond_spectrograms/evaluation/{name}.py" for name in _EVIDENCE),
        "beyond_spectrograms/report/**/*.py",
        *(
            f"stages/{name}.py"
            for name in ("ablate", "compare", "draw", "draw_codecs", "illustrate", "page", "report", "tables")
        ),
    ),
    "sonification": (
        "beyond_spectrograms/sonification/*.py",
        *(f"stages/{name}.py" for name in ("listen", "listen_codec")),
    ),
    SHARED: (
        "beyond_spectrograms/__init__.py",
        "beyond_spectrograms/util/[!c]*.py",
        "beyond_spectrograms/util/commands.py",
        "beyond_spectrograms/util/*/*.py",
        "beyond_spectrograms/params/*.py",
        *(f"stages/{name}.py" for name in ("arguments", "resolve")),
    ),
}
# What decides no published result: programs for users, measurements of our own speed, estimates, and the proof itself.
UNTRACKED = (
    "beyond_spectrograms/__main__.py",
    "beyond_spectrograms/hear.py",
    "beyond_spectrograms/util/code_versions.py",
    *(f"beyond_spectrograms/{name}/*.py" for name in ("cli", "estimates", "inference", "integrity", "serving")),
    *(f"stages/{name}.py" for name in ("__init__", "check", "docs", "locks", "show")),
)


def modules_of(noun: str, root: Path = Path()) -> list[Path]:
    """List the files of a noun's code, relative to `root`; one that another noun names is not among its folder's."""
    named = {pattern for other in CODE if other != noun for pattern in CODE[other]}
    found = {path.relative_to(root) for pattern in CODE[noun] for path in root.glob(pattern)}
    return sorted(path for path in found if path.as_posix() not in named)


def digest_of(noun: str, root: Path = Path()) -> str:
    """Digest a noun's code as Python reads it: names of files and syntax, without docstrings, comments and layout."""
    digest = hashlib.sha256()
    for path in modules_of(noun, root):
        digest.update(f"{path.as_posix()}\n{_syntax(root / path, _text(root / path))}\n".encode())
    return digest.hexdigest()[:16]


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


@cache  # digests are taken several times, of files that may have changed meanwhile
def _syntax(path: Path, text: str) -> str:
    return _shape(_without_docstrings(_parse(path, text)))


def _parse(path: Path, text: str) -> ast.Module:
    try:
        return ast.parse(text)
    except SyntaxError as error:
        raise VersionsError(f"{path}, line {error.lineno}: {error.msg}") from None


def _shape(node: object) -> str:
    """Write a syntax tree as text that is the same under every version of Python, which ast.dump's is not."""
    if isinstance(node, ast.JoinedStr):
        texts = groupby(node.values, lambda part: isinstance(part, ast.Constant))
        parts = [
            repr("".join(str(part.value) for part in of_kind if isinstance(part, ast.Constant)))
            if is_text
            else ", ".join(map(_shape, of_kind))
            for is_text, of_kind in texts
        ]
        return f"JoinedStr([{', '.join(part for part in parts if part != repr(''))}])"
    if isinstance(node, ast.AST):
        fields = ((name, value) for name, value in ast.iter_fields(node) if value is not None and value != [])
        return f"{type(node).__name__}({', '.join(f'{name}={_shape(value)}' for name, value in fields)})"
    return f"[{', '.join(map(_shape, node))}]" if isinstance(node, list) else repr(node)


def _without_docstrings(tree: ast.Module) -> ast.Module:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and isinstance(first.value.value, str)
            ):
                node.body = node.body[1:] or [ast.Pass()]
    return tree


def users_of(noun: str, root: Path = Path()) -> list[str]:
    """List the nouns that run code of `noun`, itself among them: its results may change theirs."""
    if noun == SHARED:
        return list(NUMBERED)
    files = {path: name for name in NOUNS for path in modules_of(name, root)}
    imports = {path: set(_imported(root / path, _text(root / path))) & set(files) for path in files}
    reached = {path for path, name in files.items() if name == noun}
    while more := {path for path, of in imports.items() if of & reached} - reached:
        reached |= more
    return [name for name in NUMBERED if any(files[path] == name for path in reached)]


@cache
def _imported(path: Path, text: str) -> tuple[Path, ...]:
    """Name the files that a module may import anywhere, but for types alone."""
    todo: list[ast.AST] = [_parse(path, text)]
    names: list[str] = []
    while todo:
        node = todo.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            todo += node.orelse
            continue
        todo += ast.iter_child_nodes(node)
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and node.value.startswith("beyond_spectrograms.")
        ):
            names.append(node.value)  # imported by its name
    places = [Path(*name.split(".")) for name in names]
    return tuple(file for place in places for file in (place.with_suffix(".py"), place / "__init__.py"))
