"""Print a study's results and where its tables, pictures and page are: what `make demo` ends with. Computes nothing."""

from beyond_spectrograms.util.commands import run
from stages.arguments import parse


def main() -> None:
    study, _ = parse(__doc__)
    for dataset in study.params.grid.datasets:
        tables, plots = study.metrics(dataset) / "tables", study.plots(dataset)
        if (tables / "results.md").exists():
            print((tables / "results.md").read_text(encoding="utf-8"))
            print("Tables:", *sorted(tables.glob("*.md")), sep="\n  ")
            print("Pictures (also as .svg):", *sorted(plots.rglob("*.png")), sep="\n  ")
    page = study.folder / "plots/report/index.html"
    if page.exists():
        print(f"All of it in one page: {page}")


if __name__ == "__main__":
    run(main)
