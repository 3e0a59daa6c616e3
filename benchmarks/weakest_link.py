"""Does the worst mention of a comment explain its stars better than the mean of its mentions?

    python benchmarks/weakest_link.py WAREHOUSE

Comes in: any warehouse with rated comments. Goes out: a markdown table, one line per source and
one for all: comments with two mentions or more of a touchpoint of the journey (`transverse` is
none), Spearman's ρ and R² of the stars with the minimum and with the mean of the mentions'
`sentiment_score`, the difference of the two R² with its 95 % bootstrap interval over comments, and
the R² of both together. Left out: any change to the warehouse.
"""

import argparse

import numpy as np

from cxnlp.metrics import query

RESAMPLES = 500
SQL = """
SELECT c.source, c.rating, min(m.sentiment_score) AS low, avg(m.sentiment_score) AS mean
FROM comments AS c
JOIN mentions AS m USING (comment_id)
WHERE c.rating IS NOT NULL AND c.set_aside IS NULL AND m.stage <> 'transverse'
GROUP BY c.comment_id, c.source, c.rating
HAVING count(*) >= 2
ORDER BY c.comment_id
"""


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    asked.add_argument("warehouse")
    rows = query(asked.parse_args().warehouse, SQL)
    source = np.array(rows["source"].to_pylist())
    stars, low, mean = (rows[n].to_numpy().astype(float) for n in ("rating", "low", "mean"))
    print("| source | comments | ρ min | ρ mean | R² min | R² mean | R² min − R² mean | R² both |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | --- | ---: |")
    for name in [*sorted(set(source)), "all"]:
        here = (source == name) | (name == "all")
        print(_line(name, stars[here], low[here], mean[here]))


def _line(name: str, stars: np.ndarray, low: np.ndarray, mean: np.ndarray) -> str:
    random = np.random.default_rng(1)
    gaps = []
    for _ in range(RESAMPLES):
        drawn = random.integers(0, len(stars), len(stars))
        gaps.append(_r2(stars[drawn], low[drawn]) - _r2(stars[drawn], mean[drawn]))
    begin, end = np.quantile(gaps, (0.025, 0.975))
    one, other = _r2(stars, low), _r2(stars, mean)
    ranked = [_ranks(values) for values in (stars, low, mean)]
    cells = [
        name, f"{len(stars):,}", f"{np.corrcoef(ranked[0], ranked[1])[0, 1]:.3f}",
        f"{np.corrcoef(ranked[0], ranked[2])[0, 1]:.3f}", f"{one:.3f}", f"{other:.3f}",
        f"{one - other:+.3f} ({begin:+.3f} … {end:+.3f})", f"{_r2(stars, low, mean):.3f}",
    ]  # fmt: skip
    return f"| {' | '.join(cells)} |"


def _r2(stars: np.ndarray, *predictors: np.ndarray) -> float:
    x = np.stack([np.ones(len(stars)), *predictors], 1)
    left = stars - x @ np.linalg.lstsq(x, stars, rcond=None)[0]
    return float(1 - left @ left / ((stars - stars.mean()) ** 2).sum())


def _ranks(values: np.ndarray) -> np.ndarray:
    """Return the ranks, equals sharing the mean of theirs."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[place]


if __name__ == "__main__":
    main()
