#!/usr/bin/env bash
# Loads runs into a real PostgreSQL server, an SQLite file and a DuckDB file, and reads them back
# with what others read them with; see databases.py. The server lives in a temporary folder, listens on
# the loopback alone, and is stopped at the end. Skips loudly what cannot be installed.
set -euo pipefail
cd "$(dirname "$0")/.."

cargo build --locked --quiet
tools=target/database-tools
if ! { python3 -m venv "$tools" && "$tools/bin/pip" install --quiet 'duckdb>=1.1' 'duckdb-cli>=1.1'; }; then
  echo "SKIPPED: DuckDB cannot be installed here"
fi

binaries() { find /usr/lib/postgresql /usr/local -name initdb -printf '%h\n' 2>/dev/null | sort -V | tail -n 1; }
if [ -z "$(binaries)" ] && [ "$(id -u)" = 0 ]; then
  apt-get install -y -qq postgresql > /dev/null 2>&1 ||
    { apt-get update -qq && apt-get install -y -qq postgresql > /dev/null 2>&1; } || true
fi
postgres=$(binaries)
if [ -z "$postgres" ]; then
  echo "SKIPPED: PostgreSQL cannot be installed here"
  exec "$tools/bin/python" tests/databases.py "$@"
fi

# A server does not run as root.
as_user() { if [ "$(id -u)" = 0 ]; then runuser -u postgres -- "$@"; else "$@"; fi; }
home=$(mktemp -d)
password="pass:word@/?%$$"
printf '%s\n' "$password" > "$home/password"
[ "$(id -u)" != 0 ] || chown -R postgres "$home"
finish() {
  as_user "$postgres/pg_ctl" -D "$home/data" -m immediate stop > /dev/null 2>&1 || true
  rm -rf "$home"
}
trap finish EXIT
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
as_user "$postgres/initdb" -D "$home/data" -U loader --auth=scram-sha-256 --pwfile="$home/password" -E UTF8 \
  --locale=C --no-sync > "$home/log" || { cat "$home/log" >&2; exit 1; }
as_user "$postgres/pg_ctl" -D "$home/data" -l "$home/data/server.log" -w \
  -o "-c listen_addresses=127.0.0.1 -p $port -k $home -c fsync=off" start > /dev/null

PGHOST=127.0.0.1 PGPORT=$port PGUSER=loader PGPASSWORD=$password PGDATABASE=postgres \
  PATH="$postgres:$PATH" "$tools/bin/python" tests/databases.py "$@"
