"""The report of the rule models in SQL, by DuckDB and by Polars, against that of the command.

Both engines are given one text, so that neither is adapted to what the command does: windows as joins, models
as window functions, amounts by largest remainder in whole numbers. Called by differential.sh.
"""

import itertools
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import duckdb
import polars as pl

ROOT = Path(__file__).resolve().parent.parent
BINARY = Path(os.environ.get("APPORTION", ROOT / "target/debug/apportion"))
MODELS = [
    "last_click",
    "first_click",
    "last_non_direct",
    "linear",
    "time_decay",
    "position_based",
    "j_curve",
    "inverse_j",
]
DAY = 86_400_000_000

# Rows as tables of numbers: times are microseconds, amounts cents, `place` puts views before sessions.
SQL = """
with previous as (
    select o.order_id, max(p.moment) as moment
    from orders as o join orders as p on p.person = o.person
    where p.moment < o.moment and {overlap} = 0
    group by o.order_id
), joined as (
    select o.order_id, o.moment as order_at, o.amount, t.touch_id, t.moment, t.place, t.source, t.medium,
           case when t.source = 'direct' then 1 else 0 end as is_direct
    from orders as o
    join touches as t on t.person = o.person
    left join previous as p on p.order_id = o.order_id
    where t.moment <= o.moment and (p.moment is null or t.moment > p.moment)
      and ((t.place = 1 and t.moment >= o.moment - {lookback})
           or (t.place = 0 and t.moment >= o.moment - {view_lookback}))
), judged as (
    select order_id, order_at, amount, touch_id, moment, place, source, medium, is_direct,
           min(is_direct) over (partition by order_id) as all_direct
    from joined
), kept as (
    select order_id, order_at, amount, touch_id, moment, place, source, medium, is_direct
    from judged where {skip} = 0 or is_direct = 0 or all_direct = 1
), placed as (
    select order_id, order_at, amount, source, medium, is_direct,
           row_number() over (partition by order_id order by moment, place, touch_id) as position,
           count(touch_id) over (partition by order_id) as touches,
           max(moment) over (partition by order_id) as latest, moment
    from kept
), marked as (
    select order_id, amount, source, medium, position, touches,
           max(case when is_direct = 0 then position else 0 end) over (partition by order_id) as not_direct,
           -- Whole numbers, as exact as a float; a quotient of literals would be a decimal of few digits.
           floor(1099511627776.0
               * pow(cast(2 as double), cast(moment - latest as double) / cast({half_life} as double))) as decay
    from placed
), weighed as (
    select order_id, amount, source, medium, position, touches, '{model}' as model,
           cast({weight} as {whole}) as weight,
           cast(case when amount < 0 then -amount else amount end as {whole}) as worth
    from marked
), summed as (
    select order_id, amount, source, medium, position, weight, worth,
           cast(sum(weight) over (partition by order_id) as {whole}) as all_weight
    from weighed
), parts as (
    select order_id, amount, source, medium, position, weight, all_weight, worth,
           worth * weight {divide} all_weight as part, worth * weight % all_weight as rest
    from summed
), ranked as (
    select order_id, amount, source, medium, weight, all_weight, part,
           row_number() over (partition by order_id order by rest desc, position) as place,
           worth - cast(sum(part) over (partition by order_id) as {whole}) as left_over
    from parts
), credited as (
    select source, medium, cast(weight as double) / cast(all_weight as double) as share,
           case when amount < 0 then -1 else 1 end
               * cast(part + case when place <= left_over then 1 else 0 end as bigint) as amount
    from ranked
)
select source, medium, sum(share) as conversions, sum(amount) as amount, count(share) as touches
from credited group by source, medium order by source, medium
"""

ENDS = """case when touches = 1 then 1 when touches = 2 then case when position = 1 then {first} else {last} end
              when position = 1 then {first} * (touches - 2) when position = touches then {last} * (touches - 2)
              else 100 - {first} - {last} end"""
WEIGHTS = {
    "last_click": "case when position = touches then 1 else 0 end",
    "first_click": "case when position = 1 then 1 else 0 end",
    "last_non_direct": """case when not_direct = position then 1
                            when not_direct = 0 and position = touches then 1 else 0 end""",
    "linear": "1",
    "time_decay": "decay",
    "position_based": ENDS.format(first=40, last=40),
    "j_curve": ENDS.format(first=20, last=60),
    "inverse_j": ENDS.format(first=60, last=20),
}


