"""What a cell measures when its run is done: many samples of its held-out problems, and what became of its weights.

Both are what the commands `evaluate --samples --against` and `inspect audit` work out, by the same code.
"""

import gc
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from curriculum.domains.loading import load_domain
from curriculum.holdout import HeldOut
from selfplay.audit.auditing import Request as AuditRequest
from selfplay.audit.auditing import audit, facts
from selfplay.audit.grouping import group, overlap
from selfplay.lab.afterwards import PERPLEXITIES
from selfplay.lab.rows import samples_text
from selfplay.machine.errors import USAGE, Refused
from selfplay.machine.files import write_whole
from selfplay.machine.run_folder import DATABASE
from selfplay.suite.evaluating import asked_all, found_likely
from selfplay.suite.loading import load
from selfplay.suite.passing import sampled_sets
from selfplay.suite.perplexity import vocabulary
from selfplay.suite.records import ModelReport
from selfplay.suite.request import Prepared
from selfplay.suite.sets import NamedSet
from selfplay.suite.subjects import subject, with_settings_of
from selfplay.train.masks import write_mask


@dataclass(frozen=True, slots=True)
class Sampled:
    """Of one set: `texts` by moment as rows have them (`samples_text`), and PERPLEXITIES."""

    texts: Mapping[str, str]
    figures: Mapping[str, float]


def sampled(folder: Path, sets: Mapping[str, int], num_samples: int, known: Path) -> dict[str, Sampled]:
    """Samples of the first so many problems of its domain's `sets` by the run in `folder`, newest checkpoint and start.

    `known`: a file in which the start's are kept, for the other arms of the seed. Raises Refused or ModelError.
    """
    first, second = (subject(named, folder.parent, ()) for named in (str(folder), f"{folder}@0"))
    config = first.config
    domain = load_domain(config.domain, config.domain_options)
    held_out = HeldOut(domain, config.evaluate.holdout_key).sets
    wanted = Prepared(first, second, [NamedSet(n, domain, held_out[n][:k]) for n, k in sets.items()], num_samples)
    asked = load(wanted.first, _ignored)
    end, vocabulary_of_end = asked_all(asked, wanted, _ignored), vocabulary(asked.policy.tokenizer)
    del asked
    gc.collect()
    start = load(with_settings_of(second, first), _ignored)
    end = found_likely(end, vocabulary_of_end, start, wanted, _ignored)
    right_at_start = json.loads(known.read_text()) if known.is_file() else None
    if right_at_start is None:
        right_at_start = _right(asked_all(start, wanted, _ignored))
        write_whole(known, [json.dumps(right_at_start)])
    return {
        name: Sampled(
            {"start": samples_text(right_at_start[name], num_samples), "end": samples_text(right, num_samples)},
            _perplexities(end, name),
        )
        for name, right in _right(end).items()
    }


def audited(folder: Path, others: Sequence[Path]) -> dict[str, float]:
    """AUDIT_FIGURES of the newest checkpoint of the run in `folder`; the overlap with the first of `others`, which are
    runs of other seeds; without any there is no overlap. Raises Refused or ModelError."""
    found, _ = audit(AuditRequest(str(folder)), _ignored)
    whole = group("all", found.tensors)
    figures = {
        "changed_bf16": whole.changed["bf16"],
        "changed_fp32": whole.changed["fp32"],
        "changed_relative": whole.changed["relative"],
        "rank_fp32": whole.rank or 0.0,
        "rank_bf16": whole.rank_bf16 or 0.0,
        "rank99_fp32": whole.rank99 or 0.0,
        "moved": whole.moved,
    }
    if not others:
        return figures
    both, _ = audit(AuditRequest(str(folder), str(others[0]), ranks=False), _ignored)
    shared = overlap(both.tensors, "bf16")
    return figures | {"overlap": shared.of_first, "overlap_by_chance": shared.chance_first_within}


def subnetwork(folder: Path) -> Path:
    """A file with the parameters that the run in `folder` changed as bf16 shows it; made now if it is not there.
    Raises Refused where there is no such run."""
    if not (folder / DATABASE).is_file():
        raise Refused(f"{folder} is not there: run the arm whose parameters are to be trained first", USAGE)
    path = folder.parent / f"{folder.name}.safetensors"
    if not path.is_file():
        found, mask = audit(AuditRequest(str(folder), ranks=False, mask="bf16"), _ignored)
        assert mask is not None
        write_mask(path, mask, facts(found.audited, "bf16"))
    return path


def _right(report: ModelReport) -> dict[str, list[int]]:
    return {each.set_name: [problem.num_right for problem in each.problems] for each in report.sets}


def _perplexities(report: ModelReport, name: str) -> dict[str, float]:
    for each in sampled_sets(report):
        if each.set_name == name and each.likelihood is not None:
            return dict(zip(PERPLEXITIES, each.likelihood.perplexities, strict=True))
    return {}


def _ignored(line: str) -> None:
    """What a measurement says of how far it is: a cell's log has the run's own lines."""
