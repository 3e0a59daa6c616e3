"""Every table that cxnlp writes: columns, types, meaning.

Nothing is read here. A column name is spelled first in this file, or for the metrics in
`schema_metrics.py`; `docs/tables.md` is generated from both (`python -m cxnlp.schema`).
"""

from typing import Final

import pyarrow as pa

from cxnlp.columns import (
    CHANNELS,
    EMOTIONS,
    FLOAT,
    FRAMES,
    INT,
    INTENTS,
    METHODS,
    POLARITIES,
    SENTIMENTS,
    STRING,
    STRINGS,
    TIMESTAMP,
    Column,
    Table,
    conform,
    empty,
)
from cxnlp.schema_drift import DRIFT
from cxnlp.schema_metrics import (
    ALERTS,
    EMERGING_TERMS,
    EMOTION_TREND,
    JOURNEY,
    LEVER_IMPACT,
    METRICS,
    PROMISE_GAP,
    REPLIES,
    REPLY_SUMMARY,
    SENTIMENT_TREND,
    TOUCHPOINT_SCORES,
    TOUCHPOINTS,
)

__all__ = [
    "ALERTS", "CHANNELS", "COMMENTS", "DRIFT", "EMERGING_TERMS", "EMOTIONS", "EMOTION_TREND",
    "FILES", "FLOAT", "FRAMES", "INT", "INTENTS", "JOURNEY", "LEVER_IMPACT", "MENTIONS", "METHODS",
    "METRICS", "POLARITIES", "PROMISE_GAP", "RAW", "REJECTS", "REPLIES", "REPLY_SUMMARY", "RUNS",
    "SENTIMENTS", "SENTIMENT_TREND", "STRING", "STRINGS", "TABLES", "TIMESTAMP", "TOUCHPOINTS",
    "TOUCHPOINT_SCORES", "Column", "Table", "conform", "empty", "markdown",
]  # fmt: skip

_WHO = (
    Column("native_id", STRING, "id given by the platform", "rv-20817", True),
    Column("source", STRING, "name of the source in the configuration", "avis_boutique"),
    Column("channel", STRING, f"one of {', '.join(CHANNELS)}", "avis"),
    Column("url", STRING, "where the comment can be read", "https://avis.example/20817", True),
    Column("brand", STRING, "brand spoken of", "Maison Véga", True),
    Column("location", STRING, "shop, agency, hotel, museum …", "Lyon Part-Dieu", True),
    Column("product", STRING, "product, contract, room, show …", "Coffret thé", True),
    Column("published_at", TIMESTAMP, "when it was published; null if the source does not say",
           "2026-09-14T08:05:00Z", True),
)  # fmt: skip

RAW: Final = Table(
    "raw",
    "a comment as the source gave it; private zone, never among the tables",
    (
        Column("comment_id", STRING, "stable id, see `comments`", "5b0c9e6d41f2a7c3d8e94f10"),
        *_WHO,
        Column("author_key", STRING, "keyed pseudonym (HMAC-SHA256) of the author", "b81f…", True),
        Column("rating", FLOAT, "mark mapped to 1–5", "4.0", True),
        Column("title", STRING, "title as written", "Bonne surprise", True),
        Column("text", STRING, "text as written; empty string if there is none", "Très bien !"),
        Column("reply_text", STRING, "the brand's answer as written", "Merci Anne !", True),
        Column("reply_at", TIMESTAMP, "when the brand answered", "2026-09-15T09:00:00Z", True),
        Column("file", STRING, "file it was read from", "exports/avis.csv"),
        Column("row", INT, "row in that file, the first record being 1", "17"),
        Column("row_digest", STRING, "digest of all that the source said of it", "9f2c…"),
    ),
    key=("comment_id",),
    order=("published_at", "comment_id"),
    private=True,
)