def apportion(*arguments, folder):
    ran = subprocess.run([BINARY, *arguments], cwd=folder, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def tables(folder):
    """Orders, whatever their currency (all have cents), and touches as plain columns.

    Who is who is what the command's audit of identity says.
    """
    database = duckdb.connect()
    database.sql("set timezone = 'UTC'")
    database.sql(f"create view person as select user_external_id, person from '{folder}/identity.parquet'")
    orders = database.sql(f"""
        select o.external_id as order_id, p.person, epoch_us(o.created_at) as moment,
               ((o.subtotal_price - coalesce(o.refunded_price, 0)) * 100)::bigint as amount
        from '{folder}/orders.parquet' as o join person as p using (user_external_id)
        where o.cancelled_at is null""").pl()
    touches = database.sql(
        " union all ".join(
            f"""select t.external_id as touch_id, p.person, epoch_us(t.created_at) as moment, {place} as place,
                   coalesce(t.utm_source, 'direct') as source,
                   case when t.utm_source is null then 'none' else coalesce(t.utm_medium, 'none') end as medium
            from '{folder}/{table}.parquet' as t join person as p using (user_external_id)"""
            for table, place in [("sessions", 1), ("postviews", 0)]
        )
    ).pl()
    return orders, touches


def by_duckdb(sql, orders, touches):
    database = duckdb.connect()
    database.register("orders", orders.to_arrow())
    database.register("touches", touches.to_arrow())
    return database.sql(sql).fetchall()


def by_polars(sql, orders, touches):
    return pl.SQLContext(orders=orders.lazy(), touches=touches.lazy(), eager=True).execute(sql).rows()


ENGINES = {
    "DuckDB": (by_duckdb, {"whole": "hugeint", "divide": "//"}),
    "Polars": (by_polars, {"whole": "int128", "divide": "//"}),
}


def compare(folder, seed):
    apportion(
        "simulate",
        "--seed",
        str(seed),
        "--sessions",
        "6000",
        "--orders",
        "700",
        "--days",
        "120",
        "--busiest",
        "60",
        "--tail",
        "1.1",
        "--refunds",
        "0.1",
        "--cancellations",
        "0.1",
        "--quiet",
        "-o",
        ".",
        folder=folder,
    )
    # Every ninth session was seen elsewhere a little earlier.
    duckdb.sql(f"""copy (select 'v' || external_id as external_id, user_external_id,
                                created_at - interval 17 minute as created_at, 'network' as utm_source,
                                'display' as utm_medium
                         from (select *, row_number() over (order by external_id) as moment
                               from '{folder}/sessions.parquet') where moment % 9 = 0)
                   to '{folder}/postviews.parquet' (format parquet)""")
    Path(folder, "apportion.toml").write_text(
        'sessions = "sessions.parquet"\norders = "orders.parquet"\naliases = "user_aliases.parquet"\n'
        'users = "users.parquet"\npostviews = "postviews.parquet"\nas_of = "2026-01-01T00:00:00Z"\n'
    )
    compared = 0
    for lookback, overlap, skip in itertools.product([2, 30], [False, True], [False, True]):
        flags = [
            "run",
            "--quiet",
            "--format",
            "parquet",
            "-o",
            "report.parquet",
            "--identity",
            "identity.parquet",
            "--views",
            "all",
            "--view-lookback",
            "1d",
            "--lookback",
            f"{lookback}d",
            "--model",
            ",".join(MODELS),
            "--direct",
            "skip" if skip else "include",
        ]
        apportion(*flags, *(["--overlap"] if overlap else []), folder=folder)
        orders, touches = tables(folder)
        said = duckdb.sql(f"""
            select model, utm_source, utm_medium, sum(conversions), sum(amount * 100)::bigint,
                   sum(alone + initiator + assisting + closer)
            from '{folder}/report.parquet' where orders > 0 and utm_source <> '(unattributed)'
            group by model, utm_source, utm_medium order by model, utm_source, utm_medium""").fetchall()
        for (engine, (ask, words)), model in itertools.product(ENGINES.items(), MODELS):
            sql = SQL.format(
                model=model,
                weight=WEIGHTS[model],
                overlap=int(overlap),
                skip=int(skip),
                lookback=lookback * DAY,
                view_lookback=DAY,
                half_life=7 * DAY,
                **words,
            )
            found = ask(sql, orders, touches)
            expected = [row[1:] for row in said if row[0] == model]
            where = f"{engine}, {model}, seed {seed}, {lookback} days, overlap {overlap}, skip direct {skip}"
            assert [row[:2] for row in found] == [row[:2] for row in expected], (where, found, expected)
            for one, other in zip(found, expected):
                assert abs(one[2] - other[2]) <= 1e-9 * max(1, abs(other[2])), (where, one, other)
                assert one[3:] == other[3:], (where, one, other)
                compared += 1
    return compared


if __name__ == "__main__":
    for seed in range(1, 1 + int(sys.argv[1] if len(sys.argv) > 1 else 2)):
        with tempfile.TemporaryDirectory() as folder:
            print(f"seed {seed}: {compare(folder, seed)} lines are the same in SQL", flush=True)
