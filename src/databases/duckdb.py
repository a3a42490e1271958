# Does SQL on a DuckDB file; answers with the rows of the last statement.
import json
import sys

import duckdb

task = json.load(sys.stdin)
connection = duckdb.connect(task["path"], read_only=task["read_only"])
for statement in task["statements"]:
    answer = connection.execute(statement)
rows = answer.fetchall() if task["read_only"] else []
names = [column[0] for column in answer.description or []]
json.dump([dict(zip(names, row)) for row in rows], sys.stdout, default=str)
