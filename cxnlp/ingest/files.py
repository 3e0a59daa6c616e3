"""Find the files that a source names, and turn their bytes into lines of text.

Comes in: the patterns of a source (paths, globs, fsspec URLs). Goes out: `FoundFile`s, then
the bytes of one of them, what format they are, and their lines with the encoding found.
Left out: what the lines say (`separated`, `records`). Chained URLs (`zip://…::…`) are refused;
credentials belong in fsspec's own configuration, never in the path. In a glob, hidden files
and the lock files of office programs (`~$…`) are not taken.
"""

import codecs
import hashlib
import io
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Final

from fsspec.core import url_to_fs

from cxnlp.config import Source
from cxnlp.errors import SourceError

SUFFIXES: Final = {
    ".csv": "csv", ".tsv": "csv", ".txt": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl",
    ".json": "json", ".xlsx": "xlsx", ".xlsm": "xlsx", ".parquet": "parquet", ".pq": "parquet",
}  # fmt: skip

_STARTS: Final = (
    (b"%PDF", "a PDF document"),
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"\xd0\xcf\x11\xe0", "an old Excel file (.xls) or one with a password; save it as .xlsx"),
    (b"\x1f\x8b", "compressed with gzip; unpack it first"),
    (b"BZh", "compressed with bzip2; unpack it first"),
    (b"\xfd7zXZ", "compressed with xz; unpack it first"),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd; unpack it first"),
    (b"7z\xbc\xaf", "a 7z archive; unpack it first"),
    (b"{\\rtf", "an RTF document"),
    (b"SQLite format 3", "an SQLite database"),
)  # fmt: skip
_BOMS: Final = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_BLOCK: Final = 1 << 20
# What a byte that the encoding does not define becomes in a line; UTF-16 knows only U+FFFD.
_UNDECODED: Final = re.compile("[\udc80-\udcff]")
_UNDECODED_WIDE: Final = re.compile("\ufffd")


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A file that a source names: how to open it, how tables name it, its size and sha256."""

    path: str
    name: str
    size: int
    digest: str


@dataclass(frozen=True, slots=True)
class Decoded:
    """The lines of a text, each with its end, and the encoding they were read with.

    `undecoded` finds what bytes without a meaning became; None if there are none.
    """

    lines: list[str]
    encoding: str
    undecoded: re.Pattern[str] | None


def find_files(source: Source) -> list[FoundFile]:
    """Return the files of a source, sorted by name, each once.

    Every pattern must match: one that matches nothing raises `SourceError`.
    """
    found: dict[str, str] = {}
    for pattern in source.patterns:
        found.update(_match(source.name, pattern))
    named = sorted((name, path) for path, name in found.items())
    return [_digested(source.name, path, name) for name, path in named]


def read_bytes(found: FoundFile) -> bytes:
    """Return the content of a file; `SourceError` if it cannot be read."""
    return b"".join(_blocks(found.path, found.name))


def format_of(data: bytes, name: str, stated: str | None) -> str:
    """Return the format of a file: as stated or by its suffix, checked against its bytes."""
    suffix = PurePosixPath(name).suffix.lower()
    expected = stated or SUFFIXES.get(suffix)
    if expected is None:
        raise SourceError(
            f"the ending {suffix!r} names no format; state `format:` "
            "(csv, jsonl, json, xlsx or parquet) for this source"
        )
    if not data and expected != "jsonl":
        raise SourceError("the file is empty (0 bytes), not even a header; export again")
    seems = _seems(data)
    if seems and seems != expected:
        advice = f"; state `format: {seems}`" if seems in SUFFIXES.values() else ""
        raise SourceError(f"expected {expected}, but this seems to be {seems}{advice}")
    if expected in ("xlsx", "parquet") and not seems:
        raise SourceError(f"this is not {expected}, whatever its name says; export again")
    return expected


def decode(data: bytes, stated: str | None) -> Decoded:
    """Return the lines of a text.

    The encoding is the one stated, or that of the byte order mark, or UTF-8 if every byte
    agrees, or else cp1252. A file with more letters that are UTF-8 than bytes that are not is
    a damaged UTF-8 file, not cp1252. A byte that means nothing in the encoding becomes a
    character that `undecoded` finds, so that only its row is lost.
    """
    encoding = _encoding(data, stated)
    wide = "\n".encode(encoding)[-1:] != b"\n" or encoding.startswith(("utf-16", "utf-32"))
    # Lines end in \n or \r\n; only a file without any \n can be one of old, with \r alone.
    end = "\r" if not wide and b"\n" not in data else "\n"
    text = io.TextIOWrapper(
        io.BytesIO(data), encoding, "replace" if wide else "surrogateescape", newline=end
    )
    damage = None if _decodes(data, encoding) else _UNDECODED_WIDE if wide else _UNDECODED
    return Decoded(list(text), encoding, damage)


def readable(text: str) -> str:
    r"""Return the text with undecoded bytes written as \x81, so that it can be stored.

    >>> readable("caf\udc81")
    'caf\\x81'
    """
    return _UNDECODED.sub(lambda m: f"\\x{ord(m[0]) - 0xDC00:02x}", text)


def _match(source: str, pattern: str) -> Iterator[tuple[str, str]]:
    """Yield how to open, and how to name, each file of a pattern."""
    if "::" in pattern:
        raise SourceError(f"source {source}: {pattern}: chained URLs are not read; unpack first")
    try:
        fs, path = url_to_fs(pattern)
        if fs.isfile(path):
            paths = [path]
        elif fs.isdir(path):
            raise SourceError(f"source {source}: {pattern} is a folder; write {pattern}/*.csv")
        else:
            paths = [p for p in fs.glob(path) if not _hidden(p) and fs.isfile(p)]
    except (OSError, ValueError, ImportError) as error:
        raise SourceError(f"source {source}: {pattern} cannot be searched: {error}") from error
    if not paths:
        folder = str(path).split("*")[0].rpartition("/")[0] or "/"
        raise SourceError(
            f"source {source}: no file matches {pattern!r} (looked in {folder}); "
            "correct `files:` or put the export there"
        )
    local = "file" in ([fs.protocol] if isinstance(fs.protocol, str) else fs.protocol)
    for each in paths:
        if not local:
            yield fs.unstrip_protocol(each), fs.unstrip_protocol(each)
        elif Path(pattern).is_absolute() or "://" in pattern or pattern.startswith("~"):
            yield each, Path(each).as_posix()
        else:
            yield each, Path(os.path.relpath(each)).as_posix()


def _hidden(path: str) -> bool:
    return PurePosixPath(path).name.startswith((".", "~$"))


def _digested(source: str, path: str, name: str) -> FoundFile:
    size, digest = 0, hashlib.sha256()
    for block in _blocks(path, f"source {source}: {name}"):
        size += len(block)
        digest.update(block)
    return FoundFile(path, name, size, digest.hexdigest())


def _blocks(path: str, name: str) -> Iterator[bytes]:
    try:
        fs, inner = url_to_fs(path)
        with fs.open(inner, "rb") as file:
            while block := file.read(_BLOCK):
                yield block
    except (OSError, ValueError, ImportError) as error:
        raise SourceError(f"{name}: cannot be read: {error}") from error


def _seems(data: bytes) -> str | None:
    """Return a format, or words for what the bytes are; None for text that may be anything."""
    if data.startswith(b"PAR1"):
        return "parquet"
    if data.startswith(b"PK\x03\x04"):
        return "xlsx" if b"xl/" in data else "a zip archive; unpack it first"
    for start, words in _STARTS:
        if data.startswith(start):
            return words
    head = data[:512].removeprefix(codecs.BOM_UTF8).lstrip().lower()
    if head.startswith((b"<!doctype html", b"<html", b"<head", b"<table", b"<script")):
        return "an HTML page"
    if head.startswith((b"<?xml", b"<feed", b"<rss")):
        return "an XML document"
    return None


def _encoding(data: bytes, stated: str | None) -> str:
    bom = next((encoding for mark, encoding in _BOMS if data.startswith(mark)), None)
    if stated:
        plain = codecs.lookup(stated).name
        if bom and not plain.startswith("utf"):
            raise SourceError(
                f"`encoding: {stated}` is stated, but the file starts with the mark of "
                f"{bom}; remove `encoding:`"
            )
        return bom if bom and plain in ("utf-8", "utf-16", "utf-32") else plain
    if bom:
        return bom
    if _decodes(data, "utf-8"):
        if data[:4096].count(0) > len(data[:4096]) // 4:
            raise SourceError(
                "full of NUL bytes, as UTF-16 without its mark; state "
                "`encoding: utf-16-le`, or export as UTF-8"
            )
        return "utf-8"
    return "utf-8" if _mostly_utf8(data) else "cp1252"


def _decodes(data: bytes, encoding: str) -> bool:
    decoder: Any = codecs.getincrementaldecoder(encoding)("strict")
    try:
        for start in range(0, len(data), _BLOCK):
            decoder.decode(data[start : start + _BLOCK])
        decoder.decode(b"", True)
    except UnicodeDecodeError:
        return False
    return True


def _mostly_utf8(data: bytes) -> bool:
    """Whether letters that only UTF-8 writes outnumber the bytes that it does not allow."""
    decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
    right = wrong = 0
    for start in range(0, len(data), _BLOCK):
        text = decoder.decode(data[start : start + _BLOCK])
        bad = len(_UNDECODED.findall(text))
        wrong += bad
        right += len(re.findall(r"[^\x00-\x7f]", text)) - bad
    return right > wrong
