"""python -m training prepare | measure | train | prior | evaluate | export | card | scaling | adapt-check"""

import importlib
import sys

from backend.errors import UserError

STEPS = ("prepare", "measure", "train", "prior", "evaluate", "export", "card", "scaling", "adapt-check")


def main():
    if len(sys.argv) < 2 or sys.argv[1] not in STEPS:
        sys.exit(f"usage: python -m training {' | '.join(STEPS)} ... (each has --help)")
    try:
        importlib.import_module(f"training.{sys.argv[1].replace('-', '_')}").main(sys.argv[2:])
    except UserError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
