"""The configuration: strict, documented, and free of anything that could run or leak."""

import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from curriculum.domains.loading import DOMAINS, load_domain
from curriculum.domains.seed_files import DomainError
from curriculum.holdout import HeldOut
from curriculum.settings import CurriculumSettings
from roles.judging.by_majority import MajoritySettings
from roles.judging.by_model import ModelJudgeSettings
from roles.search.credit import CreditSettings
from roles.search.critics import CriticWeights
from roles.search.mcts import SearchSettings
from selfplay.config.checking import all_keys, idle
from selfplay.config.declared import Key, declared
from selfplay.config.files import curriculum_settings, digest, keys, load, resumed, to_yaml
from selfplay.config.keys import Config, CurriculumConfig
from selfplay.config.listing import listed
from selfplay.machine.errors import ConfigError
from selfplay.train.critic import CriticSettings
from selfplay.train.loss import LossSettings
from selfplay.train.trainer import TrainerSettings

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = sorted((ROOT / "configs").glob("*.yaml"))


def refusal(*overrides: str) -> str:
    """The one line that `overrides` are refused with."""
    with pytest.raises(ConfigError) as caught:
        load(None, overrides)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.name)
def test_every_shipped_file_loads(file: Path) -> None:
    assert load(file, []).run.name == f"{file.stem}-seed0"


def test_the_shipped_files_are_there() -> None:
    assert {"default.yaml", "tiny.yaml"} <= {file.name for file in SHIPPED}


EVERYTHING = tuple(declared(Config))
RULED = [each for each in EVERYTHING if each.rule is not None]
ENUMERATED = [each for each in EVERYTHING if each.choices]
DEFAULTS = OmegaConf.structured(load(None, []))


def test_every_key_and_section_has_a_help_of_some_words() -> None:
    assert len(EVERYTHING) > len(keys()) > 100
    least = {each.name: 2 if each.is_section else 3 for each in EVERYTHING}
    assert [each.name for each in EVERYTHING if len(each.help.split()) < least[each.name]] == []
    assert [each.name for each in EVERYTHING if "\n" in each.help or each.help.endswith(".")] == []


@pytest.mark.parametrize("key", RULED, ids=lambda key: key.name)
def test_every_rule_takes_the_default_and_refuses_something(key: Key) -> None:
    assert key.rule is not None
    odd = ("", "no such value", -1e9, 1e12, [], [1.5, 0.5], None)
    assert key.rule.holds(OmegaConf.select(DEFAULTS, key.name))
    assert not all(key.rule.holds(value) for value in odd)


@pytest.mark.parametrize("key", ENUMERATED, ids=lambda key: key.name)
def test_an_enumerated_key_takes_its_choices_and_its_help_names_each(key: Key) -> None:
    assert key.rule is not None
    assert [choice for choice in key.choices if re.search(rf"(?<!\w){choice}(?!\w)", key.help) is None] == []
    assert all(key.rule.holds(choice) for choice in key.choices) and not key.rule.holds(f"{key.choices[0]}x")
    assert refusal(f"{key.name}=x") == f"{key.name} is 'x': it must be one of {', '.join(key.choices)}"


def test_every_number_and_every_folder_has_a_rule() -> None:
    """Keys without one are switches, lists of layers, what a domain is, and the curriculum's, which checks its own."""
    left = {each.name for each in EVERYTHING if each.rule is None and not each.is_section}
    switches = {name for name in left if isinstance(OmegaConf.select(DEFAULTS, name), bool)}
    curriculum = {name for name in left if name.startswith("curriculum.")}
    assert left - switches - curriculum == {
        "domain", "domain_options", "policy.lora.target_modules", "train.mask", "challenger.aim",
        "evaluate.sets",
    }  # fmt: skip


