"""Journey, levers, promises, replies, alerts and terms are those that a person worked out."""

import datetime as dt
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from warehouse_rows import comment, mention, rows

from cxnlp import config, schema
from cxnlp.metrics import measure
from cxnlp.metrics.levers import solve
from cxnlp.parts import split
from cxnlp.warehouse import Warehouse

STAGES = {"attente": "achat", "prix": "achat", "retour": "achat", "accueil": "visite",
          "colis": "acces", "marque": "transverse"}  # fmt: skip
ORDER = {"acces": 1, "achat": 2, "visite": 3, "transverse": 9}
KNOWN = rows(
    schema.TOUCHPOINTS,
    *(
        {"touchpoint": name, "label": name, "stage": stage, "stage_label": stage,
         "stage_order": ORDER[stage]}
        for name, stage in sorted(STAGES.items())
    ),
)  # fmt: skip
Row = dict[str, Any]


def tables(
    root: Path, comments: list[Row], mentions: list[Row], **settings: float
) -> dict[str, list[Row]]:
    """Return the metrics of a warehouse of these rows, by name."""
    numbered = [of | {"mention_id": str(i)} for i, of in enumerate(mentions)]
    parts = [
        *split(rows(schema.COMMENTS, *comments), schema.COMMENTS),
        *split(rows(schema.MENTIONS, *numbered), schema.MENTIONS),
    ]
    warehouse = Warehouse(str(root))
    with warehouse.hold():
        warehouse.publish(parts, run_id="r1", metadata={})
    found = measure(str(root), KNOWN, config.Metrics.model_validate(settings))
    return {table.name: data.to_pylist() for table, data in found.items()}


def whole(found: list[Row], **where: str) -> dict[str, Row]:
    """Return the rows of all periods and brands, by what else identifies them."""
    name = next(n for n in ("stage", "lever", "touchpoint") if n in found[0])
    where = {"period": "tout", "brand": "toutes"} | where
    kept = [row for row in found if all(row[k] == v for k, v in where.items())]
    return {row[name]: row for row in kept}


# --- journey ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def journey(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Row]:
    """Scores are means here (k = 0), and two comments make a touchpoint eligible.

    s² = (6 · 0.01 + 1) / (10 − 6 + 1) = 0.212; half an interval of two: 1.645·√(0.106) = 0.53553
    """
    said = {"attente": (-0.6, -0.8), "prix": (0.2, 0.4), "retour": (-1.0,), "accueil": (0.7, 0.9),
            "marque": (-1.0, -1.0), "colis": (-0.9,)}  # fmt: skip
    comments = [comment(f"c{i}") for i in range(2)]
    mentions = [
        mention(comments[i], touchpoint, sentiment_score=score, stage=STAGES[touchpoint])
        for touchpoint, scores in said.items()
        for i, score in enumerate(scores)
    ]
    at = tmp_path_factory.mktemp("journey")
    return whole(tables(at, comments, mentions, shrink=0, n_min=2)["journey"])


def test_a_stage_is_as_good_as_its_weakest_eligible_touchpoint(journey: dict[str, Row]) -> None:
    achat = journey["achat"]
    assert (achat["touchpoint"], achat["n"], achat["touchpoints"]) == ("attente", 2, 2)
    assert achat["score"] == pytest.approx(-0.7)


def test_the_plain_mean_stands_beside_the_weakest(journey: dict[str, Row]) -> None:
    assert journey["achat"]["mean"] == pytest.approx(-0.2)
    assert journey["achat"]["mean_minus_min"] == pytest.approx(0.5)


def test_touchpoints_whose_intervals_overlap_are_ties(journey: dict[str, Row]) -> None:
    # attente: −1 … −0.164; prix: −0.236 … 0.836
    assert journey["achat"]["high"] == pytest.approx(-0.7 + 0.53553, abs=1e-5)
    assert journey["achat"]["ties"] == ["prix"]


def test_a_stage_without_an_eligible_touchpoint_says_so(journey: dict[str, Row]) -> None:
    acces = journey["acces"]
    assert (acces["touchpoint"], acces["n"], acces["score"]) == (None, 0, None)


def test_the_brand_as_a_whole_is_no_stage_of_the_journey(journey: dict[str, Row]) -> None:
    assert list(journey) == ["acces", "achat", "visite"]


