"""Attribution on Spark, whose answers are those of one machine to the byte.

`attribute` takes data frames of Spark, classic or Connect, and returns a `SparkResult`. Rows of users who
belong together are brought into one partition, each partition is worked on by the native engine within a
task, and what partitions come to is merged exactly. `python -m apportion.spark` is the job that the
command line starts. `pyspark` and `pyarrow` have to be installed, and `apportion` on every executor too.
"""

try:
    import pyarrow as _pyarrow
    import pyspark as _pyspark
except ImportError as error:
    raise ImportError(
        f"apportion.spark needs the package `{error.name}`: pip install 'pyspark[sql]'"
    ) from error

from ._attribute import attribute
from ._result import SparkResult

__all__ = ["SparkResult", "attribute"]

del _pyarrow, _pyspark
