#!/usr/bin/env python3
"""Make sample data for apportion: sessions, orders and the tables around them, as Parquet.

    python3 generate.py --sessions 20000 --orders 1500 --users 4000 --seed 7 -o shop

Needs numpy and pyarrow. The same arguments give the same rows. Nothing here is taken from a real
shop.

How the rows come about:

* A person is a customer (has an account) or a visitor (never had one). The sessions of persons
  are heavy-tailed and come in bursts; hours, weekdays and seasons follow a shop's usual curve.
* The source of a session depends on how often the person has been here: advertising begins,
  search goes on, newsletters and direct visits end; and many sessions repeat the source before.
* Customers are not always logged in. A given share of all sessions, mostly early ones, is recorded
  under an anonymous id, and an alias row joins that id to the customer's.
* Most orders follow a session, some sources and later sessions more often than others. The others
  are placed by customers who are never seen on the site, so that nothing can be attributed to them.

A user is addressed by a number, 4 * person + slot: slot 0 is the person, 1 to 3 are anonymous ids
of a customer. Devices are numbered in the same way. Sessions are numbered person by person.
"""

import argparse
import datetime as dt
import sys
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

ROW_GROUP = 1_000_000
MILLISECOND, SECOND, MINUTE = 1_000, 1_000_000, 60_000_000
HOUR, DAY = 60 * MINUTE, 24 * 60 * MINUTE
TIMESTAMP = pa.timestamp("us", tz="UTC")
MONEY = pa.decimal128(12, 2)

CUSTOMERS = 0.62  # share of persons
UNTRACKED = 0.06  # share of persons: customers without sessions
FOLLOWING = 0.83  # share of orders that follow a session


class Source(NamedTuple):
    source: str | None
    medium: str | None
    stages: tuple  # weight as a person's first session, as the second or third, as a later one
    converts: float  # weight of being followed by an order
    bounces: float  # share
    referrer: str | None = None
    id_from: str | None = None  # the click id that the utm_id came from
    campaigns: tuple = (None,)
    cost: float = 0.0  # per click, in the currency of the campaign


SOURCES = (
    Source(None, None, (10, 18, 30), 1.3, 0.38),
    Source("google", "cpc", (19, 15, 9), 1.5, 0.42, "https://www.google.com/", "gclid",
           ("brand", "generic_running", "shopping_all", "remarketing"), 1.35),
    Source("google", "organic", (17, 21, 16), 1.1, 0.45, "https://www.google.com/"),
    Source("facebook", "paid_social", (16, 8, 4), 0.5, 0.62, "https://m.facebook.com/", "fbclid",
           ("prospecting_broad", "lookalike_buyers", "launch_us"), 0.85),
    Source("newsletter", "email", (2, 10, 20), 1.7, 0.30, None, "rmd", ("monthly",)),
    Source("partner", "affiliate", (5, 6, 5), 1.6, 0.40, "https://deals.example.net/", None,
           ("coupon_site", "cashback"), 1.10),
    Source("bing", "cpc", (4, 3, 2), 1.3, 0.44, "https://www.bing.com/", "msclkid",
           ("brand", "generic_running"), 0.95),
    Source("youtube", "video", (7, 3, 1), 0.3, 0.66, "https://www.youtube.com/", "gclid",
           ("spring_film", "autumn_film"), 0.60),
    Source("tiktok", "paid_social", (8, 3, 1), 0.3, 0.70, "https://www.tiktok.com/", "ttclid",
           ("creators", "spark_ads"), 0.55),
    Source("chatgpt.com", "referral", (3, 3, 2), 1.2, 0.36, "https://chatgpt.com/"),
    Source("instagram", "social", (4, 4, 3), 0.5, 0.58, "https://l.instagram.com/"),
    Source("blog.example.net", "referral", (2, 2, 1), 0.8, 0.50, "https://blog.example.net/shoes"),
    Source("bing", "organic", (2, 2, 2), 1.0, 0.46, "https://www.bing.com/"),
    Source("podcast", "audio", (1, 1, 0.5), 0.7, 0.48, None, None, ("running_talk",)),
    Source("push", "push", (0, 1, 3), 1.0, 0.52, None, None, ("back_in_stock",)),
    Source("flyer", None, (0.4, 0.3, 0.2), 0.9, 0.40),
)
NEWSLETTER = 4  # has one campaign a month
BLACK_FRIDAY = (1, 3)  # sources that have one more campaign, in November

# Advertisements that are seen and not clicked: source, medium, campaign, weight.
VIEWS = (
    ("facebook", "paid_social", "prospecting_broad", 34),
    ("facebook", "paid_social", "launch_us", 8),
    ("youtube", "video", "spring_film", 12),
    ("youtube", "video", "autumn_film", 14),
    ("tiktok", "paid_social", "creators", 14),
    ("google", "display", "banner_retargeting", 18),
)
VIEW_COST = 0.012

