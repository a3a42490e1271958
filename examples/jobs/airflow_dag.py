"""A run of each month, in Airflow: check the exports, report the month, hand lineage on.

Exit code 3 (the exports are not there yet) fails the task, and it is tried again; 1 (too many rejected
rows, or a condition that does not hold) fails it for good, because the same rows give the same answer.
"""

from datetime import datetime, timedelta

from airflow.timetables.interval import CronDataIntervalTimetable

try:
    from airflow.providers.standard.operators.bash import BashOperator
    from airflow.sdk import DAG
except ImportError:  # Airflow 2
    from airflow import DAG
    from airflow.operators.bash import BashOperator

SHOP = "/srv/shop"
REPORTS = "/srv/reports"

# The last day of a month is the day before the next one begins. Rows that came after it are rejected, and
# do not fail the report of a month that is worked out again later: `check` has judged all rows before.
RUN = """
apportion run --quiet --log-format json \\
  --from {{ data_interval_start | ds }} --to {{ macros.ds_add(data_interval_end | ds, -1) }} \\
  --as-of {{ data_interval_end | ts }} --max-rejects 100% \\
  --job monthly --wait-for 30m --timeout 2h \\
  --assert 'orders.counted > 0 and unattributed_share < 0.6' \\
  --openlineage {{ params.reports }}/{{ data_interval_start | ds }}.openlineage.ndjson \\
  -o {{ params.reports }}/{{ data_interval_start | ds }}.parquet \\
  || { code=$?; [ "$code" -eq 1 ] && exit 99; exit "$code"; }
"""

with DAG(
    dag_id="apportion_monthly",
    # A run is of the month before it: `@monthly` alone has no such interval in Airflow 3.
    schedule=CronDataIntervalTimetable("@monthly", timezone="UTC"),
    start_date=datetime(2025, 1, 1),
    catchup=False,
    params={"shop": SHOP, "reports": REPORTS},
    default_args={"retries": 3, "retry_delay": timedelta(minutes=20)},
) as dag:
    check = BashOperator(
        task_id="check",
        bash_command="apportion check",
        cwd=SHOP,
    )
    report = BashOperator(
        task_id="report",
        bash_command=RUN,
        cwd=SHOP,
        # Ends with SIGTERM where the task is stopped: nothing is half-written.
        execution_timeout=timedelta(hours=3),
    )
    check >> report
