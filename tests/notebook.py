"""Runs the example notebook and compares every table in it with what is in the file.

    python tests/notebook.py examples/sample_shop.ipynb            fails where a table is another
    python tests/notebook.py examples/sample_shop.ipynb --write    writes what came of it, with its pictures

`apportion` has to be on the path. Pictures are not compared, but each has to be made.
"""

import argparse
import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient


def is_noise(output):
    """Whether an output is what libraries say of the machine that they run on."""
    return output.get("name") == "stderr"


def answers(notebook):
    """What each cell printed or returned, as text; of a picture only that there is one."""
    found = []
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if is_noise(output):
                continue
            data = output.get("data", {})
            text = data.get("text/plain", output.get("text", ""))
            found.append("a picture" if "image/png" in data else text)
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("notebook", type=Path)
    parser.add_argument("--write", action="store_true", help="write the notebook with what came of it")
    arguments = parser.parse_args()
    notebook = nbformat.read(arguments.notebook, as_version=4)
    before = answers(notebook)
    folder = {"metadata": {"path": str(arguments.notebook.parent)}}
    NotebookClient(notebook, kernel_name="python3", timeout=300, resources=folder).execute()
    after = answers(notebook)
    if arguments.write:
        for cell in notebook.cells:
            cell.metadata.pop("execution", None)
            if "outputs" in cell:
                cell.outputs = [output for output in cell.outputs if not is_noise(output)]
        nbformat.write(notebook, arguments.notebook)
        return
    if len(before) != len(after):
        sys.exit(f"{arguments.notebook} has {len(before)} outputs; running it gives {len(after)}")
    for old, new in zip(before, after):
        if old != new:
            sys.exit(f"{arguments.notebook} says\n{old}\nand running it gives\n{new}\n(`--write` writes it anew)")
    pictures = after.count("a picture")
    if pictures == 0:
        sys.exit(f"{arguments.notebook} has no picture")
    print(f"{arguments.notebook}: {len(after) - pictures} tables as written, {pictures} pictures")


if __name__ == "__main__":
    main()
