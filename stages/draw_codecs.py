"""What codecs of a study learn by steps of their training -> <study>/plots/codecs, plots/learning, tables in metrics.

For each codec that was judged how near its sound is; for all together what probes know by their latents. Reads what is
in git alone: quality.json, and scores of probes. Levels of representations in REFERENCES, which are no codec of ours,
are of the first study that asked the same probe about the same data set.
"""

from collections.abc import Mapping

from matplotlib.figure import Figure

from beyond_spectrograms.evaluation.records import SCORES_FILE
from beyond_spectrograms.params import ParamsError
from beyond_spectrograms.params.study import Study, list_studies, load_study
from beyond_spectrograms.report.codec_learning import (
    Learned,
    by_networks,
    compare_networks,
    figure_learned,
    learned,
    tabulate_learned,
    tabulate_networks,
)
from beyond_spectrograms.report.codec_quality import figure_quality, read_quality, tabulate_quality
from beyond_spectrograms.report.figures import save
from beyond_spectrograms.report.table import Row, Table, write_tables
from beyond_spectrograms.util.commands import run_stage
from beyond_spectrograms.util.files import fresh_work, replace_folder
from stages.arguments import parse
from stages.report import results_of

QUALITY = "quality.json"
REFERENCES = ("soundstream", "yamnet")  # a codec that others trained, and a model that was taught classes
LEARNING, NETWORKS = "learning", "networks"


def main() -> None:
    study, _ = parse(__doc__)
    print(*write_codecs(study) or [f"{study.folder}: no codec was judged or probed: nothing to draw"], sep="\n")


def write_codecs(study: Study) -> list[str]:
    """Draw each codec's quality, and what all learned; say where that is.

    Raises:
        ResultError: a file of results is damaged.
    """
    judged = [name for name in study.params.codecs if (study.codec_metrics(name) / QUALITY).exists()]
    qualities = {name: read_quality(study.codec_metrics(name) / QUALITY) for name in judged}
    told = []
    for name, quality in qualities.items():
        tables, figures = {"quality": tabulate_quality(quality)}, {"quality": figure_quality(quality)}
        told.append(_write(study, f"codecs/{name}", tables, figures))
    known, networks, rows = read_learned(study)
    if known:
        tables = {LEARNING: tabulate_learned(known)} | ({NETWORKS: tabulate_networks(rows)} if networks else {})
        told.append(_write(study, LEARNING, tables, {LEARNING: figure_learned(known, qualities, networks)}))
    return told


def _write(study: Study, name: str, tables: Mapping[str, Table], figures: Mapping[str, Figure]) -> str:
    place, plots, work = study.metrics(name), study.plots(name), study.work("draw_codecs")
    with fresh_work(work):
        (work / "figures").mkdir()
        write_tables(tables, work / "tables")
        for title, figure in figures.items():
            save(figure, work / "figures", title)
        replace_folder(work / "tables", place / "tables")
        replace_folder(work / "figures", plots)
    return f"{plots}: {', '.join(figures)}; tables in {place / 'tables'}"


def read_learned(study: Study) -> tuple[list[Learned], list[Learned], list[Row]]:
    """Read what is known by latents of codecs, of each data set that has scores here or in `grid.learning`.

    Returns:
        by probes, by networks, and the rows of `compare_networks`.
    """
    probed, networks, rows = [], [], list[Row]()
    further = [(_load_further(name, names), names) for name, names in study.params.grid.learning.items()]
    for place, names in [(study, dict[str, str]()), *further]:
        for dataset in place.params.grid.datasets if place.params.codecs else ():
            if not (place.metrics(dataset) / SCORES_FILE).exists():
                continue
            results = results_of(place, dataset)
            if protocol := results.judged_protocol:
                probed.append(learned(results, protocol, find_references(place, dataset, protocol), names))
            networks += [learned(results, protocol, {}, names) for protocol in by_networks(results)]
            rows += compare_networks(results, names)
    return [each for each in probed if each], [each for each in networks if each], rows


def _load_further(name: str, names: Mapping[str, str]) -> Study:
    """Load a study of `grid.learning`.

    Raises:
        ParamsError: there is no such study, or no such codec in it.
    """
    study = load_study(name)
    for codec in names:
        if codec not in study.params.codecs:
            known = ", ".join(study.params.codecs) or "none"
            raise ParamsError(f"grid.learning.{name}: {codec!r} is no codec of that study. Choose from {known}.")
    return study


def find_references(study: Study, dataset: str, protocol: str) -> dict[str, float]:
    """Find what REFERENCES have right under a protocol, each in the first study that asked the same."""
    found = dict[str, float]()
    for other in map(load_study, list_studies()):
        same = other.params.protocols.get(protocol) == study.params.protocols[protocol]
        asked = [name for name in REFERENCES if (name, protocol) in other.params.grid.cells() and name not in found]
        if same and asked and dataset in other.params.grid.datasets and (other.metrics(dataset) / SCORES_FILE).exists():
            results = results_of(other, dataset)
            cells = {name: results.cell(name, protocol).window_interval for name in asked}
            found |= {name: interval.value for name, interval in cells.items() if interval is not None}
    return {name: found[name] for name in REFERENCES if name in found}


if __name__ == "__main__":
    run_stage(main)