COMMENTS: Final = Table(
    "comments",
    "a comment as last seen",
    (
        Column("comment_id", STRING,
               "stable: the same comment gets the same id in every run and re-export",
               "5b0c9e6d41f2a7c3d8e94f10"),
        *_WHO,
        Column("day", pa.date32(), "`published_at` as a UTC day", "2026-09-14", True),
        Column("author_key", STRING, "keyed pseudonym of the author, never the name",
               "b81f0c22d5e94a17", True),
        Column("rating", FLOAT, "mark mapped to 1–5", "4.0", True),
        Column("title", STRING, "title, cleaned and masked", "Bonne surprise", True),
        Column("text", STRING, "text, cleaned and masked; offsets of mentions point into it",
               "Accueil charmant, mais deux heures de queue.", True),
        Column("reply_text", STRING, "the brand's answer, cleaned and masked",
               "Merci de votre visite !", True),
        Column("reply_at", TIMESTAMP, "when the brand answered", "2026-09-15T09:00:00Z", True),
        Column("reply_touchpoints", STRINGS, "taxonomy ids whose triggers the answer holds; null "
               "without an answer", "[attente_caisse]", True),
        Column("language", STRING, "ISO 639-1 code of the text; null if it has no words", "fr",
               True),
        Column("set_aside", STRING,
               "why it was not analysed: vide, langue, doublon; null if it was. Such a row keeps "
               "its place and its label columns are null", "doublon", True),
        Column("duplicate_of", STRING, "comment_id of the one kept, when `set_aside` is doublon",
               "77aa0c…", True),
        Column("sentiment", STRING, f"one of {', '.join(SENTIMENTS)}", "mixte", True),
        Column("sentiment_score", FLOAT, "−1 (negative) … 1 (positive)", "-0.12", True),
        Column("satisfaction", FLOAT, "expected stars 1–5, from the text alone", "3.1", True),
        Column("emotion", STRING, "the dominant one of `emotions`, or neutre", "joie", True),
        Column("emotions", STRINGS, "all above their thresholds, strongest first",
               "[joie, colere]", True),
        *(Column(f"emotion_{e}", FLOAT, f"calibrated probability of {e}", "0.31", True)
          for e in EMOTIONS),
        Column("touchpoints", STRINGS, "taxonomy ids of the touchpoints spoken of",
               "[personnel_accueil, attente_caisse]", True),
        Column("levers", STRINGS, "taxonomy ids of the levers", "[emotions, temps_praticite]",
               True),
        Column("intents", STRINGS, f"among {', '.join(INTENTS)}", "[revenir]", True),
        Column("promise_gap", pa.int8(),
               "−1 below what was promised or expected, 0 as promised, 1 beyond; null: no "
               "expectation spoken of", "-1", True),
        Column("rating_conflict", pa.bool_(), "text and mark disagree by 2 or more; null without "
               "a mark", "false", True),
        Column("confidence", FLOAT, "probability that the sentiment label is right, 0–1", "0.87",
               True),
        Column("needs_review", pa.bool_(), "worth a person's look: doubtful, at odds with the "
               "mark, or longer than 50,000 characters, of which the first are analysed",
               "false", True),
        Column("model_version", STRING, "name and digest of the model", "cxnlp-fr-mini-1a2b3c4d",
               True),
        Column("taxonomy_version", STRING, "version and digest of the taxonomy", "1-9f8e7d6c",
               True),
        Column("run_id", STRING, "run that wrote this row", "20260915T020000-4f1d"),
        Column("analysed_at", TIMESTAMP, "when it was analysed", "2026-09-15T02:04:11Z", True),
        Column("file", STRING, "file it was last read from", "exports/avis.csv", True),
        Column("row", INT, "row in that file, the first record being 1", "17", True),
        Column("row_digest", STRING, "digest of all that the source said of it", "9f2c…", True),
        Column("text_digest", STRING, "digest of the analysed text", "c0ff…", True),
        Column("duplicate_key", STRING, "digest of the letters alone, for duplicates",
               "41ab…", True),
        Column("analysis_key", STRING, "digest of model, taxonomy and settings that made the "
               "labels", "3e5a…"),
    ),
    key=("comment_id",),
    order=("published_at", "comment_id"),
)  # fmt: skip

