"""Two methods against the truth: which is ahead, organ by organ, and is that more than chance?

    python examples/evaluation.py truth labels_a labels_b

Folders of label maps of equal names. A sign test over the cases is printed beside the difference;
with fewer than six cases it cannot tell anything apart.
"""

import argparse
import math

from scipy.stats import binomtest

import slicekit

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("truth", help="folder of true labels")
parser.add_argument("a", help="folder of labels of one method")
parser.add_argument("b", help="folder of labels of the other, of the same cases")
args = parser.parse_args()


def dsc(folder: str) -> dict[str, dict[str, float]]:
    """Return the Dice score of every organ and case."""
    report = slicekit.evaluate_paths(folder, args.truth)
    for name, reason in report.failures.items():
        print(f"left out: {name}: {reason}")
    found: dict[str, dict[str, float]] = {}
    for case in report.cases:
        for score in case.scores:
            if not math.isnan(score.dsc):  # nobody annotated it
                found.setdefault(score.organ, {})[case.case] = score.dsc
    return found


a, b = dsc(args.a), dsc(args.b)
print(f"{'organ':22} {'A':>6} {'B':>6} {'A - B':>7}  cases  p")
for organ in a:
    cases = sorted(a[organ].keys() & b.get(organ, {}).keys())
    apart = [a[organ][case] - b[organ][case] for case in cases]
    ahead, behind = sum(one > 0 for one in apart), sum(one < 0 for one in apart)
    chance = binomtest(ahead, ahead + behind).pvalue if ahead + behind else 1.0
    if cases:
        means = [sum(found[organ][case] for case in cases) / len(cases) for found in (a, b)]
        print(f"{organ:22} {means[0]:6.3f} {means[1]:6.3f} {means[0] - means[1]:+7.3f}", end="")
        print(f"  {len(cases):5}  {chance:.2f}")
