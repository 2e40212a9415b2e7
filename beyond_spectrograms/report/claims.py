"""Tables of the paper's claims, judged."""

from collections.abc import Sequence

from beyond_spectrograms.evaluation.claims import CLAIMS, Verdict, opponents, rules
from beyond_spectrograms.evaluation.results import Results
from beyond_spectrograms.report.table import Row, Show, Table, texts, to_markdown


def claims_table(results: Results, verdicts: Sequence[Verdict], claim: str) -> Table:
    """Tabulate one claim's verdicts for one data set, a row a codec and protocol, a column a baseline."""
    mine = [verdict for verdict in verdicts if (verdict.dataset, verdict.claim) == (results.dataset, claim)]
    rows: list[Row] = []
    for codec, protocol in dict.fromkeys((verdict.representation, verdict.protocol) for verdict in mine):
        row: Row = {"representation": results.label(codec), "protocol": protocol}
        for baseline in opponents(results.params):
            found = [v for v in mine if (v.representation, v.protocol, v.baseline) == (codec, protocol, baseline)]
            row[f"{baseline}_verdict"] = found[0].verdict if found else None
            row[f"{baseline}_reason"] = found[0].reason if found else None
        rows.append(row)
    columns = texts("representation", "protocol")
    columns |= {f"against {name}": _show_verdict(name) for name in opponents(results.params)}
    return Table(f"{results.dataset}: {CLAIMS[claim]}", rows, columns, [rules(results)[claim]])


def _show_verdict(baseline: str) -> Show:
    return lambda row: (
        "-" if row[f"{baseline}_verdict"] is None else f"**{row[f'{baseline}_verdict']}**: {row[f'{baseline}_reason']}"
    )


def print_claims(results: Results, verdicts: Sequence[Verdict]) -> str:
    """Lay out the tables of all claims that were judged as one Markdown document."""
    about = "Each codec against each spectrogram; a control is an untrained encoder."
    tables = [claims_table(results, verdicts, claim) for claim in CLAIMS]
    shown = [f"#{to_markdown(table)}" for table in tables if table.rows]
    return "\n".join([f"# The paper's claims, judged\n\n{about}\n", *shown])
