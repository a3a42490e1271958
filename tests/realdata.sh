#!/usr/bin/env bash
# Runs the main job on exports that nobody here wrote, where their folder is given: every model must
# credit exactly the orders that there are.
#
#   tests/realdata.sh FOLDER     FOLDER holds touchlog/ and webshop/
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
folder=${1:-}
if [ ! -d "$folder/touchlog" ] || [ ! -d "$folder/webshop" ]; then
  echo "SKIPPED: no folder with touchlog/ and webshop/ is given (tests/realdata.sh FOLDER)"
  exit 0
fi
models=last_click,first_click,last_non_direct,linear,time_decay,position_based,j_curve,inverse_j,custom,equal_channels,markov,shapley,logistic,hazard

apportion() { cargo run --quiet --locked --manifest-path "$here/Cargo.toml" -- "$@"; }

# Every model's row of a report by nothing: model,currency,conversions,conversions_share,amount.
check() {
  local name=$1 orders=$2 amount=$3
  awk -F, -v name="$name" -v orders="$orders" -v amount="$amount" '
    NR == 1 { for (at = 1; at <= NF; at++) column[$at] = at; next }
    {
      models++
      if ($column["conversions"] != orders || $column["amount"] != amount || $column["currency"] != "USD") {
        print name ": " $0 " is not " orders " conversions and " amount " USD" > "/dev/stderr"; wrong = 1
      }
    }
    END {
      if (models != 14) { print name ": " models " models, not 14" > "/dev/stderr"; wrong = 1 }
      if (wrong) exit 1
      print name ": " orders " conversions and " amount " USD under each of " models " models"
    }'
}

# 1,838 orders of an advertiser's log: 11,423.50 USD.
apportion run --sessions "$folder/touchlog/sessions.parquet" --orders "$folder/touchlog/orders.parquet" \
  --model "$models" --by none --format csv --quiet | check touchlog 1838 11423.50

# 5,000 orders of a shop's database: foreign column names, integer ids, no medium at all.
webshop=(
  --sessions "$folder/webshop/website_sessions.parquet" --orders "$folder/webshop/orders.parquet"
  --column sessions.external_id=website_session_id sessions.user_external_id=user_id
  orders.external_id=order_id orders.user_external_id=user_id
  --amount price_usd --currency USD --model "$models" --quiet
)
apportion run "${webshop[@]}" --by none --format csv | check webshop 5000 254470.00

# Most of the shop's orders are later than its last session: they must show up, not vanish.
apportion run "${webshop[@]}" --format csv | awk -F, '
  NR == 1 { for (at = 1; at <= NF; at++) column[$at] = at; next }
  $1 == "linear" { all += $column["conversions"] }
  $1 == "linear" && $2 == "(unattributed)" { unattributed = $column["conversions"] }
  END {
    if (all < 4999.999999 || all > 5000.000001 || unattributed <= all / 2) exit 1
    print "webshop: " unattributed " of " all " conversions are unattributed"
  }'
