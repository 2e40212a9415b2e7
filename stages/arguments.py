"""What every stage is called with: the study it belongs to, and the names of what it works on."""

import argparse

from beyond_spectrograms.params.study import PAPER, Study, list_studies, load_study


def parse(about: str | None, *names: str) -> tuple[Study, list[str]]:
    """Read the command line: `--study=NAME` and a value for each of `names` (dataset, representation).

    Returns:
        the study, read and checked, and the values.
    """
    first = argparse.ArgumentParser(description=about, add_help=False)
    first.add_argument("--study", default=PAPER, choices=list_studies(), help="default: %(default)s, the root's own")
    study = load_study(first.parse_known_args()[0].study)
    parser = argparse.ArgumentParser(description=about, parents=[first])
    for name in names:
        parser.add_argument(name, choices=getattr(study.params, f"{name}s"), metavar=name.upper())
    arguments = parser.parse_args()
    return study, [getattr(arguments, name) for name in names]
