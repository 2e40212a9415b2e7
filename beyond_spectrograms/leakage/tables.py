"""The audit as Markdown: a verdict for each split, pairs, cues, and known errors of the data."""

from collections.abc import Mapping
from typing import Any

from beyond_spectrograms.leakage.audit import KINDS
from beyond_spectrograms.report.table import Row, Show, Table, number, scaled, text, texts, to_markdown


def print_audit(audit: Mapping[str, Any]) -> str:
    """Lay out the content of metrics/<dataset>/audit.json."""
    dataset = audit["dataset"]
    apart = [pair for pair in audit["pairs"] if len(set(pair["groups"])) > 1]
    together = [pair for pair in audit["pairs"] if len(set(pair["groups"])) == 1]
    tables = [
        _splits(f"{dataset}: leakage audit", audit),
        _heard_before(audit),
        _pairs("Pairs of different groups", apart),
        _pairs("Pairs of one group, which the splits keep together", together),
        _cues(audit),
        _known_errors(audit),
    ]
    return "\n".join(to_markdown(table) for table in tables)


def _splits(title: str, audit: Mapping[str, Any]) -> Table:
    acquitted = ("no leak", "known pairs only")
    rows: list[Row] = [
        {
            "split": name,
            "column": column,
            "promise": "no leak" if split["promises_no_leak"] else "none",
            "recordings": figures["recordings_in_two_parts"],
            "groups": figures["groups_in_two_parts"],
            "repetitions": figures["known_repetitions_in_two_parts"],
            **figures["pairs_across"],
            "known": figures["known_pairs_across"],
            "verdict": "leaks" if figures["leaks"] else acquitted[bool(figures["known_pairs_across"])],
        }
        for name, split in audit["splits"].items()
        for column, figures in split["columns"].items()
    ]
    keys = ("split", "column", "promise", "recordings", "groups", "repetitions", *KINDS, "known", "verdict")
    headings = {"recordings": "recordings in two parts", "repetitions": "known repetitions", "known": "of these known"}
    headings["same bytes"] = "pairs: same bytes"
    columns = {headings.get(key, key): text(key) for key in keys}
    notes = [
        f"{audit['clips']} clips of {audit['groups']} groups; near: fingerprints agree with strength "
        f"{audit['near_strength']:g} or more.",
        f"{audit['clips_too_quiet_to_compare']} clips have too little audible sound to be found near to another.",
    ]
    return Table(title, rows, columns, notes)


def _heard_before(audit: Mapping[str, Any]) -> Table:
    columns = {"representation": text("representation"), "trained on, too": text("corpora")}
    rows: list[Row] = [
        {"representation": name, "corpora": ", ".join(corpora)} for name, corpora in audit["heard_before"].items()
    ]
    notes = [] if rows else ["None that says what it was trained on."]
    return Table("Representations whose weights may know these sounds", rows, columns, notes)


def _pairs(title: str, pairs: list[Mapping[str, Any]]) -> Table:
    rows: list[Row] = [
        {
            **pair,
            "labels": " / ".join(dict.fromkeys(pair["labels"])),
            "groups": " / ".join(dict.fromkeys(pair["groups"])),
            "across": ", ".join(pair["across"]) or None,
            "known": "known" if pair["known"] else None,
        }
        for pair in pairs
    ]
    columns = texts("first", "second", "kind") | {
        "strength": number("strength", 2),
        "similarity": number("similarity", 2),
        "second starts s later": number("offset_s", 2),
        "overlap s": number("overlap_s", 1),
        "labels": text("labels"),
        "groups": text("groups"),
        "in different parts of": text("across"),
        "in params": text("known"),
    }
    return Table(title, rows, columns, [] if rows else ["None."])


def _cues(audit: Mapping[str, Any]) -> Table:
    rows: list[Row] = [{"split": split, **row} for split, scored in audit["cues"].items() for row in scored]
    low, high = (scaled(limit, ".1f", times=100) for limit in ("low", "high"))
    columns: dict[str, Show] = {
        "split": text("split"),
        "cues": lambda row: str(row["cues"]).replace("_", " "),
        "recordings": text("recordings"),
        "accuracy %": scaled("accuracy", ".1f", times=100),
        "95 % interval": lambda row: f"[{low(row)}, {high(row)}]",
        "chance %": scaled("chance", ".1f", times=100),
    }
    notes = [
        "A random forest on file-level cues alone, trained on train recordings, scored on validation recordings of all "
        "folds. The test part is not read.",
        "loudness: peak, RMS, share of silence; band limit: frequency below which 99 and 99.9 % of the power lies, "
        "power above 8 and 10 kHz; duration: seconds and the file's sample rate.",
        "Interval: Wilson's, with groups as trials. Chance: always the commonest class.",
    ]
    return Table("Classes told by file-level cues alone", rows, columns, notes)


def _known_errors(audit: Mapping[str, Any]) -> Table:
    known = audit["known_errors"]
    errors: list[tuple[str, str, str | None]]
    errors = [("group in two published folds, moved to one", group, None) for group in known["moved"]]
    for kind, of in known["repetitions"].items():
        heard = f"{of['pairs_heard']} of {of['pairs_present']} pairs heard to be the same"
        errors.append((f"known repetitions, {kind.replace('_', ' ')}", f"{of['groups_present']} groups", heard))
        errors += [("known repetition that is not one group", ", ".join(g), None) for g in of["not_one_group"]]
    columns = texts("known error", "what", "heard")
    rows: list[Row] = [dict(zip(columns, error, strict=True)) for error in errors]
    return Table("Known errors of the data", rows, columns, [] if rows else ["None is known."])
