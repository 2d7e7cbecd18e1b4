"""How first tries were said: the share and the accuracy of each format, and how even the shares are."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence

from selfplay import metrics

_WORTH = 0.5  # of the most frequent format's accuracy: below it, leaving a format is learning
_EVER = 1e-9

Told = tuple[str, bool]  # the format of a first try, and whether it is right


def format_figures(tries: Sequence[Told], names: Sequence[str]) -> dict[str, float]:
    """{} without tries. `names`: every format that a try may have.

    Of shares s of K formats: the largest; the entropy -sum s ln s / ln K in [0, 1], 1 where all are as frequent, 0
    where there is one; each share, zeros too; and the accuracy of each format that was said. At stake are the tries
    of other formats than the most frequent one that are right at least half as often as it is, and not never: what
    would be lost with them is worth something.
    """
    if not tries:
        return {}
    said = Counter(name for name, _ in tries)
    right = Counter(name for name, is_right in tries if is_right)
    shares = {name: said[name] / len(tries) for name in names}
    accuracy = {name: right[name] / said[name] for name in names if said[name]}
    most = max(accuracy, key=lambda name: shares[name])
    rivals = [name for name in accuracy if name != most and accuracy[name] >= max(_WORTH * accuracy[most], _EVER)]
    spread = sum(-share * math.log(share) for share in shares.values() if 0 < share < 1)
    return (
        {metrics.FORMAT_SHARE.format(format=name): share for name, share in shares.items()}
        | {metrics.FORMAT_ACCURACY.format(format=name): value for name, value in accuracy.items()}
        | {
            metrics.FORMAT_MOST: shares[most],
            metrics.FORMAT_ENTROPY: spread / math.log(len(names)) if len(names) > 1 else 0.0,
            metrics.FORMAT_AT_STAKE: math.fsum(shares[name] for name in rivals),
        }
    )


def format_detail(figures: Mapping[str, float], names: Sequence[str]) -> str:
    """The two most frequent formats with their accuracy: "steps 0.86 (0.41 of them right), value 0.14 (0.62)"."""
    shares = {name: figures.get(metrics.FORMAT_SHARE.format(format=name), 0.0) for name in names}
    most = sorted((name for name in shares if shares[name] > 0), key=lambda name: -shares[name])[:2]
    right = [figures.get(metrics.FORMAT_ACCURACY.format(format=name), 0.0) for name in most]
    ends = (" of them right", "")
    return ", ".join(
        f"{name} {shares[name]:.2f} ({accuracy:.2f}{end})"
        for name, accuracy, end in zip(most, right, ends, strict=False)
    )