def test_the_list_of_keys_is_a_configuration_file_that_says_what_each_is(tmp_path: Path) -> None:
    file, said = tmp_path / "all.yaml", listed()
    file.write_text(said)
    assert load(file, ["run.name=x"]) == load(None, ["run.name=x"])
    assert max(map(len, said.splitlines())) < 120
    words = " ".join(said.replace("#", " ").split())
    assert [each.name for each in EVERYTHING if " ".join(each.help.split()) not in words] == []


def test_settings_that_have_defaults_have_those_of_their_keys() -> None:
    """What is made without a configuration, in a benchmark for one, is made as a run would make it."""
    config = Config()
    sections = {
        TrainerSettings: config.train,
        LossSettings: config.train,
        SearchSettings: config.judge.search,
        CriticWeights: config.judge.critics,
        CriticSettings: config.judge.critics,
        CreditSettings: config.judge.credit,
        ModelJudgeSettings: config.judge.model,
        MajoritySettings: config.judge.majority,
        CurriculumSettings: config.curriculum,
    }
    for made, of in sections.items():
        names = {each.name for each in fields(made)} & {each.name for each in fields(of)}
        plain = {name: getattr(made(), name) for name in names - {"rule"}}
        wanted = {name: getattr(of, name) for name in plain}
        assert plain and {k: list(v) if isinstance(v, tuple) else v for k, v in plain.items()} == wanted, made


def test_curriculum_keys_and_defaults_agree_with_its_settings() -> None:
    names = {field.name for field in fields(CurriculumConfig)} - {"rescue"}  # its kind is a record's (Rescuer)
    keys_here = {name: getattr(Config().curriculum, name) for name in names}
    known = {field.name for field in fields(CurriculumSettings)}
    assert keys_here.keys() == known - {"group_size"}, "every setting of the curriculum is a key"
    assert keys_here == {name: getattr(CurriculumSettings(), name) for name in keys_here}


def test_the_curriculum_is_told_how_large_a_group_is() -> None:
    assert curriculum_settings(load(None, ["solver.group_size=16"])).group_size == 16


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        ([], []),
        (
            ["train.clip_low=0.1"],
            ["train.clip_low=0.1 does nothing while train.anchor is policy: the ratio is always 1"],
        ),
        (["train.clip_low=0.1", "train.anchor=sampler"], []),
        (
            ["train.clip_high=0.3", "train.anchor=sampler", "train.imitation=rft"],
            ["train.clip_high=0.3 does nothing while train.imitation is set"],
        ),
        (["train.importance_mode=sequence_mask", "train.importance_cap=3"], []),
        (
            ["train.importance_mode=none", "train.importance_cap=3"],
            ["train.importance_cap=3.0 does nothing while train.importance_mode is none"],
        ),
        (
            ["train.importance_mode=none", "train.anchor=sampler"],
            ["train.importance_mode=none does nothing while train.anchor is sampler: the ratio bounds the mismatch"],
        ),
        (
            ["train.importance_cap=3", "train.imitation=rft"],
            ["train.importance_cap=3.0 does nothing while train.imitation is set"],
        ),
        (["challenger.gate=strict", "challenger.aim=add2", "challenger.aim_weight=0.2"], []),
        (["challenger.aim_weight=0.2"], ["challenger.aim_weight=0.2 does nothing while challenger.aim is empty"]),
        (
            ["challenger.gate=loose", "challenger.source=frozen"],
            ["challenger.gate=loose does nothing while challenger.source is frozen: no challenger is trained"],
        ),
        (["policy.lora.r=4", "policy.lora.per_role=true"], []),
        (
            ["policy.lora.r=4", "policy.lora.per_role=true", "challenger.source=none"],
            ["policy.lora.per_role=true does nothing while challenger.source is none: no challenger is trained"],
        ),
    ],
)
def test_a_bound_that_cannot_act_is_said(overrides: list[str], said: list[str]) -> None:
    """Case 7."""
    assert idle(load(None, overrides)) == said


@pytest.mark.parametrize("name", ["default", "python", "lab/format-collapse"])
def test_a_configuration_is_written_as_omegaconf_writes_it(name: str) -> None:
    """Its digest is in the store of every run."""
    config = load(ROOT / "configs" / f"{name}.yaml", [])
    assert to_yaml(config) == OmegaConf.to_yaml(OmegaConf.structured(config))