# country, language, timezone, hours east of Greenwich in winter, weight; US orders are in USD
PLACES = (
    ("DE", "de", "Europe/Berlin", 1, 46),
    ("AT", "de", "Europe/Vienna", 1, 9),
    ("FR", "fr", "Europe/Paris", 1, 10),
    ("NL", "nl", "Europe/Amsterdam", 1, 8),
    ("GB", "en", "Europe/London", 0, 8),
    ("PT", "pt", "Europe/Lisbon", 0, 3),
    ("IN", "en", "Asia/Kolkata", 5.5, 2),
    ("US", "en", "America/New_York", -5, 9),
    ("US", "en", "America/Los_Angeles", -8, 5),
)

# device_type, browser, os, weight, user agent
DEVICES = (
    ("desktop", "Chrome", "Windows", 24, "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36"),
    ("desktop", "Firefox", "Linux", 3, "Mozilla/5.0 (X11; Linux x86_64; rv:133.0) Gecko/20100101 Firefox/133.0"),
    ("desktop", "Edge", "Windows", 5, "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36 Edg/131.0.0.0"),
    ("desktop", "Safari", "macOS", 8, "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Safari/605.1.15"),
    ("mobile", "Safari", "iOS", 26, "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Mobile/15E148 Safari/604.1"),
    ("mobile", "Chrome", "Android", 22, "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Mobile Safari/537.36"),
    ("mobile", "Samsung Internet", "Android", 4, "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/27.0 Chrome/125.0.0.0 Mobile Safari/537.36"),
    ("tablet", "Safari", "iPadOS", 4, "Mozilla/5.0 (iPad; CPU OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Mobile/15E148 Safari/604.1"),
    ("tablet", "Chrome", "Android", 2, "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36"),
    ("smarttv", "Silk", "Fire OS", 1, "Mozilla/5.0 (Linux; Android 9; AFTMM) AppleWebKit/537.36 (KHTML, like Gecko) Silk/130.4.1 like Chrome/130.0.0.0 Safari/537.36"),
    ("console", "Edge", "Xbox", 0.5, "Mozilla/5.0 (Windows NT 10.0; Win64; x64; Xbox; Xbox One) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36 Edge/44.18363.8131"),
    ("wearable", None, "watchOS", 0.3, None),
    ("embedded", None, "Linux", 0.2, None),
)

HOSTS = ("https://shop.example.com", "https://shop.example.org")  # one a domain
DOMAINS = ("shop-eu", "shop-us")
CURRENCIES = ("EUR", "USD")
PATHS = ("/", "/sale", "/running", "/hiking", "/shoes/trail-runner-2", "/shoes/city-sneaker",
         "/shoes/road-racer", "/jackets/rain-shell", "/gift-cards", "/blog/how-to-lace",
         "/account/orders", "/size-guide")
PATH_WEIGHTS = (26, 12, 13, 8, 10, 8, 6, 5, 2, 5, 3, 2)
CODES = ("WELCOME5", "PARTNER10", "PODCAST15", "SUMMER20", "FRIEND10")
TERMS = ("running shoes", "trail shoes", "waterproof jacket", "shoe size chart")
CONTENTS = ("video_a", "video_b", "carousel", "still_red")
TIERS = ("bronze", "silver", "gold")

HOURS = (12, 7, 4, 3, 3, 5, 12, 22, 33, 42, 48, 50, 52, 50, 48, 48, 50, 54, 62, 72, 80, 74, 52, 27)
WEEKDAYS = (1.06, 1.02, 1.0, 0.98, 0.92, 0.94, 1.12)
MONTHS = (0.95, 0.86, 0.95, 1.0, 1.02, 0.95, 0.88, 0.9, 1.0, 1.05, 1.38, 1.25)


# ---- Columns ------------------------------------------------------------------------------------

