"""Deliberate faults: each is put into a copy of the code, and the test that guards against it must turn red.

    python scripts/faults.py             all of docs/faults.md, about two minutes
    python scripts/faults.py NAME ...    some of it

A fault is one replaced piece of source. The copy is made anew in a temporary folder; the working tree is not touched.
Tests run in forked children of this process, which has imported what is slow to import and nothing of ours. Exit code 1
when a guard stays green, or is red without the fault.
"""

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import hypothesis  # noqa: F401
import numpy  # noqa: F401
import omegaconf  # noqa: F401
import pytest
import sqlalchemy  # noqa: F401
import torch  # noqa: F401
from transformers import AutoModelForCausalLM, LlamaForCausalLM  # noqa: F401

ROOT = Path(__file__).resolve().parent.parent
COPIED = ("selfplay", "roles", "curriculum", "store", "tests", "configs", "pyproject.toml")


@dataclass(frozen=True, slots=True)
class Fault:
    """`old` stands exactly once in `file`; with `new` in its place `guard` must fail."""

    name: str
    file: str
    old: str
    new: str
    guard: str


FAULTS = (
    Fault(
        "wrong mask",
        "selfplay/paths.py",
        "seen = keys <= own\n",
        "seen = keys <= own + 1\n",
        "tests/test_parity.py::test_tree_equals_flat_batch",
    ),
    Fault(
        "wrong positions",
        "selfplay/train/passes.py",
        "hidden = policy.tree_hidden(ids, torch.from_numpy(depths).to(device))",
        "hidden = policy.tree_hidden(ids, torch.arange(len(ids), device=device))",
        "tests/test_trainer.py::test_tree_and_flat_passes_make_the_same_update",
    ),
    Fault(
        "one temperature for all",
        "selfplay/train/passes.py",
        "rows = by_label[batch.labels[plan.pack.targets]]",
        "rows = np.ones(len(plan.pack.targets), dtype=np.float32)",
        "tests/test_parity.py::test_tree_equals_flat_batch",
    ),
    Fault(
        "temperatures left behind",
        "selfplay/build.py",
        "temperatures=_temperatures(config),",
        "temperatures={},",
        "tests/test_loop.py::test_each_role_is_trained_at_the_temperature_that_it_spoke_at",
    ),
    Fault(
        "plain group mean on turn two",
        "roles/advantages.py",
        "members = [i for i, (first, _) in enumerate(pairs) if first == before]",
        "members = list(range(len(pairs)))",
        "tests/test_learning.py::test_seven_kept_right_beside_one_mended",
    ),
    Fault(
        "division by the deviation",
        "roles/advantages.py",
        "return [scale * (r - mean) for r in rewards]",
        "return [scale * (r - mean) / (sum((x - mean) ** 2 for x in rewards) / n) ** 0.5 for r in rewards]",
        "tests/test_advantages.py::test_a_lone_success_is_not_amplified",
    ),
    Fault(
        "bonus on the first turn",
        "selfplay/learning.py",
        'own = [r[0] if settings.first_turn_reward == "own" else r[-1] for r in rewards]',
        "own = [r[0] + settings.correction_bonus * (r[-1] - r[0]) for r in rewards]",
        "tests/test_learning.py::test_the_bonus_is_for_the_second_turns_tokens_only",
    ),
    Fault(
        "banked group trained on",
        "selfplay/learning.py",
        "is_kept = has_signal(advantages) and not (banked and turn == 0)",
        "is_kept = has_signal(advantages)",
        "tests/test_learning.py::test_first_tries_of_a_banked_group_are_not_trained_and_its_second_looks_are",
    ),
    Fault(
        "stop token dropped from training",
        "selfplay/train/batch.py",
        "columns.add(tree.tail(sample.node, sample.num_tokens),",
        "columns.add(tree.tail(sample.node, sample.num_tokens)[:-1],",
        "tests/test_learning.py::test_the_stop_token_is_trained",
    ),
    Fault(
        "stop matched by a single token only",
        "selfplay/engine/sampling.py",
        "if any(s in text for s in stop)}",
        "if text in stop}",
        "tests/test_engine.py::test_any_token_that_holds_the_stop_ends_a_completion_and_belongs_to_it",
    ),
    Fault(
        "advantages merged over their signs",
        "selfplay/train/batch.py",
        "side = self.positive if advantage > 0 else self.negative",
        "side = self.positive",
        "tests/test_packing.py::test_advantages_are_summed_by_sign_and_scaled_by_all_said_tokens",
    ),
    Fault(
        "tokens counted per pack",
        "selfplay/train/trainer.py",
        "loss, facts = policy_loss(logprobs, sampler, positive, negative, settings.loss)",
        "loss, facts = policy_loss(logprobs, sampler, positive / len(rows), negative / len(rows), settings.loss)",
        "tests/test_trainer.py::test_how_the_batch_is_cut_does_not_change_the_update",
    ),
    Fault(
        "last pack instead of the sum",
        "selfplay/train/trainer.py",
        "self._grads[name].add_(parameter.grad)",
        "self._grads[name].copy_(parameter.grad)",
        "tests/test_trainer.py::test_how_the_batch_is_cut_does_not_change_the_update",
    ),
    Fault(
        "sign of the loss",
        "selfplay/train/loss.py",
        "return -(weight * gain).sum(), facts",
        "return (weight * gain).sum(), facts",
        "tests/test_trainer.py::test_rewarded_tokens_become_likelier_and_punished_ones_less",
    ),
    Fault(
        "NaN trained on",
        "selfplay/train/trainer.py",
        "if not (torch.isfinite(norm) and torch.isfinite(torch.tensor(loss))):",
        "if False:",
        "tests/test_trainer.py::test_a_number_that_is_none_stops_the_update_and_leaves_the_weights",
    ),
    Fault(
        "Adam's moments lost on resume",
        "selfplay/train/trainer.py",
        "self._optimizer.state[master] = state",
        "pass",
        "tests/test_trainer.py::test_a_run_goes_on_bit_for_bit_from_its_saved_state",
    ),
    Fault(
        "digest blind to order",
        "selfplay/train/trainer.py",
        "total.update(xxhash.xxh3_128_digest(tensor_bytes(master)))",
        "total.update(str(master.double().sum().item()).encode())",
        "tests/test_trainer.py::test_the_digest_sees_order_and_value",
    ),
    Fault(
        "KL to the start switched off",
        "selfplay/train/trainer.py",
        "loss = loss + (pull * kl).sum()",
        "loss = loss + (0 * kl).sum()",
        "tests/test_trainer.py::test_the_kl_term_holds_the_policy_near_its_start",
    ),
    Fault(
        "replay off",
        "selfplay/recovery.py",
        "trainer.step(TrainBatch.from_arrays(journal.arrays))",
        "journal.arrays.items()",
        "tests/test_recovery.py::test_replay_brings_the_weights_to_the_head_bit_for_bit",
    ),
    Fault(
        "replay unchecked",
        "selfplay/recovery.py",
        'if trainer.digest() != row.weights_digest:\n        comparison.disagrees(row.step, f"replaying',
        'if False:\n        comparison.disagrees(row.step, f"replaying',
        "tests/test_recovery.py::test_other_bits_in_the_same_environment_are_an_error",
    ),
    Fault(
        "sampler key without the version",
        "selfplay/engine/sampling.py",
        "repr((seed, *key, version))",
        "repr((seed, *key))",
        "tests/test_engine.py::test_another_policy_version_draws_anew",
    ),
    Fault(
        "one stream for a whole group",
        "selfplay/engine/sampling.py",
        "randoms=uniforms(seed, (*draw.key, i), version, draw.params.max_tokens)",
        "randoms=uniforms(seed, draw.key, version, draw.params.max_tokens)",
        "tests/test_engine.py::test_a_key_says_the_same_whatever_else_is_drawn",
    ),
    Fault(
        "old keys and values kept",
        "selfplay/engine/torch_engine.py",
        "        self._forget(None)\n",
        "        pass\n",
        "tests/test_engine.py::test_new_weights_forget_old_keys_and_values",
    ),
    Fault(
        "crowd not seen",
        "curriculum/novelty.py",
        "distances <= _NEAR",
        "distances < 0",
        "tests/test_scheduler.py::test_a_parent_in_a_crowd_makes_room_for_one_apart",
    ),
    Fault(
        "reach ignored",
        "curriculum/admission.py",
        "_BEYOND_REACH ** max(0, each.problem.level - reach)",
        "1.0",
        "tests/test_admission.py::test_what_lies_beyond_reach_waits",
    ),
    Fault(
        "never reached is no gap",
        "curriculum/families.py",
        "not (self.was_reached and is_unpractised)",
        "not is_unpractised",
        "tests/test_difficulty.py::test_the_frontier_is_the_highest_level_half_solved_lately",
    ),
    Fault(
        "held-out leak",
        "curriculum/admission.py",
        "if held_out.contains(statement.canonical):",
        "if False:",
        "tests/test_admission.py::test_no_admitted_problem_is_held_out",
    ),
    Fault(
        "unjudged counted as zero",
        "roles/judge.py",
        'if outcome is Outcome.UNJUDGED or (outcome is Outcome.TRUNCATED and settings.truncated == "unjudged"):',
        "if False:",
        "tests/test_judge.py::test_one_unjudged_turn_takes_its_attempt_out_of_everything",
    ),
    Fault(
        "control rewards counted as truth",
        "roles/judge.py",
        "right = [[turn.outcome is Outcome.CORRECT for turn in attempt.turns] for attempt in group.judged]",
        "right = [[turn.reward == 1.0 for turn in attempt.turns] for attempt in group.judged]",
        "tests/test_judge.py::test_control_rewards_do_not_change_what_is_counted",
    ),
    Fault(
        "challenger paid for the unsolved",
        "roles/rewards.py",
        "return 1.0 - pass_rate if pass_rate > 0.0 else 0.0",
        "return 1.0 - pass_rate",
        "tests/test_rewards.py::test_no_rule_leaves_its_range_or_pays_for_the_unsolved",
    ),
    Fault(
        "one baseline for all targets",
        "selfplay/learning.py",
        "advantages = group_advantages([reward for _, reward in measured], rule)",
        "advantages = [reward - 0.5 for _, reward in measured]",
        "tests/test_learning.py::test_each_target_is_a_group_with_its_own_baseline",
    ),
    Fault(
        "second look told the verdict",
        "roles/prompts.py",
        'check = f"Check: {seen}\\n" if self.feedback else ""',
        'check = f"{problem.answer not in previous.text} "',
        "tests/test_prompts.py::test_the_second_look_does_not_say_whether_the_first_was_right",
    ),
    Fault(
        "evaluation shares training's streams",
        "selfplay/evaluate.py",
        'role="evaluation",',
        'role="solver",',
        "tests/test_evaluate.py::test_evaluation_draws_from_streams_of_its_own",
    ),
    Fault(
        "KL on kept groups only",
        "selfplay/learning.py",
        "if not is_kept and label not in held:",
        "if not is_kept:",
        "tests/test_learning.py::test_a_held_label_gives_its_kl_every_token_and_the_loss_only_kept_groups",
    ),
    Fault(
        "stage I pays the first turn",
        "selfplay/build.py",
        "turn_label(0): 0.0 if is_first_stage else w.solver_first",
        "turn_label(0): w.solver_first",
        "tests/test_loop.py::test_stage_one_pays_second_looks_and_holds_first_tries",
    ),
    Fault(
        "stages forgotten on resume",
        "selfplay/opening.py",
        "stage_facts=facts",
        "stage_facts=[]",
        "tests/test_loop.py::test_a_staged_offline_run_goes_on_bit_for_bit",
    ),
    Fault(
        "self-evaluation paid to the answer",
        "selfplay/reports.py",
        "if not pay.is_shared:",
        "if pay.is_shared is None:",
        "tests/test_reports.py::test_a_self_evaluation_teaches_the_answer_nothing",
    ),
    Fault(
        "unreadable confidence paid nothing",
        "roles/rewards.py",
        'return -1.0 if rule == "brier" else math.log(LOG_FLOOR)',
        "return 0.0",
        "tests/test_rewards.py::test_silence_is_paid_worst",
    ),
    Fault(
        "nothing over nothing an error",
        "roles/rewards.py",
        "return 1.0 - abs(truth - prediction) / largest if largest > 0.0 else 1.0",
        "return 1.0 - abs(truth - prediction) / largest if largest > 0.0 else 0.0",
        "tests/test_rewards.py::test_an_honest_wrong_pays_only_when_nothing_over_nothing_is_no_error",
    ),
    Fault(
        "wrong first answers learned",
        "selfplay/lab/scratch.py",
        "parts += [(first, not is_wrong),",
        "parts += [(first, True),",
        "tests/test_lab_scratch.py::test_traces_are_right_where_they_are_learned_and_never_of_held_out_problems",
    ),
)