MENTIONS: Final = Table(
    "mentions",
    "a place in a comment that speaks of a touchpoint, or of a lever alone",
    (
        Column("mention_id", STRING, "stable: comment, place and touchpoint", "5b0c…-25-44-1"),
        Column("comment_id", STRING, "the comment", "5b0c9e6d41f2a7c3d8e94f10"),
        Column("source", STRING, "as in `comments`", "avis_boutique"),
        Column("brand", STRING, "as in `comments`", "Maison Véga", True),
        Column("day", pa.date32(), "as in `comments`", "2026-09-14", True),
        Column("published_at", TIMESTAMP, "as in `comments`", "2026-09-14T08:05:00Z", True),
        Column("segment", pa.int32(), "which clause of the comment, from 0", "1"),
        Column("start", pa.int32(), "first character in `comments.text`", "23"),
        Column("end", pa.int32(), "one past the last: text[start:end] == excerpt", "43"),
        Column("excerpt", STRING, "the words that carry the mention", "deux heures de queue"),
        Column("touchpoint", STRING, "taxonomy id; null when only a lever is named",
               "attente_caisse", True),
        Column("stage", STRING, "stage of the journey of that touchpoint", "achat", True),
        Column("levers", STRINGS, "taxonomy ids", "[temps_praticite]"),
        Column("sentiment", STRING, f"one of {', '.join(POLARITIES)}", "negatif"),
        Column("sentiment_score", FLOAT, "−1 … 1", "-0.93"),
        Column("emotions", STRINGS, "emotions of that clause, strongest first", "[colere]"),
        Column("promise_gap", pa.int8(), "as in `comments`, for this clause", "-1", True),
        Column("method", STRING, "lexique: trigger only; modele: network only; les_deux",
               "les_deux"),
        Column("confidence", FLOAT, "probability of the touchpoint (or lever), 0–1", "0.94"),
        Column("model_version", STRING, "as in `comments`", "cxnlp-fr-mini-1a2b3c4d"),
        Column("taxonomy_version", STRING, "as in `comments`", "1-9f8e7d6c"),
        Column("run_id", STRING, "run that wrote this row", "20260915T020000-4f1d"),
    ),
    key=("mention_id",),
    order=("published_at", "comment_id", "start"),
)  # fmt: skip

REJECTS: Final = Table(
    "rejects",
    "an input row that could not become a comment",
    (
        Column("source", STRING, "name of the source", "avis_boutique"),
        Column("file", STRING, "file as named by the source", "exports/avis.csv"),
        Column("row", INT, "row in that file, the first record being 1", "18"),
        Column("reason", STRING, "a word: colonnes, date, note, identifiant, encodage, json …",
               "date"),
        Column("detail", STRING, "what was expected and what came, masked",
               "column 'Date': '31/02/2026' is not a date"),
        Column("raw", STRING, "the row as read, personal data masked, at most 2,000 characters",
               "31/02/2026;Véga;5;Parfait"),
        Column("comment_id", STRING, "id that it would have had; null when it is no record",
               "77aa0c…", True),
        Column("author_key", STRING, "keyed pseudonym of the author, if that could be read",
               "b81f…", True),
        Column("run_id", STRING, "run that read it", "20260915T020000-4f1d"),
    ),
    key=("source", "file", "row"),
    order=("source", "file", "row"),
)  # fmt: skip

