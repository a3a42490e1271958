"""What came of a run on Spark."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._errors import SettingError
from .._result import Answer
from .._table import Table
from ._kernel import ORDER
from ._plan import ASKED, ROWS

if TYPE_CHECKING:
    from types import TracebackType

    from pyspark.sql import DataFrame

    from .. import _native
    from ._passes import Effort
    from ._run import SparkRun


class SparkResult(Answer):
    """A run that is done: small tables here, and tables of rows where Spark keeps them.

    `report`, `effects`, `proof` and `rejects` are tables as those of `apportion.Result`, and so are `paths`,
    `orders_report`, `spend_gaps` and `ranks` where `tables` named them. `credits`,
    `journeys`, `persons` and `identity` are data frames of Spark, which are worked out when Spark is asked
    for their rows. What Spark holds for them is let go of by `close`, or at the end of a `with` block;
    rows that are asked for later are worked out from the inputs again.
    """

    ALWAYS = frozenset({"report", "effects", "proof", "rejects"})

    def __init__(self, run: SparkRun, concluded: _native.Concluded) -> None:
        super().__init__(concluded)
        self._run = run
        self._concluded = concluded

    def _made(self, name: str) -> Table:
        frame = self._concluded.frame(name)
        if frame is not None:
            return Table(frame, name)
        if name == "effects" and "merge" in self._run.plan.passes:
            why = "is about the lines of one report, and --effects shows smaller groups of persons"
            raise SettingError(f"`--min-persons` {why}; leave one of them out")
        if name == "effects":
            why = "says nothing without a model that learns, such as `--model markov`"
            raise SettingError(f"`--effects` {why}")
        if name in ASKED:
            hint = "name it among `tables` of `apportion.spark.attribute`"
            raise SettingError(f"`{name}` was not asked for\n\nhint: {hint}")
        raise KeyError(f"this run has no table `{name}`")

    def rows(self, name: str, *, ordered: bool = False) -> DataFrame:
        """One of the tables of rows, by its name.

        Rows are in no order, and `_person` and `_row` say where each stands; those that are `ordered` are in
        the order of `apportion.attribute`, and have no columns but its own.
        """
        if name not in ROWS:
            raise KeyError(f"no table of rows is named `{name}`; choose from {', '.join(ROWS)}")
        rows = self._run.rows(name)
        return rows.sort(*ORDER).drop(*ORDER) if ordered else rows

    @property
    def credits(self) -> DataFrame:
        """A row for each order, touch and model."""
        return self.rows("credits")

    @property
    def journeys(self) -> DataFrame:
        """A row for each order, with the path that led to it."""
        return self.rows("journeys")

    @property
    def persons(self) -> DataFrame:
        """A row for each person."""
        return self.rows("persons")

    @property
    def identity(self) -> DataFrame:
        """A row for each user id, with how it came to its person."""
        return self.rows("identity")

    @property
    def efforts(self) -> list[Effort]:
        """What each pass over the rows took of the tasks of Spark."""
        return list(self._run.efforts)

    def close(self) -> None:
        """Lets go of what Spark holds for tables of rows."""
        self._run.unpersist()

    def __enter__(self) -> SparkResult:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __str__(self) -> str:
        return self._concluded.text()

    def __repr__(self) -> str:
        orders = self.summary["orders"]
        return (
            f"<apportion.spark.SparkResult: {orders['counted']:,} orders,"
            f" {orders['attributed']:,} of them attributed>"
        )

    def _repr_html_(self) -> str:
        return f"{self.report._repr_html_()}{self.proof._repr_html_()}"
