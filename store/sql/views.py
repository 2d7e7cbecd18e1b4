"""Views for people who ask a run's database in SQL: each joins what belongs together, and reads the live branch alone.

They hold no data, so every upgrade makes them anew (store/upgrade.py). A view's description stands here and nowhere
else; docs/database.md, the page and `inspect sql` show it. Left out: what the curriculum folds of history, which no
query can say; only what it stored with each step is here (`state`, `foretold_rate`).
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class View:
    """A query with a name. `description` is one sentence without its full stop."""

    description: str
    query: str


VIEWS = {
    "v_problems": View(
        "The curriculum's problems as they stand now: state, foretold pass rate, how often tried and right",
        """
SELECT p.problem_id, p.domain, p.text AS problem, p.answer AS right_answer, p.family, p.level, p.origin, p.parent_id,
    admitted.step AS admitted_step,
    CASE WHEN r.problem_id IS NULL THEN 'NEW' ELSE r.state END AS state, r.rate AS foretold_rate, r.step AS last_step,
    coalesce(r.all_attempts, 0) AS attempts, coalesce(r.all_successes, 0) AS successes
FROM problems p
JOIN steps admitted ON admitted.step_id = p.admitted_step_id AND admitted.status = 'LIVE'
LEFT JOIN (
    SELECT m.problem_id, m.state, m.rate, s.step,
        sum(m.attempts) OVER (PARTITION BY m.problem_id) AS all_attempts,
        sum(m.successes) OVER (PARTITION BY m.problem_id) AS all_successes,
        row_number() OVER (PARTITION BY m.problem_id ORDER BY s.step DESC) AS place
    FROM pass_rates m JOIN steps s ON s.step_id = m.step_id AND s.status = 'LIVE'
) r ON r.problem_id = p.problem_id AND r.place = 1""",
    ),
    "v_problem_history": View(
        "A problem's history, one row for each step that tried it: right first tries, second looks, rates",
        """
SELECT m.problem_id, s.step, p.text AS problem, p.family, p.level, m.policy_version, m.attempts, m.successes,
    CAST(m.successes AS REAL) / nullif(m.attempts, 0) AS pass_rate,
    lag(m.rate) OVER (PARTITION BY m.problem_id ORDER BY s.step) AS foretold_before, m.rate AS foretold_rate, m.state,
    m.kept, m.broken, m.fixed, m.missed
FROM pass_rates m
JOIN steps s ON s.step_id = m.step_id AND s.status = 'LIVE'
JOIN problems p ON p.problem_id = m.problem_id""",
    ),
    "v_family_by_step": View(
        "A family in each step that tried one of its problems: right first tries, second looks, foretold rate",
        """
SELECT s.step, p.family, count(*) AS problems, sum(m.attempts) AS attempts, sum(m.successes) AS successes,
    CAST(sum(m.successes) AS REAL) / nullif(sum(m.attempts), 0) AS pass_rate, avg(m.rate) AS foretold_rate,
    sum(m.kept) AS kept, sum(m.broken) AS broken, sum(m.fixed) AS fixed, sum(m.missed) AS missed
FROM pass_rates m
JOIN steps s ON s.step_id = m.step_id AND s.status = 'LIVE'
JOIN problems p ON p.problem_id = m.problem_id
GROUP BY s.step, p.family""",
    ),
    "v_turns": View(
        "Everything the solver said: one row for each turn of each attempt, with its problem, verdict and reward",
        """
SELECT s.step, t.problem_id, p.text AS problem, p.answer AS right_answer, p.family, p.level, t.attempt, t.turn,
    t.text AS said, t.answer, t.outcome, t.score, t.reward, t.parts, t.error, t.finish, t.num_tokens,
    a.first_version, a.last_version, a.report, a.confidence
