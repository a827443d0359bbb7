"""`ebpfless check`: what is wrong with policies, and what of them will run."""

import sys
from typing import List

from ebpfless_arch.rules.policy import PolicyError, Problem, load_policies


def check(paths: List[str]) -> int:
    """Print every mistake with its place; returns 1 when there is one, 2 when a file cannot be read."""
    try:
        loaded = load_policies(paths)
    except PolicyError as error:
        sys.stderr.write("ebpfless check: %s\n" % error)
        return 2
    for problem in loaded.problems:
        _show(problem)
    for rule in loaded.skipped:
        print("%s: rule '%s' is %s: %s" % (rule.file, rule.rule_id, rule.status, rule.reason))
    print("%d rules run, %d are set aside, %d mistakes" % (len(loaded.rule_set.rules), len(loaded.skipped),
                                                          len(loaded.problems)))
    return 1 if loaded.problems else 0


def _show(problem: Problem) -> None:
    print(problem)
    for line in problem.excerpt.splitlines():
        print("    " + line)
