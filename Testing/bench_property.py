"""Run trained methods on many random inputs and count the results that leave the local limit of their base image.

    PYTHONPATH=.:Testing python Testing/bench_property.py 10000
    PYTHONPATH=.:Testing python Testing/bench_property.py 10000 --shipped

Inputs are crops, other intensity curves, inversions, offsets, steps, checkerboards, impulses, noise and constants, with
references that are right, wrong, wrong in one half, or none, at ×1.3 to ×8, for every method in turn; weights are
random ones of small networks, or with --shipped those that ship (see `trained_properties`). Every input that leaves
the limit is printed with the number that makes it again (--first); the exit code is 1 if there is one.
"""

from __future__ import annotations

import argparse
import sys
import time

import numpy as np


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("count", type=int, help="number of inputs")
    parser.add_argument("--first", type=int, default=0, help="number of the first input")
    parser.add_argument("--shipped", action="store_true", help="the weights that ship instead of random ones")
    parsed = parser.parse_args(arguments)
    from trained_properties import METHODS, largest_excess, random_case

    found, worst, start = 0, -float("inf"), time.monotonic()
    for number in range(parsed.first, parsed.first + parsed.count):
        method = METHODS[number % len(METHODS)]
        case = random_case(method, np.random.default_rng((3, number)), shipped=parsed.shipped)
        excess = largest_excess(case)
        worst = max(worst, excess)
        if excess > 0:
            found += 1
            print(f"{number}: {excess:.3g} of the range beyond the limit; {case.description}", flush=True)
    seconds = time.monotonic() - start
    print(f"{found} of {parsed.count} inputs left the limit; largest excess {worst:.3g} of the range; {seconds:.0f} s.")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