def test_torch_is_not_imported() -> None:
    code = "import sys, selfplay.config.files; sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_arguments_win_over_the_file_and_the_file_over_defaults(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("run: {steps: 7, threads: 1}\nseed: 3\n")
    config = load(file, ["run.steps=9", "train.learning_rate=2e-5"])
    assert (config.run.steps, config.run.threads, config.seed) == (9, 1, 3)
    assert config.train.learning_rate == 2e-5
    assert config.solver.group_size == Config().solver.group_size
    assert config.run.name == "mine-seed3"


def test_a_file_with_odd_letters_gives_a_usable_run_name(tmp_path: Path) -> None:
    file = tmp_path / "my config (2).yaml"
    file.write_text("seed: 1")
    assert load(file, []).run.name == "my-config-2-seed1"


@pytest.mark.parametrize("name", ["007", "0730", "12e4567", "true", "null", "2024-01-01", "a.b_c-d"])
def test_a_run_name_is_taken_as_typed(name: str) -> None:
    assert load(None, [f"run.name={name}"]).run.name == name


@pytest.mark.parametrize(
    "name", ["a b", "a/b", "..", ".", "../x", "x" * 65, "-x", "a.yaml", "a.yml", "a=b", "é", "a\n"]
)
def test_a_name_that_is_no_folder_or_cannot_be_resumed_is_refused(name: str) -> None:
    assert refusal(f"run.name={name}").startswith("run.name is ")


@pytest.mark.parametrize(
    ("override", "named", "nearest"),
    [
        ("train.learning_rat=1", "train.learning_rat", "train.learning_rate"),
        ("solver.group_sise=4", "solver.group_sise", "solver.group_size"),
        ("trian.kl_coef=1", "trian", "train.kl_coef"),
        ("group_size=4", "group_size", "solver.group_size"),
        ("policy.lora.rank=4", "policy.lora.rank", "policy.lora.r"),
        ("model.lora.r=4", "model.lora", "policy.lora.alpha"),
        ("solver.kl_coef=1", "solver.kl_coef", "train.kl_coef"),
    ],
)
def test_an_unknown_key_is_named_with_the_nearest_known_one(override: str, named: str, nearest: str) -> None:
    line = refusal(override)
    assert line.startswith(f"'{named}' is not a configuration key")
    if named != "trian":
        assert line.endswith(f"did you mean {nearest}?")


def test_an_unknown_key_in_a_file_is_refused_too(tmp_path: Path) -> None:
    file = tmp_path / "typo.yaml"
    file.write_text("train:\n  learning_rte: 1.0e-5\n")
    with pytest.raises(ConfigError, match=r"^'train.learning_rte' .* train.learning_rate\?$"):
        load(file, [])


@pytest.mark.parametrize(
    "override",
    ["run.steps=1.5", "run.steps=true", "run.steps=many", "run.steps=null", "run.steps=???", "train.learning_rate=fast",
     "train.betas=3", "train.betas=[a,b]", "train.merge=perhaps", "domain_options=3", "train.weights=3",
     "run=5", "seed="],
)  # fmt: skip
def test_a_wrong_type_names_the_key(override: str) -> None:
    assert refusal(override).startswith(override.split("=")[0])


