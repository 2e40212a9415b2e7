"""The report page: one HTML file that holds all it needs, scripts, sounds and pictures included.

Everything that comes from a file is escaped; a policy in its head forbids the browser any request and any script but
the two that are named there by digest.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from beyond_spectrograms.evaluation.results import Results
from beyond_spectrograms.report.page.curves import drawn, last_rung, names_run, protocols_run
from beyond_spectrograms.report.page.excerpts import BestCell, Excerpt
from beyond_spectrograms.report.page.provenance import Duration, Machine, Origin, clock, training_seconds
from beyond_spectrograms.report.page.tables import PageError, PageTable
from beyond_spectrograms.report.page.verdicts import SIGNS, TITLES, Verdicts, matrices, show_figures, tallies

if TYPE_CHECKING:
    from markupsafe import Markup

TEMPLATES = Path(__file__).parent / "templates"
SCRIPTS = ("report_curves.js", "report.js")
VEGA_LITE = "6.4"  # belongs to the Vega 6.2 that vl-convert bundles; another version makes it warn
LARGEST = 5_000_000  # bytes: more is slow to open on a phone and too much to pass on by mail


@dataclass(frozen=True)
class DatasetPart:
    """What the page says of one data set. `best` None: no cell to take excerpts from."""

    results: Results
    tables: Sequence[PageTable]
    best: BestCell | None
    excerpts: Sequence[Excerpt]
    origin: Origin
    durations: Sequence[Duration]


@dataclass(frozen=True)
class Made:
    """By what the page was made: commit, machine, versions, params.yaml as text, and the files that were not there."""

    commit: str
    machine: Machine
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
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    if not parts:
        raise PageError(
            "page: no data set of the grid has results. Run its report stage first: dvc repro report@<data set>."
        )
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"clock": clock, "figures": show_figures, "breakable": breakable}
    data = drawn([part.results for part in parts])
    for part in parts:
        data["datasets"][part.results.dataset]["best"] = part.best.representation if part.best else None
    library = vega()
    script = "\n".join((TEMPLATES / name).read_text(encoding="utf-8") for name in SCRIPTS)
    html = environment.get_template("report.html.j2").render(
        title=title,
        parts=[_shown(part, verdicts) for part in parts],
        rules=verdicts.rules if verdicts else {},
        claims=TITLES,
        signs=SIGNS,
        judged=verdicts is not None,
        made=made,
        style=(TEMPLATES / "report.css").read_text(encoding="utf-8"),
        library=library,
        script=script,
        policy=policy(library, script),
        data=embedded(data),
    )
    size = len(html.encode("utf-8"))
    if size > LARGEST:
        raise PageError(
            f"page: {size / 1e6:.1f} MB, and at most {LARGEST / 1e6:.0f} MB is allowed. Name fewer in grid.datasets."
        )
    return html


def _shown(part: DatasetPart, verdicts: Verdicts | None) -> dict[str, Any]:
    """Gather what the template shows of one data set."""
    results = part.results
    rung, seconds = last_rung(results), training_seconds(results)
    baselines = results.params.claims.baselines
    return {
        "name": results.dataset,
        "rung": rung,
        "matrices": matrices(verdicts, results) if verdicts else [],
        "tallies": {name: tallies(verdicts, results, rung, name) for name in baselines} if verdicts and rung else {},
        "tables": part.tables,
        "notice": results.params.datasets[results.dataset].notice,
        "best": part.best,
        "excerpts": part.excerpts,
        "origin": part.origin,
        "durations": part.durations,
        "protocols": protocols_run(results),
        "training": [
            (results.label(name), [seconds.get((name, protocol)) for protocol in protocols_run(results)])
            for name in names_run(results)
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


def policy(*scripts: str) -> str:
    """Write the Content-Security-Policy: nothing is fetched, no script runs but these."""
    digests = [base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii") for script in scripts]
    allowed = " ".join(f"'sha256-{digest}'" for digest in digests)
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data:; media-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def embedded(value: Any) -> str:
    """Write JSON that can stand inside a <script> element: no `<` is left, so nothing in it can end the element."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False, ensure_ascii=False).replace("<", "\\u003c")
