#!/usr/bin/env bash
# Does what schedulers and monitors do with a job: runs the line of the crontab, verifies the systemd
# units, runs the DAG in Airflow, reads metrics with Prometheus' own parser and events with
# OpenLineage's own classes. Skips loudly what cannot be installed.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
PATH="$root/target/debug:$PATH"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/reports" "$work/metrics"

# The crontab: its own assignments, then its one command, by the shell that it names.
{
  sed -n 's/^\(SHELL\|SHOP\|REPORTS\|METRICS\)=/\1=/p' examples/jobs/crontab
  printf 'SHOP=%q REPORTS=%q METRICS=%q\n' "$root/datasets/shop" "$work/reports" "$work/metrics"
  sed -n 's/^0 5 \* \* \* //p' examples/jobs/crontab
} > "$work/cron.sh"
grep -q '^cd ' "$work/cron.sh"
said=$(sh -eu "$work/cron.sh" 2>&1)
[ -z "$said" ] || { echo "cron would mail: $said" >&2; exit 1; }
[ -s "$work/reports/december.parquet" ] && [ -s "$work/metrics/apportion_nightly.prom" ]
echo "the crontab's line runs and says nothing"

# The same command as a unit.
if command -v systemd-analyze > /dev/null || { [ "$(id -u)" = 0 ] && apt-get install -y -qq systemd > /dev/null 2>&1; }; then
  mkdir "$work/units"
  for unit in examples/jobs/apportion-nightly.*; do
    # What a unit starts has to be there to be verified.
    sed "s|/usr/local/bin/apportion|$root/target/debug/apportion|" "$unit" > "$work/units/$(basename "$unit")"
  done
  said=$(systemd-analyze verify "$work"/units/* 2>&1 | grep apportion-nightly || true)
  [ -z "$said" ] || { echo "$said" >&2; exit 1; }
  systemd-analyze calendar "$(sed -n 's/^OnCalendar=//p' examples/jobs/apportion-nightly.timer)" > /dev/null
  echo "the systemd units are valid"
else
  echo "SKIPPED: systemd-analyze cannot be installed here"
fi
line=$(sed -n 's/^ExecStart=[^ ]* //p' examples/jobs/apportion-nightly.service)
line=${line//\/srv\/reports/$work/reports}
line=${line//\/var\/lib\/node_exporter\/textfile_collector/$work/metrics}
(cd datasets/shop && eval "apportion $line --openlineage '$work/lineage.ndjson' --credits '$work/reports/credits.csv'") 2> "$work/log.ndjson"
(cd datasets/shop && ! apportion run --quiet --assert 'rejected > 5' --openlineage "$work/failed.ndjson" --metrics "$work/metrics/failed.prom" --job failed > /dev/null 2>&1)
echo "the unit's command runs"

tools=target/jobs-tools
if python3 -m venv "$tools" && "$tools/bin/pip" install --quiet 'prometheus_client==0.*' 'openlineage-python==1.*'; then
  "$tools/bin/python" tests/jobs.py "$work"
else
  echo "SKIPPED: prometheus_client and openlineage-python cannot be installed here"
fi

# The DAG, by Airflow itself: both tasks of the month before.
airflow_tools="$root/target/airflow-tools"
python3 -m py_compile examples/jobs/airflow_dag.py
rm -rf examples/jobs/__pycache__
if python3 -m venv "$airflow_tools" && "$airflow_tools/bin/pip" install --quiet 'uv==0.*' &&
  "$airflow_tools/bin/uv" pip install --quiet --python "$airflow_tools/bin/python" 'apache-airflow==3.*'; then
  export AIRFLOW_HOME="$work/airflow" AIRFLOW__CORE__LOAD_EXAMPLES=False PATH="$airflow_tools/bin:$PATH"
  mkdir -p "$AIRFLOW_HOME/dags"
  # Here a task that fails is not tried again in twenty minutes.
  sed -e "s|/srv/shop|$root/datasets/shop|; s|/srv/reports|$work/reports|; s|\"retries\": 3|\"retries\": 0|" \
    examples/jobs/airflow_dag.py > "$AIRFLOW_HOME/dags/apportion_dag.py"
  if ! { timeout 120 airflow db migrate && timeout 240 airflow dags test apportion_monthly 2025-04-01; } > "$work/airflow.log" 2>&1 ||
    ! grep -q 'DagRun Finished.*state=success' "$work/airflow.log"; then
    tail -n 40 "$work/airflow.log" >&2
    exit 1
  fi
  [ -s "$work/reports/2025-03-01.parquet" ] && [ -s "$work/reports/2025-03-01.openlineage.ndjson" ]
  echo "the DAG's tasks run in Airflow"
else
  echo "SKIPPED: Airflow cannot be installed here; the DAG compiles"
fi
