"""Reads from stores and writes to them: what comes out has the bytes of a run on this disk.

Usage: stores.py APPORTION [AZURITE]. The stores are real ones on the loopback: moto speaks S3, azurite
Azure, a server of files HTTP with parts and another without. Between the binary and S3 stands a relay
that counts what goes through it and can fail. Every check is a function whose name says what holds.
"""

import base64
import http.client
import json
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import urllib.request
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import boto3
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from botocore.exceptions import ClientError

APPORTION = str(Path(sys.argv[1]).resolve())
AZURITE = sys.argv[2] if len(sys.argv) > 2 else ""
SHOP = Path("datasets/shop").resolve()
TABLES = {
    "sessions": "sessions",
    "orders": "orders",
    "users": "users",
    "aliases": "user_aliases",
    "devices": "devices",
    "exchange-rates": "exchange_rates",
}
BASE = ["--currency", "EUR", "--as-of", "2026-01-01T00:00:00Z"]
SECRET = "wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def serving(command: list[str], port: int, folder: Path | None = None, **environment: str):
    """A server while it is needed."""
    process = subprocess.Popen(
        command, cwd=folder, env={**os.environ, **environment}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        for _ in range(300):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert process.poll() is None, f"{command[0]} does not start"
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)


class Relay(ThreadingHTTPServer):
    """Passes requests on to a store, counts them, and fails or waits where it is told to."""

    daemon_threads = True

    def __init__(self, to: str):
        super().__init__(("127.0.0.1", 0), Passing)
        self.to = to.removeprefix("http://")
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.lock = threading.Lock()
        self.reset()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, *_):
        """Who asked need not wait for the answer."""

    def reset(self):
        self.requests, self.bytes, self.fail, self.delay = [], 0, lambda method, path, number: None, 0.0

    def count(self, method: str, part: str = "") -> int:
        return sum(1 for request in self.requests if request[0] == method and part in request[1])