FILES: Final = Table(
    "files",
    "a file as it was read: rows = comments + rejects + forgotten",
    (
        Column("source", STRING, "name of the source", "avis_boutique"),
        Column("file", STRING, "file as named by the source", "exports/avis.csv"),
        Column("sequence", INT, "order of reading within the warehouse, from 1; the last one "
               "that names a comment wins", "3"),
        Column("digest", STRING, "sha256 of its bytes", "a94a8f…"),
        Column("mapping", STRING, "digest of the source's settings", "77de…"),
        Column("bytes", INT, "size", "128004"),
        Column("format", STRING, "csv, jsonl, json, xlsx, parquet", "csv"),
        Column("encoding", STRING, "as found or stated", "cp1252", True),
        Column("separator", STRING, "as found or stated", ";", True),
        Column("rows", INT, "records read", "412"),
        Column("comments", INT, "records that are comments", "409"),
        Column("rejects", INT, "records in `rejects`", "3"),
        Column("forgotten", INT, "records of people who were erased, see docs/privacy.md", "0",
               True),
        Column("run_id", STRING, "run that read it", "20260915T020000-4f1d"),
    ),
    key=("sequence",),
    order=("sequence",),
)  # fmt: skip

RUNS: Final = Table(
    "runs",
    "a run of the pipeline",
    (
        Column("run_id", STRING, "start of the run and a random part", "20260915T020000-4f1d"),
        Column("started_at", TIMESTAMP, "start", "2026-09-15T02:00:00Z"),
        Column("finished_at", TIMESTAMP, "end", "2026-09-15T02:06:40Z"),
        Column("status", STRING, "done or failed", "done"),
        Column("error", STRING, "why it failed: class and message, without personal data; null "
               "if it did not", "SourceError: source avis: no file matches exports/*.csv", True),
        Column("files_read", INT, "files read because they were new or changed", "4"),
        Column("rows_read", INT, "records in them", "412"),
        Column("rows_rejected", INT, "records of them in `rejects`", "3"),
        Column("comments", INT, "rows of `comments` after the run", "409"),
        Column("comments_written", INT, "rows new or changed in this run", "409"),
        Column("analysed", INT, "texts that went through the model", "371"),
        Column("set_aside", INT, "rows of `comments` with a reason not to be analysed", "38"),
        Column("mentions", INT, "rows of `mentions` after the run", "902"),
        Column("seconds_ingest", FLOAT, "seconds", "1.2"),
        Column("seconds_analyse", FLOAT, "seconds", "8.4"),
        Column("seconds_measure", FLOAT, "seconds", "0.6"),
        Column("comments_per_second", FLOAT, "analysed / seconds_analyse", "44.2"),
        Column("model_version", STRING, "name and digest of the model", "cxnlp-fr-mini-1a2b3c4d"),
        Column("taxonomy_version", STRING, "version and digest of the taxonomy", "1-9f8e7d6c"),
        Column("config_digest", STRING, "digest of the settings", "5d41…"),
        Column("n_min", INT, "comments from which a touchpoint can be the weakest link", "30",
               True),
        Column("metrics", STRING, "constants of the metrics tables, as JSON", '{"n_min":30,…}',
               True),
        Column("cxnlp_version", STRING, "version of the program", "0.1.0"),
    ),
    key=("run_id",),
    order=("started_at",),
)  # fmt: skip

TABLES: Final = (COMMENTS, MENTIONS, REJECTS, FILES, RUNS, *METRICS)


def markdown() -> str:
    """Return `docs/tables.md`: every public table with its columns and an example row."""
    lines = [
        "# Tables",
        "",
        "Generated from `cxnlp/schema.py`, `schema_metrics.py` and `schema_drift.py` by `python -m "
        "cxnlp.schema`; edit those files, not this.",
        "French values (labels, ids), English column names, timestamps in UTC.",
        "A type with `?` may be null.",
    ]
    for table in TABLES:
        lines += [
            "",
            f"## `{table.name}`",
            "",
            f"One row: {table.row}. Identified by {', '.join(f'`{k}`' for k in table.key)}.",
            "",
            "| column | type | meaning | example |",
            "| --- | --- | --- | --- |",
        ]
        lines += [
            f"| `{c.name}` | {c.type}{'?' if c.nullable else ''} | {c.meaning} | {c.example} |"
            for c in table.columns
        ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    import sys

    sys.stdout.write(markdown())
