"""What README and docs name is there: files, links, `make` targets, modules, stages, commands and their options."""

import re
from functools import cache

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
MADE = re.compile(r"my_sounds|mfcc|mlp|class_figures|metrics/demo/|heard/")


def code(page: str) -> list[str]:
    """List the code of a page: blocks, and what stands in backquotes; a command over several lines is one."""
    text = (REPOSITORY / page).read_text(encoding="utf-8")
    return [block or inline for block, inline in CODE.findall(text)]


def lines(page: str) -> list[str]:
    return [line.partition(" #")[0].strip() for each in code(page) for line in each.splitlines()]


@pytest.mark.parametrize("page", PAGES)
def test_links_and_files_are_there(page: str) -> None:
    text = (REPOSITORY / page).read_text(encoding="utf-8")
    links = [link for link in LINK.findall(text) if "://" not in link]
    absent = [link for link in links if not (REPOSITORY / page).parent.joinpath(link).exists()]
    named = [name for each in code(page) for name in FILE.findall(each) if not MADE.search(name)]
    absent += [name for name in named if not (REPOSITORY / name).exists()]
    assert absent == [], page


@pytest.mark.parametrize("page", PAGES)
def test_make_has_the_targets_that_are_named(page: str) -> None:
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    targets = {*re.findall(r"^([\w-]+):", makefile, re.MULTILINE)}
    named = {
        word
        for line in lines(page)
        for command in re.findall(r"(?:^|; |&& )make ([^;&|]+)", line)
        for word in command.split()
        if re.fullmatch(r"[a-z-]+", word)
    }
    assert named - targets == set(), page


@pytest.mark.parametrize("page", PAGES)
def test_modules_that_are_run_are_there(page: str) -> None:
    named = {name for line in lines(page) for name in re.findall(r"python -m ([a-z][\w.]*\w)", line)}
    places = {name: REPOSITORY / name.replace(".", "/") for name in named if name.split(".")[0] not in ("build", "pip")}
    absent = [
        name for name, at in places.items() if not at.with_suffix(".py").exists() and not (at / "__main__.py").exists()
    ]
    assert absent == [], page


@cache
def stages(pipeline: str) -> set[str]:
    return set(yaml.safe_load((REPOSITORY / pipeline).read_text(encoding="utf-8"))["stages"])


@pytest.mark.parametrize("page", PAGES)
def test_stages_that_are_run_are_in_their_pipeline(page: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(REPOSITORY)
    known = {*load_study().params.datasets, "my_sounds"}
    for line in lines(page):
        for command in re.findall(r"dvc (?:repro|exp run) ([^;&|]+)", line):
            for target in (word for word in command.split() if re.match(r"[a-z]", word) and "=" not in word):
                pipeline, _, name = target.rpartition(":")
                if target.endswith("dvc.yaml"):
                    assert (REPOSITORY / target).exists(), f"{page}: {line}"
                elif name.partition("@")[0] in stages(pipeline or "dvc.yaml"):
                    assert "@" not in name or name.partition("@")[2].partition("-")[0] in known, f"{page}: {line}"


@cache
def help_of(command: str) -> str:
    with pytest.MonkeyPatch.context() as patch:
        said: list[str] = []
        patch.setattr("sys.stdout", type("Said", (), {"write": said.append, "flush": lambda: None}))
        with pytest.raises(SystemExit):
            main([*command.split(), "--help"])
    return "".join(said)


@pytest.mark.parametrize("page", PAGES)
def test_commands_have_the_options_that_are_named(page: str) -> None:
    for line in lines(page):
        for command, rest in re.findall(r"beyond-spectrograms ([a-z-]+)([^|;]*)", line):
            for option in re.findall(r"(?<!\S)--[a-z-]+", rest):
                assert re.search(rf"{option}\b", help_of(command)), f"{page}: {line}"
