"""`serve`: a local page to try a model on sounds that are dropped or recorded there."""

import argparse
import socket

from beyond_spectrograms.cli.common import add_model_options, load
from beyond_spectrograms.util.errors import ProjectError

HELP = "a local page to try a model"
DESCRIPTION = """
Open a page at http://HOST:PORT to try a model: drop sound files or record, see their spectrograms, what the
classifier is given of them, probabilities over time and segments, hear a segment by clicking it, correct labels and
download them as CSV. It listens to this machine alone unless --host says otherwise, stores nothing, and needs no
network.
"""
LOCAL = "127.0.0.1"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    add_model_options(parser)
    of_host = f"address to listen at (default: {LOCAL}); 0.0.0.0: whoever reaches this machine"
    parser.add_argument("--host", default=LOCAL, help=of_host)
    parser.add_argument("--port", type=port, default=8000, help="default: 8000; 0: any that is free")


def port(text: str) -> int:
    """Read a port's number."""
    if not text.isdecimal() or int(text) > 65_535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port: 0 to 65535")
    return int(text)


def run(options: argparse.Namespace) -> int:
    """Serve until interrupted; give the exit status."""
    from beyond_spectrograms.util.errors import require

    require("fastapi", "uvicorn", "jinja2")
    from beyond_spectrograms.serving.app import create_server
    from beyond_spectrograms.serving.connections import Limits

    with listen(options.host, options.port) as listening:
        model = load(options)
        if model.card.multi_label is not None:
            raise ProjectError(
                f"{options.model} gives several labels a sound, which the page does not show. Use segment."
            )
        shown = f"[{options.host}]" if ":" in options.host else options.host
        print(f"http://{shown}:{listening.getsockname()[1]} (Ctrl+C ends it)", flush=True)
        create_server(model, options.host, Limits()).run(sockets=[listening])
    return 0


def listen(host: str, number: int) -> socket.socket:
    """Bind to a place before the model is loaded.

    Raises:
        ProjectError: it is taken, not allowed or not of this machine.
    """
    try:
        family, *_, place = socket.getaddrinfo(host, number, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        return socket.create_server(place, family=family)  # of IPv6 with its scope, as in fe80::1%eth0
    except UnicodeError:  # Python's of a label that is empty or too long
        raise ProjectError(f"{host}, port {number}: not a name of a host. Choose another --host or --port.") from None
    except OSError as error:
        reason = (error.strerror or str(error)).lower().partition(" (")[0]
        raise ProjectError(f"{host}, port {number}: {reason}. Choose another --host or --port.") from None
