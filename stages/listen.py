"""Weights of cells of prototypes -> their figures, sounds, a page each to hear all on, and how near clips they come."""

from pathlib import Path

from beyond_spectrograms.sonification.listening import listen
from beyond_spectrograms.util.commands import run_stage
from beyond_spectrograms.util.files import fresh_work, replace_folder, write_json
from stages.arguments import parse


def main() -> None:
    study, (dataset, representation) = parse(__doc__, "dataset", "representation")
    grid = study.params.grid
    heard = [name for name in grid.protocols_of(representation) if name in grid.heard]
    work = study.work("listen", dataset, representation)
    with fresh_work(work):
        near = {name: listen(study, dataset, representation, name, work) for name in heard}
        write_json(work / "played/heard.json", heard)
        (work / "figures").mkdir(parents=True, exist_ok=True)
        write_json(work / "figures/heard.json", heard)
        replace_folder(work / "played", Path("data/heard", study.name, dataset, representation))
        replace_folder(work / "figures", study.plots(dataset) / representation)
        write_json(study.metrics(dataset) / "heard" / f"{representation}.json", near)


if __name__ == "__main__":
    run_stage(main)
