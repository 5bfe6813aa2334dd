#!/usr/bin/env python3
"""Reads what `mutmut results --all true` prints, and fails where more than 5 % of a module's mutants have survived. Survivors are printed."""

import sys
from collections import Counter

MOST_SURVIVORS = 0.05


def main() -> int:
    """Print survivors and a line for each module; return the exit code."""
    made, survived = Counter[str](), Counter[str]()
    for line in sys.stdin:
        mutant, _, outcome = line.strip().partition(": ")
        if not outcome:
            continue
        module = mutant.partition(".x")[0]
        made[module] += 1
        if outcome != "killed":  # one that hangs, or that no test reaches, was not noticed either
            survived[module] += 1
            sys.stdout.write(f"{mutant}: {outcome}\n")
    for module, number in sorted(made.items()):
        sys.stdout.write(f"{module}: {survived[module]} of {number} mutants not killed ({survived[module] / number:.1%})\n")
    return int(not made or any(survived[module] > MOST_SURVIVORS * number for module, number in made.items()))


sys.exit(main())
