"""What a run's solver is asked, rendered again from the stored configuration: for people who look at a run.

A chat template needs the model's tokenizer, so the model is loaded as the run loaded it; few-shot text needs neither.
Nothing that a database names is run: a domain that is a class of one's own has to be named again by who looks.
"""

from curriculum.domains.loading import code_named, load_domain
from roles.skills.sets import SkillSets
from selfplay.config import files as configuration
from selfplay.machine.errors import USAGE, Refused
from selfplay.model.weights.loading import load_model
from selfplay.run.build import prompt_style
from selfplay.run.build_model import dtype_of
from store.records import Side
from store.store import Store


def solver_prompt(store: Store, problem_id: str, domain_name: str | None = None) -> str:
    """The text before a first try at a problem, with the solver's newest skills. Raises Refused for a stored domain
    that is not ours, unless it is named in `domain_name`."""
    config = configuration.resumed(store.run().config_yaml, ())
    code = code_named(config.domain, config.domain_options).partition("=")[2]
    if code and domain_name != code:
        raise Refused(f"the run's domain is code of its own: if you trust it, add --domain {code}", USAGE)
    domain = load_domain(config.domain, config.domain_options)
    needs_tokenizer = config.prompts.style != "few_shot"
    tokenizer = load_model(config.model.name, dtype_of(config)).tokenizer if needs_tokenizer else None
    problem, _ = store.problem(problem_id)
    kept = SkillSets().after(each for _, each in store.skill_rounds()).solver.skills
    return prompt_style(config, domain, tokenizer).showing(Side.SOLVER, kept).solver(problem)