def test_the_journey_is_as_good_as_its_weakest_stage(journey: dict[str, Row]) -> None:
    assert [stage for stage, row in journey.items() if row["weakest"]] == ["achat"]
    for row in journey.values():
        assert row["journey_score"] == pytest.approx(-0.7)
        assert row["journey_mean"] == pytest.approx(0.05)
        assert row["journey_mean_minus_min"] == pytest.approx(0.75)
        assert row["journey_ties"] == []


# --- lever_impact -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def levers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Row]:
    stars = {"c1": 1.0, "c2": 2.0, "c3": 4.0, "c4": 5.0, "c5": 4.0, "c6": 5.0}
    comments = {name: comment(name, satisfaction=s) for name, s in stars.items()}
    mentions = [
        mention(comments["c1"], levers=["temps"]),
        mention(comments["c2"], levers=["temps", "prix"], sentiment="positif"),
        mention(comments["c2"], None, levers=["temps"], sentiment="neutre"),
    ]
    at = tmp_path_factory.mktemp("levers")
    return whole(tables(at, [*comments.values()], mentions)["lever_impact"])


def test_a_difference_compares_comments_with_a_lever_and_without(levers: dict[str, Row]) -> None:
    temps = levers["temps"]
    assert (temps["n"], temps["n_without"]) == (2, 4)
    assert temps["difference"] == pytest.approx(1.5 - 4.5)


def test_a_difference_has_an_interval_of_both_groups(levers: dict[str, Row]) -> None:
    # (0.5 + 4) / 2² + (1 + 4) / 4² = 1.4375; 1.96·√1.4375 = 2.34991
    assert levers["temps"]["difference_low"] == pytest.approx(-3 - 2.34991, abs=1e-4)
    assert levers["temps"]["difference_high"] == pytest.approx(-3 + 2.34991, abs=1e-4)


def test_good_and_bad_words_of_a_lever_are_apart(levers: dict[str, Row]) -> None:
    temps = levers["temps"]
    assert (temps["n_negative"], temps["difference_negative"]) == (1, pytest.approx(1 - 4.5))
    assert (temps["n_positive"], temps["difference_positive"]) == (1, pytest.approx(2 - 4.5))


def test_a_few_comments_have_no_regression(levers: dict[str, Row]) -> None:
    assert levers["temps"]["coefficient"] is None


def test_a_regression_is_that_of_least_squares() -> None:
    random = np.random.default_rng(3)
    present = random.integers(0, 2, (200, 3)).astype(float)
    stars = 3 + present @ np.array([-1.0, 0.5, 0.0]) + random.normal(0, 0.3, 200)
    plain = np.linalg.lstsq(np.c_[np.ones(200), present], stars, rcond=None)[0][1:]
    found = [row for row in solve(present, np.ones(200), stars, stars**2) if row is not None]
    assert [row[0] for row in found] == pytest.approx(plain.tolist())
    assert [row[1] < row[0] < row[2] for row in found] == [True] * 3


def test_sums_of_equal_comments_give_the_same_regression() -> None:
    present, stars = np.array([[0.0], [0.0], [1.0], [1.0]]), np.array([4.0, 5.0, 2.0, 1.0])
    one = solve(present, np.ones(4), stars, stars**2)[0]
    other = solve(present[1:3], np.full(2, 2.0), np.array([9.0, 3.0]), np.array([41.0, 5.0]))[0]
    assert np.allclose(np.array(one), np.array(other))


def test_levers_that_always_come_together_have_no_coefficient() -> None:
    present = np.array([[0.0, 0.0, 1.0], [1.0, 1.0, 0.0], [1.0, 1.0, 1.0], [0.0, 0.0, 0.0]])
    stars = np.array([4.0, 1.0, 2.0, 5.0])
    first, second, third = solve(present, np.ones(4), stars, stars**2)
    assert first is None
    assert second is None
    assert third is not None


# --- promise_gap --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def promise(tmp_path_factory: pytest.TempPathFactory) -> Row:
    comments = [comment(f"c{i}") for i in range(5)]
    gaps = [(0, -1), (0, 0), (1, -1), (2, 0), (3, 1), (4, None)]  # the first says it twice
    mentions = [mention(comments[i], promise_gap=gap) for i, gap in gaps]
    return whole(tables(tmp_path_factory.mktemp("p"), comments, mentions)["promise_gap"])["achat"]


