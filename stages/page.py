"""Everything the other stages wrote -> one HTML file to read, hear and pass on: <study>/plots/report/index.html."""

from base64 import b64encode
from pathlib import Path

from beyond_spectrograms.evaluation.costs import read_costs
from beyond_spectrograms.evaluation.records import SCORES_FILE
from beyond_spectrograms.evaluation.results import Results
from beyond_spectrograms.params import PARAMS_FILE
from beyond_spectrograms.params.study import Study
from beyond_spectrograms.report.evidence_figures import figure_pareto, figure_reliability, figure_robustness
from beyond_spectrograms.report.figures import png_of
from beyond_spectrograms.report.page.excerpts import BestCell, Excerpt
from beyond_spectrograms.report.page.provenance import commit, durations, lock_digests, machine, origin, versions
from beyond_spectrograms.report.page.rendering import DatasetPart, Made, render
from beyond_spectrograms.report.page.verdicts import read_verdicts
from beyond_spectrograms.report.table import ShownTable, read_tables
from beyond_spectrograms.report.training_share import curves_of
from beyond_spectrograms.util.commands import run_stage
from beyond_spectrograms.util.files import read_told, write_text
from stages.arguments import parse
from stages.report import results_of

TITLE = "Beyond Spectrograms"
# In the order in which the page shows them; bitrates-<protocol> come last.
TABLES = (
    *("results", "published", "contrasts", "classes", "calibration", "ladder", "advantage", "leakage_gap"),
    *("training_share", "tuning", "comparisons", "convergence", "costs", "pareto", "table_1", "table_2", "sizes"),
)


def main() -> None:
    study, _ = parse(__doc__)
    params = study.params
    datasets = [name for name in params.grid.datasets if (study.metrics(name) / SCORES_FILE).exists()]
    found = [results for name in datasets if (results := results_of(study, name)).cells]
    # What real sound says comes first.
    found.sort(key=lambda results: params.datasets[results.dataset].source.synthetic is not None)
    absent: list[str] = []
    digests = lock_digests(Path("dvc.lock")) | lock_digests(study.folder / "dvc.lock")
    parts = [show(study, results, digests, absent) for results in found]
    claims = [path for part in parts if (path := study.metrics(part.results.dataset) / "claims.json").exists()]
    params_files = dict.fromkeys([Path(PARAMS_FILE), study.folder / PARAMS_FILE])
    text = "\n".join(path.read_text(encoding="utf-8") for path in params_files)
    made = Made(commit(), machine(), versions(params), text, absent)
    page = study.folder / "plots/report/index.html"
    write_text(page, render(TITLE, parts, read_verdicts(claims) if claims else None, made))
    print(f"{page}: {page.stat().st_size / 1e6:.1f} MB, {', '.join(part.results.dataset for part in parts)}")


def show(study: Study, results: Results, digests: dict[str, str], absent: list[str]) -> DatasetPart:
    """Gather what the page says of a data set; the paths of what is not here go to `absent`."""
    dataset, metrics = results.dataset, study.metrics(results.dataset)
    excerpts = Path("data/excerpts", study.name, dataset, "excerpts.json")
    counts = metrics / "clips.json"
    absent += [str(path) for path in (excerpts, counts, metrics / "claims.json") if not path.exists()]
    told = read_told(excerpts) if excerpts.exists() else {"best": None, "excerpts": []}
    return DatasetPart(
        results=results,
        tables=read_all_tables(results, metrics, absent),
        best=BestCell(**told["best"]) if told["best"] else None,
        excerpts=[Excerpt(**excerpt) for excerpt in told["excerpts"]],
        origin=origin(dataset, counts, digests),
        durations=durations(results, study.name),
    )


def read_all_tables(results: Results, metrics: Path, absent: list[str]) -> list[ShownTable]:
    """Read a data set's tables, some with a picture, and its audit's; the paths of those not there go to `absent`."""
    # Of the paper's data sets alone, and of studies with disturbances alone.
    compared = [name for name in ("published", "robustness") if (metrics / f"tables/{name}.md").exists()]
    curves = [name for name in curves_of(results) if name not in TABLES]
    names = [*TABLES, *curves, *compared, *(f"bitrates-{protocol}" for protocol in results.ablation_protocols)]
    paths = [*(metrics / "tables" / f"{name}.md" for name in names), metrics / "audit.md"]
    absent += [str(path) for path in paths if not path.exists()]
    found = {path.stem: read_tables(path) for path in paths if path.exists()}
    drawn = {
        "calibration": figure_reliability(results, results.judged_protocol) if results.judged_protocol else None,
        "pareto": figure_pareto(results, read_costs(metrics / "costs.json")),
        "robustness": figure_robustness(results, results.judged_protocol) if results.judged_protocol else None,
    }
    for name, figure in drawn.items():
        if figure is not None and name in found:
            found[name][0].picture = b64encode(png_of(figure)).decode("ascii")
    return [table for tables in found.values() for table in tables]


if __name__ == "__main__":
    run_stage(main)
