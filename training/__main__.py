"""python -m training prepare | train | prior | evaluate | export"""

import importlib
import sys

STEPS = ("prepare", "train", "prior", "evaluate", "export")


def main():
    if len(sys.argv) < 2 or sys.argv[1] not in STEPS:
        sys.exit(f"usage: python -m training {' | '.join(STEPS)} ... (each has --help)")
    importlib.import_module(f"training.{sys.argv[1]}").main(sys.argv[2:])


if __name__ == "__main__":
    main()