def test_a_comment_below_and_as_expected_is_below(promise: Row) -> None:
    assert (promise["n"], promise["below"], promise["kept"], promise["beyond"]) == (4, 2, 1, 1)


def test_a_gap_is_the_share_below_minus_the_share_beyond(promise: Row) -> None:
    assert promise["gap"] == pytest.approx(0.25)


def test_a_gap_has_the_interval_of_bonett_and_price(promise: Row) -> None:
    # 1/6 ± 1.645·√((3/6 + 2/6 − 1/36) / 6) = 0.16667 ± 0.60270
    assert promise["low"] == pytest.approx(0.16667 - 0.60270, abs=1e-4)
    assert promise["high"] == pytest.approx(0.16667 + 0.60270, abs=1e-4)


# --- replies ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Row]]:
    def replied(name: str, text: str, hours: int = 30, **other: Any) -> Row:
        one = comment(name, touchpoints=["attente", "prix"], **other)
        at = one["published_at"] + dt.timedelta(hours=hours)
        return one | {"reply_text": text, "reply_at": at}

    kept = "Bonjour {}, nous sommes désolés, nos équipes y travaillent."
    comments = [
        replied("c1", "Nous regrettons cette attente. Merci Anne !", reply_touchpoints=["attente"]),
        replied("c2", "Contrairement à ce que vous dites, tout était affiché.", hours=-3,
                reply_touchpoints=[]),
        *(replied(f"d{i}", kept.format(who), hours=20 * (i + 1), reply_touchpoints=["prix"])
          for i, who in enumerate(("Paul", "Léa Petit", "M. Roux"))),
        replied("x", "Merci de votre visite.", set_aside="vide", sentiment=None),
        comment("s1", sentiment="negatif", sentiment_score=-0.5),
        comment("s2", sentiment="negatif", sentiment_score=-0.9),
    ]  # fmt: skip
    mentions = [
        mention(comments[0], "attente"),
        mention(comments[0], "prix"),
        mention(comments[0], "accueil", sentiment="positif"),
    ]
    return tables(tmp_path_factory.mktemp("replies"), comments, mentions)


def reply(answers: dict[str, list[Row]], name: str) -> Row:
    return next(row for row in answers["replies"] if row["comment_id"] == name)


def test_a_delay_is_in_hours(answers: dict[str, list[Row]]) -> None:
    assert reply(answers, "c1")["delay_hours"] == 30


def test_a_reply_dated_before_the_comment_has_no_delay(answers: dict[str, list[Row]]) -> None:
    assert reply(answers, "c2")["delay_hours"] is None


def test_coverage_is_the_share_of_the_negative_touchpoints_named(
    answers: dict[str, list[Row]],
) -> None:
    found = reply(answers, "c1")
    assert found["negative_touchpoints"] == ["attente", "prix"]
    assert (found["addressed"], found["coverage"]) == (["attente"], 0.5)


@pytest.mark.parametrize(
    ("reply", "addressed"),
    [
        ("La queue sera plus courte, promis.", ["attente"]),
        ("Cette QUEUE n'a pas lieu d'être.", ["attente"]),
        ("Merci, à vos heures perdues. L'équipe Orso", []),  # words of any answer
        ("Au revoir, l'arqueue.", []),  # the end of another word
    ],
)
def test_a_reply_that_repeats_a_word_of_the_complaint_addresses_it(
    reply: str, addressed: list[str], tmp_path: Path
) -> None:
    of = comment("c1", brand="Orso", reply_text=reply, reply_touchpoints=[])
    (found,) = tables(tmp_path, [of], [mention(of)])["replies"]
    assert found["addressed"] == addressed


def test_the_name_of_the_brand_addresses_nothing(tmp_path: Path) -> None:
    of = comment("c1", brand="La Queue", reply_text="La Queue vous salue.", reply_touchpoints=[])
    (found,) = tables(tmp_path, [of], [mention(of)])["replies"]
    assert (found["addressed"], found["coverage"]) == ([], 0)


