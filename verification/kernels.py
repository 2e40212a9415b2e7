"""How far results move with another processor's kernels: metrics/kernels.json and .md.

Sums are added in another order by the kernels of each kind of processor, and rounded on the way. Here each noun's
witness runs with the kernels of the processor at hand, and with those that oneDNN, torch, MKL, OpenBLAS and
numpy have for processors with less; beside each other, one thread each.
"""

import argparse
import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from beyond_spectrograms.report.table import Row, Table, text, texts, to_markdown
from beyond_spectrograms.util.code_versions import NUMBERED
from beyond_spectrograms.util.commands import run
from beyond_spectrograms.util.files import write_json, write_text
from beyond_spectrograms.util.machine import kernels, processor_name
from verification.verify import Arrays, witnesses

RESULTS, TABLE = Path("metrics/kernels.json"), Path("metrics/kernels.md")
NO_AVX512 = " ".join(f"AVX512{part}" for part in ("F", "CD", "_SKX", "_CLX", "_CNL", "_ICL", "_SPR"))
# Environment variables of the libraries that choose kernels; `make test-numeric` sets the same.
OTHERS = {
    "AVX2": {
        "ONEDNN_MAX_CPU_ISA": "AVX2",
        "ATEN_CPU_CAPABILITY": "avx2",
        "MKL_ENABLE_INSTRUCTIONS": "AVX2",
        "OPENBLAS_CORETYPE": "Haswell",
        "NPY_DISABLE_CPU_FEATURES": NO_AVX512,
    },
    "AVX-512, without AMX": {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE"},
}
LOST = "/lost"  # ends the names of witnesses of what rounding lost: no result, and itself a difference
NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e[+-]?\d+)?")


@dataclass(frozen=True)
class Moved:
    """What a noun's witnesses come to with other kernels.

    Attributes:
        equal: those equal to the bit.
        largest: the largest difference of a number, as a share of the largest number of its witness.
        where: the witness that has it.
        other: witnesses whose words differ, or how many numbers they have.
    """

    noun: str
    kernels: str
    witnesses: int
    equal: int
    largest: float
    where: str
    other: list[str]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("nouns", nargs="*", metavar="NOUN", help=f"some of {', '.join(NUMBERED)}; the others are kept")
    nouns = parser.parse_args().nouns or list(NUMBERED)
    if other := [noun for noun in nouns if noun not in NUMBERED]:
        parser.error(f"unknown noun {other[0]!r}. Choose from {', '.join(NUMBERED)}.")
    here, ran = Path.cwd(), {"processor": processor_name(), "kernels": kernels()}
    earlier = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    same = all(earlier.get(key) == value for key, value in ran.items())
    found = [Moved(**each) for each in earlier["moved"] if each["noun"] not in nouns] if same else []
    for noun in nouns:
        own, *others = witnesses(noun, [here] * (1 + len(OTHERS)), [{}, *OTHERS.values()])
        for name, made in zip(OTHERS, others, strict=True):
            found.append(compare(noun, name, own, made))
            print(
                f"{noun}, {name}: {found[-1].equal} of {found[-1].witnesses} equal, {found[-1].largest:.1e}", flush=True
            )
    found.sort(key=lambda each: NUMBERED.index(each.noun))
    write_json(RESULTS, ran | {"moved": [asdict(each) for each in found]})
    write_text(TABLE, to_markdown(kernels_table(found, *ran.values())))
    print(TABLE.read_text(encoding="utf-8"))


def compare(noun: str, name: str, own: Arrays, other: Arrays) -> Moved:
    """Compare what both made, witness by witness."""
    equal, largest, where, odd = 0, 0.0, "", []
    for key, one in own.items():
        two = other[key]
        if key.endswith(LOST):
            continue
        if one.tobytes() == two.tobytes() and one.dtype == two.dtype:
            equal += 1
            continue
        (words, mine), (others, theirs) = _parts(one), _parts(two)
        if words != others or mine.shape != theirs.shape or (np.isnan(mine) != np.isnan(theirs)).any():
            odd.append(key)
            continue
        moved = float(np.nan_to_num(np.abs(mine - theirs)).max() / max(np.nan_to_num(np.abs(mine)).max(), 1e-30))
        if moved > largest:
            largest, where = moved, key
    return Moved(noun, name, sum(not key.endswith(LOST) for key in own), equal, largest, where, odd)


def _parts(made: npt.NDArray[np.generic]) -> tuple[str, npt.NDArray[np.float64]]:
    """Part text (JSON, a table) into its words and its numbers; numbers are numbers."""
    if made.dtype.kind != "U":
        return "", made.astype(np.float64)
    told = str(made)
    return NUMBER.sub("#", told), np.array([float(each) for each in NUMBER.findall(told)])


def kernels_table(found: list[Moved], processor: str, own: str) -> Table:
    """Tabulate all nouns, a row for each kind of kernels."""
    rows: list[Row] = [asdict(each) | {"other": len(each.other), "where": each.where or None} for each in found]
    columns = texts("noun", "kernels", "witnesses") | {
        "equal to the bit": text("equal"),
        "largest difference": lambda row: "-" if not row["largest"] else f"{row['largest']:.1e}",
        "of": text("where"),
        "other words": text("other"),
    }
    notes = [
        f"Beside the kernels of {processor} ({own}).",
        "largest difference: of two numbers, as a share of the largest number of their witness. other words: witnesses "
        "in which something else than a number differs, as a table with another row.",
    ]
    return Table("The same work with other kernels", rows, columns, notes)


if __name__ == "__main__":
    run(main)