@contextmanager
def copied() -> Iterator[Path]:
    """A copy of the code and its tests, gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="selfplay-faults-") as folder:
        for name in COPIED:
            source, target = ROOT / name, Path(folder) / name
            if source.is_dir():
                shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, target)
        yield Path(folder)


def faulty(fault: Fault, source: str) -> str:
    """`source` with the fault in it. ValueError when its place is not there exactly once."""
    if source.count(fault.old) != 1:
        raise ValueError(f"{fault.name}: {fault.old!r} stands {source.count(fault.old)} times in {fault.file}")
    return source.replace(fault.old, fault.new)


def failure(folder: Path, guards: Sequence[str]) -> str | None:
    """Run tests in the copy, in a forked child; None when they pass, else the first line of what failed.

    RuntimeError when pytest neither passed nor failed: that would prove nothing.
    """
    log = folder / "log.txt"
    child = os.fork()
    if child == 0:
        code = 70
        try:
            os.chdir(folder)
            output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(output, 1)
            os.dup2(output, 2)
            # a slow machine is no failure, and a guard must fail by what it says itself
            code = pytest.main(["-x", "-q", "-n", "0", "-p", "no:cacheprovider", "-o", "timeout=0", *guards])
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    said = log.read_text(errors="replace")
    if os.waitstatus_to_exitcode(status) not in (0, 1):
        raise RuntimeError(f"pytest neither passed nor failed:\n{said[-3000:]}")
    if status == 0:
        return None
    return next((line[1:].strip() for line in said.splitlines() if line.startswith("E  ")), "no reason given")


def failure_with(folder: Path, fault: Fault) -> str | None:
    """How the guard fails with the fault, None if it does not; the copy is whole again afterwards."""
    path = folder / fault.file
    honest = path.read_text()
    path.write_text(faulty(fault, honest))
    try:
        return failure(folder, [fault.guard])
    finally:
        path.write_text(honest)


def main(names: Sequence[str]) -> int:
    unknown = set(names) - {fault.name for fault in FAULTS}
    if unknown:
        print(f"no such fault: {', '.join(sorted(unknown))}", file=sys.stderr)
        return 2
    sys.dont_write_bytecode = True  # a fault of the same length in the same second would not be seen
    chosen = [fault for fault in FAULTS if not names or fault.name in names]
    missed = 0
    with copied() as folder:
        if honest := failure(folder, sorted({fault.guard for fault in chosen})):
            print(f"a guard is red without any fault: {honest}", file=sys.stderr)
            return 1
        for fault in chosen:
            reason = failure_with(folder, fault)
            missed += reason is None
            print(f"{'red' if reason else 'STILL GREEN':12} {fault.name:38} {fault.guard}", flush=True)
            print(f"{'':12} {reason}"[:160], flush=True)
    print(f"{len(chosen) - missed} of {len(chosen)} faults turn their test red")
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