def test_a_comment_that_blames_nothing_has_no_coverage(answers: dict[str, list[Row]]) -> None:
    assert reply(answers, "c2")["coverage"] is None


@pytest.mark.parametrize(
    ("name", "tone"), [("c1", "excuse"), ("c2", "defensif"), ("x", "remerciement")]
)
def test_the_tone_of_a_reply_is_that_of_its_words(
    answers: dict[str, list[Row]], name: str, tone: str
) -> None:
    assert reply(answers, name)["tone"] == tone


def test_one_reply_to_three_people_is_boilerplate(answers: dict[str, list[Row]]) -> None:
    found = [reply(answers, f"d{i}") for i in range(3)]
    assert [(row["same_reply"], row["boilerplate"], row["personalised"]) for row in found] == [
        (3, True, False)
    ] * 3


def test_a_reply_that_takes_up_what_was_said_is_personalised(
    answers: dict[str, list[Row]],
) -> None:
    assert [reply(answers, name)["personalised"] for name in ("c1", "c2")] == [True, False]


def summary(answers: dict[str, list[Row]], sentiment: str) -> Row:
    keys = {"period": "tout", "brand": "toutes", "source": "toutes", "sentiment": sentiment}
    (row,) = (r for r in answers["reply_summary"] if keys.items() <= r.items())
    return row


def test_who_got_no_answer_is_counted_and_named(answers: dict[str, list[Row]]) -> None:
    found = summary(answers, "tous")
    assert (found["n"], found["answered"], found["unanswered"]) == (7, 5, 2)
    assert found["comment_ids"] == ["s2", "s1"]


def test_delays_are_shares_of_the_replies_with_a_known_delay(
    answers: dict[str, list[Row]],
) -> None:
    # 20, 30, 40 and 60 hours
    found = summary(answers, "tous")
    assert (found["within_24h"], found["within_72h"]) == (0.25, 1)


def test_a_sentiment_without_an_answer_has_no_delay(answers: dict[str, list[Row]]) -> None:
    found = summary(answers, "negatif")
    assert (found["share"], found["within_24h"], found["share_boilerplate"]) == (0, None, None)


