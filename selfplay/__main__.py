"""What there is to run."""

import sys

from selfplay.machine.errors import OK, USAGE
from selfplay.machine.outlet import complain, gate, tell

HELP = """\
A language model poses problems to itself, solves them, and gets better.

  python -m selfplay.loop       a run: the default job, a configuration of yours, or one that goes on
  python -m selfplay.inspect    look at a run: where it stands, its problems, what was said; check a domain
  python -m selfplay.evaluate   a model, or a run's weights, on any problems; two of them compared
  python -m selfplay.lab        experiments on the project's claims, and the pages they leave

Each tells more with --help.
"""


def main(arguments: list[str]) -> int:
    with gate():
        if arguments and arguments[0] not in ("--help", "-h"):
            complain(f"error: {arguments[0]} is nothing that python -m selfplay runs; see python -m selfplay --help")
            return USAGE
        tell(HELP)
        return OK


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
