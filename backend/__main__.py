"""python -m backend [--engine numpy|torch] [--device auto|cpu|cuda|mps] [--checkpoint FILE]
                  [--characters FOLDER]

The backend as a process: messages (see `protocol`) on stdin and stdout, the log on stderr. It ends when stdin ends.
"""

import argparse
import contextlib
import os
import signal
import sys

from .process import claim_streams, limit_threads

EXIT_PROTOCOL = 3  # the client broke the protocol


def main(arguments=None) -> int:
    """Serve until the input ends; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m backend", description="The backend process of Motion Variations.")
    parser.add_argument("--engine", choices=("numpy", "torch"), default="numpy")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps; for the torch engine")
    parser.add_argument("--checkpoint", help="a weights file; the one that ships when left out")
    parser.add_argument("--characters", help="the folder of what was learnt of characters; none when left out")
    options = parser.parse_args(arguments)
    source, sink = claim_streams()
    limit_threads()
    # Ctrl-C in a terminal reaches the whole process group; the client decides what becomes of this process.
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    # Only now: threads are limited before numpy loads, and numpy and torch load before anything reads the input.
    from .jobs import Jobs
    from .protocol import ProtocolError
    from .server import serve

    jobs = Jobs(options.engine, options.device, options.checkpoint, options.characters)
    jobs.prepare()
    try:
        # At the end of the input nobody is left to hear of a job that still runs: leave at once, whatever it is doing.
        serve(source, sink, jobs, at_end=lambda: os._exit(0))
    except ProtocolError as error:
        with contextlib.suppress(OSError):  # the log may be gone as well
            print(f"The client broke the protocol, the backend stops. {error}", file=sys.stderr)
        os._exit(EXIT_PROTOCOL)
    return 0


if __name__ == "__main__":
    sys.exit(main())