FROM turns t
JOIN steps s ON s.step_id = t.step_id AND s.status = 'LIVE'
JOIN attempts a ON a.step_id = t.step_id AND a.problem_id = t.problem_id AND a.attempt = t.attempt
JOIN problems p ON p.problem_id = t.problem_id""",
    ),
    "v_proposals_paid": View(
        "Every proposal of the challenger: its parent, its fate, its pay, and how the problem it became fared then",
        """
SELECT s.step, q.target, q.proposal_index, q.parent_id, parent.text AS parent, parent.level AS parent_level,
    q.text AS said, q.fate, q.reward, q.problem_id, p.family, p.level, m.attempts, m.successes,
    CAST(m.successes AS REAL) / nullif(m.attempts, 0) AS pass_rate
FROM proposals q
JOIN steps s ON s.step_id = q.step_id AND s.status = 'LIVE'
JOIN problems parent ON parent.problem_id = q.parent_id
LEFT JOIN problems p ON p.problem_id = q.problem_id
LEFT JOIN pass_rates m ON m.step_id = q.step_id AND m.problem_id = q.problem_id AND q.fate = 'ACCEPTED'""",
    ),
    "v_lineage": View(
        "Which problem was made into which: each with its root, its depth below it, and the path of ids from there",
        """
WITH RECURSIVE live AS (
    SELECT p.problem_id, p.text, p.family, p.level, p.origin, p.parent_id, s.step AS admitted_step
    FROM problems p JOIN steps s ON s.step_id = p.admitted_step_id AND s.status = 'LIVE'
),
line AS (
    SELECT live.*, live.problem_id AS root_id, 0 AS depth, live.problem_id AS path
    FROM live WHERE live.parent_id IS NULL
    UNION ALL
    SELECT live.*, line.root_id, line.depth + 1, line.path || '/' || live.problem_id
    FROM line JOIN live ON live.parent_id = line.problem_id
)
SELECT line.problem_id, line.text AS problem, line.family, line.level, line.origin, line.admitted_step, line.parent_id,
    parent.text AS parent, line.root_id, root.text AS root, line.depth, line.path
FROM line
JOIN problems root ON root.problem_id = line.root_id
LEFT JOIN problems parent ON parent.problem_id = line.parent_id""",
    ),
    "v_evaluations": View(
        "Held-out accuracy: one row for each evaluation of a set at a step, with 95% intervals",
        """
SELECT s.step, e.set_name, e.kind, length(e.outcomes) AS problems,
    json_extract(e.metrics, '$.acc_t1') AS first_try, json_extract(e.metrics, '$.acc_t1_low') AS first_try_low,
    json_extract(e.metrics, '$.acc_t1_high') AS first_try_high, json_extract(e.metrics, '$.acc_t2') AS second_look,
    json_extract(e.metrics, '$.acc_t2_low') AS second_look_low,
    json_extract(e.metrics, '$.acc_t2_high') AS second_look_high, e.committed_at
FROM evaluations e
JOIN steps s ON s.step_id = e.step_id AND s.status = 'LIVE'""",
    ),
    "v_held_out_answers": View(
        "Which member of which held-out set was right at which step, at the first try and at the last turn",
        """
SELECT s.step, e.set_name, e.kind, h.position, h.text AS problem, h.family, h.level, h.answer AS right_answer,
    substr(e.outcomes, h.position + 1, 1) IN ('2', '3') AS first_right,
    substr(e.outcomes, h.position + 1, 1) IN ('1', '3') AS last_right
FROM evaluations e
JOIN steps s ON s.step_id = e.step_id AND s.status = 'LIVE'
JOIN held_out h ON h.set_name = e.set_name AND h.position < length(e.outcomes)""",
    ),
    "v_metrics": View(
        "The figures of every step, one row each, by the names of docs/metrics.md",
        """
SELECT s.step, j.key AS name, CAST(j.value AS REAL) AS value
FROM steps s, json_each(s.metrics) j
WHERE s.status = 'LIVE'""",
    ),
    "v_rewards": View(
        "What was paid in each step, by role and turn: how many, their mean, least and most, and how many were right",
        """
