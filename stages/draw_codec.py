"""What is known of a codec by steps of its training -> <study>/plots/codecs/<codec>, and tables in its metrics.

Reads what is in git alone: quality.json, and scores of probes of its latents where there are some. A further line is
the place of SoundStream's latents, of the first study that asked the same probe about the same data set.
"""

import shutil

from beyond_spectrograms.evaluation.records import SCORES_FILE, Interval
from beyond_spectrograms.params.study import Study, list_studies, load_study
from beyond_spectrograms.report.codec_quality import (
    REFERENCE,
    Probes,
    figure_quality,
    probes_of,
    read_quality,
    tabulate_probes,
    tabulate_quality,
)
from beyond_spectrograms.report.figures import save
from beyond_spectrograms.report.table import write_tables
from beyond_spectrograms.util.commands import run_stage
from beyond_spectrograms.util.files import locked, replace_folder
from stages.arguments import parse
from stages.report import results_of

QUALITY = "quality.json"


def main() -> None:
    study, (name,) = parse(__doc__, "codec")
    print(write_quality(study, name))


def write_quality(study: Study, name: str) -> str:
    """Write the figure and the tables of a codec; say where they are.

    Raises:
        ResultError: it was not judged, or a file of results is damaged.
    """
    place, plots, work = study.codec_metrics(name), study.plots("codecs") / name, study.work("draw_codec", name)
    quality, probes = read_quality(place / QUALITY), read_probes(study, name)
    tables = {"quality": tabulate_quality(quality)}
    if (table := tabulate_probes(name, probes)) is not None:
        tables["probes"] = table
    with locked(work):
        shutil.rmtree(work, ignore_errors=True)  # left by a run that was stopped
        (work / "figures").mkdir(parents=True)
        write_tables(tables, work / "tables")
        save(figure_quality(quality, probes), work / "figures", "quality")
        replace_folder(work / "tables", place / "tables")
        replace_folder(work / "figures", plots)
        shutil.rmtree(work)
    return f"{plots}: a figure of quality{' and of probes' if probes else ''}; tables in {place / 'tables'}"


def read_probes(study: Study, name: str) -> list[Probes]:
    """Read what probes know by a codec's latents, of each data set that has scores."""
    found = []
    for dataset in study.params.grid.datasets:
        if (study.metrics(dataset) / SCORES_FILE).exists():
            results = results_of(study, dataset)
            reference = find_reference(study, dataset, results.judged_protocol)
            found.append(probes_of(name, results, reference))
    return [each for each in found if each is not None]


def find_reference(study: Study, dataset: str, protocol: str | None) -> Interval | None:
    """Find the reference's accuracy under a protocol, in this study or in the first with the same protocol."""
    for other in (study, *(load_study(name) for name in list_studies() if name != study.name)):
        asked = (REFERENCE, protocol) in other.params.grid.cells() and dataset in other.params.grid.datasets
        same = protocol is not None and other.params.protocols.get(protocol) == study.params.protocols[protocol]
        if asked and same and (other.metrics(dataset) / SCORES_FILE).exists():
            interval = results_of(other, dataset).cell(REFERENCE, str(protocol)).window_interval
            if interval is not None:
                return interval
    return None


if __name__ == "__main__":
    run_stage(main)
