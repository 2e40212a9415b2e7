"""Fuzzing that follows the readers' branches: `make fuzz-guided` lets atheris, which is libFuzzer, make the mutants.

A mutant that reaches code no other reached is kept and mutated further, for so many seconds a target. What counts as
survived is the same.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from support.repository import WITH_TESTS

LARGEST = 200_000  # bytes of a mutant
MEMORY_MB = 4096  # of the whole process: imports take about one


def guide(name: str, corpus: Path, seconds: int) -> None:
    """Try mutants of a target here; a broken one ends the process, and libFuzzer says where it put it."""
    import atheris

    with atheris.instrument_imports(include=["beyond_spectrograms"]):  # all that is to be followed is imported here
        from support.fuzz_targets import TARGETS
        from support.fuzzing import PATIENCE_S, broken
    target, folder = TARGETS[name], corpus / "work"
    folder.mkdir()
    seeds = corpus / "seeds"
    seeds.mkdir()
    for number, seed in enumerate(target.seeds()):
        (seeds / str(number)).write_bytes(seed)

    def read(content: bytes) -> None:
        if told := broken(target, content, folder):
            raise AssertionError(told)

    options = [f"-max_total_time={seconds}", f"-max_len={LARGEST}", f"-rss_limit_mb={MEMORY_MB}", "-seed=1"]
    options += [f"-timeout={PATIENCE_S:.0f}", f"-artifact_prefix={corpus}/", "-print_final_stats=1", "-verbosity=0"]
    atheris.Setup([name, *options, str(seeds)], read)
    atheris.Fuzz()


def main() -> None:
    """Guide a target, in the folder given; or all of them, each in a process of its own, for so many seconds."""
    name, seconds = sys.argv[1], int(sys.argv[2])
    if name != "all":
        return guide(name, Path(sys.argv[3]), seconds)
    from support.fuzz_targets import TARGETS

    failed = []
    for each in TARGETS:
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, "-m", "support.guided", each, str(seconds), folder]
            paths = {"PYTHONPATH": f"{WITH_TESTS}:{os.environ.get('PYTHONPATH', '')}"}
            ended = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **paths}, check=False)
        tried = [line.split()[-1] for line in ended.stderr.splitlines() if "number_of_executed_units" in line]
        print(f"{each}: {tried[0] if tried else 'unknown'} mutants, {'survived' if not ended.returncode else 'broken'}")
        if ended.returncode:
            failed.append(each)
            print(ended.stderr[-2000:])
    sys.exit(f"Not survived by {', '.join(failed)}." if failed else 0)


if __name__ == "__main__":
    main()