SELECT s.step, 'solver' AS role, t.turn, count(*) AS number, avg(t.reward) AS mean_reward,
    min(t.reward) AS least_reward, max(t.reward) AS most_reward, sum(t.outcome = 'CORRECT') AS successes
FROM turns t JOIN steps s ON s.step_id = t.step_id AND s.status = 'LIVE'
WHERE t.reward IS NOT NULL GROUP BY s.step, t.turn
UNION ALL
SELECT s.step, 'challenger', NULL, count(*), avg(q.reward), min(q.reward), max(q.reward), NULL
FROM proposals q JOIN steps s ON s.step_id = q.step_id AND s.status = 'LIVE'
WHERE q.reward IS NOT NULL GROUP BY s.step""",
    ),
    "v_reward_parts": View(
        "What the solver's rewards were the sum of: each part's mean in each step and turn",
        """
SELECT s.step, t.turn, j.key AS part, count(*) AS number, avg(j.value) AS mean_reward
FROM turns t JOIN steps s ON s.step_id = t.step_id AND s.status = 'LIVE', json_each(t.parts) j
GROUP BY s.step, t.turn, j.key""",
    ),
    "v_alarms": View(
        "What went wrong with the run: each alarm with the step it began at and the one it was over at, if it was",
        """
SELECT a.name, s.step, (
        SELECT min(ended.step) FROM alarms o JOIN steps ended ON ended.step_id = o.step_id AND ended.status = 'LIVE'
        WHERE o.name = a.name AND o.event = 'OVER' AND ended.step > s.step
    ) AS over_step, a.figure, a.threshold, a.text, a.advice
FROM alarms a JOIN steps s ON s.step_id = a.step_id AND s.status = 'LIVE'
WHERE a.event = 'RAISED'""",
    ),
    "v_disagreements": View(
        "Turns that were paid by one verdict, and of which other means say the reverse",
        """
SELECT s.step, d.problem_id, p.text AS problem, p.answer AS right_answer, d.attempt, d.turn, t.text AS said, t.answer,
    d.outcome, d.is_right, d.means, t.reward
FROM disagreements d
JOIN steps s ON s.step_id = d.step_id AND s.status = 'LIVE'
JOIN turns t ON t.step_id = d.step_id AND t.problem_id = d.problem_id AND t.attempt = d.attempt AND t.turn = d.turn
JOIN problems p ON p.problem_id = d.problem_id""",
    ),
    "v_skills": View(
        "The skills that challenger and solver wrote for themselves: each set, with the step that first showed it",
        """
SELECT s.step, k.side, r.version, k.position, k.name, k.body, k.since_version, r.action, r.reason
FROM skills k
JOIN steps s ON s.step_id = k.step_id AND s.status = 'LIVE'
JOIN skill_rounds r ON r.step_id = k.step_id AND r.side = k.side""",
    ),
    "v_foretold": View(
        "First groups: what was foretold of each problem before anybody had tried it, by two rules, and what came",
        """
SELECT s.step, f.problem_id, p.text AS problem, p.family, p.level, f.beta_mean, f.beta_strength, f.features_mean,
    f.features_strength, m.attempts, m.successes, CAST(m.successes AS REAL) / nullif(m.attempts, 0) AS pass_rate
FROM foretold f
JOIN steps s ON s.step_id = f.step_id AND s.status = 'LIVE'
JOIN problems p ON p.problem_id = f.problem_id
JOIN pass_rates m ON m.step_id = f.step_id AND m.problem_id = f.problem_id""",
    ),
    "v_experiences": View(
        "What came of actions that nobody was paid for: each with its problem and state, and what was said of it",
        """
SELECT s.step, e.problem_id, p.text AS problem, p.family, p.level, e.state_index, e.place, e.state, e.action,
    e.next_state, e.is_expert, e.is_right, e.policy_version, e.reflection, e.is_kept
FROM experiences e
JOIN steps s ON s.step_id = e.step_id AND s.status = 'LIVE'
JOIN problems p ON p.problem_id = e.problem_id""",
    ),
}
