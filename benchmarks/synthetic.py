"""A warehouse of made-up analysed comments, the same for the same numbers.

    python benchmarks/synthetic.py FOLDER --comments 1000000 --months 36

Comes in: how many comments and months. Goes out: `comments` and `mentions` in a warehouse, with
the lengths, shares and skew of real reviews: about 2.5 mentions and 250 characters a comment, a
reply to three in ten, touchpoints and words of very different frequency. Left out: any meaning
of the words, and every column that no metric reads.
"""

import argparse
import calendar
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cxnlp import schema
from cxnlp.parts import Part
from cxnlp.taxonomy import Taxonomy, load_taxonomy
from cxnlp.warehouse import Warehouse

SOURCES, BRANDS = ("avis", "reseau", "enquete"), 12
SENTENCES, BOILERPLATES = 20_000, 60
SYLLABLES = ("ba", "cro", "di", "fou", "gra", "ju", "lin", "mou", "né", "pla", "ri", "sta", "vé")
SMALL = ("le", "la", "de", "et", "à", "pour", "une", "des", "est", "pas", "avec", "nous", "très")
CUES = ("Merci de votre retour.", "Nous sommes désolés.", "Contrairement à ce que vous dites,")


def write(folder: str, comments: int, months: int = 36, seed: int = 7) -> None:
    """Write the warehouse; each month and source has its share of the comments."""
    random = np.random.default_rng(seed)
    taxonomy = load_taxonomy(Path(__file__).parents[1] / "configs" / "taxonomy.yaml")
    bank, warehouse = _sentences(random), Warehouse(folder)
    cells = [(m, s) for m in range(months) for s in SOURCES]
    sizes = np.full(len(cells), comments // len(cells))
    sizes[: comments % len(cells)] += 1
    first = 0
    with warehouse.hold():
        for (month, source), size in zip(cells, sizes.tolist()):
            year, month = 2023 + month // 12, month % 12 + 1
            rows = _comments(random, bank, taxonomy, source, (year, month), first, size)
            first += size
            parts = [
                Part(table, data, source, f"{year}-{month:02d}")
                for table, data in zip((schema.COMMENTS, schema.MENTIONS), rows)
                if data.num_rows
            ]
            warehouse.publish(parts, run_id="synthetic", metadata={})


def _sentences(random: np.random.Generator) -> pa.Array:
    """Return sentences of words that are as unevenly frequent as words are."""
    words = np.array([
        "".join(random.choice(SYLLABLES, random.integers(2, 5))) for _ in range(8_000)
    ])  # fmt: skip
    rank = np.minimum(random.zipf(1.15, (SENTENCES, 14)) - 1, len(words) - 1)
    drawn = np.where(random.random(rank.shape) < 0.5, random.choice(SMALL, rank.shape), words[rank])
    lengths = random.integers(5, 15, SENTENCES)
    return pa.array([" ".join(row[:n]) + "." for row, n in zip(drawn, lengths)])


def _comments(
    random: np.random.Generator, bank: pa.Array, taxonomy: Taxonomy, source: str,
    month: tuple[int, int], first: int, size: int,
) -> tuple[pa.Table, pa.Table]:  # fmt: skip
    pieces = random.integers(0, len(bank), (size, 4))
    sentences = [bank.take(pa.array(pieces[:, k])) for k in range(4)]
    text = pc.binary_join_element_wise(*sentences, " ")
    days = calendar.monthrange(*month)[1]
    start = int(datetime(*month, 1, tzinfo=UTC).timestamp())
    at = start + random.integers(0, days * 86_400, size)
    published = pa.array(at * 1_000_000).cast(schema.TIMESTAMP)
    brand = _pick(random, [f"Marque {i}" for i in range(BRANDS)], size, 0.8)
    ids = pa.array([f"{(first + i) * 0x9E3779B97F4A7C15 % 2**96:024x}" for i in range(size)])
    mood = np.clip(random.normal(0.2, 0.7, size), -1, 1)
    owner = np.sort(random.integers(0, size, int(size * 2.5))) if size else np.zeros(0, int)
    shared = {"comment_id": ids, "source": pa.array([source] * size), "brand": brand,
              "day": published.cast(pa.date32()), "published_at": published}  # fmt: skip
    mentions = _mentions(random, taxonomy, shared, sentences, owner, mood)
    replies = _replies(random, bank, size)
    answered = at + random.exponential(30 * 3600, size).astype(int)
    emotions = pa.array([[], ["joie"], ["colere"], ["tristesse", "colere"]], schema.STRINGS)
    sentiments = np.digitize(mood, (-0.35, 0.05, 0.2))
    columns = shared | {
        "channel": pa.array(["avis"] * size),
        "text": text,
        "reply_text": replies,
        "reply_at": pc.if_else(replies.is_valid(), pa.array(answered * 1_000_000), None)
        .cast(schema.TIMESTAMP),
        "reply_touchpoints": pc.if_else(
            replies.is_valid(),
            pa.array([["attente_caisse"], [], ["prix_tarif", "sav_support"]], schema.STRINGS)
            .take(pa.array(random.integers(0, 3, size))),
            None,
        ),
        "set_aside": pa.array(np.where(random.random(size) < 0.02, "doublon", None), pa.string()),
        "sentiment": pa.array(["negatif", "neutre", "mixte", "positif"]).take(pa.array(sentiments)),
        "sentiment_score": pa.array(mood, pa.float32()),
        "satisfaction": pa.array(3 + 2 * mood, pa.float32()),
        "emotions": emotions.take(pa.array(random.integers(0, 4, size))),
        "run_id": pa.array(["synthetic"] * size),
        "analysis_key": pa.array([""] * size),
    }  # fmt: skip
    return schema.conform(pa.table(columns), schema.COMMENTS), mentions


def _mentions(
    random: np.random.Generator, taxonomy: Taxonomy, shared: dict[str, pa.Array],
    sentences: list[pa.Array], owner: np.ndarray, mood: np.ndarray,
) -> pa.Table:  # fmt: skip
    count, places = len(owner), random.integers(0, 4, len(owner))
    lengths = np.stack([pc.utf8_length(s).to_numpy() + 1 for s in sentences], 1)
    starts = np.cumsum(lengths, 1) - lengths
    begin = starts[owner, places]
    end = begin + lengths[owner, places] - 1
    ids = [t.id for t in taxonomy.touchpoints]
    stages = pa.array([t.stage for t in taxonomy.touchpoints])
    weights = 1 / np.arange(1, len(ids) + 1)
    touched = random.choice(len(ids), count, p=weights / weights.sum())
    alone = pa.array(random.random(count) < 0.1)
    score = np.clip(mood[owner] + random.normal(0, 0.5, count) - touched / 80, -1, 1)
    levers = [[], *([x.id] for x in taxonomy.levers), ["offre", "sensations"]]
    place = pa.array(owner)
    rows = {name: column.take(place) for name, column in shared.items()} | {
        "segment": pa.array(places, pa.int32()),
        "start": pa.array(begin, pa.int32()),
        "end": pa.array(end, pa.int32()),
        "excerpt": pc.choose(pa.array(places), *(s.take(place) for s in sentences)),
        "touchpoint": pc.if_else(alone, None, pa.array(ids).take(pa.array(touched))),
        "stage": pc.if_else(alone, None, stages.take(pa.array(touched))),
        "levers": pa.array(levers, schema.STRINGS)
        .take(pa.array(random.integers(0, len(levers), count))),
        "sentiment": pa.array(schema.POLARITIES)
        .take(pa.array(np.digitize(score, (-0.2, 0.2)))),
        "sentiment_score": pa.array(score, pa.float32()),
        "emotions": pa.array([[]], schema.STRINGS).take(pa.array(np.zeros(count, int))),
        "promise_gap": pa.array(np.where(random.random(count) < 0.05, 1, 0), pa.int8(),
                                mask=random.random(count) > 0.1),
        "method": pa.array(["modele"] * count),
        "confidence": pa.array(random.random(count), pa.float32()),
        **{n: pa.array([""] * count) for n in ("model_version", "taxonomy_version", "run_id")},
    }  # fmt: skip
    number = pa.array([str(i) for i in range(count)])
    rows["mention_id"] = pc.binary_join_element_wise(rows["comment_id"], number, "-")
    return schema.conform(pa.table(rows), schema.MENTIONS)


def _replies(random: np.random.Generator, bank: pa.Array, size: int) -> pa.Array:
    """Return a reply to three comments in ten; six in ten of them are boilerplate."""
    cue = pa.array(CUES).take(pa.array(random.integers(0, len(CUES), size)))
    kept = np.where(random.random(size) < 0.6, random.integers(0, BOILERPLATES, size),
                    random.integers(0, len(bank), size))  # fmt: skip
    second = pa.array((kept * 7919 + np.where(kept < BOILERPLATES, 0, np.arange(size))) % len(bank))
    text = pc.binary_join_element_wise("Bonjour,", cue, bank.take(pa.array(kept)),
                                       bank.take(second), " ")  # fmt: skip
    return pc.if_else(pa.array(random.random(size) < 0.3), text, None)


def _pick(random: np.random.Generator, values: list[str], size: int, known: float) -> pa.Array:
    picked = pa.array(values).take(pa.array(random.integers(0, len(values), size)))
    return pc.if_else(pa.array(random.random(size) < known), picked, None)


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    asked.add_argument("folder")
    asked.add_argument("--comments", type=int, default=1_000_000)
    asked.add_argument("--months", type=int, default=36)
    given = asked.parse_args()
    write(given.folder, given.comments, given.months)


if __name__ == "__main__":
    main()
