"""A table of a run."""

from __future__ import annotations

import html
import os
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas
    import polars
    import pyarrow

    from . import _native

_SHOWN = 10
_WIDEST = 40


class Table:
    """A table of a run: an Arrow stream that can be read as often as you like.

    It speaks the Arrow PyCapsule interface, so that `pyarrow.table(table)`, `polars.DataFrame(table)`
    and DuckDB read it without a copy on the way. Amounts are exact decimals and times are times. What is
    large lies in a temporary file, which is removed with the last table of its run.
    """

    def __init__(self, frame: _native.Frame, name: str) -> None:
        self._frame = frame
        self._name = name

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        return self._frame.__arrow_c_stream__(requested_schema)

    def __arrow_c_schema__(self) -> object:
        return self._frame.__arrow_c_schema__()

    @cached_property
    def schema(self) -> dict[str, str]:
        """The Arrow type of every column, by its name."""
        return dict(self._frame.columns())

    @property
    def column_names(self) -> list[str]:
        """The names of the columns, in their order."""
        return list(self.schema)

    @cached_property
    def num_rows(self) -> int:
        """How many rows there are."""
        return self._frame.rows()

    def __len__(self) -> int:
        return self.num_rows

    def to_pyarrow(self) -> pyarrow.Table:
        """The table of pyarrow, which has to be installed."""
        import pyarrow

        return pyarrow.table(self)

    def to_pandas(self) -> pandas.DataFrame:
        """A data frame of pandas, which has to be installed, and pyarrow with it."""
        frame: pandas.DataFrame = self.to_pyarrow().to_pandas()
        return frame

    def to_polars(self) -> polars.DataFrame:
        """A data frame of Polars, which has to be installed."""
        import polars

        return polars.DataFrame(self)

    def write(self, path: str | os.PathLike[str], format: str | None = None) -> None:
        """Writes the table to a file, which appears whole: the bytes that the command line writes.

        The format is the one that is named, else the one of the file's ending: `.csv`, `.parquet`,
        `.json`, `.ndjson`, `.arrow`, `.md`, `.html`.
        """
        self._frame.write(os.fspath(path), format)

    def _head(self) -> list[list[str]]:
        return [[cell or "" for cell in row] for row in self._frame.head(_SHOWN)]

    def _size(self) -> str:
        rows = f"{len(self):,} row{'' if len(self) == 1 else 's'}"
        return f"{self._name}: {rows}, {len(self.schema)} columns"

    def __repr__(self) -> str:
        lines = [self.column_names, *self._head()]
        if not self.schema:
            return self._size()
        widths = [min(_WIDEST, max(map(len, column))) for column in zip(*lines, strict=True)]

        def fitted(cell: str, width: int) -> str:
            return (cell if len(cell) <= width else cell[: width - 1] + "…").ljust(width)

        rows = ("  ".join(map(fitted, line, widths)).rstrip() for line in lines)
        more = ["..."] if len(self) > _SHOWN else []
        return "\n".join([self._size(), *rows, *more])

    def _repr_html_(self) -> str:
        def row(cells: list[str], tag: str) -> str:
            return "<tr>" + "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in cells) + "</tr>"

        body = "".join(row(cells, "td") for cells in self._head())
        more = "" if len(self) <= _SHOWN else f" The first {_SHOWN} are shown."
        return (
            f"<table><thead>{row(self.column_names, 'th')}</thead><tbody>{body}</tbody></table>"
            f"<p>{html.escape(self._size())}.{more}</p>"
        )
