"""The commands of `beyond-spectrograms`: each module adds its options and runs it."""

import argparse

from beyond_spectrograms.cli import classify, codec, export, search, segment, serve, train
from beyond_spectrograms.util.commands import status_of


def main(arguments: list[str] | None = None) -> int:
    """Run a command; give its exit status: 0, 1 where something failed, 2 where it was called wrongly."""
    parser = argparse.ArgumentParser(prog="beyond-spectrograms", description="Classify your own sounds.")
    commands = parser.add_subparsers(title="commands", required=True)
    for command in (classify, segment, search, serve, train, export, codec):
        name = command.__name__.rpartition(".")[2]
        described = commands.add_parser(name, help=command.HELP, description=command.DESCRIPTION)
        command.add_options(described)
        described.set_defaults(run=command.run, usage_error=described.error)
    chosen, unknown = parser.parse_known_args(arguments)
    if unknown:  # told with the command's own usage
        chosen.usage_error(f"unrecognized arguments: {' '.join(unknown)}")
    return status_of(lambda: chosen.run(chosen))
