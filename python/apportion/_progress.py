"""How far a run has come, on standard error, while somebody looks."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Progress = Callable[[str, int], object]


def _is_looked_at() -> bool:
    """Whether standard error is a terminal, or a cell of a notebook."""
    if sys.stderr is None:
        return False
    # A kernel's stream is no terminal, and its text is shown below the cell.
    return sys.stderr.isatty() or "ipykernel" in type(sys.stderr).__module__


class _Line:
    """One line that is written over and over, and gone at the end."""

    def __init__(self) -> None:
        self._width = 0

    def __call__(self, stage: str, rows: int) -> None:
        text = f"{stage}  {rows:,} rows" if rows else stage
        sys.stderr.write("\r" + text.ljust(self._width))
        sys.stderr.flush()
        self._width = len(text)

    def clear(self) -> None:
        if self._width:
            sys.stderr.write("\r" + " " * self._width + "\r")
            sys.stderr.flush()


@contextmanager
def told(progress: bool | Progress | None) -> Iterator[Progress | None]:
    """Whom to tell: whoever is named, or a line where somebody looks."""
    if callable(progress):
        yield progress
    elif progress or (progress is None and _is_looked_at()):
        line = _Line()
        try:
            yield line
        finally:
            line.clear()
    else:
        yield None
