"""Files in and out: the readers and writers that graphs find by name.

Importing this package registers `read_csv`, `read_jsonl`, `read_lines`, `write_csv` and
`write_jsonl` in the default registry. All of them stream: their memory does not grow with the file.
"""

from __future__ import annotations

from .base import FormatError, RecordError
from .csv import read_csv, write_csv
from .jsonl import read_jsonl, write_jsonl
from .lines import read_lines

__all__ = [
    "FormatError",
    "RecordError",
    "read_csv",
    "read_jsonl",
    "read_lines",
    "write_csv",
    "write_jsonl",
]