@pytest.mark.parametrize(
    "override",
    ["train.learning_rate=-1e-5", "train.learning_rate=0", "train.learning_rate=nan", "train.learning_rate=inf",
     "solver.group_size=1", "solver.turns=0", "solver.problems=0", "challenger.proposals=1", "challenger.source=mirror",
     "challenger.invalid_reward=0.5", "judge.rewards=[]", "judge.rewards=[{weight: 1}]", "judge.reward_seconds=0",
     "judge.truncated=maybe", "judge.correction_bonus=-1",
     "train.betas=[0.9]", "train.betas=[0.9,1.0]", "train.clip_low=1", "train.importance_cap=0.5", "train.grad_clip=0",
     "train.pass_mode=forest", "train.advantage=z", "train.anchor=none", "curriculum.forgetting=0",
     "curriculum.forgetting=1.1", "curriculum.band_low=0.95", "curriculum.min_new_share=0.9", "model.dtype=int8",
     "model.name=", "run.device=tpu", "run.steps=0", "run.threads=0", "run.dir=", "seed=-1", "policy.lora.r=-1",
     "evaluate.every=0", "prompts.style=haiku", "resume.mode=guess", "logging.transcript_every=-1",
     "evaluate.holdout_key=", "evaluate.holdout_key=" + 33 * "é", "evaluate.holdout_key=\udcff",
     "run.threads=100000", "solver.max_tokens=99999999999999999999", "challenger.max_tokens=1000000",
     "solver.report_tokens=1000000", "train.pack_tokens=99999999999999999999", "run.steps=99999999999999999999",
     "policy.lora.target_modules={}", "train.betas={a: b}", "domain_options=[1]", "judge.rewards=verdict",
     "judge.rewards=", "domain_options=3"],
)  # fmt: skip
def test_an_impossible_value_names_the_key(override: str) -> None:
    assert refusal(override).startswith(f"{override.split('=')[0]} is ")


def test_adapters_need_layers_to_be_in() -> None:
    line = refusal("policy.lora.r=4", "policy.lora.target_modules=[]")
    assert line.startswith("policy.lora.target_modules is []")
    assert load(None, ["policy.lora.target_modules=[]"]).policy.lora.r == 0  # where there are no adapters, no matter


@pytest.mark.parametrize("others", [[], ["policy.lora.r=4", "engine.kind=vllm"]], ids=str)
def test_adapters_per_role_need_adapters_and_a_sampler_in_this_process(others: list[str]) -> None:
    line = refusal("policy.lora.per_role=true", *others)
    assert line.startswith("policy.lora.per_role is True: it must be false while ")


def test_the_longest_key_of_held_out_problems_is_one_that_the_hash_takes() -> None:
    config = load(None, ["evaluate.holdout_key=" + 64 * "k"])
    assert HeldOut(load_domain(config.domain), config.evaluate.holdout_key).sets


