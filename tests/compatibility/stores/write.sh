#!/usr/bin/env bash
# Writes a store of two runs, two kept runs and their inputs with the binary that is built now, into a folder
# of today's layouts. Those that are here were written when theirs were today's: never write them anew, but
# add a folder where a layout has changed, since what was written before must open still.
set -euo pipefail
cd "$(dirname "$0")"

apportion=$PWD/../../../target/debug/apportion
layout() { sed -n 's/^.*LAYOUT: u32 = \([0-9]*\);$/\1/p' "../../../src/$1"; }
folder=store-$(layout store/mod.rs)-kept-$(layout kept/account.rs)
mkdir "$folder"
cd "$folder"

# One week's orders, one of which finds its touches by aliases alone, from items: they need no other tool.
cat > items.ndjson <<'ITEMS'
{"kind": "session", "user": {"external_id": "a"}, "session": {"external_id": "s1", "created_at": "2024-03-04T10:00:00Z", "utm_source": "google", "utm_medium": "cpc"}}
{"kind": "session", "user": {"external_id": "c"}, "session": {"external_id": "s2", "created_at": "2024-03-05T10:00:00Z", "utm_source": "news", "utm_medium": "email"}}
{"kind": "session", "user": {"external_id": "d"}, "session": {"external_id": "s3", "created_at": "2024-03-05T11:00:00Z"}}
{"kind": "order", "user": {"external_id": "c"}, "order": {"external_id": "o1", "created_at": "2024-03-06T10:00:00Z", "subtotal_price": 100.01, "currency": "EUR"}}
{"kind": "order", "user": {"external_id": "d"}, "order": {"external_id": "o2", "created_at": "2024-03-07T10:00:00Z", "subtotal_price": 20.00, "refunded_price": 5.00, "currency": "EUR"}}
{"kind": "order", "user": {"external_id": "e"}, "order": {"external_id": "o3", "created_at": "2024-03-08T10:00:00Z", "subtotal_price": 7.00, "currency": "EUR"}}
{"kind": "user_alias", "user_alias": {"from_user_external_id": "a", "to_user_external_id": "c", "created_at": "2024-03-05T10:00:00Z"}}
ITEMS
"$apportion" ingest items.ndjson -o . --quiet --as-of 2026-01-01
rm items.ndjson
run=("$apportion" run --quiet --sessions sessions.parquet --orders orders.parquet --currency EUR
  --model last_click,linear --as-of 2026-01-01 --format csv -o report.csv)
aliases=(--aliases user_aliases.parquet)
"${run[@]}" --store store
"${run[@]}" "${aliases[@]}" --store store
"${run[@]}" --keep before
"${run[@]}" "${aliases[@]}" --keep after --credits credits.csv
rm -f store/lock