class Passing(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def pass_on(self):
        relay = self.server
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        with relay.lock:
            headers = {name.lower(): value for name, value in self.headers.items()}
            relay.requests.append((self.command, self.path, headers))
            status = relay.fail(self.command, self.path, len(relay.requests))
        time.sleep(relay.delay)
        if status:
            answer = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
            self.send_response(status)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(b"" if self.command == "HEAD" else answer)
            return
        connection = http.client.HTTPConnection(relay.to, timeout=60)
        connection.request(self.command, self.path, body, dict(self.headers))
        answer = connection.getresponse()
        content = answer.read()
        self.send_response_only(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("transfer-encoding", "connection", "content-length"):
                self.send_header(name, value)
        length = answer.getheader("Content-Length") if self.command == "HEAD" else str(len(content))
        if length is not None:
            self.send_header("Content-Length", length)
        self.end_headers()
        self.wfile.write(content)
        connection.close()
        with relay.lock:
            relay.bytes += len(content)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = pass_on

    def log_message(self, *_):
        pass


class Store:
    """A store that speaks S3, with a bucket of its own for each check, and the relay before it."""

    def __init__(self, url: str):
        self.url = url
        self.relay = Relay(url)
        self.client = boto3.client(
            "s3", endpoint_url=url, region_name="us-east-1", aws_access_key_id="AKIDEXAMPLE", aws_secret_access_key=SECRET
        )
        self.number = 0

    def bucket(self) -> str:
        self.number += 1
        name = f"bucket-{self.number}"
        self.client.create_bucket(Bucket=name)
        self.relay.reset()
        return name

    def put(self, bucket: str, folder: Path, prefix: str = ""):
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                self.client.upload_file(str(path), bucket, prefix + path.relative_to(folder).as_posix())

    def keys(self, bucket: str, prefix: str = "") -> list[str]:
        return [entry["Key"] for entry in self.client.list_objects_v2(Bucket=bucket, Prefix=prefix).get("Contents", [])]

    def get(self, bucket: str, key: str) -> bytes:
        return self.client.get_object(Bucket=bucket, Key=key)["Body"].read()

    def unfinished(self, bucket: str) -> list:
        return self.client.list_multipart_uploads(Bucket=bucket).get("Uploads", [])

    def ask_who(self, after: int):
        """Lets the store refuse who it does not know, after some requests."""
        text = {"Content-Type": "text/plain"}
        urllib.request.urlopen(urllib.request.Request(f"{self.url}/moto-api/reset-auth", str(after).encode(), text, method="POST"))

    def environment(self) -> dict[str, str]:
        return {
            "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": self.relay.url,
            "AWS_ALLOW_HTTP": "true",
        }


def apportion(*arguments: str, environment: dict[str, str] | None = None, exits: int = 0, folder: Path | None = None):
    """Runs the binary with an environment that knows no store but the given one."""
    names = ("AWS_", "GOOGLE_", "AZURE_", "HTTP_PROXY", "http_proxy")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(names)}
    done = subprocess.run(
        [APPORTION, *map(str, arguments)], env={**clean, **(environment or {})}, text=True, capture_output=True, cwd=folder, timeout=600
    )
    assert done.returncode == exits, f"{arguments}\nexits {done.returncode}\n{done.stdout}\n{done.stderr}"
    assert SECRET not in done.stdout + done.stderr, done.stderr
    return done


def inputs(where: str) -> list[str]:
    return [part for flag, name in TABLES.items() for part in (f"--{flag}", f"{where}/{name}.parquet")]


def says(done, *parts: str):
    for part in parts:
        assert part in done.stderr, f"{part!r} is not said in:\n{done.stderr}"


OUTPUTS = {
    "-o": "report.csv",
    "--credits": "credits.parquet",
    "--journeys": "journeys.parquet",
    "--persons": "persons.ndjson",
    "--rejects": "rejects.csv",
}


def outputs(where: str) -> list[str]:
    return [part for flag, name in OUTPUTS.items() for part in (flag, f"{where}/{name}")]


def a_run_in_a_store_has_the_bytes_of_one_on_a_disk(store: Store, home: Path):
    bucket = store.bucket()
    store.put(bucket, SHOP, "shop/")
    apportion("run", *BASE, *inputs(str(SHOP)), *outputs(str(home)), "--summary", home / "summary.json")
    done = apportion(
        "run", *BASE, *inputs(f"s3://{bucket}/shop"), *outputs(f"s3://{bucket}/out"), "--summary", f"s3://{bucket}/out/summary.json",
        environment=store.environment(),
    )
    assert done.stdout == ""
    for name in OUTPUTS.values():
        assert store.get(bucket, f"out/{name}") == (home / name).read_bytes(), name
    here, there = (json.loads(text) for text in ((home / "summary.json").read_text(), store.get(bucket, "out/summary.json")))
    assert here == there
    assert sorted(store.keys(bucket, "out/")) == sorted(f"out/{name}" for name in [*OUTPUTS.values(), "summary.json"])
    assert not store.unfinished(bucket)


def folders_globs_and_hive_columns_are_those_of_a_disk(store: Store, home: Path):
    sessions = pq.read_table(SHOP / "sessions.parquet")
    third = sessions.num_rows // 3
    for at, day in enumerate(["2025-01-01", "2025-02-01", "2025-03-01"]):
        part = home / f"export/sessions/batch={day}/country=F%2FR/part {at}.parquet"
        part.parent.mkdir(parents=True)
        pq.write_table(sessions.slice(at * third, third if at < 2 else None), part)
    noise = home / "export/sessions/_temporary/lost.parquet"
    noise.parent.mkdir()
    noise.write_text("not read")
    (home / "export/sessions/_SUCCESS").write_text("")
    (home / "export/sessions/batch=2025-01-01/.part.crc").write_text("")
    (home / "export/sessions/notes.txt").write_text("not read either")
    bucket = store.bucket()
    store.put(bucket, home / "export", "deep/export/")
    store.put(bucket, SHOP, "shop/")
    rest = ["--orders", "{}/orders.parquet", "--by", "batch,country", "--model", "linear", "--format", "csv", "--quiet"]
    for pattern in [
        "sessions",
        "sessions/",
        "sessions/*/*/*.parquet",
        "sessions/batch*/**/*.parquet",
        "sessions/batch=2025-0[12]-01",
        "sessions/batch=*/country=F%2FR/",
        "sessions/batch=2025-02-01/country=F%2FR/part 1.parquet",
    ]:
        orders = [part.format(SHOP) for part in rest]
        here = apportion("run", *BASE, "--sessions", home / "export" / pattern, *orders)
        orders = [part.format(f"s3://{bucket}/shop") for part in rest]
        there = apportion("run", *BASE, "--sessions", f"s3://{bucket}/deep/export/{pattern}", *orders, environment=store.environment())
        assert "F/R" in here.stdout and here.stdout == there.stdout, pattern
    for pattern in ["sessions/batch=2031-*", "elsewhere/", "elsewhere.parquet"]:
        done = apportion("run", "--sessions", f"s3://{bucket}/deep/export/{pattern}", *orders, environment=store.environment(), exits=2)
        says(done, f"no sessions file is found at `s3://{bucket}/deep/export/{pattern}`")


def only_what_is_needed_is_fetched_and_in_few_requests(store: Store, home: Path):
    sessions = pq.read_table(SHOP / "sessions.parquet")
    noise = random.Random(1)
    wide = pa.array([noise.randbytes(300).hex() for _ in range(sessions.num_rows)])
    at = sessions.schema.get_field_index("utm_source")
    wide = sessions.add_column(at, "app_noise", wide)
    path = home / "wide/sessions.parquet"
    path.parent.mkdir()
    pq.write_table(wide, path, row_group_size=2048, compression="none", use_dictionary=["utm_source", "utm_medium"])
    groups = pq.ParquetFile(path).num_row_groups
    bucket = store.bucket()
    store.put(bucket, home / "wide", "wide/")
    store.put(bucket, SHOP, "shop/")
    there = ["--orders", f"s3://{bucket}/shop/orders.parquet", "--model", "linear", "--format", "csv"]
    store.relay.reset()
    away = apportion("run", *BASE, "--sessions", f"s3://{bucket}/wide/sessions.parquet", *there, environment=store.environment())
    here = apportion("run", *BASE, "--sessions", path, "--orders", SHOP / "orders.parquet", "--model", "linear", "--format", "csv")
    assert away.stdout == here.stdout
    size, got, asked = path.stat().st_size, store.relay.bytes, len(store.relay.requests)
    assert got < size / 2, f"{got} of {size} bytes are fetched"
    assert asked <= 8 + 3 * groups, f"{asked} requests for {groups} row groups"
    whole = [request for request in store.relay.requests if request[0] == "GET" and "list-type" not in request[1] and "range" not in request[2]]
    assert not whole, whole
    print(f"    {got:,} of {size:,} bytes in {asked} requests, {groups} row groups")


def a_store_that_is_busy_is_asked_again(store: Store, home: Path):
    bucket = store.bucket()
    store.put(bucket, SHOP, "shop/")
    run = ["run", *BASE, *inputs(f"s3://{bucket}/shop"), "--model", "linear", "--quiet", "-o", f"s3://{bucket}/out/report.csv"]
    refused = []

    def sometimes(method: str, path: str, number: int):
        if number % 3 == 1 and len(refused) < 6:
            refused.append(path)
            return 500 if number % 2 else 503

    store.relay.fail = sometimes
    apportion(*run, environment=store.environment())
    assert len(refused) == 6
    expected = apportion("run", *BASE, *inputs(str(SHOP)), "--model", "linear", "--quiet", "--format", "csv")
    assert store.get(bucket, "out/report.csv").decode() == expected.stdout
    store.relay.fail = lambda method, path, number: 503 if "orders" in path else None
    begun = time.monotonic()
    done = apportion(*run, environment=store.environment(), exits=2)
    says(done, f"`s3://{bucket}/shop/orders.parquet`", "SlowDown")
    assert time.monotonic() - begun < 90


def a_store_that_is_not_there_is_an_error_that_names_it(store: Store, home: Path):
    nobody = {**store.environment(), "AWS_ENDPOINT_URL": f"http://127.0.0.1:{free_port()}"}
    done = apportion("run", "--sessions", "s3://bucket/a.parquet", "--orders", "b.parquet", environment=nobody, exits=2)
    says(done, "cannot read `s3://bucket/a.parquet`")
    plain = {key: value for key, value in store.environment().items() if key != "AWS_ALLOW_HTTP"}
    done = apportion("run", "--sessions", "s3://bucket/a.parquet", "--orders", "b.parquet", environment=plain, exits=2)
    says(done, "cannot read `s3://bucket/a.parquet`", "AWS_ALLOW_HTTP")


def a_missing_bucket_is_said_before_the_work(store: Store, home: Path):
    bucket = store.bucket()
    store.put(bucket, SHOP, "shop/")
    done = apportion("run", "--sessions", "s3://nowhere/sessions.parquet", "--orders", "s3://nowhere/orders.parquet", environment=store.environment(), exits=2)
    says(done, "there is no such bucket as `s3://nowhere`")
    store.relay.reset()
    done = apportion("run", *BASE, *inputs(f"s3://{bucket}/shop"), "-o", "s3://nowhere/report.csv", environment=store.environment(), exits=2)
    says(done, "cannot write `s3://nowhere/report.csv`", "there is no such bucket as `s3://nowhere`")
    data = [request for request in store.relay.requests if request[0] == "GET" and "sessions.parquet" in request[1]]
    assert len(data) <= 1, "sessions are read before it is known that there is no place for the report"


def refused_credentials_are_said_and_not_shown(store: Store, home: Path):
    bucket = store.bucket()
    store.put(bucket, SHOP, "shop/")
    store.ask_who(0)
    try:
        for arguments in [
            ["--sessions", f"s3://{bucket}/shop/sessions.parquet", "--orders", SHOP / "orders.parquet"],
            ["--sessions", f"s3://{bucket}/shop/", "--orders", SHOP / "orders.parquet"],
            ["--sessions", SHOP / "sessions.parquet", "--orders", SHOP / "orders.parquet", "-o", f"s3://{bucket}/out/report.csv"],
        ]:
            done = apportion("run", *arguments, environment=store.environment(), exits=2)
            says(done, f"s3://{bucket}/", "the store refuses it", "InvalidAccessKeyId", "AWS_ACCESS_KEY_ID")
            assert "AKIDEXAMPLE" not in done.stderr, done.stderr
    finally:
        store.ask_who(10**9)


def a_profile_says_who_is_asking_and_where(store: Store, home: Path):
    bucket = store.bucket()
    store.put(bucket, SHOP, "shop/")
    (home / ".aws").mkdir()
    keys = "aws_access_key_id = AKIDOFPROFILE\naws_secret_access_key = " + SECRET
    (home / ".aws/credentials").write_text(f"[default]\naws_access_key_id = AKIDOTHER\naws_secret_access_key = x\n\n[shop]\n{keys}\n")
    (home / ".aws/config").write_text(f"[profile shop]\nregion = us-east-1\nendpoint_url = {store.relay.url}\n\n[profile single]\nsso_session = corp\n")
    run = ["run", *BASE, *inputs(f"s3://{bucket}/shop"), "--model", "linear", "--quiet", "--format", "csv"]
    environment = {"HOME": str(home), "AWS_ALLOW_HTTP": "true"}
    store.relay.reset()
    done = apportion(*run, environment={**environment, "AWS_PROFILE": "shop"})
    assert done.stdout == apportion("run", *BASE, *inputs(str(SHOP)), "--model", "linear", "--quiet", "--format", "csv").stdout
    signed = {headers.get("authorization", "") for _, _, headers in store.relay.requests}
    assert signed and all("Credential=AKIDOFPROFILE/" in one for one in signed), signed
    for profile, why in [("shpo", "no such profile"), ("single", "sso_session")]:
        says(apportion(*run, environment={**environment, "AWS_PROFILE": profile}, exits=2), "AWS_PROFILE", profile, why)


def outputs_appear_together_or_not_at_all(store: Store, home: Path):
    bucket = store.bucket()
    store.put(bucket, SHOP, "shop/")
    there = outputs(f"s3://{bucket}/out")
    store.client.put_object(Bucket=bucket, Key="out/report.csv", Body=b"of yesterday")
    # Every row is of the future: too many are rejected, and the run fails after its outputs were begun.
    apportion("run", "--currency", "EUR", "--as-of", "2001-01-01T00:00:00Z", *inputs(f"s3://{bucket}/shop"), *there, environment=store.environment(), exits=1)
    assert store.get(bucket, "out/report.csv") == b"of yesterday"
    assert store.keys(bucket, "out/") == ["out/report.csv"] and not store.unfinished(bucket)


def long_outputs_go_in_parts_and_leave_none_where_one_fails(store: Store, home: Path):
    bucket = store.bucket()
    models = ",".join(f"time_decay:half_life={days}d" for days in range(1, 7))
    run = ["run", *BASE, *inputs(str(SHOP)), "--lookback", "none", "--model", models, "--quiet"]
    apportion(*run, "--credits", home / "credits.ndjson", "-o", home / "report.csv")
    size = (home / "credits.ndjson").stat().st_size
    assert size > 8 << 20, size
    there = ["--credits", f"s3://{bucket}/credits.ndjson", "-o", f"s3://{bucket}/report.csv"]
    apportion(*run, *there, environment=store.environment())
    assert store.relay.count("PUT", "partNumber=") >= 2
    assert store.get(bucket, "credits.ndjson") == (home / "credits.ndjson").read_bytes()
    assert not store.unfinished(bucket)
    bucket = store.bucket()
    there = ["--credits", f"s3://{bucket}/credits.ndjson", "-o", f"s3://{bucket}/report.csv"]
    store.relay.fail = lambda method, path, number: 403 if "partNumber=2" in path else None
    done = apportion(*run, *there, environment=store.environment(), exits=2)
    says(done, f"cannot write `s3://{bucket}/credits.ndjson`")
    assert store.keys(bucket) == [] and not store.unfinished(bucket)


def an_output_is_not_written_over_an_input(store: Store, home: Path):
    bucket = store.bucket()
    store.put(bucket, SHOP, "shop/")
    there = inputs(f"s3://{bucket}/shop")
    done = apportion("run", *BASE, *there, "--credits", f"s3://{bucket}/shop/sessions.parquet", environment=store.environment(), exits=2)
    says(done, "is both an output and a file of sessions")
    done = apportion("run", *BASE, *there, "--keep", f"s3://{bucket}/kept", environment=store.environment(), exits=2)
    says(done, "a kept run is a folder of this machine")
    assert not Path("s3:").exists()


def other_commands_read_and_write_there_too(store: Store, home: Path):
    bucket = store.bucket()
    store.put(bucket, SHOP, "shop/")
    environment = store.environment()
    here = apportion("check", *BASE, *inputs(str(SHOP)))
    there = apportion("check", *BASE, *inputs(f"s3://{bucket}/shop"), environment=environment)
    assert here.stdout.replace(str(SHOP), f"s3://{bucket}/shop") == there.stdout
    apportion("channels", *BASE, *inputs(f"s3://{bucket}/shop"), "-o", f"s3://{bucket}/channels.csv", environment=environment)
    here = apportion("channels", *BASE, *inputs(str(SHOP)), "--format", "csv")
    assert store.get(bucket, "channels.csv").decode() == here.stdout
    here = apportion("run", *BASE, "--items", SHOP / "items.ndjson", "--format", "csv", "--quiet")
    there = apportion("run", *BASE, "--items", f"s3://{bucket}/shop/", "--format", "csv", "--quiet", environment=environment)
    assert here.stdout == there.stdout
    apportion("run", *BASE, *inputs(str(SHOP)), "--paths", f"s3://{bucket}/paths.csv", environment=environment)
    there = apportion("paths", "--input", f"s3://{bucket}/paths.csv", "--format", "csv", environment=environment)
    (home / "paths.csv").write_bytes(store.get(bucket, "paths.csv"))
    assert there.stdout == apportion("paths", "--input", home / "paths.csv", "--format", "csv").stdout


def an_object_that_changes_while_it_is_read_is_an_error(store: Store, home: Path):
    bucket = store.bucket()
    store.put(bucket, SHOP, "shop/")
    changed = []

    def change(method: str, path: str, number: int):
        # After the footer was read, before the columns are.
        if "sessions.parquet" in path and method == "GET":
            if len(changed) == 1:
                store.client.put_object(Bucket=bucket, Key="shop/sessions.parquet", Body=(SHOP / "orders.parquet").read_bytes() * 10)
            changed.append(path)

    store.relay.fail = change
    done = apportion("run", *BASE, *inputs(f"s3://{bucket}/shop"), environment=store.environment(), exits=2)
    says(done, f"cannot read `s3://{bucket}/shop/sessions.parquet`: it changed while it was read")


def partitions_are_replaced_whole_and_a_second_run_changes_nothing(store: Store, home: Path):
    bucket = store.bucket()
    by = ["--by", "month,channel", "--model", "linear,last_click", "--quiet", "--partition-by", "month"]

    def run(where: str, *more: str, exits: int = 0):
        places = ["--credits", f"{where}/credits", "--journeys", f"{where}/journeys", "-o", f"{where}/report"]
        return apportion("run", *BASE, *inputs(str(SHOP)), *by, *places, *more, environment=store.environment(), exits=exits)

    def files(folder: Path) -> dict[str, bytes]:
        return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    def objects() -> dict[str, bytes]:
        return {key.removeprefix("out/"): store.get(bucket, key) for key in store.keys(bucket, "out/")}

    (home / "out").mkdir()
    run(str(home / "out"), "--threads", "1")
    run(f"s3://{bucket}/out", "--threads", "4")
    first = files(home / "out")
    assert len(first) > 6 and all(".parquet" in name for name in first), first.keys()
    assert first == objects()
    run(str(home / "out"))
    run(f"s3://{bucket}/out")
    assert first == files(home / "out") == objects()
    # What data frames and warehouses make of the folder is what one file has.
    apportion("run", *BASE, *inputs(str(SHOP)), *by[:-2], "--credits", home / "credits.parquet", "-o", home / "report.parquet")
    for name, key in [("credits", "order_month"), ("report", "month")]:
        divided = ds.dataset(home / "out" / name, partitioning="hive").to_table()
        whole = pq.read_table(home / f"{name}.parquet")
        assert divided.num_rows == whole.num_rows and key in divided.column_names
        assert sum(divided["amount"].to_pylist()) == sum(whole["amount"].to_pylist())
    # A run of some months replaces those and takes away what is left of them.
    months = sorted({name.split("=")[1].split("/")[0] for name in first if name.startswith("credits")})
    within = ["--from", f"{months[1]}-01", "--to", f"{months[1]}-15", "--where-orders", "subtotal_price < 0"]
    assert "within a month" in run(f"s3://{bucket}/out", *within, exits=2).stderr
    within[3] = f"{months[1]}-{ {'02': 28, '04': 30, '06': 30, '09': 30, '11': 30}.get(months[1][5:], 31)}"
    for where in (str(home / "out"), f"s3://{bucket}/out"):
        run(where, *within)
    # The report still has the sessions of that month.
    left = {name: content for name, content in first.items() if f"={months[1]}/" not in name}
    gone = f"report/month={months[1]}/report.parquet"
    for there in (files(home / "out"), objects()):
        assert there.pop(gone) != first[gone] and there == left
    # A folder with something else in it is left alone.
    store.client.put_object(Bucket=bucket, Key="out/credits/part-0.parquet", Body=b"theirs")
    done = run(f"s3://{bucket}/out", exits=2)
    says(done, f"`s3://{bucket}/out/credits` holds `part-0.parquet`")


def files_of_a_web_server_are_read_in_parts(store: Store, home: Path):
    shutil.copytree(SHOP, home / "files/day=1")
    expected = apportion("run", *BASE, *inputs(str(SHOP)), "--by", "day,utm_source", "--format", "csv", "--quiet").stdout
    port = free_port()
    with serving([sys.executable, "-m", "RangeHTTPServer", str(port), "--bind", "127.0.0.1"], port, home / "files") as url:
        relay = Relay(url)
        where = f"{relay.url}/day=1"
        got = apportion("run", *BASE, *inputs(where), "--by", "day,utm_source", "--format", "csv", "--quiet").stdout
        assert got == expected
        parts = [request for request in relay.requests if request[0] == "GET"]
        assert parts and all("range" in request[2] for request in parts)
        # What an address says of who is asking is sent, and seen nowhere.
        relay.reset()
        signed = [f"http://reader:{SECRET}@127.0.0.1:{relay.server_port}/day=1/{name}.parquet?X-Amz-Signature={SECRET}" for name in ("sessions", "orders")]
        apportion("run", *BASE, "--sessions", signed[0], "--orders", signed[1], "--keep", home / "kept")
        sent = relay.requests[0]
        assert SECRET in sent[1] and base64.b64decode(sent[2]["authorization"].split()[1]).decode() == f"reader:{SECRET}"
        assert all(SECRET.encode() not in path.read_bytes() for path in (home / "kept").rglob("*") if path.is_file())
        assert f"{where}/sessions.parquet" in (home / "kept/run.json").read_text()
        done = apportion("run", *BASE, "--sessions", signed[0].replace("sessions", "nothing"), "--orders", signed[1], exits=2)
        says(done, f"no sessions file is found at `{where}/nothing.parquet`")
        done = apportion("run", *BASE, "--sessions", f"{where}/*.parquet", "--orders", signed[1], exits=2)
        says(done, "a web server does not say what it has")
    port = free_port()
    with serving([sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1"], port, home / "files") as url:
        done = apportion("run", *BASE, *inputs(f"{url}/day=1"), exits=2)
        says(done, f"cannot read `{url}/day=1/", "the server answers a request for a part of it with the whole", "range requests")


def azure_is_read_and_written(store: Store, home: Path):
    if not AZURITE:
        print("    SKIPPED: azurite is not there")
        return
    port = free_port()
    command = [AZURITE, "--silent", "--skipApiVersionCheck", "--location", str(home / "azure"), "--blobPort", str(port)]
    key = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
    with serving([str(Path(command[0]).resolve()), *command[1:]], port):
        environment = {
            "AZURE_STORAGE_ACCOUNT_NAME": "devstoreaccount1",
            "AZURE_STORAGE_ACCOUNT_KEY": key,
            "AZURE_STORAGE_ENDPOINT": f"http://127.0.0.1:{port}/devstoreaccount1",
            "AZURE_ALLOW_HTTP": "true",
        }
        missing = apportion("run", *BASE, *inputs(str(SHOP)), "-o", "az://reports/report.csv", environment=environment, exits=2)
        says(missing, "cannot write `az://reports/report.csv`: there is no such bucket as `az://reports`")
        refused = apportion("run", *BASE, *inputs("az://shop"), environment={**environment, "AZURE_STORAGE_ACCOUNT_KEY": base64.b64encode(b"wrong").decode()}, exits=2)
        says(refused, "`az://shop/", "the store refuses it", "AZURE_STORAGE_ACCOUNT_KEY")
        make_container("shop", port, key)
        apportion("run", *BASE, *inputs(str(SHOP)), *outputs("az://shop/out"), environment=environment)
        here = apportion("run", *BASE, *inputs(str(SHOP)), *outputs(str(home)))
        assert here.returncode == 0
        # What was written is read again: the table of paths, and journeys as orders of their own.
        apportion("run", *BASE, *inputs(str(SHOP)), "--paths", "az://shop/in/paths.parquet", environment=environment)
        apportion("run", *BASE, *inputs(str(SHOP)), "--paths", home / "paths.parquet")
        there = apportion("paths", "--input", "az://shop/in/paths.parquet", "--format", "csv", environment=environment)
        assert there.stdout == apportion("paths", "--input", home / "paths.parquet", "--format", "csv").stdout
        read = ["--column", "sessions.external_id=touch_external_id", "sessions.created_at=touch_at", "orders.external_id=order_external_id", "orders.created_at=order_at", "--amount", "amount", "--max-rejects", "100%", "--format", "csv", "--quiet"]
        there = apportion("run", *BASE, "--sessions", "az://shop/out/credits.parquet", "--orders", "az://shop/out/journeys*", *read, environment=environment)
        here = apportion("run", *BASE, "--sessions", home / "credits.parquet", "--orders", home / "journeys.parquet", *read)
        assert there.stdout == here.stdout and len(here.stdout.splitlines()) > 3


def make_container(name: str, port: int, key: str):
    """Makes a container with a request signed as Azure wants it."""
    import email.utils
    import hashlib
    import hmac

    date = email.utils.formatdate(usegmt=True)
    headers = f"x-ms-date:{date}\nx-ms-version:2021-08-06\n"
    resource = f"/devstoreaccount1/devstoreaccount1/{name}\nrestype:container"
    text = "PUT\n\n\n\n\n\n\n\n\n\n\n\n" + headers + resource
    signed = base64.b64encode(hmac.new(base64.b64decode(key), text.encode(), hashlib.sha256).digest()).decode()
    request = urllib.request.Request(f"http://127.0.0.1:{port}/devstoreaccount1/{name}?restype=container", method="PUT")
    for header, value in [("x-ms-date", date), ("x-ms-version", "2021-08-06"), ("Authorization", f"SharedKey devstoreaccount1:{signed}"), ("Content-Length", "0")]:
        request.add_header(header, value)
    urllib.request.urlopen(request)


def stores_without_credentials_say_what_they_want(store: Store, home: Path):
    for address, variable in [("az://container/a.parquet", "AZURE_STORAGE_ACCOUNT_NAME"), ("abfss://container@account.example/a.parquet", "")]:
        done = apportion("run", "--sessions", address, "--orders", "b.parquet", exits=2)
        says(done, f"`{address}`", variable)
    done = apportion("run", "--sessions", "gs://bucket/a.parquet", "--orders", "b.parquet", environment={"GOOGLE_APPLICATION_CREDENTIALS": str(home / "nothing.json")}, exits=2)
    says(done, "`gs://bucket/a.parquet`", "GOOGLE_APPLICATION_CREDENTIALS")
    done = apportion("run", "--sessions", "hdfs://bucket/a.parquet", "--orders", "b.parquet", exits=2)
    says(done, "no store is named `hdfs://`", "s3://")


CHECKS = [
    a_run_in_a_store_has_the_bytes_of_one_on_a_disk,
    folders_globs_and_hive_columns_are_those_of_a_disk,
    only_what_is_needed_is_fetched_and_in_few_requests,
    a_store_that_is_busy_is_asked_again,
    a_store_that_is_not_there_is_an_error_that_names_it,
    a_missing_bucket_is_said_before_the_work,
    refused_credentials_are_said_and_not_shown,
    a_profile_says_who_is_asking_and_where,
    outputs_appear_together_or_not_at_all,
    long_outputs_go_in_parts_and_leave_none_where_one_fails,
    an_output_is_not_written_over_an_input,
    other_commands_read_and_write_there_too,
    an_object_that_changes_while_it_is_read_is_an_error,
    partitions_are_replaced_whole_and_a_second_run_changes_nothing,
    files_of_a_web_server_are_read_in_parts,
    azure_is_read_and_written,
    stores_without_credentials_say_what_they_want,
]


def main() -> int:
    port, failed = free_port(), 0
    only = sys.argv[3:]
    server = str(Path(sys.executable).parent / "moto_server")
    with serving([server, "-H", "127.0.0.1", "-p", str(port)], port) as url:
        store = Store(url)
        for check in CHECKS:
            if only and check.__name__ not in only:
                continue
            begun = time.monotonic()
            with tempfile.TemporaryDirectory() as home:
                try:
                    check(store, Path(home))
                    print(f"ok   {check.__name__} ({time.monotonic() - begun:.1f}s)", flush=True)
                except Exception:
                    failed += 1
                    traceback.print_exc()
                    print(f"FAIL {check.__name__}", flush=True)
    print(f"{failed} of {len(CHECKS)} checks fail" if failed else "stores are as good as a disk")
    return 1 if failed else 0


sys.exit(main())
