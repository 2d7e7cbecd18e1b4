"""The command `audit` of selfplay.inspect: its arguments checked, its report said, its mask written."""

from pathlib import Path
from typing import get_args

from safetensors import SafetensorError

from selfplay.audit import shown
from selfplay.audit.auditing import Request, audit, facts
from selfplay.audit.records import Count
from selfplay.machine.errors import DISK, USAGE, Refused
from selfplay.machine.outlet import complain
from selfplay.train.masks import Mask, write_mask
from selfplay.view.terminal import say, say_json, say_table


def run_audit(
    run: str,
    against: str | None,
    since: int,
    ranks: bool,
    mask: Path | None,
    count: str,
    directory: Path,
    as_json: bool,
) -> None:
    marked = _count(count)
    if mask is not None and (not mask.absolute().parent.is_dir() or mask.is_dir()):
        raise Refused(f"--mask {mask}: its folder is not there, or it is a folder itself", USAGE)
    wanted = Request(run, against, since, ranks, marked if mask is not None else None, directory)
    found, subnetwork = audit(wanted, complain)
    if mask is not None and subnetwork is not None:
        _write(mask, subnetwork, facts(found.audited, marked))
    if as_json:
        return say_json(shown.audit_json(found))
    kinds, layers = shown.group_rows(found)
    say_table(kinds, shown.heading(found))
    say_table(layers, "by layer")
    say_table(shown.size_rows(found), "by size of the weight at the start")
    if found.against is not None:
        say_table(shown.overlap_rows(found), shown.overlap_title(found))
    for line in shown.explained(found):
        say(line)
    if mask is not None and subnetwork is not None:
        say(f"wrote {mask}: {subnetwork.share():.2%} of the parameters ({marked}), to be trained by train.mask={mask}")
    return None


def _count(named: str) -> Count:
    for each in get_args(Count):
        if each == named:
            return each
    raise Refused(f"--count {named}: give one of {', '.join(get_args(Count))}", USAGE)


def _write(path: Path, mask: Mask, about: dict[str, str]) -> None:
    try:
        write_mask(path, mask, about)
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or error
        raise Refused(f"cannot write {path}: {reason}; choose another place with --mask", DISK) from None
