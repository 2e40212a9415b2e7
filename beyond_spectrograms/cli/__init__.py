"""The commands of `beyond-spectrograms`: each module adds its options and runs it."""

import argparse
import os
import sys

from beyond_spectrograms.cli import classify, export, search, segment, serve, train
from beyond_spectrograms.util.errors import ProjectError
from beyond_spectrograms.util.text import printable


def main(arguments: list[str] | None = None) -> int:
    """Run a command; give its exit status: 0, 1 where something failed, 2 where it was called wrongly."""
    parser = argparse.ArgumentParser(prog="beyond-spectrograms", description="Classify your own sounds.")
    commands = parser.add_subparsers(title="commands", required=True)
    for command in (classify, segment, search, serve, train, export):
        name = command.__name__.rpartition(".")[2]
        described = commands.add_parser(name, help=command.HELP, description=command.DESCRIPTION)
        command.add_options(described)
        described.set_defaults(run=command.run, usage_error=described.error)
    chosen, unknown = parser.parse_known_args(arguments)
    if unknown:  # told with the command's own usage
        chosen.usage_error(f"unrecognized arguments: {' '.join(unknown)}")
    try:
        status: int = chosen.run(chosen)
        sys.stdout.flush()
    except ProjectError as error:
        print(printable(str(error), kept="\n"), file=sys.stderr)
        return 1
    except MemoryError as error:
        print(f"out of memory: {error}. Give it fewer or shorter sounds, or a smaller model.", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # whoever read the output has enough of it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:  # a place that cannot be written, a full disk
        print(
            f"{printable(str(error.filename or 'output'))}: {(error.strerror or str(error)).lower()}", file=sys.stderr
        )
        return 1
    return status