# --- alerts -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def alerts(tmp_path_factory: pytest.TempPathFactory) -> list[Row]:
    """Two comments a day for forty days (0.5), then fifteen (−0.8) on the last."""
    first = dt.date(2026, 8, 1)
    days = [first + dt.timedelta(days=i // 2) for i in range(80)] + [dt.date(2026, 9, 10)] * 15
    comments = [comment(f"c{i:02}", str(day)) for i, day in enumerate(days)]
    mentions = [
        mention(of, sentiment_score=0.5 if i < 80 else -0.8) for i, of in enumerate(comments)
    ]
    return tables(tmp_path_factory.mktemp("alerts"), comments, mentions)["alerts"]


def test_a_day_outside_its_history_is_an_alert(alerts: list[Row]) -> None:
    (alert,) = alerts
    assert (alert["day"], alert["touchpoint"]) == (dt.date(2026, 9, 10), "attente")
    assert alert["days"] == 1
    assert alert["kinds"] == ["volume", "baisse"]


def test_a_volume_is_held_against_the_median_and_chance(alerts: list[Row]) -> None:
    # 2·(√15.375 − √2.375) = 4.75997; from (2 + √2.375)² − 0.375 = 12.1644 on
    assert (alerts[0]["n"], alerts[0]["usual_n"]) == (15, 2)
    assert alerts[0]["volume_z"] == pytest.approx(4.75997, abs=1e-4)
    assert alerts[0]["usual_high"] == pytest.approx(12.1644, abs=1e-3)


def test_a_mean_is_held_against_the_mean_of_its_history(alerts: list[Row]) -> None:
    # s² = (0 + 1) / 80; −1.3 / √(s²/15 + s²/80) = −41.33
    assert alerts[0]["usual_mean"] == pytest.approx(0.5)
    assert alerts[0]["sentiment_z"] == pytest.approx(-41.33, abs=0.01)


def test_an_alert_names_comments_behind_it(alerts: list[Row]) -> None:
    assert alerts[0]["comment_ids"] == [f"c{i}" for i in range(80, 95)]


@pytest.fixture(scope="module")
def week(tmp_path_factory: pytest.TempPathFactory) -> list[Row]:
    """One comment a day for forty-two days, then four a day for ten."""
    first = dt.date(2026, 8, 1)
    days = [first + dt.timedelta(days=i) for i in range(42)]
    days += [first + dt.timedelta(days=42 + i // 4) for i in range(40)]
    comments = [comment(f"c{i:02}", str(day)) for i, day in enumerate(days)]
    mentions = [mention(of, sentiment_score=-0.8) for of in comments]
    return tables(tmp_path_factory.mktemp("week"), comments, mentions)["alerts"]


def test_a_week_of_which_no_day_is_unusual_is_told_once(week: list[Row]) -> None:
    # 7 a week, then 10, 13, 16, 19 and 22: 2·(√22.375 − √7.375) = 4.02902
    (alert,) = week
    assert (alert["day"], alert["days"], alert["kinds"]) == (dt.date(2026, 9, 16), 7, ["volume"])
    assert (alert["n"], alert["usual_n"]) == (22, 7)
    assert alert["volume_z"] == pytest.approx(4.02902, abs=1e-4)


def test_a_week_names_comments_of_all_its_days(week: list[Row]) -> None:
    assert week[0]["comment_ids"] == [f"c{i}" for i in range(40, 60)]


def test_a_day_like_all_others_is_no_alert(tmp_path: Path) -> None:
    days = [dt.date(2026, 8, 1) + dt.timedelta(days=i // 12) for i in range(420)]
    comments = [comment(f"c{i:03}", str(day)) for i, day in enumerate(days)]
    assert tables(tmp_path, comments, [mention(of) for of in comments])["alerts"] == []


# --- emerging_terms -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def terms(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Row]:
    return risen(tmp_path_factory.mktemp("terms"))


def risen(at: Path, **other: str) -> dict[str, Row]:
    """Forty comments of August without the term, twelve of twenty of September with it."""
    plain = [comment(f"a{i:02}", "2026-08-15", text="Belle journée ici.") for i in range(40)]
    late = [
        comment(
            f"b{i:02}",
            "2026-09-14",
            text="Une borne de recharge, et deux heures de queue.",
            **other,
        )
        for i in range(12)
    ]
    rest = [comment(f"r{i:02}", "2026-09-14", text="Belle journée ici.") for i in range(8)]
    start = late[0]["text"].index("deux heures")
    mentions = [mention(of, start=start, end=start + 20) for of in late]
    found = tables(at, [*plain, *late, *rest], mentions)
    return {row["term"]: row for row in found["emerging_terms"]}


def test_a_term_that_rises_where_no_touchpoint_is_emerges(terms: dict[str, Row]) -> None:
    assert list(terms) == ["borne de recharge"]  # nor what a longer term says, nor the queue


def test_a_term_counts_comments_of_the_month_and_before(terms: dict[str, Row]) -> None:
    found = terms["borne de recharge"]
    assert (found["period"], found["words"]) == ("2026-09", 3)
    assert (found["n"], found["comments"]) == (12, 20)
    assert (found["n_before"], found["comments_before"]) == (0, 40)


def test_a_rise_is_weighed_against_what_all_comments_say(terms: dict[str, Row]) -> None:
    # α = 50 · 12 / 60 = 10; ln(22 / 48) − ln(10 / 80) = 1.29928; √(1/22 + 1/10) = 0.38139
    found = terms["borne de recharge"]
    assert found["log_odds"] == pytest.approx(1.29928, abs=1e-4)
    assert found["log_odds_low"] == pytest.approx(1.29928 - 1.64485 * 0.38139, abs=1e-4)
    assert found["z"] == pytest.approx(3.40670, abs=1e-3)


def test_a_term_names_comments_that_use_it(terms: dict[str, Row]) -> None:
    assert terms["borne de recharge"]["comment_ids"] == [f"b{i:02}" for i in range(12)]


def test_what_the_name_of_a_brand_holds_is_no_term(tmp_path: Path) -> None:
    assert risen(tmp_path, brand="La Borne-de-Rue, L'Éco-borne") != {}
    assert risen(tmp_path, brand="L'Éco, Borne de Recharge & Cie") == {}
