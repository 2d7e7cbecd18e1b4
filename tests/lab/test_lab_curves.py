"""Curves of what was found by how much was spent: worked by hand, against the scalar measures, and on the page."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from lab_rows import SETS, made_row

from selfplay.lab.experiments.experiment import Arm, Column, Experiment
from selfplay.lab.pages.page import write_page
from selfplay.lab.rows import Row
from selfplay.lab.verdict.criteria import Criterion
from selfplay.lab.verdict.curves import Curves, drawn_panels, search_curves
from selfplay.lab.verdict.intervals import interval, intervals
from selfplay.lab.verdict.measures import acc_t1, best_of_within, found_by, of, search_within
from selfplay.lab.verdict.views import cell_views

# tokens/nodes until search was right, the same of best-of-N, and the vote; a budget of 8 tokens cuts 9 and 10 off
BY_HAND = "3/2/4/1/0 5/4/-/-/1 9/1/1/3/0 -/-/10/2/1"
NONE = "-/-/-/-/0 -/-/-/-/0 -/-/-/-/0 -/-/-/-/0"


def searched(arm: str, seed: int, text: str) -> Row:
    """A cell with one set of four problems; greedy answers solve the first, at 6 tokens a problem."""
    return replace(
        made_row(arm, seed, 0.3),
        outcomes={"easy": {"start": "0000", "end": "3000"}},
        start={"easy": {}},
        end={"easy": {"best_of_tokens": 8.5, "tokens_mean": 6.0}},
        searches={"easy": {"end": text}},
        series={},
    )


def random_searches(arm: str, seed: int, n: int = 80) -> Row:
    rng = np.random.default_rng([seed, *arm.encode()])
    spent = [[f"{t}/{t // 5}" if t < 50 else "-/-" for t in rng.integers(1, 70, 2)] for _ in range(n)]
    row = searched(arm, seed, " ".join(f"{search}/{sampled}/0" for search, sampled in spent))
    return replace(row, outcomes={"easy": {"start": "0" * n, "end": "0" * n}})


CURVES = search_curves(8, most_nodes=4, arms=("plain", "full"), sampled="plain")


def fake(curves: Curves | None = CURVES) -> Experiment:
    criterion = Criterion("gain", "gain", 0.0, ">=", of("full", search_within(8)))
    return Experiment(
        name="fake", title="Found?", claim="It is found.", base_config="configs/tiny.yaml",
        arms={"plain": Arm(), "full": Arm()}, criteria=(criterion,), control=criterion, smallest_effect=0.1,
        columns=(Column("greedy", acc_t1),), series=(), curves=curves,
    )  # fmt: skip


def test_found_by_tokens_and_by_nodes_by_hand() -> None:
    view = cell_views([searched("full", 0, BY_HAND)])["full"][0]
    expected = {
        ("search", "tokens"): [0, 1, 1, 2, 2],
        ("best_of", "tokens"): [0, 1, 2, 2, 2],
        ("search", "nodes"): [0, 0, 1, 1, 2],  # the one at its first node took 9 tokens
        ("best_of", "nodes"): [0, 1, 1, 2, 2],
    }
    for (how, unit), solved in expected.items():
        places = (0, 3, 4, 8, 10) if unit == "tokens" else range(5)
        found = found_by(how, unit, places, budget=8)(view)  # type: ignore[arg-type]
        assert found.tolist() == [each / 4 for each in solved], (how, unit)


def test_a_curve_has_the_values_and_intervals_that_each_of_its_places_has_alone() -> None:
    cells = cell_views([random_searches("full", seed) for seed in (0, 1, 2)])
    for how, within in (("search", search_within), ("best_of", best_of_within)):
        places = range(0, 61, 12)
        curve = intervals(of("full", found_by(how, "tokens", places, 60)), cells)  # type: ignore[arg-type]
        alone = [interval(of("full", within(place)), cells) for place in places]
        assert np.transpose(curve).tolist() == pytest.approx(np.array(alone))
        assert alone[0] == (0.0, 0.0, 0.0) and alone[-1][0] > 0.5


def test_panels_are_means_over_seeds_with_what_costs_one_amount_beside_them() -> None:
    rows = [searched("plain", 0, BY_HAND), searched("full", 0, BY_HAND), searched("full", 1, NONE)]
    tokens, nodes = drawn_panels(CURVES, rows, ())
    assert [line.label for line in tokens.lines] == ["best-of-N", "plain", "full"]
    by_label = {line.label: line for line in nodes.lines}
    assert by_label["plain"].values.tolist() == [0, 0, 0.25, 0.25, 0.5] and by_label["plain"].band is None
    assert by_label["full"].values.tolist() == [0, 0, 0.125, 0.125, 0.25]
    low, high = by_label["full"].band or ([], [])
    assert low[-1] < 0.0 and high[-1] >= 0.5  # one seed found half, the other nothing: two seeds tell next to nothing
    assert [(each.label, each.value, each.cost) for each in tokens.levels] == [
        ("self-consistency", 0.5, 8.5), ("greedy", 0.25, 6.0),
    ]  # fmt: skip
    assert [each.cost for each in nodes.levels] == [None, None]


def test_arms_without_searches_or_without_cells_are_left_out() -> None:
    plain = searched("plain", 0, BY_HAND)
    tokens, _ = drawn_panels(CURVES, [plain, replace(searched("full", 0, BY_HAND), searches={})])
    assert [line.label for line in tokens.lines] == ["best-of-N", "plain"]
    tokens, _ = drawn_panels(CURVES, [searched("full", 0, BY_HAND)])
    assert [line.label for line in tokens.lines] == ["full"] and tokens.levels == ()
    assert drawn_panels(CURVES, [replace(plain, searches={})]) == drawn_panels(CURVES, []) == []


def test_the_page_shows_them_where_there_is_something_to_draw(tmp_path: Path) -> None:
    rows = [random_searches(arm, seed) for arm in ("plain", "full") for seed in (0, 1, 2)]
    (tmp_path / "fake.seen.md").write_text("It was\nfound.\n\nTwice.\n\n## Curves\n\nIt is\nseen.\n")
    text = write_page(fake(), rows, tmp_path).read_text()
    picture = tmp_path / "fake-curves.png"
    assert "## What was seen\n\nIt was found.\n\nTwice.\n\n![" in text
    assert "](fake-curves.png)\n\nShare of problems" in text and "It is seen." in text.replace("\n", " ")
    before = picture.read_bytes()
    assert before.startswith(b"\x89PNG\r\n")
    write_page(fake(), rows[::-1], tmp_path)
    assert picture.read_bytes() == before
    picture.unlink()
    others = [made_row(arm, 0, 0.3) for arm in ("plain", "full")]
    assert "curves" not in write_page(fake(), others, tmp_path).read_text()
    assert "curves" not in write_page(fake(curves=None), rows, tmp_path).read_text()
    assert not picture.exists() and set(others[0].outcomes) == set(SETS)


def test_curves_of_an_arm_that_is_not_there_are_refused() -> None:
    with pytest.raises(ValueError, match="fake: curves have no arm gone"):
        fake(search_curves(8, most_nodes=4, arms=("plain", "gone"), sampled="plain"))
