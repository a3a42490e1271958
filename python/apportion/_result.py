"""What came of a run, and what can be asked of it."""

from __future__ import annotations

import html
import json
import os
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Literal, Protocol

from . import _native
from ._progress import Progress, told
from ._table import Table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ._settings import Day, Texts


class _Said(Protocol):
    """A run that is done, as the native half has it."""

    def summary(self) -> str:
        """What was done, as JSON."""
        ...


class Answer(ABC):
    """What every run says, wherever it was done."""

    def __init__(self, said: _Said) -> None:
        self._said = said
        self._tables: dict[str, Table] = {}

    def table(self, name: str) -> Table:
        """The table of this name, which is worked out now if it was not and can be."""
        if name not in self._tables:
            self._tables[name] = self._made(name)
        return self._tables[name]

    @abstractmethod
    def _made(self, name: str) -> Table:
        """The table of this name, when it is first asked for."""

    @property
    def report(self) -> Table:
        """A row for each model and combination of dimension values; of a sweep, for each result too."""
        return self.table("report")

    @property
    def proof(self) -> Table:
        """What each model credited in each currency, against what is owed."""
        return self.table("proof")

    @property
    def rejects(self) -> Table:
        """Every row that was rejected, with its table, number and rule."""
        return self.table("rejects")

    @property
    def effects(self) -> Table:
        """What models that learn say of channels."""
        return self.table("effects")

    @property
    def paths(self) -> Table:
        """How often each path ended in an order, and how often in none."""
        return self.table("paths")

    @property
    def orders_report(self) -> Table:
        """What is known of orders alone."""
        return self.table("orders_report")

    @property
    def spend_gaps(self) -> Table:
        """Where spend and sessions do not meet."""
        return self.table("spend_gaps")

    @property
    def ranks(self) -> Table:
        """How likely each line ranks above each other one, of a run with `bootstrap`."""
        return self.table("ranks")

    @property
    def ranges(self) -> Table:
        """The least and the greatest of each figure, of a run with `sweep`."""
        return self.table("ranges")

    @property
    def decisions(self) -> Table:
        """What a run with `sweep` makes of decisions."""
        return self.table("decisions")

    @property
    def summary(self) -> dict[str, Any]:
        """What was done, in numbers, as `--summary` writes it."""
        summary: dict[str, Any] = json.loads(self._said.summary())
        return summary

    @property
    def warnings(self) -> list[str]:
        """What a reader should know before trusting the numbers."""
        return list(self.summary["warnings"])


class Result(Answer):
    """A run that is done: its tables, and what can be asked of it.

    `report`, `proof` and `rejects` are there at once, and so is whatever `tables` named. Any other table
    is worked out when it is first asked for, by running again over the same inputs with the same clock;
    inputs that have changed meanwhile are an error, never a table that does not fit the report.
    """

    ALWAYS = frozenset({"report", "proof", "rejects"})

    def __init__(self, run: _native.Run, progress: bool | Progress | None) -> None:
        super().__init__(run)
        self._run = run
        self._progress = progress

    def _made(self, name: str) -> Table:
        with told(self._progress) as listener:
            return Table(self._run.frame(name, listener), name)

    @property
    def credits(self) -> Table:
        """A row for each order, touch and model."""
        return self.table("credits")

    @property
    def journeys(self) -> Table:
        """A row for each order, with the path that led to it."""
        return self.table("journeys")

    @property
    def persons(self) -> Table:
        """A row for each person."""
        return self.table("persons")

    @property
    def identity(self) -> Table:
        """A row for each user id, with how it came to its person."""
        return self.table("identity")

    def explain(self, order: str) -> Explanation:
        """Why an order was divided as it was. The first one reads the inputs whole, later ones nothing."""
        with told(self._progress) as listener:
            facts, text = self._run.explain(str(order), listener)
        return Explanation(facts, text)

    def plot(
        self,
        chart: Literal["models", "time", "paths", "lag", "length", "roles"] = "models",
        *,
        width: int | None = None,
        height: int | None = None,
        theme: Literal["light", "dark"] = "light",
    ) -> Chart:
        """A chart of the run, as `apportion plot` draws it; a notebook shows it."""
        with told(self._progress) as listener:
            return Chart(self._run.chart(chart, width, height, theme, listener))

    def html(self) -> str:
        """The page of the run, as `apportion report` makes it: one document that needs nothing else."""
        with told(self._progress) as listener:
            return self._run.html(listener)

    def diff(
        self,
        other: Result | str | os.PathLike[str],
        *,
        by: Texts = (),
        models: Texts = (),
        from_: Day | None = None,
        to: Day | None = None,
    ) -> Difference:
        """Why the numbers of another run differ from those of this one, cause by cause.

        `other` is a result, or the folder of a kept run. By channel, unless `by` names columns of
        credits, or `none`.
        """
        if isinstance(other, Result):
            folder, name = other._kept(), "the other run"
        else:
            folder = name = os.fspath(other)
        days = (str(from_) if from_ else None, str(to) if to else None)
        folders, names = (self._kept(), folder), ("this run", name)
        frame, text = _native.compare(folders, names, _listed(by), _listed(models), days)
        return Difference(frame, text)

    def _kept(self) -> str:
        with told(self._progress) as listener:
            return os.fspath(self._run.keep(listener))

    def __str__(self) -> str:
        return self._run.text()

    def __repr__(self) -> str:
        summary = self.summary
        orders = summary["orders"]
        models = {line["model"] for line in summary["proof"]["models"]}
        made = ", ".join(self._run.made())
        return (
            f"<apportion.Result: {orders['counted']:,} orders, {orders['attributed']:,} of them attributed,"
            f" {len(models)} model{'' if len(models) == 1 else 's'}; tables: {made}>"
        )

    def _repr_html_(self) -> str:
        summary = self.summary
        orders, rejected = summary["orders"], summary["rejected"]
        facts = [
            f"{orders['counted']:,} orders counted: {orders['attributed']:,} attributed,"
            f" {orders['unattributed']:,} unattributed",
            f"{rejected:,} rows rejected",
        ]
        notes = "".join(f"<li>{html.escape(note)}</li>" for note in facts + summary["warnings"])
        return f"{self.report._repr_html_()}<ul>{notes}</ul>{self.proof._repr_html_()}"


class Explanation:
    """Why an order was divided as it was: `facts` for programs, and a text for people."""

    def __init__(self, facts: str, text: str) -> None:
        #: What `apportion explain --format json` writes.
        self.facts: dict[str, Any] = json.loads(facts)
        self._text = text

    def __str__(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return self._text

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(self._text)}</pre>"


class Difference(Table):
    """Why numbers changed between two runs: a table with a row for each cause, and a text for people."""

    def __init__(self, frame: _native.Frame, text: str) -> None:
        super().__init__(frame, "difference")
        self._text = text

    def __str__(self) -> str:
        return self._text

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(self._text)}</pre>"


class Chart:
    """A chart, which a notebook shows."""

    def __init__(self, svg: str) -> None:
        #: The drawing as SVG.
        self.svg = svg

    def _repr_svg_(self) -> str:
        return self.svg

    def write(self, path: str | os.PathLike[str]) -> None:
        """Writes it to a file whose name ends in `.svg` or `.png`."""
        _native.write_chart(self.svg, os.fspath(path))


def _listed(texts: str | Sequence[str]) -> list[str]:
    return [texts] if isinstance(texts, str) else list(texts)
