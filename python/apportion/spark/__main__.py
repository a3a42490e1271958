"""`python -m apportion.spark`: the job that the command line starts; see `_job`."""

import sys

from ._job import main

if __name__ == "__main__":
    sys.exit(main())
