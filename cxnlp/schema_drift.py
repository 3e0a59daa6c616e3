"""The metrics table `drift`: what the model now answers, against what it was trained on.

Nothing is read here. How it is worked out stands in `metrics/drift.sql`.
"""

from typing import Final

import pyarrow as pa

from cxnlp.columns import EMOTIONS, FLOAT, INT, SENTIMENTS, STRING, STRINGS, Column, Table

ADVICE: Final = ("aucune", "surveiller", "annoter", "trop_peu", "sans_reference")
ASPECTS: Final = ("sentiment", "emotion", "confiance", "mots", "langue")
REFERENCE: Final = "reference"  # the period of the row that the others are compared with


def _psi(of: str, example: str) -> Column:
    return Column(f"psi_{of}", FLOAT, f"population stability index of {of} against the reference, "
                  "from 0", example, True)  # fmt: skip


DRIFT: Final = Table(
    "drift",
    "a period and a source, and first what the model was trained on",
    (
        Column("period", STRING, f"month as YYYY-MM, `tout` for all, or `{REFERENCE}`: comments "
               "that the model was trained on", "2026-09"),
        Column("source", STRING, "source, or `toutes`", "avis_boutique"),
        Column("n", INT, "comments analysed", "412"),
        *(Column(f"sentiment_{s}", FLOAT, f"share of sentiment {s}, 0–1", "0.25", True)
          for s in SENTIMENTS),
        _psi("sentiment", "0.03"),
        *(Column(f"emotion_{e}", FLOAT, f"share whose dominant emotion is {e}", "0.12", True)
          for e in (*EMOTIONS, "neutre")),
        _psi("emotion", "0.08"),
        Column("confidence", FLOAT, "mean `confidence`", "0.84", True),
        _psi("confidence", "0.05"),
        Column("words", pa.int64(), "words of four letters or more that were read", "9120"),
        Column("words_distance", FLOAT, "Jensen–Shannon divergence of the words from those of the "
               "reference in bits, less what chance alone gives, from 0", "0.04", True),
        Column("other_language", FLOAT, "share set aside for its language, of comments analysed "
               "or so set aside", "0.02", True),
        Column("advice", STRING, f"one of {', '.join(ADVICE)}", "surveiller"),
        Column("reasons", STRINGS, f"what is beyond its first mark, among {', '.join(ASPECTS)}",
               "[mots]"),
    ),
    key=("period", "source"),
    order=("period", "source"),
)  # fmt: skip
