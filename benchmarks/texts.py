"""French comments for the benchmarks, as long as real ones: most are short, a few very long.

    python benchmarks/texts.py FILE.parquet --comments 20000

Comes in: how many. Goes out: texts whose lengths in tokens are log-normal with a median of 29, a
mean of 47.5 and at most 512, as those of 30,000 French reviews and messages; batches of 32 of
them unsorted compute five times the tokens they have. The sentences are those of the bundled
samples, drawn anew for each text. Left out: meaning; neighbours in a text are strangers.
"""

import argparse
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from tokenizers import Tokenizer

from cxnlp.clean import language
from cxnlp.config import load_settings
from cxnlp.ingest import find_files, read_file

MODEL = Path("models/cxnlp-fr-mini")
MEDIAN, SPREAD, LONGEST = 29.0, 0.9935, 512
_END = re.compile(r"(?<=[.!?…])\s+|\n+")


def texts(count: int, seed: int = 5) -> list[str]:
    """Return `count` comments, the same for the same numbers; few are the same as another."""
    random = np.random.default_rng(seed)
    sentences = _sentences()
    words = [sentence.split() for sentence in sentences]
    tokenizer = Tokenizer.from_file(str(MODEL / "tokenizer.json"))
    sizes = [len(e.ids) for e in tokenizer.encode_batch(sentences, add_special_tokens=False)]
    found = []
    for wanted in np.clip(random.lognormal(np.log(MEDIAN), SPREAD, count), 1, LONGEST).tolist():
        text: list[str] = []
        while wanted >= 1:
            one = int(random.integers(len(words)))
            room = min(wanted / sizes[one], 1.0)
            text += words[one][: max(round(room * len(words[one])), 1)]
            wanted -= sizes[one]
        found.append(" ".join(text))
    return found


def _sentences() -> list[str]:
    found: dict[str, None] = {}
    for source in load_settings("configs/demo.yaml").sources:
        for file in find_files(source):
            read = read_file(file, source, author_key=None, mask=(), run_id="", sequence=1)
            for text in read.comments["text"].to_pylist():
                found |= dict.fromkeys(part.strip() for part in _END.split(text or ""))
    return [sentence for sentence in found if len(sentence) > 1 and language(sentence) == "fr"]


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("file", type=Path)
    asked.add_argument("--comments", type=int, default=20_000)
    given = asked.parse_args()
    made = texts(given.comments)
    pq.write_table(pa.table({"id": [f"c{i}" for i in range(len(made))], "text": made}), given.file)


if __name__ == "__main__":
    main()
