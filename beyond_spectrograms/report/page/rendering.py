"""The report page: what it shows of each data set, in one HTML file (html.py)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from beyond_spectrograms.evaluation.claims import opponents
from beyond_spectrograms.evaluation.results import Results
from beyond_spectrograms.report.page.answer import answer
from beyond_spectrograms.report.page.curves import drawn, last_rung, protocols_run
from beyond_spectrograms.report.page.excerpts import BestCell, Excerpt
from beyond_spectrograms.report.page.html import TEMPLATES, PageError, render_html, too_large
from beyond_spectrograms.report.page.provenance import Duration, clock, training_seconds
from beyond_spectrograms.report.page.verdicts import SIGNS, TITLES, Verdicts, matrices, show_figures, tallies
from beyond_spectrograms.report.table import ShownTable

if TYPE_CHECKING:
    from markupsafe import Markup

SCRIPTS = ("report_curves.js", "report.js")
VEGA_LITE = "6.4"  # belongs to the Vega 6.2 that vl-convert bundles; another version makes it warn


@dataclass(frozen=True)
class DatasetPart:
    """What the page says of one data set. `best` None: no cell to take excerpts from. `origin`: names and values."""

    results: Results
    tables: Sequence[ShownTable]
    best: BestCell | None
    excerpts: Sequence[Excerpt]
    origin: Sequence[tuple[str, str]]
    durations: Sequence[Duration]


@dataclass(frozen=True)
class Made:
    """By what the page was made: commit, machine, versions, params.yaml as text, and the files that were not there."""

    commit: str
    machine: dict[str, str]
    versions: dict[str, str]
    params: str
    absent: Sequence[str]


def render(title: str, parts: Sequence[DatasetPart], verdicts: Verdicts | None, made: Made) -> str:
    """Build the page.

    Args:
        title: of the page.
        parts: a data set each, real ones before synthetic ones.
        verdicts: of all data sets; None: not judged.
        made: provenance.

    Raises:
        PageError: there is no data set, or the page would weigh more than 5 MB.
    """
    if not parts:
        raise PageError(
            "page: no data set of the grid has results. Run its report stage first: dvc repro report@<data set>."
        )
    data = drawn([part.results for part in parts])
    for part in parts:
        data["datasets"][part.results.dataset]["best"] = part.best.representation if part.best else None
    library = vega()
    script = "\n".join((TEMPLATES / name).read_text(encoding="utf-8") for name in SCRIPTS)
    html = render_html(
        TEMPLATES / "report.html.j2",
        scripts=(library, script),
        styles=[TEMPLATES / "report.css"],
        data=data,
        filters={"clock": clock, "figures": show_figures, "breakable": breakable},
        title=title,
        parts=[_shown(part, verdicts) for part in parts],
        rules=verdicts.rules if verdicts else {},
        claims=TITLES,
        signs=SIGNS,
        judged=verdicts is not None,
        answer=answer([part.results for part in parts]),
        made=made,
        library=library,
        script=script,
    )
    if message := too_large(html, "Name fewer in grid.datasets."):
        raise PageError(message)
    return html


def _shown(part: DatasetPart, verdicts: Verdicts | None) -> dict[str, Any]:
    """Gather what the template shows of one data set."""
    results = part.results
    rung, seconds = last_rung(results), training_seconds(results)
    found = (
        {name: tallies(verdicts, results, rung, name) for name in opponents(results.params)}
        if verdicts and rung
        else {}
    )
    judged = {name: of for name, of in found.items() if any(any(names.values()) for names in of.values())}
    return {
        "name": results.dataset,
        "rung": rung,
        "matrices": matrices(verdicts, results) if verdicts else [],
        "tallies": judged,  # without those where no trained codec was judged, as in the demo
        "tables": part.tables,
        "notice": results.params.datasets[results.dataset].notice,
        "best": part.best,
        "excerpts": part.excerpts,
        "origin": part.origin,
        "durations": part.durations,
        "protocols": protocols_run(results),
        "training": [
            (results.label(name), [seconds.get((name, protocol)) for protocol in protocols_run(results)])
            for name in results.names()
        ],
    }


def breakable(name: str) -> Markup:
    """Let a long name break after each underscore, which on a phone it must."""
    from markupsafe import Markup, escape

    return Markup("_<wbr>").join(escape(part) for part in name.split("_"))


@cache
def vega() -> str:
    """Bundle Vega, Vega-Lite and Vega-Embed into one script, as vl-convert holds them: no network is needed."""
    import vl_convert

    bundle: str = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", vl_version=VEGA_LITE)
    return bundle
