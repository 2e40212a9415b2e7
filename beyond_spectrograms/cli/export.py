"""`export DATASET REPRESENTATION PROTOCOL`: a trained cell of the pipeline as a model folder, or as ONNX too."""

import argparse
from pathlib import Path

from beyond_spectrograms.cli.common import check_known, check_writable
from beyond_spectrograms.util.errors import ProjectError
from beyond_spectrograms.util.files import real

HELP = "a trained cell as a model folder"
DESCRIPTION = """
Write what the pipeline trained under one fold and seed as a model: a folder with a card and its weights. Run it in the
project's folder, after `dvc repro evaluate@DATASET`.
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    for name in ("dataset", "representation", "protocol"):
        parser.add_argument(name, metavar=name.upper(), help="its name in params.yaml")
    of_study = "a folder of studies/ (default: the root's own)"
    parser.add_argument("--study", default="paper", metavar="NAME", help=of_study)
    parser.add_argument("--fold", type=int, default=1, help="which fold's classifier (default: 1)")
    parser.add_argument("--seed", type=int, default=0, help="which seed's classifier (default: 0)")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="the model; must not exist")
    of_onnx = "also write representation and classifier as one ONNX graph"
    parser.add_argument("--onnx", type=Path, metavar="FILE", help=of_onnx)


def run(options: argparse.Namespace) -> int:
    """Export; give the exit status."""
    from beyond_spectrograms.inference.export import export_cell
    from beyond_spectrograms.params import is_project
    from beyond_spectrograms.params.study import load_study

    if not is_project():
        raise ProjectError(
            "export takes what the pipeline trained, and there is no checkout of the project here (params.yaml and "
            "versions.yaml). Run it in the project's folder."
        )
    study = load_study(options.study)
    check_known("data set", options.dataset, study.params.datasets)
    check_known("representation", options.representation, study.params.representations)
    check_known("protocol", options.protocol, study.params.protocols)
    if options.onnx:
        from beyond_spectrograms.inference.onnx import check_exportable

        check_exportable(study.params.representations[options.representation])
        if real(options.onnx).is_relative_to(real(options.out)):
            raise ProjectError(
                f"{options.onnx}: lies in the model's folder, which holds nothing else. Choose a place beside it."
            )
        check_writable(options.onnx)
    cell = (options.dataset, options.representation, options.protocol)
    card = export_cell(study, *cell, fold=options.fold, seed=options.seed, out=options.out)
    told = f"{options.out}: {len(card.classes)} classes, {card.scores.recording_accuracy:.1%} of test recordings right"
    print(f"{told} (fold {options.fold}, seed {options.seed}; {card.scores.file})")
    if options.onnx:
        from beyond_spectrograms.inference import load_model
        from beyond_spectrograms.inference.onnx import export_onnx

        export_onnx(load_model(options.out, device="cpu"), options.onnx)
        print(options.onnx)
    return 0
