"""The settings of a run, as keywords: those of `apportion.toml`, under the same names.

`docs/settings.md` of the repository explains each. A name has its flag's meaning and its default. Where a
flag takes several values, a list does; a `datetime.timedelta` is a duration, and a `datetime.date` a day.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Literal, TypedDict

Path = str | os.PathLike[str]
Texts = str | Sequence[str]
Duration = str | timedelta
Day = str | date
Instant = str | date | datetime


class Settings(TypedDict, total=False):
    """Every setting beside the tables; `from_` is `from`, which is no keyword that Python allows."""

    # How tables are read.
    column: Mapping[str, Mapping[str, str]]
    set: Mapping[str, Mapping[str, object]]
    units: Literal["minor", "major"]
    normalize: Literal["lower"]
    max_rejects: str | int | float
    as_of: Instant
    # How credit is divided.
    model: Texts
    sweep: Mapping[str, object]
    view_lookback: Duration
    views: Literal["none", "first", "last", "all"]
    overlap: bool
    direct: Literal["include", "skip"]
    cancelled: Literal["exclude", "include"]
    amount: str
    currency: str
    missing_rate: Literal["fail", "reject", "keep"]
    reconcile: Texts
    merge_authenticated: bool
    channel: Sequence[Mapping[str, object]]
    default_channels: bool
    domains: Mapping[str, str]
    vouchers: Mapping[str, object]
    # Who must not be seen.
    hash_ids: Path
    min_persons: int
    # What is reported.
    where_touches: str
    where_orders: str
    where_persons: str
    from_: Day
    to: Day
    compare: str
    measures: Literal["usual", "all"]
    date_by: Literal["order", "touch"]
    timezone: str
    bounce_duration: Duration
    bounce_interactions: float
    bootstrap: int
    seed: int
    level: str | float
    wide: bool
    # What is written beside the result, as the command line writes it.
    format: str
    output: Path
    credits: Path
    journeys: Path
    orders_report: Path
    spend_gaps: Path
    ranks: Path
    effects: Path
    paths: Path
    ranges: Path
    decisions: Path
    persons: Path
    identity: Path
    rejects: Path
    summary: Path
    keep: Path
    store: Path
    store_wait: Duration
    partition_by: Literal["day", "month"]
    # How it runs.
    threads: int
    memory_limit: str
