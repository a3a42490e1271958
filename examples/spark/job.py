"""A job for spark-submit: tables in, the report and the credits of every order out.

    spark-submit examples/spark/job.py --sessions s3a://shop/sessions --orders s3a://shop/orders \
        --aliases s3a://shop/aliases --into s3a://shop/answer

docs/spark.md says how the package gets to the cluster. The status is 1 where too many orders had no touch, and
then nothing is written.
"""

from __future__ import annotations

import argparse
import sys

import apportion.spark
from pyspark.sql import SparkSession


def arguments() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sessions", required=True, help="a path or address that Spark reads as Parquet")
    parser.add_argument("--orders", required=True, help="the same of orders")
    parser.add_argument("--users", help="the same of user profiles")
    parser.add_argument("--aliases", help="the same of user aliases")
    parser.add_argument("--into", required=True, help="the folder for `report` and `credits`")
    parser.add_argument("--models", default="last_click,linear,markov", help="divided by commas")
    parser.add_argument("--by", default="channel", help="dimensions of the report, divided by commas")
    parser.add_argument("--lookback", default="90d", help="how long before an order a session counts")
    parser.add_argument("--currency", default="EUR", help="of orders that name none")
    parser.add_argument("--partitions", type=int, help="buckets that persons are divided into")
    parser.add_argument("--most-unattributed", type=float, default=0.5, help="the part of orders without touches")
    return parser.parse_args()


def main() -> int:
    """Attributes, looks whether the answer can be meant, and writes it."""
    said = arguments()
    spark = SparkSession.builder.appName("apportion").getOrCreate()
    tables = {
        name: spark.read.parquet(path)
        for name in ("sessions", "orders", "users", "aliases")
        if (path := getattr(said, name)) is not None
    }
    with apportion.spark.attribute(
        **tables,
        models=said.models.split(","),
        by=said.by.split(","),
        lookback=said.lookback,
        currency=said.currency,
        partitions=said.partitions,
        tables=["credits"],
    ) as result:
        print(result)
        orders = result.summary["orders"]
        if orders["unattributed"] > said.most_unattributed * orders["counted"]:
            print(f"{orders['unattributed']} of {orders['counted']} orders had no touch", file=sys.stderr)
            return 1
        report = spark.createDataFrame(result.report.to_pandas())
        report.coalesce(1).write.mode("overwrite").parquet(f"{said.into}/report")
        result.credits.write.mode("overwrite").parquet(f"{said.into}/credits")
    return 0


if __name__ == "__main__":
    sys.exit(main())
