"""The plan of a run: which columns it reads, what joins their rows, and how often it goes over them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .. import _native

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

    import pyarrow

#: Tables whose rows say whose they are, and go to where their person is worked on.
PERSONAL = ("sessions", "orders", "postviews", "users", "aliases")
#: Those and items, which go with their orders.
SHUFFLED = (*PERSONAL, "order_items")
#: Small tables, which every task has whole.
SMALL = ("devices", "exchange_rates", "spend")
#: The tables of rows that can be asked for.
ROWS = ("credits", "journeys", "persons", "identity")
#: Tables of rows that a run which is kept has, as they are kept.
KEPT = tuple(f"kept_{name}" for name in ("credits", "journeys", "sessions", "orders", "persons", "identity"))
#: Small tables of a run that are made only where somebody asks for them beforehand.
ASKED = ("paths", "orders_report", "spend_gaps", "ranks")


@dataclass(frozen=True)
class Place:
    """Where a value of each row is found: in a column, by its path through structs, or in none."""

    column: tuple[str, ...] = ()
    #: What it is in every row.
    constant: str | None = None

    @classmethod
    def of(cls, said: Mapping[str, Any] | None) -> Place | None:
        """A place as the native half says it."""
        if said is None:
            return None
        return cls(tuple(said.get("column", ())), said.get("constant"))


@dataclass(frozen=True)
class TablePlan:
    """What is to be known of a table to take its rows to where they are worked on."""

    #: The columns that are read.
    columns: tuple[str, ...]
    #: The user of a row.
    user: Place | None
    #: The id of a row, of which there may be several versions.
    id: Place | None
    #: Whom an alias leads to.
    to: Place | None
    #: The order that an item is of.
    order: Place | None

    @classmethod
    def of(cls, said: Mapping[str, Any]) -> TablePlan:
        """What the native half says of a table."""
        places = {name: Place.of(said.get(name)) for name in ("user", "id", "to", "order")}
        return cls(columns=tuple(said["columns"]), **places)


@dataclass(frozen=True)
class Plan:
    """A run, resolved once by the native half: settings, clock, columns and passes."""

    #: As the native half takes it back.
    text: str
    tables: Mapping[str, TablePlan]
    passes: tuple[str, ...]
    #: Whether keys of profiles join users.
    reconciles: bool
    #: Ids that stand for no user: their rows are rejected and join nobody.
    placeholders: tuple[str, ...]
    #: The tables of rows that the settings say where to write.
    written: tuple[str, ...]

    @classmethod
    def of(
        cls,
        settings: Mapping[str, object],
        config: str | os.PathLike[str] | Mapping[str, Any] | None,
        schemas: Mapping[str, pyarrow.Schema],
        small: Mapping[str, pyarrow.Table],
        wanted: Sequence[str],
        *,
        places: bool = False,
    ) -> Plan:
        """The plan for tables of these schemas, of a run that may be asked for the rows `wanted` names.

        With `places`, rows say where they were read, in columns that the schemas do not have.
        """
        return cls.read(_native.plan(settings, config, schemas, small, list(wanted), places))

    @classmethod
    def read(cls, text: str) -> Plan:
        """The plan that a text says."""
        said = json.loads(text)
        return cls(
            text=text,
            tables={name: TablePlan.of(table) for name, table in said["tables"].items()},
            passes=tuple(said["passes"]),
            reconciles=bool(said["reconciles"]),
            placeholders=tuple(said["placeholders"]),
            written=tuple(said["written"]),
        )

    def at_the_clock_of(self, other: Plan) -> Plan:
        """The same plan with the clock of another one."""
        said = json.loads(self.text)
        said["began"] = json.loads(other.text)["began"]
        return Plan.read(json.dumps(said))