def ids(kind, numbers, length):
    """Texts of `length` characters that begin with `kind`; no two numbers have the same text."""
    alphabet = np.frombuffer(b"0123456789abcdefghjkmnpqrstvwxyz", np.uint8)
    characters = length - 1
    bits = min(64, 5 * characters)
    mask, half = np.uint64(2**bits - 1), np.uint64(bits // 2)
    kind = np.asarray(kind if isinstance(kind, np.ndarray) else ord(kind), np.uint64)
    # Odd multiplications and right shifts can be undone, so different numbers stay different.
    mixed = numbers.astype(np.uint64) + kind * np.uint64(1_000_000_007)
    mixed = mixed * np.uint64(0x9E3779B97F4A7C15) & mask
    for factor in (0xBF58476D1CE4E5B9, 0x94D049BB133111EB):
        mixed = (mixed ^ (mixed >> half)) * np.uint64(factor) & mask
    mixed ^= mixed >> half
    text = np.empty((len(numbers), length), np.uint8)
    text[:, 0] = kind
    for start in range(0, characters, 12):
        for place in range(start, min(start + 12, characters)):
            text[:, place + 1] = alphabet[(mixed >> np.uint64(5 * (place - start))) & np.uint64(31)]
        if bits > 60:  # the remaining bits first, then a mixture of all of them
            mixed = (mixed >> np.uint64(60)) + mixed * np.uint64(32) * np.uint64(0xD6E8FEB86659FD93)
    offsets = np.arange(0, len(text) * length + 1, length, dtype=np.int32)
    return pa.StringArray.from_buffers(len(text), pa.py_buffer(offsets), pa.py_buffer(text))


def pick(values, codes):
    """The text for each code; codes of -1 and values of None are null."""
    codes = pa.array(codes.astype(np.int32), mask=codes < 0)
    return pa.DictionaryArray.from_arrays(codes, pa.array(values, pa.string())).cast(pa.string())


def timestamps(times, present=None):
    return pa.array(times, TIMESTAMP, mask=None if present is None else ~present)


def money(cents, present=None):
    """A decimal column of major units, exact."""
    words = np.empty((len(cents), 2), np.int64)
    words[:, 0], words[:, 1] = cents, cents >> 63
    column = pa.Array.from_buffers(MONEY, len(cents), [None, pa.py_buffer(words)])
    return column if present is None else pc.if_else(present, column, pa.scalar(None, MONEY))


class Table:
    """A Parquet file that is written row group by row group."""

    def __init__(self, folder, name):
        self.path, self.writer, self.rows = folder / f"{name}.parquet", None, 0
        self.began = time.time()

    def add(self, columns):
        table = pa.table(columns)
        if self.writer is None:
            keyed = [name for name in table.schema.names if name != "external_id"]
            self.writer = pq.ParquetWriter(self.path, table.schema, compression="zstd",
                                           use_dictionary=keyed)
        self.writer.write_table(table, row_group_size=ROW_GROUP)
        self.rows += len(table)

    def close(self):
        self.writer.close()
        size, seconds = self.path.stat().st_size, time.time() - self.began
        print(f"{self.path}: {self.rows:,} rows, {size:,} bytes, {seconds:.1f} s", file=sys.stderr)


def write(folder, name, columns):
    table = Table(folder, name)
    table.add(columns)
    table.close()


def choose(random, weights, size):
    """Codes of a weighted draw with replacement, in one byte each."""
    edges = np.cumsum(weights, dtype=float)
    drawn = np.searchsorted(edges / edges[-1], random.random(size), side="right")
    return np.minimum(drawn, len(edges) - 1).astype(np.int8)


def export_order(random, times):
    """The order in which rows are exported: by time, but for some that arrive late."""
    late = random.exponential(2, len(times))
    late[random.random(len(times)) < 0.01] *= 300
    return np.argsort(times + (late * SECOND).astype(np.int64))


# ---- What happened ------------------------------------------------------------------------------

class Period:
    def __init__(self, start, days):
        epoch = dt.date(1970, 1, 1)
        self.first, self.days = start, days
        self.start = (start - epoch).days * DAY
        self.end = self.start + days * DAY
        self.dates = [start + dt.timedelta(day) for day in range(days)]
        self.months = sorted({date.strftime("%Y_%m") for date in self.dates})
        self.month_of_day = np.array([self.months.index(d.strftime("%Y_%m")) for d in self.dates])
        self.november = np.array([(11, 17) <= (d.month, d.day) <= (12, 1) for d in self.dates])
        weights = [WEEKDAYS[d.weekday()] * MONTHS[d.month - 1] for d in self.dates]
        hours = np.outer(weights, HOURS).ravel()
        self.curve = np.concatenate([[0], np.cumsum(hours) / hours.sum()])

    def at(self, share):
        """The moment by which this share of the period's traffic has passed, in a local clock."""
        hours = np.interp(share, self.curve, np.arange(len(self.curve)))
        return self.start + (hours * HOUR).astype(np.int64)

    def keep(self, times):
        """Whole milliseconds inside the period; what lies outside is mirrored at its end."""
        times = np.where(times < self.start, 2 * self.start - times, times)
        times = np.where(times >= self.end, 2 * self.end - times - 1, times)
        return np.clip(times, self.start, self.end - 1) // MILLISECOND * MILLISECOND

    def day(self, times):
        return (times - self.start) // DAY


class Persons:
    def __init__(self, random, count, tail, busiest):
        self.count = count
        kind = random.random(count)
        self.customer, self.untracked = kind < CUSTOMERS, kind < UNTRACKED
        self.untracked[0] = self.customer[0] = True  # there is always one
        self.weight = np.minimum(1 + random.pareto(tail, count), busiest)
        self.place = choose(random, [place[4] for place in PLACES], self.count)
        self.devices = 1 + choose(random, (65, 28, 7), self.count)

    def us(self, person):
        return np.array([place[0] == "US" for place in PLACES])[self.place[person]]

    def offset(self, person):
        hours = np.array([place[3] for place in PLACES])[self.place[person]]
        return (hours * HOUR).astype(np.int64)

    def names(self, user, length):
        known = (user % 4 == 0) & self.customer[user // 4]
        return ids(np.where(known, ord("c"), ord("a")).astype(np.uint8), user, length)


class Sessions:
    """All sessions, person by person and each person's in time."""

    def __init__(self, random, persons, period, count, alias_share):
        weight = np.where(persons.untracked, 0, persons.weight)
        counts = random.multinomial(count, weight / weight.sum())
        self.counts = counts
        self.person = np.repeat(np.arange(persons.count, dtype=np.int32), counts)
        first = np.cumsum(counts) - counts
        self.ordinal = (np.arange(len(self.person)) - first[self.person]).astype(np.int32)
        self.created_at = self._times(random, persons, period)
        self.source = self._sources(random)
        self.user = self.person * 4 + self._slots(random, persons, round(alias_share * count))
        self.until_order = np.zeros(len(self.person), np.int16)  # seconds; 0 is no order

    def _times(self, random, persons, period):
        """Gaps of many short and few long ones, spread over as long as the person is interested."""
        gaps = random.standard_gamma(0.35, len(self.person)) + 1e-9
        passed = np.cumsum(gaps)
        ends = np.concatenate([[0], passed])[np.cumsum(self.counts)]
        begins = np.concatenate([[0], ends[:-1]])
        total = ends - begins + random.standard_gamma(0.35, persons.count) + 1e-9
        span = np.minimum(0.999, self.counts * random.exponential(0.02, persons.count))
        begin = random.random(persons.count) * (1 - span)
        passed -= begins[self.person]
        passed *= (span / total)[self.person]
        passed += begin[self.person]
        return period.keep(period.at(passed) - persons.offset(self.person))

    def _sources(self, random):
        stages = np.array([source.stages for source in SOURCES], float).T
        edges = np.cumsum(stages / stages.sum(1, keepdims=True), axis=1)
        edges = (edges + np.arange(len(stages))[:, None]).ravel()
        stage = np.minimum((self.ordinal + 1) // 2, 2)
        drawn = random.random(len(stage)) * 0.999999 + stage
        source = (np.searchsorted(edges, drawn, side="right") % len(SOURCES)).astype(np.int8)
        fresh = (random.random(len(stage), np.float32) > 0.3) | (self.ordinal == 0)
        latest = np.maximum.accumulate(np.where(fresh, np.arange(len(stage), dtype=np.int32), 0))
        return source[latest]

    def _slots(self, random, persons, anonymous):
        """The slots of the users; the sessions that count as anonymous are mostly early ones."""
        slots = np.zeros(len(self.person), np.int32)
        rows = np.flatnonzero(persons.customer[self.person])
        if anonymous > len(rows):
            sys.exit("error: the customers have too few sessions for this --alias-share")
        if anonymous:
            age = (self.ordinal[rows] + random.random(len(rows))) / self.counts[self.person[rows]]
            rows = rows[np.argpartition(age + random.random(len(rows)), anonymous - 1)[:anonymous]]
            slots[rows] = 1 + choose(random, (70, 22, 8), anonymous)
        return slots


class Orders:
    """All orders, in the order of their export."""

    def __init__(self, random, persons, sessions, period, count):
        following = round(FOLLOWING * count)
        session = self._following(random, persons, sessions, following)
        alone = random.choice(np.flatnonzero(persons.untracked), count - following)

        there = random.random(len(session)) < 0.72  # ordered in the session itself
        delay = random.exponential(np.where(there, 9 * MINUTE, 4 * DAY))
        delay = np.minimum(delay, np.where(there, 40 * MINUTE, 45 * DAY)).astype(np.int64)
        seen = sessions.created_at[session]
        after = seen + MINUTE + delay
        after = np.where(after < period.end, after, seen + (period.end - seen) // 2)
        guest = there & (random.random(len(session)) < 0.15)  # ordered without logging in
        user = np.where(guest, sessions.user[session], sessions.person[session] * 4)
        sessions.until_order[session[there]] = (after - seen)[there] // SECOND

        at = period.at(random.random(len(alone))) - persons.offset(alone)
        self.session = np.concatenate([np.where(there, session, -1), np.full(len(alone), -1)])
        self.created_at = np.concatenate([after // MILLISECOND * MILLISECOND, period.keep(at)])
        self.user = np.concatenate([user, alone.astype(np.int32) * 4])
        cents = np.exp(random.normal(8.6, 0.7, len(self.user))).astype(np.int64) + 500
        cents = np.where(random.random(len(cents)) < 0.6, cents // 100 * 100 + 95, cents)
        self.cents = cents

        rows = export_order(random, self.created_at)
        for name in ("session", "created_at", "user", "cents"):
            setattr(self, name, getattr(self, name)[rows])

    @staticmethod
    def _following(random, persons, sessions, count):
        """The sessions that orders follow: a weighted draw without replacement."""
        weight = np.array([source.converts for source in SOURCES])[sessions.source]
        weight *= 1 + np.minimum(sessions.ordinal, 6) * 0.25
        weight *= np.maximum(sessions.counts, 1)[sessions.person] ** -0.4
        weight *= np.where(persons.customer[sessions.person], 1, 0.08)
        chance = random.standard_exponential(len(weight)) / weight
        return np.sort(np.argpartition(chance, count - 1)[:count]) if count else np.empty(0, int)


class Views:
    """Advertisements seen in the days before a session, in the order of their export."""

    def __init__(self, random, sessions, period):
        size = round(0.25 * len(sessions.user))
        session = random.integers(0, len(sessions.user), size)
        before = np.minimum(random.exponential(30 * HOUR, size), 14 * DAY).astype(np.int64)
        created_at = period.keep(sessions.created_at[session] - before)
        rows = export_order(random, created_at)
        self.created_at, self.user = created_at[rows], sessions.user[session[rows]]
        self.view = choose(random, [view[3] for view in VIEWS], size)
        at = period.day(self.created_at) * len(VIEWS) + self.view
        self.by_day = np.bincount(at, minlength=period.days * len(VIEWS)).reshape(-1, len(VIEWS))


# ---- Tables -------------------------------------------------------------------------------------

class Shop:
    def __init__(self, arguments):
        self.options = arguments
        self.period = Period(arguments.start, arguments.days)
        self.persons = Persons(self.random(1), arguments.users, arguments.tail, arguments.busiest)
        self.sessions = Sessions(self.random(2), self.persons, self.period, arguments.sessions,
                                 arguments.alias_share)
        self.orders = Orders(self.random(3), self.persons, self.sessions, self.period,
                             arguments.orders)

    def random(self, stream):
        """Every table has its own stream, so that one more column changes no other table."""
        return np.random.default_rng([self.options.seed, stream])

    def users(self, user):
        return self.persons.names(user, self.options.id_length)

    def ids(self, kind, numbers):
        return ids(kind, numbers, self.options.id_length)

    def write(self, folder):
        folder.mkdir(parents=True, exist_ok=True)
        self.views = Views(self.random(11), self.sessions, self.period)
        self._accounts()
        self._write_users(folder)
        self._write_devices(folder)
        self._write_postviews(folder)
        self._write_rates(folder)
        self._write_orders(folder)
        self._write_aliases(folder)
        self._write_spend(folder, self._write_sessions(folder))

    def _accounts(self):
        """When each user was first seen, has an account since, and signed up."""
        random, period, persons = self.random(4), self.period, self.persons
        never = np.iinfo(np.int64).max
        self.first = np.full(4 * persons.count, never)
        self.last = np.zeros(4 * persons.count, np.int64)
        for rows in (self.sessions, self.orders, self.views):
            np.minimum.at(self.first, rows.user, rows.created_at)
            np.maximum.at(self.last, rows.user, rows.created_at)
        old = (random.random(persons.count) < 0.45) | (self.first[::4] == never)
        before = period.start - DAY - (random.random(persons.count) * 1000 * DAY).astype(np.int64)
        before = before // MILLISECOND * MILLISECOND
        wait = np.where(random.random(persons.count) < 0.2, 5 * HOUR, 0)
        self.seen_since = self.first.copy()
        self.seen_since[::4] = np.where(persons.customer & old, before, self.first[::4])
        self.signed_up = self.seen_since[::4] + np.where(old, wait, 0)

    def _user_columns(self, user):
        known = (user % 4 == 0) & self.persons.customer[user // 4]
        return {
            "user_created_at": timestamps(self.seen_since[user]),
            "user_is_authenticated": pa.array(known),
            "user_signed_up_at": timestamps(self.signed_up[user // 4], known),
        }

    def _write_sessions(self, folder):
        order = export_order(self.random(5), self.sessions.created_at)
        random = self.random(6)
        keys = self._campaigns()
        clicks = np.zeros((self.period.days, len(keys)), np.int64)
        table = Table(folder, "sessions")
        for start in range(0, len(order), ROW_GROUP):
            rows = order[start:start + ROW_GROUP]
            table.add(self._session_columns(random, rows, keys, clicks))
        table.close()
        return clicks

    def _campaigns(self):
        """All (source, campaign): those of the source, then one a month, then the sale's."""
        keys = [(source, name) for source, spec in enumerate(SOURCES) for name in spec.campaigns]
        keys += [(NEWSLETTER, f"newsletter_{month}") for month in self.period.months]
        return keys + [(source, "black_friday") for source in BLACK_FRIDAY]

    def _campaign_of(self, random, source, day):
        sizes = np.array([len(spec.campaigns) for spec in SOURCES])
        within = (random.random(len(source)) ** 1.5 * sizes[source]).astype(np.int64)
        key = (np.cumsum(sizes) - sizes)[source] + within
        monthly = sizes.sum() + self.period.month_of_day[day]
        key = np.where(source == NEWSLETTER, monthly, key)
        sale = self.period.november[day] & (random.random(len(source)) < 0.4)
        for place, one in enumerate(BLACK_FRIDAY):
            key[sale & (source == one)] = sizes.sum() + len(self.period.months) + place
        return key

    def _session_columns(self, random, rows, keys, clicks):
        sessions, persons, period = self.sessions, self.persons, self.period
        size = len(rows)
        source, user = sessions.source[rows], sessions.user[rows]
        created = sessions.created_at[rows]
        person, day = user // 4, period.day(created)
        key = self._campaign_of(random, source, day)
        clicks += np.bincount(day * len(keys) + key, minlength=clicks.size).reshape(clicks.shape)

        bounced = random.random(size) < np.array([s.bounces for s in SOURCES])[source]
        until_order = sessions.until_order[rows].astype(np.int32)
        bounced &= until_order == 0
        stay = np.minimum(np.exp(random.normal(4.9, 0.9, size)), 7200).astype(np.int32) + 15
        duration = np.where(bounced, random.integers(0, 15, size), stay + until_order)
        interactions = np.where(bounced, random.integers(0, 2, size), 2 + duration // 40)
        pageviews = np.where(bounced, 1, 1 + random.poisson(2 + duration / 120))
        updated = np.minimum(created + duration * SECOND, period.end - MILLISECOND)

        own = user % 4 == 0
        device = random.integers(0, persons.devices[person])
        device = np.where(own & (random.random(size) < 0.7), 0, device)
        device = np.where(own, device, (user % 4 - 1) % persons.devices[person])
        device = self.ids("d", person * 4 + device)
        device = pc.if_else(random.random(size) < 0.96, device, None)

        us = persons.us(person)
        path = choose(random, PATH_WEIGHTS, size)
        referred = random.random(size) < 0.85
        search = (source == 1) | (source == 6)
        social = (source == 3) | (source == 8)
        variant = choose(random, (45, 45, 10), size)
        campaigns = [name for _, name in keys]
        numbers = [name and str(7_000_000 + 137 * n) for n, name in enumerate(campaigns)]
        clicked = np.array([SOURCES[s].id_from is not None for s, _ in keys])[key]
        return {
            "external_id": self.ids("s", rows),
            "user_external_id": self.users(user),
            "created_at": timestamps(created),
            "updated_at": timestamps(updated),
            "domain_id": pick(DOMAINS, us),
            "device_external_id": device,
            "timezone": pick([place[2] for place in PLACES],
                             np.where(random.random(size) < 0.97, persons.place[person], -1)),
            "landing_page": pick([host + path for host in HOSTS for path in PATHS],
                                 path + us * len(PATHS)),
            "referrer": pick([s.referrer for s in SOURCES], np.where(referred, source, -1)),
            "utm_source": pick([s.source for s in SOURCES], source),
            "utm_medium": pick([s.medium for s in SOURCES], source),
            "utm_campaign": pick(campaigns, key),
            "utm_content": pick(CONTENTS, np.where(social, random.integers(0, 4, size), -1)),
            "utm_term": pick(TERMS, np.where(search, random.integers(0, 4, size), -1)),
            "utm_id": pick(numbers, np.where(clicked, key, -1)),
            "utm_id_from": pick([s.id_from for s in SOURCES], source),
            "duration": pa.array(duration.astype(np.int32)),
            "pageviews_count": pa.array(pageviews.astype(np.int32)),
            "interactions_count": pa.array(interactions.astype(np.int32)),
            **self._user_columns(user),
            "app_experiment": pick(("control", "new_checkout", None), variant),
        }

    def _write_orders(self, folder):
        orders, period, random = self.orders, self.period, self.random(7)
        columns = {
            "external_id": self.ids("o", np.arange(len(orders.user))),
            "user_external_id": self.users(orders.user),
            "created_at": timestamps(orders.created_at),
        }
        size, us = len(orders.user), self.persons.us(orders.user // 4)
        cancelled = random.random(size) < 0.03
        refunded = ~cancelled & (random.random(size) < 0.07)
        share = np.where(random.random(size) < 0.5, 1, random.random(size))
        refund = np.maximum(1, (orders.cents * share).astype(np.int64))
        shipping = np.where(orders.cents >= 10_000, 0, 495)
        later = orders.created_at + HOUR + (random.random(size) * 12 * DAY).astype(np.int64)
        later = np.minimum(later, period.end - MILLISECOND) // MILLISECOND * MILLISECOND
        code = choose(random, (4, 5, 2, 2, 2), size)
        coupons = random.random(size)  # none for most, one for some, two for a few
        count = np.where(coupons < 0.86, 0, np.where(coupons < 0.985, 1, 2))
        flat = np.repeat(code, count)
        flat[(np.cumsum(count) - 1)[count == 2]] = (code[count == 2] + 1) % len(CODES)
        offsets = np.concatenate([[0], np.cumsum(count)]).astype(np.int32)
        codes = pa.ListArray.from_arrays(offsets, pick(CODES, flat), mask=pa.array(count == 0))
        linked = orders.session >= 0
        write(folder, "orders", columns | {
            "updated_at": timestamps(np.where(cancelled | refunded, later, orders.created_at)),
            "domain_id": pick(DOMAINS, us),
            "session_external_id": pc.if_else(linked, self.ids("s", orders.session), None),
            "subtotal_price": money(orders.cents),
            "total_price": money(orders.cents + shipping),
            "refunded_price": money(refund, refunded),
            "currency": pick(CURRENCIES, us),
            "discount_codes": codes,
            "cancelled_at": timestamps(later, cancelled),
            "conversion_type": pick(("order", "subscription"), random.random(size) < 0.06),
            **self._user_columns(orders.user),
        })

    def _write_aliases(self, folder):
        """One row for each anonymous id of a customer."""
        if self.options.alias_share == 0:
            return
        origin = np.unique(self.sessions.user[self.sessions.user % 4 > 0])
        target = origin // 4 * 4
        random = self.random(8)
        # Some second ids are joined to the first one, which is joined to the customer: a chain.
        chained = (origin % 4 == 2) & np.isin(origin - 1, origin)
        chained &= random.random(len(origin)) < 0.3
        target = np.where(chained, origin - 1, target)
        delay = random.exponential(DAY, len(origin)).astype(np.int64)
        created = np.maximum(self.last[origin] + delay, self.seen_since[origin // 4 * 4])
        created = np.minimum(created, self.period.end - MILLISECOND) // MILLISECOND * MILLISECOND
        rows = np.argsort(created, kind="stable")
        origin, target, created = origin[rows], target[rows], created[rows]
        write(folder, "user_aliases", {
            "from_user_external_id": self.users(origin),
            "to_user_external_id": self.users(target),
            "to_user_is_authenticated": pa.array(target % 4 == 0),
            "to_user_created_at": timestamps(self.seen_since[target]),
            "created_at": timestamps(created),
        })

    def _write_users(self, folder):
        """Profiles of nearly all customers and of some anonymous users; the others have none."""
        random, persons = self.random(9), self.persons
        user = np.arange(4 * persons.count)
        customer = (user % 4 == 0) & persons.customer[user // 4]
        active = self.last > 0
        share = np.where(customer, 0.97, np.where(user % 4 == 0, 0.6, 0.25))
        user = user[(active | customer) & (random.random(len(user)) < share)]
        user = user[np.argsort(self.seen_since[user], kind="stable")]
        person, size = user // 4, len(user)
        customer = (user % 4 == 0) & persons.customer[person]
        latest = np.maximum(self.last[user], self.signed_up[person] * customer)
        updated = np.maximum(latest, self.seen_since[user])

        # A few visitors left the address of a customer, in capitals: the same human, unknown to us.
        borrowed = ~customer & (user % 4 == 0) & (random.random(size) < 0.03)
        lender = random.choice(user[customer], size) if customer.any() else user
        owner = np.where(borrowed, lender, user)
        host = pick(("@example.com", "@example.org"), owner // 4 % 10 > 6)
        email = pc.binary_join_element_wise(self.users(owner), host, "")
        email = pc.if_else(borrowed, pc.utf8_upper(email), email)
        bought = np.bincount(self.orders.user // 4, minlength=persons.count)[person]
        tier = np.where(customer, np.searchsorted((1, 2, 4), bought, side="right") - 1, -1)
        place = persons.place[person]
        write(folder, "users", {
            "external_id": self.users(user),
            "created_at": timestamps(self.seen_since[user]),
            "updated_at": timestamps(updated),
            "is_authenticated": pa.array(customer),
            "signed_up_at": timestamps(self.signed_up[person], customer),
            "email": pc.if_else(customer | borrowed, email, None),
            "country": pick([p[0] for p in PLACES], place),
            "language": pick([p[1] for p in PLACES], place),
            "timezone": pick([p[2] for p in PLACES], place),
            "app_loyalty_tier": pick(TIERS, tier),
        })

    def _write_devices(self, folder):
        """The devices of everybody who was on the site."""
        random, persons = self.random(10), self.persons
        person = np.flatnonzero(self.sessions.counts)
        device = (person[:, None] * 4 + np.arange(3)).ravel()
        device = device[device % 4 < persons.devices[device // 4]]
        model = choose(random, [one[3] for one in DEVICES], len(device))
        write(folder, "devices", {
            "external_id": self.ids("d", device),
            "user_external_id": self.users(device // 4 * 4),
            "device_type": pick([one[0] for one in DEVICES], model),
            "browser": pick([one[1] for one in DEVICES], model),
            "os": pick([one[2] for one in DEVICES], model),
            "user_agent": pick([one[4] for one in DEVICES], model),
        })

    def _write_postviews(self, folder):
        user, view = self.views.user, self.views.view
        device = np.maximum(user % 4 - 1, 0) % self.persons.devices[user // 4]
        write(folder, "postviews", {
            "external_id": self.ids("v", np.arange(len(user))),
            "user_external_id": self.users(user),
            "created_at": timestamps(self.views.created_at),
            "device_external_id": self.ids("d", user // 4 * 4 + device),
            "country": pick([p[0] for p in PLACES], self.persons.place[user // 4]),
            "utm_source": pick([v[0] for v in VIEWS], view),
            "utm_medium": pick([v[1] for v in VIEWS], view),
            "utm_campaign": pick([v[2] for v in VIEWS], view),
        })

    def _write_spend(self, folder, clicks):
        """Cost by day (UTC) and campaign: of the clicks, and of the views where there are any."""
        random = self.random(12)
        cells = {}  # (source, medium, campaign) -> clicks by day, views by day, cost of a click
        nothing = np.zeros(self.period.days, np.int64)
        for place, (source, campaign) in enumerate(self._campaigns()):
            spec = SOURCES[source]
            if spec.cost:
                cells[spec.source, spec.medium, campaign] = clicks[:, place], nothing, spec.cost
        for place, (*name, _) in enumerate(VIEWS):
            clicked, _, cost = cells.get(tuple(name), (nothing, nothing, 0.0))
            cells[tuple(name)] = clicked, self.views.by_day[:, place], cost
        parts = []
        for name, (clicked, viewed, cost) in sorted(cells.items()):
            billed = clicked + random.poisson(clicked * 0.07)  # some clicks never become sessions
            shown = random.poisson(billed * 42 + viewed * 60)
            price = cost * random.normal(1, 0.12, len(billed)).clip(0.6, 1.5)
            amount = billed * price + shown * VIEW_COST * (viewed > 0)
            cents = np.round(100 * amount).astype(np.int64)
            days = np.flatnonzero(shown)
            parts += [(day, name, cents[day], billed[day], shown[day]) for day in days]
        parts.sort(key=lambda part: (part[0], part[1]))
        day, name, cents, billed, shown = zip(*parts) if parts else [()] * 5
        write(folder, "spend", {
            "date": pa.array([self.period.dates[one] for one in day], pa.date32()),
            "utm_source": pa.array([one[0] for one in name], pa.string()),
            "utm_medium": pa.array([one[1] for one in name], pa.string()),
            "utm_campaign": pa.array([one[2] for one in name], pa.string()),
            "cost": money(np.array(cents, np.int64)),
            "currency": pick(CURRENCIES, np.array([one[2].endswith("_us") for one in name], int)),
            "clicks": pa.array(billed, pa.int64()),
            "impressions": pa.array(shown, pa.int64()),
        })

    def _write_rates(self, folder):
        """US dollars for one euro, on working days: an invented walk, from before the period on."""
        first = self.period.first - dt.timedelta(4)
        days = [first + dt.timedelta(day) for day in range(self.period.days + 4)]
        days = [day for day in days if day.weekday() < 5]
        walk = 1.09 + np.cumsum(self.random(13).normal(0.0001, 0.004, len(days)))
        rates = pa.array([f"{rate:.4f}" for rate in walk.clip(0.95, 1.25)])
        write(folder, "exchange_rates", {
            "date": pa.array(days, pa.date32()),
            "currency": pa.array(["USD"] * len(days)),
            "rate": rates.cast(pa.decimal128(12, 4)),
        })


# ---- Command line -------------------------------------------------------------------------------

def arguments():
    parser = argparse.ArgumentParser(description="Make sample data for apportion.")
    parser.add_argument("--sessions", type=int, default=20_000, metavar="N")
    parser.add_argument("--orders", type=int, default=1_500, metavar="N")
    parser.add_argument("--users", type=int, metavar="N",
                        help="persons, whatever number of ids they have (default: sessions / 8)")
    parser.add_argument("--seed", type=int, default=1, metavar="S")
    parser.add_argument("--alias-share", type=float, default=0.25, metavar="X",
                        help="share of the sessions under an anonymous id that has an alias "
                             "(default: %(default)s)")
    parser.add_argument("--id-length", type=int, default=20, metavar="N",
                        help="characters of an id, 8 to 24 (default: %(default)s)")
    parser.add_argument("--start", type=dt.date.fromisoformat, default=dt.date(2025, 1, 1),
                        metavar="DATE", help="first day (default: %(default)s)")
    parser.add_argument("--days", type=int, default=365, metavar="N")
    parser.add_argument("--tail", type=float, default=1.5, metavar="A",
                        help="exponent of the Pareto distribution of how busy persons are: the smaller, "
                        "the more sessions and orders do the busiest have")
    parser.add_argument("--busiest", type=float, default=500, metavar="N",
                        help="how many times as busy as the least busy person one can be")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FOLDER")
    options = parser.parse_args()
    if options.users is None:
        options.users = max(2, options.sessions // 8)
    if not 8 <= options.id_length <= 24:
        parser.error("--id-length is from 8 to 24")
    if not 0 <= options.alias_share <= 0.5:
        parser.error("--alias-share is from 0 to 0.5")
    if options.users < 2 or options.days < 1 or not 0 <= options.orders <= options.sessions:
        parser.error("there are at least 2 users and 1 day, and no more orders than sessions")
    return options


if __name__ == "__main__":
    options = arguments()
    Shop(options).write(options.output)
