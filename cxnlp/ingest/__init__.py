"""Where comments come from: files of five formats, services, databases, in one raw schema."""

from cxnlp.ingest.files import FoundFile, find_files
from cxnlp.ingest.mapping import FileRead, read_file, recognise

__all__ = ["FileRead", "FoundFile", "find_files", "read_file", "recognise"]
