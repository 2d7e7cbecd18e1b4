"""What watches a run, as the configuration has it."""

from curriculum.answers.formats import SHAPES, Formats, formats_by_mark, with_other
from curriculum.domains.abilities import ability, able
from curriculum.domains.protocol import ChecksAgain, Domain, HasFormats
from roles.prompts import PromptStyle
from selfplay.config.keys import Config
from selfplay.guards.recheck import Rechecker
from selfplay.guards.table import guards
from selfplay.guards.thresholds import Thresholds
from selfplay.guards.watch import Watch


def watch(config: Config, domain: Domain, style: PromptStyle) -> Watch:
    """The guards of a run, which nothing has been told yet."""
    g = config.guards
    thresholds = Thresholds(
        format_share=g.format_share,
        answer_prior=g.answer_prior,
        answer_copied=g.answer_copied,
        answered_alike=g.answered_alike,
        answer_visible=g.answer_visible,
        repetition=g.repetition,
        cut_share=g.cut_share,
        entropy=g.entropy,
        distinct_proposals=g.distinct_proposals,
    )
    return Watch(guards(thresholds, _against_copies(config)), formats(config, domain), style.visible)


def formats(config: Config, domain: Domain) -> Formats:
    """The formats that the user names, else the domain's, which without any of its own are told by shape."""
    if config.guards.formats:
        return formats_by_mark(config.guards.formats)
    named = ability(domain, HasFormats)
    names = tuple(named.formats)
    is_told_by_shape = getattr(named.format_of, "__func__", None) is HasFormats.format_of
    is_every_text_named = is_told_by_shape and set(SHAPES) <= set(names)
    return Formats(names if is_every_text_named else with_other(names), named.format_of)


def rechecker(config: Config, domain: Domain, style: PromptStyle) -> Rechecker:
    """What judges a sample of the answers that were paid most once more."""
    return Rechecker(able(domain, ChecksAgain), style.visible, config.guards.rechecks, config.seed)


def _against_copies(config: Config) -> str:
    """What keeps the turns apart and is not in use yet."""
    if config.train.stage_one.max_steps == 0:
        return "SCoRe's stage I keeps the turns apart (train.stage_one.max_steps above 0)"
    bonus = config.judge.correction_bonus
    return f"A larger bonus keeps the turns apart (judge.correction_bonus, which is {bonus:g})"