@pytest.mark.parametrize("value", ["${oc.env:CANARY}", "x${seed}", "${oc.env:NOT_SET,here}", "${"])
@pytest.mark.parametrize("key", ["run.name", "run.steps", "domain_options.path", "model.name"])
def test_interpolation_is_refused(key: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CANARY", "secret-value")
    line = refusal(f"{key}={value}")
    assert line.startswith(key.split(".path")[0])
    assert "secret-value" not in line


def test_interpolation_hidden_in_a_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "sly.yaml"
    file.write_text('domain_options: {a: {b: ["\\x24{oc.env:HOME}"]}}')
    with pytest.raises(ConfigError, match="interpolation"):
        load(file, [])


def test_a_file_runs_no_code(tmp_path: Path) -> None:
    trace, file = tmp_path / "trace", tmp_path / "bad.yaml"
    file.write_text(f"run:\n  name: !!python/object/apply:os.system ['touch {trace}']\n")
    with pytest.raises(ConfigError, match="not YAML"):
        load(file, [])
    assert not trace.exists()


def test_what_is_wrong_with_a_file_is_said_with_its_place(tmp_path: Path) -> None:
    file = tmp_path / "twice.yaml"
    file.write_text("run:\n  steps: 2\nrun:\n  steps: 3\n")
    with pytest.raises(ConfigError, match=r"not YAML \(found duplicate key run, line 3, column 1\)$"):
        load(file, [])


@pytest.mark.parametrize(
    "content", [b"run: [", b"- a\n- b\n", b"\xff\xfe\x00", b"just words", b"a: 1\na: 2\n", b"1: 2\n", b"run:\n"]
)
def test_a_file_that_is_no_configuration_is_one_line(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "bad.yaml"
    file.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        load(file, [])
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.yaml"):
        load(tmp_path / "nowhere.yaml", [])


ODD = (  # values that a shell, a YAML file or a careless hand may bring
    *("[[0.9,0.9],[1]]", "[[..]]", "[null]", "[1,[2]]", "[]", "[1,2", "[-.inf, .nan]", "[0.9,true]", "!!omap [a: 1]"),
    *("{a: [b]}", "{1: 2}", "{}", "{? [a] : b}", "&a [*a]", "null", "''", "nan", "1e999", "-1", "9" * 30, "true"),
    *("2024-01-01", "!!binary aGk=", "!!set {a}", "${oc.env:HOME}", "${seed}", "???", "\ud800", "\udcff", "a\0b"),
    *("~nobody/x", "..x:Y", "a..b:C", "a\nb", "\x1f\n", "x" * 5000, '"\\ud800"', "\x1b[31m"),
)
ODD_KEYS = ("domain_options.x", "run", "policy.lora", "", "=", ".", "run.", "run[0]", "train.betas[0]", "\0", "\udcff")
RISKY = ("run.dir", "run.name", "policy.lora.target_modules", "train.betas")


def refused_or_kept(key: str, value: str) -> None:
    """One line that names the key, or a configuration that a file and a database take."""
    try:
        config = load(None, [f"{key}={value}"])
    except ConfigError as error:
        assert "\n" not in str(error)
        assert key not in keys() or key in str(error), str(error)
    else:
        held = list(texts_in(asdict(config)))
        assert "".join(held).encode() and not any("\0" in text for text in held)  # YAML spells a NUL without one
        assert max(map(len, held)) <= 4096, "no path is longer"


def texts_in(value: Any) -> Iterator[str]:
    """Every text in plain data, names included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list | tuple):
        for each in value.items() if isinstance(value, dict) else value:
            yield from texts_in(each)


@pytest.mark.parametrize("key", RISKY)
def test_odd_values_are_refused_by_their_keys_name(key: str) -> None:
    """Case 42: nested lists, names of 5,000 characters, bytes that are no UTF-8."""
    for value in ODD:
        refused_or_kept(key, value)


@settings(max_examples=60, deadline=None)
@given(key=st.sampled_from((*keys(), *ODD_KEYS)), value=st.sampled_from(ODD) | st.text(max_size=12))
def test_no_key_takes_an_odd_value_apart(key: str, value: str) -> None:
    """Case 42, for every key."""
    refused_or_kept(key, value)


@pytest.mark.parametrize("name", ["arithmetic", "chains", "countdown", "factors", "sorting", "sums"])
def test_a_wrong_domain_option_is_named_with_those_that_exist(name: str) -> None:
    """Case 42: five wrong ones ended in a line that named no key."""
    options = list(inspect.signature(DOMAINS[name]).parameters)  # type: ignore[arg-type]
    with pytest.raises(DomainError) as caught:
        load_domain(name, {"bogus": 1})
    assert str(caught.value) == (
        f"domain_options.bogus: domain {name} has no such option; its options: {', '.join(options)}"
    )
    for option in options:
        for value in (-1, [[1]], {"a": 1}, 10**30, float("nan"), "a\0b"):
            with pytest.raises(DomainError, match=f"domain_options.*{option}") as caught:
                load_domain(name, {option: value}).seeds()
            assert "\n" not in str(caught.value)


@settings(max_examples=60, deadline=None)
@given(
    key=st.sampled_from(keys()) | st.text(max_size=12),
    value=st.text(max_size=12) | st.sampled_from(["[", "{a: b}", "1e999", "-0", "~", "!!python/none", "${x}", "&a *a"]),
)
def test_any_argument_gives_a_configuration_or_a_config_error(key: str, value: str) -> None:
    with suppress(ConfigError):
        assert isinstance(load(None, [f"{key}={value}"]), Config)


@settings(max_examples=8, deadline=None)
@given(
    rate=st.floats(1e-9, 1e3),
    name=st.from_regex(r"[a-z0-9][A-Za-z0-9_-]{0,20}", fullmatch=True),
    seed=st.integers(0, 9**9),
)
def test_a_saved_configuration_reads_back_the_same(rate: float, name: str, seed: int) -> None:
    config = load(None, [f"train.learning_rate={rate!r}", f"run.name={name}", f"seed={seed}", "domain_options.a=[1,x]"])
    assert config.train.learning_rate == rate
    assert resumed(to_yaml(config), []) == config
    assert digest(resumed(to_yaml(config), [])) == digest(config)


@pytest.mark.slow
def test_the_digest_sees_every_key() -> None:
    base = digest(Config())
    changed: dict[str, Any] = {key: None for key in keys()}
    for key in keys():
        node = OmegaConf.structured(Config)
        value = OmegaConf.select(node, key)
        if isinstance(value, bool):
            OmegaConf.update(node, key, not value)
        elif isinstance(value, int | float):
            OmegaConf.update(node, key, value + 1)
        elif choices := all_keys()[key].choices:
            OmegaConf.update(node, key, next(each for each in choices if each != value))
        elif isinstance(value, str):
            OmegaConf.update(node, key, f"{value}x")
        else:
            OmegaConf.update(node, key, {"a": 1} if OmegaConf.is_dict(value) else [*value, *value] or ["a"])
        changed[key] = digest(OmegaConf.to_object(node))  # type: ignore[arg-type]
    assert base not in changed.values()
    assert len(set(changed.values())) == len(keys())


def test_on_resume_only_the_future_may_change() -> None:
    stored = to_yaml(load(None, ["run.name=a", "seed=5", "run.steps=10"]))
    config = resumed(
        stored,
        ["run.steps=20", "evaluate.every=5", "logging.transcript_every=0", "resume.mode=rewind", "engine.kind=vllm"],
    )
    assert (config.run.steps, config.evaluate.every, config.resume.mode, config.seed) == (20, 5, "rewind", 5)
    assert config.engine.kind == "vllm"


@pytest.mark.parametrize(
    "override",
    ["seed=6", "run.name=b", "run.threads=1", "train.learning_rate=1e-4", "train[learning_rate]=1e-4", "domain=other",
     "domain_options.x=1", "evaluate.holdout_key=other", "evaluate[holdout_key]=other", "model.name=tiny-llama"],
)  # fmt: skip
def test_on_resume_what_made_the_past_may_not_change(override: str) -> None:
    stored = to_yaml(load(None, ["run.name=a", "seed=5"]))
    key = override.split("=")[0].replace("[", ".").replace("]", "").replace("domain_options.x", "domain_options")
    with pytest.raises(ConfigError, match=rf"^{key} cannot change on resume"):
        resumed(stored, [override])


def test_on_resume_a_typo_and_an_impossible_value_are_refused_as_ever() -> None:
    stored = to_yaml(load(None, ["run.name=a"]))
    with pytest.raises(ConfigError, match=r"run\.step.*did you mean run\.steps"):
        resumed(stored, ["run.step=20"])
    with pytest.raises(ConfigError, match=r"^run\.steps is 0"):
        resumed(stored, ["run.steps=0"])


def test_a_damaged_stored_configuration_is_one_line() -> None:
    with pytest.raises(ConfigError, match=r"^the stored configuration: not YAML"):
        resumed("run: [", [])


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["judge.credit.rule=tree"], "judge.credit.rule"),
        (["train.imitation=best_path"], "train.imitation"),
        (["judge.search.when=every", "solver.source=frozen"], "judge.search.when"),
        (["judge.search.when=every", "judge.search.rollouts=0"], "judge.search.rollouts"),
        (["judge.search.when=every", "judge.search.max_first=3"], "judge.search.max_first"),
        (["judge.search.when=sometimes"], "judge.search.when"),
    ],
)
def test_searches_that_cannot_be_are_refused(overrides: list[str], said: str) -> None:
    assert refusal(*overrides).startswith(said)
