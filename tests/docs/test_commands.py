"""What README and docs name is there: files, links, `make` targets, modules, stages, commands and their options."""

import re
from functools import cache
from pathlib import Path

import pytest
import yaml

from beyond_spectrograms.cli import main
from beyond_spectrograms.params.study import load_study
from support.repository import REPOSITORY

PAGES = [
    path.relative_to(REPOSITORY).as_posix()
    for path in (*REPOSITORY.glob("*.md"), *sorted(REPOSITORY.glob("docs/*.md")))
]
CODE = re.compile(r"^```[^\n]*\n(.*?)^```|`([^`\n]+)`", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
TOP = "|".join(path.name for path in REPOSITORY.iterdir() if path.is_dir() and path.name not in ("data", "plots"))
FILE = re.compile(rf"(?<![\w/<~.])(?:{TOP})/[\w./-]+\.(?:py|yaml|yml|md|json|csv|gz|ipynb|png)\b")
# Of what is said to appear, or is another's, and is not in git.
MADE = re.compile(r"^build/|my_sounds|mfcc|mlp|class_figures|metrics/demo/|heard/")


def code(page: str) -> list[str]:
    """List the code of a page: blocks, and what stands in backquotes; a command over several lines is one."""
    text = (REPOSITORY / page).read_text(encoding="utf-8")
    return [block or inline for block, inline in CODE.findall(text)]


def lines(page: str) -> list[str]:
    return [line.partition(" #")[0].strip() for each in code(page) for line in each.splitlines()]


@cache
def stages(pipeline: str) -> set[str]:
    return set(yaml.safe_load((REPOSITORY / pipeline).read_text(encoding="utf-8"))["stages"])


@cache
def help_of(command: str) -> str:
    with pytest.MonkeyPatch.context() as patch:
        said: list[str] = []
        patch.setattr("sys.stdout", type("Said", (), {"write": said.append, "flush": lambda: None}))
        with pytest.raises(SystemExit):
            main([*command.split(), "--help"])
    return "".join(said)


def is_stage(target: str, datasets: set[str]) -> bool:
    """Say whether a target of DVC is there: a pipeline's file or, of a stage's @, the data set or the codec."""
    pipeline, _, stage = target.rpartition(":")
    name, _, of = stage.partition("@")
    if target.endswith("dvc.yaml"):
        return (REPOSITORY / target).exists()
    return name not in stages(pipeline or "dvc.yaml") or not of or of.partition("-")[0] in datasets


def words(pattern: str, told: list[str]) -> list[str]:
    """List the words that stand behind some command."""
    return [word for line in told for behind in re.findall(pattern, line) for word in behind.split()]


@pytest.mark.parametrize("page", PAGES)
def test_what_a_page_names_is_there(page: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(REPOSITORY)
    text, told = Path(page).read_text(encoding="utf-8"), lines(page)
    links = [link for link in LINK.findall(text) if "://" not in link]
    absent = [link for link in links if not Path(page).parent.joinpath(link).exists()]
    named = [name for each in code(page) for name in FILE.findall(each) if not MADE.search(name)]
    absent += [name for name in named if not Path(name).exists()]

    targets = {*re.findall(r"^([\w-]+):", Path("Makefile").read_text(encoding="utf-8"), re.MULTILINE)}
    made = words(r"(?:^|; |&& )make ([^;&|]+)", told)
    absent += [word for word in made if re.fullmatch(r"[a-z-]+", word) and word not in targets]

    modules = [name for name in words(r"python -m ([a-z][\w.]*\w)", told) if name.split(".")[0] not in ("build", "pip")]
    places = {name: name.replace(".", "/") for name in modules}
    absent += [
        name for name, at in places.items() if not (Path(f"{at}.py").exists() or Path(at, "__main__.py").exists())
    ]

    datasets = {*load_study().params.datasets, *load_study("codec").params.codecs, "my_sounds"}
    run = words(r"dvc (?:repro|exp run) ([^;&|]+)", told)
    absent += [word for word in run if re.match(r"[a-z]", word) and "=" not in word and not is_stage(word, datasets)]

    commands = [
        found for line in told for found in re.findall(r"beyond-spectrograms ((?:codec )?[a-z-]+)([^|;]*)", line)
    ]
    asked = [(command, option) for command, rest in commands for option in re.findall(r"(?<!\S)--[a-z-]+", rest)]
    absent += [f"{command} {option}" for command, option in asked if not re.search(rf"{option}\b", help_of(command))]
    assert absent == []
