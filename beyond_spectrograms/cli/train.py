"""`train FOLDER`: a model from sounds of one's own, without a pipeline."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from beyond_spectrograms.cli.common import TAKEN, check_apart, check_known, going_on, tell_unused, working_in
from beyond_spectrograms.util.errors import ProjectError
from beyond_spectrograms.util.files import MARKER, locked, real
from beyond_spectrograms.util.text import printable

if TYPE_CHECKING:
    from beyond_spectrograms.inference.own_sounds import OwnSounds

HELP = "a model from your own sounds"
DESCRIPTION = """
Train a classifier on your own sounds: FOLDER has a sub-folder for each class. What the pipeline's stages do is done in
one go: sounds are checked, cut into windows, and tested by folds that keep each group of recordings together; plain
ways are tested beside. The model is then trained on all of them by the same recipe. Rare classes weigh more. A run that
was stopped goes on where it was when you start it again. With --labels a table says instead what is where in FOLDER.
Representations and protocols are those of params.yaml in a checkout, elsewhere those the installed package carries.
"""
CLASSIFIERS = ("conv1d", "conv2d", "mean_linear", "temporal_cnn", "probe_mean", "probe_mean_deviation")
UNGROUPED = (
    "no --group option: every file counts as an origin of its own. If files share a speaker, a place or an animal, the "
    "scores flatter; say which do"
)
OTHERS = "{}: exists already. Move it away, or choose another --out."
GROUPING = "recordings of one origin (a place, a speaker, an animal) are kept in one part; say which belong together"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="one sub-folder a class")
    of_labels = (
        "with the columns file, label and, as needed, group, start and end (seconds), as `segment --export` writes it; "
        "or a folder of label tracks of Audacity, <name>.txt for the sound <name>, or of Raven"
    )
    parser.add_argument("--labels", type=Path, metavar="CSV", help=of_labels)
    of_several = (
        "sounds may have several labels, and overlapping rows are cut where labels change; unasked where a row has "
        "labels such as owl|rain, or two rows name one sound or part"
    )
    parser.add_argument("--multi-label", action="store_true", help=of_several)
    parser.add_argument("--representation", required=True, metavar="NAME", help="its name in params.yaml")
    parser.add_argument("--out", type=Path, required=True, metavar="MODEL", help="the model's folder; must not exist")
    parser.add_argument("--protocol", default="fair", metavar="NAME", help="its name in params.yaml (default: fair)")
    of_classifier = (
        "in place of the protocol's; a probe is a logistic regression on each band's mean, or mean and deviation"
    )
    parser.add_argument("--classifier", choices=CLASSIFIERS, help=of_classifier)
    parser.add_argument("--epochs", type=int, default=50, help="at most (default: 50)")
    of_folds = "at most; as many as the smallest class allows (default: 5)"
    parser.add_argument("--folds", type=int, default=5, help=of_folds)
    of_window = "length of a window in seconds (default: that of params.yaml, 1)"
    parser.add_argument("--window", type=float, metavar="S", help=of_window)
    of_hop = "from one window to the next (default: a window); shorter ones overlap"
    parser.add_argument("--hop", type=float, metavar="S", help=of_hop)
    of_shortest = "shorter sounds are set aside (default: a tenth of a window)"
    parser.add_argument("--min-seconds", type=float, metavar="S", help=of_shortest)
    of_weights = "balanced: rare classes weigh more in the loss (default: balanced for networks, none for probes)"
    parser.add_argument("--class-weights", choices=("none", "balanced"), help=of_weights)
    of_augment = "change training windows at random: some of mixup, gain, time_shift, noise, parted by commas"
    parser.add_argument("--augment", metavar="NAMES", help=of_augment)
    of_onnx = "also write MODEL.onnx, representation and classifier as one ONNX graph"
    parser.add_argument("--onnx", action="store_true", help=of_onnx)
    of_calibrate = "find a temperature, by which probabilities say how often they are right"
    parser.add_argument("--calibrate", action="store_true", help=of_calibrate)
    of_reject = (
        "calibrate, and answer `none` where a class does not reach the probability that 95 %% of its right answers do; "
        "the folder _background then holds sounds that are none. Each class is held out in turn to measure it"
    )
    parser.add_argument("--reject", action="store_true", help=of_reject)
    groups = parser.add_argument_group("groups", GROUPING).add_mutually_exclusive_group()
    groups.add_argument("--group-folders", action="store_true", help="those in one sub-folder of their class' folder")
    of_pattern = "those whose names, without suffix, have the same (?P<group>...)"
    groups.add_argument("--group-pattern", metavar="REGEX", help=of_pattern)
    of_table = "those with the same COLUMN; the column file has paths"
    groups.add_argument("--group-table", nargs=2, metavar=("CSV", "COLUMN"), help=of_table)


def run(options: argparse.Namespace) -> int:
    """Train; give the exit status."""
    from beyond_spectrograms.params import load_all_params

    params = load_all_params()
    check_known("representation", options.representation, params.representations)
    check_known("protocol", options.protocol, params.protocols)
    _check(options)
    work, report, graph = _places(options)

    # Behind the checks that need none of it: torch takes seconds to import.
    from beyond_spectrograms.inference import load_model, multi_label, onnx, own_model, own_sounds, rejection
    from beyond_spectrograms.inference.label_table import read_labels

    if graph:
        onnx.check_exportable(params.representations[options.representation])
    labels = read_labels(options.labels, options.folder, multi_label=options.multi_label) if options.labels else None
    several = labels is not None and labels.multi_label
    if several and (options.calibrate or options.reject):
        option = "--reject" if options.reject else "--calibrate"
        raise ProjectError(f"{option} is for one label a sound, and {options.labels} gives several. Leave it out.")
    params, protocol = own_sounds.choose_classifier(
        params, options.protocol, options.representation, options.classifier
    )
    params = own_sounds.adapt_params(
        params, protocol, own_model.PLAIN, window_s=options.window, hop_s=options.hop, multi_label=several
    )
    plain = params  # whatever is asked of ours
    params = own_sounds.choose_learning(
        params, protocol, options.representation, options.class_weights, options.augment
    )
    if options.calibrate or options.reject:
        rejection.check_calibrated("--reject" if options.reject else "--calibrate", protocol, params)
    table, column = options.group_table or (None, "")
    grouping = own_sounds.Grouping(
        options.group_folders, options.group_pattern, None if table is None else Path(table), column, labels
    )
    grouped = bool(options.group_folders or options.group_pattern or table or labels)
    with working_in(work, MARKER), going_on(work):  # what was prepared is kept, whatever is refused after it
        sounds = own_sounds.prepare_sounds(
            options.folder, work, params, grouping, options.folds, shortest_s=options.min_seconds
        )
        if not grouped:
            print(UNGROUPED, file=sys.stderr)
        _tell_sounds(sounds, params.statistics.minimum_sources, reject=options.reject)
        if options.reject:
            print(rejection.announce(sounds), flush=True)
        asked = own_model.Asked(
            options.representation, protocol, options.epochs, plain, calibrate=options.calibrate, reject=options.reject
        )
        train_model = multi_label.train_model if several else own_model.train_model
        scores = train_model(params, asked, sounds=sounds, work=work, out=options.out, report=report)
        print(printable(_tell(scores, options.out, report, grouped=grouped), kept="\n"))
        if graph:
            onnx.export_onnx(load_model(options.out, device="cpu"), graph)
            print(f"{graph}: the model as ONNX")
    return 0


def _check(options: argparse.Namespace) -> None:
    """Check the options that need no params.

    Raises:
        ProjectError: two contradict each other, or one is out of its range.
    """
    from beyond_spectrograms.inference import own_sounds

    if options.labels and (options.group_folders or options.group_pattern or options.group_table):
        raise ProjectError("--labels goes without --group-...: its table says groups in a column `group`.")
    if options.multi_label and not options.labels:
        raise ProjectError("--multi-label goes with --labels: in folders every sound has one label.")
    seconds = {"window": options.window, "hop": options.hop, "min-seconds": options.min_seconds}
    own_sounds.check_settings(options.folds, options.epochs, seconds, "--{}".format)


def _places(options: argparse.Namespace) -> tuple[Path, Path, Path | None]:
    """Name the folders of work and report, and the ONNX file where one is asked for.

    Raises:
        ProjectError: a place of these is taken, or the model lies among the sounds.
    """
    if not options.out.name:  # . and /
        raise ProjectError(TAKEN.format(options.out))
    ends = (".partial-training", "-report", ".onnx")
    work, report, graph = (options.out.with_name(options.out.name + end) for end in ends)
    if options.out.is_symlink() or (options.out.exists() and not _is_of(work, options.out)):
        raise ProjectError(TAKEN.format(options.out))
    check_apart(options.out, options.folder, work)
    if real(options.folder).is_relative_to(real(report)):
        where = f"{options.folder}: lies in {report}, where the report of {options.out} is written"
        raise ProjectError(f"{where}. Choose another --out.")
    # A run that was stopped may have left its report, and behind its model the graph; else they are somebody's.
    if os.path.lexists(report) and not (work.exists() and (report / "scores.json").is_file()):
        raise ProjectError(OTHERS.format(report))
    if options.onnx and os.path.lexists(graph) and not options.out.exists():
        raise ProjectError(OTHERS.format(graph))
    return work, report, graph if options.onnx else None


def _is_of(work: Path, model: Path) -> bool:
    """Say whether a run that was stopped had written the model, and had more to do; `work` is where it worked."""
    if not work.exists():
        with locked(work):  # which takes away what a run that was killed at its very end has left of its lock
            return False
    from beyond_spectrograms.inference.folder import holds

    return any(holds(model, trained) for trained in work.glob("models/*/*/all/*.safetensors"))


def _tell_sounds(sounds: OwnSounds, minimum: int, *, reject: bool) -> None:
    """Tell what was found, and warn of what is unusual."""
    from beyond_spectrograms.inference import own_sounds

    tell_unused(sounds.left_out, sounds.set_aside)
    few = own_sounds.warnings_of_few(sounds, minimum)
    unused = own_sounds.warnings_of_background(sounds, reject=reject)
    for warning in (*own_sounds.warnings_of_doubles(sounds), *few, *unused):
        print(printable(warning), file=sys.stderr)
    if sounds.multi_label:
        counts = sounds.labelled.groupby("clip").size()
        told = f"{len(counts)} recordings with {counts.mean():.2f} labels on average, {counts.max()} at most"
        print(f"several labels a sound: {told}", flush=True)


def _tell(scores: dict[str, Any], out: Path, report: Path, *, grouped: bool) -> str:
    lines, short = [*_tell_scores(scores, grouped=grouped)], len(scores["shorter_than_a_window"])
    lines += map(tell_plain_way, scores["plain_ways"])
    lines += _tell_confidence(scores)
    if short:
        lines.append(f"{short} recordings are shorter than a window and were reflected: `reflected` in recordings.csv")
    drawn, model = (report / "confusion.png").exists(), scores["model"]
    figure = "confusion.png" if drawn else "no confusion.png, because matplotlib is not installed"
    files = ["scores.json", "recordings.csv", "history.csv", *[figure] * ("confusion" in scores)]
    lines.append(f"{out}: a model of the same recipe, trained on all of them for {model['epochs']} epochs")
    return "\n".join([*lines, f"{report}: {', '.join(files)}"])


def _tell_scores(scores: dict[str, Any], *, grouped: bool) -> Iterator[str]:
    by_class = scores.get("by_class")  # where sounds have several labels
    classes = scores["confusion"]["classes"] if by_class is None else by_class
    yield (
        f"{scores['recordings']} recordings in {len(classes)} classes, each tested by a classifier that had none of "
        f"{'its origin' if grouped else 'the same file'} ({scores['folds']} folds)"
    )
    intervals = scores["intervals"]
    if by_class is None:
        yield (
            f"right: {_share(intervals['recordings'])} of recordings, {_share(intervals['windows'])} of windows; "
            f"balanced accuracy {scores['class_accuracy']:.1%} (mean over classes of windows right)"
        )
        return
    lowest, highest = (pick(by_class, key=lambda label: by_class[label]["average_precision"]) for pick in (min, max))
    ends = " to ".join(f"{by_class[label]['average_precision']:.1%} ({label})" for label in (lowest, highest))
    yield f"mean average precision {_share(intervals['mean_average_precision'])} over classes, {ends}"
    yield (
        f"AUROC {scores['auroc']:.3f}, F1 {scores['f1']:.3f} (means over classes; F1 at thresholds of validation "
        f"parts), lwlrap {scores['lwlrap']:.3f}; all labels right: {scores['recording_accuracy']:.1%} of recordings"
    )


def _tell_confidence(scores: dict[str, Any]) -> Iterator[str]:
    """Tell what --calibrate and --reject found."""
    from beyond_spectrograms.inference.results import BACKGROUND

    if not (known := scores.get("confidence")):
        return
    before, after = known["before"], known["after"]
    error = f"calibration error of tested windows {before['ece']:.1%} before, {after['ece']:.1%} after"
    loss = f"cross-entropy {before['loss']:.3f} before, {after['loss']:.3f} after"
    yield f"calibrated: temperature {known['temperature']:.2f}; {error}; {loss}"
    if "thresholds" not in known:
        return
    never = [label for label, threshold in known["thresholds"].items() if not threshold]
    if never:
        yield f"never none: answers of {', '.join(never)}, of which no validation recording was answered right"
    right = "" if known["right_of_passing"] is None else f", {known['right_of_passing']:.1%} of these are right"
    yield f"none of these: {known['passing']:.1%} of recordings pass{right} (of all: {known['right']:.1%})"
    if held_out := known["held_out"]:
        by_class = held_out["by_class"]
        lowest, highest = (pick(by_class, key=lambda label: by_class[label]["auroc"]) for pick in (min, max))
        ends = " to ".join(f"{by_class[label]['auroc']:.2f} ({label})" for label in (lowest, highest))
        told = f"AUROC {held_out['auroc']:.2f} on average, {ends}"
        yield f"a class held out: {told}; {held_out['passing']:.1%} of its recordings pass"
    else:
        yield "a class held out: not measured, for only one class would be left"
    if found := known.get(BACKGROUND):
        yield f"{BACKGROUND}: AUROC {found['auroc']:.2f}; {found['passing']:.1%} of its recordings pass"


def _share(interval: dict[str, Any]) -> str:
    if interval["low"] is None:
        return f"{interval['value']:.1%}"
    return f"{interval['value']:.1%} [{interval['low']:.1%}, {interval['high']:.1%}]"


def tell_plain_way(way: dict[str, Any]) -> str:
    """Tell what a plain way reaches, how that differs from ours, and the options that take it where it is higher."""
    several = "mean_average_precision" in way
    share, what = (way["mean_average_precision"], "mAP") if several else (way["recording_accuracy"], "of recordings")
    told = f"beside it {way['way']}: {share:.1%} {what}"
    if not (difference := way.get("difference")):
        return told
    points = f"{100 * difference['value']:+.1f} points"
    if difference["low"] is not None:
        points += f" [{100 * difference['low']:+.1f}, {100 * difference['high']:+.1f}]"
    if difference["value"] <= 0:
        return f"{told}, {points}"
    unsure = "higher, from too few origins or folds to be sure" if difference["low"] is None else "higher, undecided"
    verdict = "better" if way["surely better"] else unsure
    if "protocol" not in way:
        return f"{told}, {points}: {verdict}"
    options = f"--representation {way['representation']} --classifier {way['protocol']}"
    return f"{told}, {points}: {verdict}. Take it by {options}"
