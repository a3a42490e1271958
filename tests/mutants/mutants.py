"""Every mutant that `cargo mutants` lists, all built into one program, and one switched on at a time.

A copy of the sources is rewritten so that each place which mutants change asks which of them is on
(`mutation.rs`). It is built once; tests are run once each to learn which mutants they reach; and then,
for each mutant, the tests that reach it, the quickest first, until one fails.

    mutants.py prepare    copies, lists and rewrites, and takes out what does not compile
    mutants.py build      builds the tests of the copy
    mutants.py reach      learns which tests reach which mutants
    mutants.py run        runs mutants: those without an answer yet, or those whose names contain a text
    mutants.py report     says what became of them, and lists those that no test notices

What is learnt is kept in the copy, so that every step can be broken off and done again.
"""

import argparse
import concurrent.futures
import dataclasses
import hashlib
import json
import os
import re
import resource
import subprocess
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path

import tree_sitter
import tree_sitter_rust

ROOT = Path(__file__).resolve().parents[2]
RUST = tree_sitter.Parser(tree_sitter.Language(tree_sitter_rust.language()))
# Seconds of processor time that a test gets at least, and how many times what it takes without a mutant.
LEAST_SECONDS, TIMES = 4, 5
# Seconds by the clock after which a test hangs, and bytes that a program may ask for.
HANGS_AFTER, BYTES = 1_200, 8 << 30
# What the compiler says where the mutated code is wrong in itself, whatever switches it on.
WRONG_IN_ITSELF = set(
    "E0061 E0271 E0277 E0282 E0283 E0308 E0368 E0369 E0515 E0599 E0600 E0614 E0716 E0790".split()
)


@dataclasses.dataclass
class Mutant:
    number: int
    name: str
    file: str
    function: str
    returns: str
    genre: str
    start: tuple[int, int]
    end: tuple[int, int]
    replacement: str
    # Why it is left out: "not viable" or "not switched", with what the compiler says.
    left_out: str = ""

    @property
    def module(self) -> str:
        parts = self.file.split("/")
        return parts[1].removesuffix(".rs")


def listed() -> list[Mutant]:
    text = subprocess.run(
        ["cargo", "mutants", "--list", "--json"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout
    found = []
    for entry in json.loads(text):
        span, function = entry["span"], entry["function"] or {"function_name": "", "return_type": ""}
        found.append(
            Mutant(
                number=0,
                name=entry["name"],
                file=entry["file"],
                function=function["function_name"],
                returns=function["return_type"],
                genre=entry["genre"],
                start=(span["start"]["line"], span["start"]["column"]),
                end=(span["end"]["line"], span["end"]["column"]),
                replacement=entry["replacement"],
            )
        )
    # Mutants of one place have numbers that follow each other.
    found.sort(key=lambda mutant: (mutant.file, mutant.genre, mutant.start, mutant.end))
    for number, mutant in enumerate(found, 1):
        mutant.number = number
    return found


class Rewriting:
    """A file whose mutants are switched by `crate::mutation`; comments mark where each of them is."""

    def __init__(self, source: bytes, mutants: Iterable[Mutant], kept_const: set[str]) -> None:
        self.source = source
        self.kept_const = kept_const
        self.tree = RUST.parse(source)
        self.lines = source.decode().split("\n")
        self.line_starts = [0]
        for line in self.lines:
            self.line_starts.append(self.line_starts[-1] + len(line.encode()) + 1)
        self.places: dict[int, list[Mutant]] = defaultdict(list)
        # Where places are, to leave alone what has none.
        self.spots: list[int] = []
        self.unplaced: list[Mutant] = []
        for mutant in mutants:
            node = self.place(mutant)
            if node is None:
                self.unplaced.append(mutant)
            else:
                self.places[node.id].append(mutant)
                self.spots.append(node.start_byte)

    def byte(self, position: tuple[int, int]) -> int:
        line, column = position
        return self.line_starts[line - 1] + len(self.lines[line - 1][: column - 1].encode())

    def place(self, mutant: Mutant) -> tree_sitter.Node | None:
        """The node that is written anew for a mutant."""
        start, end = self.byte(mutant.start), self.byte(mutant.end)
        if mutant.genre == "StructField":
            # Its comma is counted in.
            end = start + 1
        node = self.tree.root_node.descendant_for_byte_range(start, end)
        wanted = {
            "BinaryOperator": {"binary_expression", "compound_assignment_expr"},
            "UnaryOperator": {"unary_expression"},
            "MatchArm": {"match_arm"},
            "MatchArmGuard": {"match_arm"},
            "StructField": {"field_initializer", "shorthand_field_initializer"},
            "FnValue": {"function_item"},
        }[mutant.genre]
        while node is not None and node.type not in wanted:
            if mutant.genre in {"BinaryOperator", "UnaryOperator"} and node.start_byte < start:
                return None
            node = node.parent
        return node

    def text(self) -> str:
        return self.rendered(self.tree.root_node)

    def raw(self, node: tree_sitter.Node) -> str:
        return self.source[node.start_byte : node.end_byte].decode()

    def rendered(self, node: tree_sitter.Node) -> str:
        if not any(node.start_byte <= spot < node.end_byte for spot in self.spots):
            return self.raw(node)
        mutants = self.places.get(node.id, [])
        if mutants or node.type == "function_item":
            return getattr(self, node.type)(node, mutants)
        return self.children(node)

    def children(self, node: tree_sitter.Node, instead: dict[int, str] | None = None) -> str:
        """A node as it is, but for what its children have become."""
        if not node.children:
            return self.raw(node)
        parts, at = [], node.start_byte
        for child in node.children:
            parts.append(self.source[at : child.start_byte].decode())
            parts.append((instead or {}).get(child.id) or self.rendered(child))
            at = child.end_byte
        parts.append(self.source[at : node.end_byte].decode())
        return "".join(parts)

    def binary_expression(self, node: tree_sitter.Node, mutants: list[Mutant]) -> str:
        left, right = (
            self.rendered(node.child_by_field_name("left")),
            self.rendered(node.child_by_field_name("right")),
        )
        operator = self.raw(node.child_by_field_name("operator"))
        one = mutants[0]
        on = f"crate::mutation::on({one.number})"
        # Nothing is written twice where that can be, or nested places would become endless.
        if [operator, one.replacement] in (["==", "!="], ["!=", "=="]) and len(mutants) == 1:
            return whole(mutants, marked(one, f"({left} {operator} {right}) != {on}"))
        if operator == "&&" and [mutant.replacement for mutant in mutants] == ["||"]:
            return whole(mutants, f"if ({left}) != {marked(one, on)} {{ {right} }} else {{ {on} }}")
        if operator == "||" and [mutant.replacement for mutant in mutants] == ["&&"]:
            return whole(mutants, f"if ({left}) == {marked(one, on)} {{ {right} }} else {{ !{on} }}")
        if operator in {"<", ">", "<=", ">=", "==", "!="}:
            chosen = choice(mutants, f"*l {operator} *r", lambda mutant: f"*l {mutant.replacement} *r")
            return whole(mutants, f"match (&({left}), &({right})) {{ (l, r) => {chosen} }}")
        chosen = choice(mutants, f"l {operator} r", lambda mutant: f"l {mutant.replacement} r")
        return whole(mutants, f"match ({left}, {right}) {{ (l, r) => {chosen} }}")

    def compound_assignment_expr(self, node: tree_sitter.Node, mutants: list[Mutant]) -> str:
        left, right = (
            self.rendered(node.child_by_field_name("left")),
            self.rendered(node.child_by_field_name("right")),
        )
        operator = self.raw(node.child_by_field_name("operator"))
        chosen = choice(mutants, f"{left} {operator} r;", lambda mutant: f"{left} {mutant.replacement} r;")
        return whole(mutants, f"match {right} {{ r => {chosen} }}")

    def unary_expression(self, node: tree_sitter.Node, mutants: list[Mutant]) -> str:
        operator, operand = self.raw(node.children[0]), self.rendered(node.children[-1])
        chosen = choice(mutants, f"{operator}v", lambda _: "v")
        return whole(mutants, f"match {operand} {{ v => {chosen} }}")

    def match_arm(self, node: tree_sitter.Node, mutants: list[Mutant]) -> str:
        pattern = node.child_by_field_name("pattern")
        condition = pattern.child_by_field_name("condition")
        guard = self.rendered(condition) if condition else "true"
        for mutant in mutants:
            on = marked(mutant, f"crate::mutation::on({mutant.number})")
            if mutant.replacement == "true":
                guard = f"({on} || ({guard}))"
            else:
                guard = f"(!{on} && ({guard}))"
        shape = self.source[pattern.start_byte : pattern.children[0].end_byte].decode()
        return self.children(node, {pattern.id: f"{shape} if {whole(mutants, guard)}"})

    def field_initializer(self, node: tree_sitter.Node, mutants: list[Mutant]) -> str:
        name = self.raw(node.child_by_field_name("field"))
        return self.field(node, mutants, name, self.rendered(node.child_by_field_name("value")))

    def shorthand_field_initializer(self, node: tree_sitter.Node, mutants: list[Mutant]) -> str:
        return self.field(node, mutants, self.raw(node), self.raw(node))

    def field(self, node: tree_sitter.Node, mutants: list[Mutant], name: str, value: str) -> str:
        fields = node.parent
        base = next(child for child in fields.children if child.type == "base_field_initializer")
        other = self.raw(base.children[-1])
        if other == "Default::default()":
            other = f"<{self.raw(fields.parent.child_by_field_name('name'))}>::default()"
        chosen = choice(mutants, value, lambda _: f"({other}).{name}")
        return f"{name}: {whole(mutants, chosen)}"

    def function_item(self, node: tree_sitter.Node, mutants: list[Mutant]) -> str:
        body = node.child_by_field_name("body")
        instead = {}
        for child in node.children:
            if (
                child.type == "function_modifiers"
                and self.raw(node.child_by_field_name("name")) not in self.kept_const
            ):
                instead[child.id] = re.sub(r"\bconst\b", "", self.raw(child)) or " "
        text = self.children(body)
        if mutants and "impl Iterator" in mutants[0].returns:
            # Another iterator is of another type.
            chosen = choice(mutants, f"Box::new({text})", lambda mutant: f"Box::new({mutant.replacement})")
            chosen = whole(mutants, chosen)
            instead[body.id] = f"{{ let chosen: Box<dyn Iterator<Item = _> + '_> = {chosen}; chosen }}"
        elif mutants:
            returns = [
                f"if crate::mutation::on({mutant.number}) {{ "
                f"{marked(mutant, f'return {mutant.replacement};')} }} "
                for mutant in mutants
            ]
            instead[body.id] = "{ " + whole(mutants, "".join(returns), around="{}") + text[1:]
        return self.children(node, instead)


def marked(mutant: Mutant, text: str) -> str:
    return f"/*m{mutant.number}[*/{text}/*]m{mutant.number}*/"


def whole(mutants: list[Mutant], text: str, around: str = "()") -> str:
    first = mutants[0].number
    return f"{around[0]}/*w{first}[*/{text}/*]w{first}*/{around[1]}"


def choice(mutants: list[Mutant], original: str, mutated) -> str:
    """An expression that is the original first, so that what does not fit is found in the mutant."""
    numbers = [mutant.number for mutant in mutants]
    arms = [f"0 => {{ {original} }}"]
    for mutant in mutants:
        pattern = "_" if mutant is mutants[-1] else str(mutant.number)
        arms.append(f"{pattern} => {{ {marked(mutant, mutated(mutant))} }}")
    return f"match crate::mutation::at({min(numbers)}, {max(numbers)}) {{ {', '.join(arms)} }}"


class Work:
    """The copy, and what is known of its mutants."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = folder / "mutants"
        self.data.mkdir(parents=True, exist_ok=True)

    def kept(self, name: str, default):
        path = self.data / name
        return json.loads(path.read_text()) if path.exists() else default

    def keep(self, name: str, value) -> None:
        (self.data / name).write_text(json.dumps(value, indent=1))

    def mutants(self) -> list[Mutant]:
        return [Mutant(**entry) for entry in self.kept("mutants.json", [])]

    def write(self, path: str, content: bytes) -> None:
        """Writes what has changed only, for the compiler looks at times."""
        target = self.folder / path
        if target.exists() and target.read_bytes() == content:
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)

    def cargo(self, *arguments: str) -> list[dict]:
        """What cargo says, line by line; what it fails for is among it."""
        command = ["cargo", *arguments, "--locked", "--message-format", "json"]
        said = subprocess.run(
            command, cwd=self.folder, stdout=subprocess.PIPE, text=True, stderr=subprocess.DEVNULL
        )
        return [json.loads(line) for line in said.stdout.splitlines() if line.startswith("{")]


def prepare(work: Work) -> None:
    mutants = listed()
    copied = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split("\0")
    sources = {mutant.file for mutant in mutants}
    for path in filter(None, copied):
        if path not in sources and path != "src/lib.rs" and (ROOT / path).is_file():
            work.write(path, (ROOT / path).read_bytes())
    work.write("src/mutation.rs", (Path(__file__).parent / "mutation.rs").read_bytes())
    work.write(
        "src/lib.rs", (ROOT / "src/lib.rs").read_bytes() + b"\n#[expect(missing_docs)]\npub mod mutation;\n"
    )
    # What did not compile the last time does not now, and what was caught is; but not where code has changed.
    hashes = {file: hash_of((ROOT / file).read_bytes()) for file in sorted(sources)}
    hashes_before = work.kept("sources.json", {})
    same = {file for file in sources if hashes_before.get(file) == hashes[file]}
    before = {mutant.name: mutant.left_out for mutant in work.mutants() if mutant.file in same}
    for mutant in mutants:
        mutant.left_out = before.get(mutant.name, "")
    outcomes = work.kept("outcomes.json", [])
    work.keep("outcomes.json", [entry for entry in outcomes if entry["name"].split(":")[0] in same])
    work.keep("sources.json", hashes)
    kept_const: set[str] = set(work.kept("kept_const.json", []))
    while True:
        for file in sorted(sources):
            here = [mutant for mutant in mutants if mutant.file == file and not mutant.left_out]
            rewriting = Rewriting((ROOT / file).read_bytes(), here, kept_const)
            for mutant in rewriting.unplaced:
                mutant.left_out = "not viable: a chain of `let` takes no other operator"
            work.write(file, rewriting.text().encode())
        work.keep("mutants.json", [dataclasses.asdict(mutant) for mutant in mutants])
        work.keep("kept_const.json", sorted(kept_const))
        errors = [
            message["message"]
            for message in work.cargo("check", "--lib")
            if message["reason"] == "compiler-message" and message["message"]["level"] == "error"
        ]
        errors = [error for error in errors if error["spans"]]
        left_out = leave_out(work, mutants, errors, kept_const)
        print(f"{len(errors)} errors, {left_out} mutants left out", flush=True)
        if not errors:
            break
        if not left_out:
            sys.exit("\n".join(error["rendered"] for error in errors))
    # Whatever is left out as a whole place may have been left out for one of its mutants: see `report`.


def hash_of(source: bytes) -> str:
    """A hash of a source without its tests: more of them catch no less."""
    return hashlib.sha256(source.split(b"\n#[cfg(test)]\n")[0]).hexdigest()


def leave_out(work: Work, mutants: list[Mutant], errors: list[dict], kept_const: set[str]) -> int:
    """Leaves out the mutants in which the compiler finds errors, and says how many there are."""
    by_number = {mutant.number: mutant for mutant in mutants}
    regions: dict[str, list[tuple[int, int, str, int]]] = {}
    found = 0
    for error in errors:
        code = (error["code"] or {}).get("code") or "syntax"
        called = re.search(
            r"cannot call non-const (?:associated )?(?:function|method) `(?:.*::)?(\w+)`", error["message"]
        )
        if code == "E0015" and called and called[1] not in {"on", "at"}:
            kept_const.add(called[1])
            for mutant in mutants:
                if mutant.function.split("::")[-1] == called[1] and not mutant.left_out:
                    mutant.left_out, found = "not switched: a constant is worked out with it", found + 1
            continue
        if code == "E0004":
            # An arm of which a part is left is none that catches all: the last one cannot be deleted.
            span = error["spans"][0]
            last = last_arm((work.folder / span["file_name"]).read_bytes(), span["byte_start"])
            if last and not by_number[last].left_out:
                by_number[last].left_out, found = f"not viable: {code} {error['message']}", found + 1
            continue
        primary_first = sorted(error["spans"], key=lambda span: not span["is_primary"])
        for span in primary_first:
            file = span["file_name"]
            if not file.startswith("src/"):
                continue
            if file not in regions:
                regions[file] = regions_of((work.folder / file).read_bytes())
            around = [
                region
                for region in regions[file]
                if region[0] <= span["byte_start"] and span["byte_end"] <= region[1]
            ]
            if not around:
                continue
            _, _, kind, number = min(around, key=lambda region: region[1] - region[0])
            if kind == "m":
                wrong = [by_number[number]]
                is_itself = code in WRONG_IN_ITSELF
            else:
                place = by_number[number]
                same = (place.file, place.genre, place.start)
                if place.genre == "FnValue":
                    same = (place.file, place.genre, place.start)
                wrong = [mutant for mutant in mutants if (mutant.file, mutant.genre, mutant.start) == same]
                is_itself = False
            for mutant in wrong:
                if not mutant.left_out:
                    why = "not viable" if is_itself else "not switched"
                    mutant.left_out, found = f"{why}: {code} {error['message']}", found + 1
            break
    return found


def last_arm(rewritten: bytes, byte: int) -> int | None:
    """The mutant that deletes the last arm that one deletes, of the match of what is at a byte."""
    node = RUST.parse(rewritten).root_node.descendant_for_byte_range(byte, byte + 1)
    while node is not None and node.type != "match_expression":
        node = node.parent
    if node is None:
        return None
    found = None
    for arm in node.child_by_field_name("body").named_children:
        pattern = arm.child_by_field_name("pattern")
        text = rewritten[pattern.start_byte : pattern.end_byte] if pattern else b""
        deletes = re.search(rb"!/\*m(\d+)\[", text)
        found = int(deletes[1]) if deletes else found
    return found


def regions_of(rewritten: bytes) -> list[tuple[int, int, str, int]]:
    """Where mutants (m) and whole places (w) are in a rewritten file; some are there more than once."""
    regions, opened = [], defaultdict(list)
    for mark in re.finditer(rb"/\*(?:([mw])(\d+)\[|\]([mw])(\d+))\*/", rewritten):
        if mark[1]:
            opened[mark[1], mark[2]].append(mark.end())
        else:
            regions.append((opened[mark[3], mark[4]].pop(), mark.start(), mark[3].decode(), int(mark[4])))
    return regions


# What the tests of a program are divided into: what is run by itself to learn what it reaches.
@dataclasses.dataclass(frozen=True)
class Unit:
    program: str
    name: str


PROGRAMS = ["lib", "learning", "golden"]


def build(work: Work, programs: list[str]) -> None:
    targets = [part for name in programs for part in (["--lib"] if name == "lib" else ["--test", name])]
    said = work.cargo("test", "--no-run", *targets)
    found = work.kept("programs.json", {})
    for message in said:
        if message["reason"] == "compiler-artifact" and message["profile"]["test"] and message["executable"]:
            kind = message["target"]["kind"][0]
            found["lib" if kind == "lib" else message["target"]["name"]] = message["executable"]
        elif message["reason"] == "compiler-message" and message["message"]["level"] == "error":
            sys.exit(message["message"]["rendered"])
    work.keep("programs.json", found)
    missing = set(programs) - set(found)
    if missing:
        sys.exit(
            f"{', '.join(sorted(missing))} could not be built: see `cargo test --no-run` in {work.folder}"
        )


def units(work: Work, programs: dict[str, str]) -> list[Unit]:
    found = []
    for program, path in programs.items():
        if program == "golden":
            found += [Unit(program, case.name) for case in sorted((work.folder / "tests/golden").iterdir())]
            continue
        said = subprocess.run(
            [path, "--list", "--format", "terse"], capture_output=True, text=True, check=True
        )
        names = [line.removesuffix(": test") for line in said.stdout.splitlines() if line.endswith(": test")]
        found += [Unit(program, name) for name in names]
    return found


def tested(
    work: Work, programs: dict[str, str], chosen: list[Unit], seconds: float, **environment: str
) -> tuple[str, float]:
    """Whether tests of one program pass ("passed", "failed" or "hung"), and the seconds it took."""
    program = chosen[0].program
    command = [programs[program], "--test-threads", "1"]
    if program == "golden":
        environment["GOLDEN_CASES"] = " ".join(unit.name for unit in chosen)
    else:
        command += ["--exact", *(unit.name for unit in chosen)]
    limit = int(seconds) + 1

    def limited() -> None:
        os.setsid()
        resource.setrlimit(resource.RLIMIT_CPU, (limit, limit + 2))
        resource.setrlimit(resource.RLIMIT_AS, (BYTES, BYTES))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

    running = subprocess.Popen(
        command,
        cwd=work.folder,
        env={**os.environ, "PROPTEST_RNG_SEED": "20260924", **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=limited,
    )
    until = time.monotonic() + HANGS_AFTER
    while True:
        done, status, used = os.wait4(running.pid, os.WNOHANG)
        if done:
            break
        if time.monotonic() > until:
            os.killpg(running.pid, 9)
            until += HANGS_AFTER
        time.sleep(0.005)
    running.returncode = os.waitstatus_to_exitcode(status)
    took = used.ru_utime + used.ru_stime
    if running.returncode in {-24, -9}:
        return "hung", took
    return "failed" if running.returncode else "passed", took


def reach(work: Work, jobs: int, programs: list[str], again: bool) -> None:
    """Runs every test by itself that is new, or all, and keeps how long it takes and what it reaches."""
    built = work.kept("programs.json", {})
    known = {(entry["program"], entry["name"]): entry for entry in work.kept("reach.json", [])}
    lock = threading.Lock()

    def one(unit: Unit) -> None:
        file = work.data / f"reached-{threading.get_ident()}"
        file.unlink(missing_ok=True)
        outcome, seconds = tested(work, built, [unit], 1000, APPORTION_MUTANTS_REACHED=str(file))
        reached = sorted({int(line) for line in file.read_text().split()}) if file.exists() else []
        file.unlink(missing_ok=True)
        with lock:
            known[unit.program, unit.name] = {
                **dataclasses.asdict(unit),
                "outcome": outcome,
                "seconds": round(seconds, 3),
                "reached": reached,
            }
            if outcome != "passed":
                print(f"{unit.program} {unit.name} {outcome} without a mutant, and is left out", flush=True)
            if len(known) % 20 == 0:
                work.keep("reach.json", list(known.values()))

    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        there = units(work, {program: built[program] for program in programs})
        list(pool.map(one, [unit for unit in there if again or (unit.program, unit.name) not in known]))
    work.keep("reach.json", list(known.values()))


def portions(chosen: list[tuple[Unit, float]]) -> list[list[tuple[Unit, float]]]:
    """Few tests first and ever more, each of one program: what fails mostly fails soon."""
    found: list[list[tuple[Unit, float]]] = []
    room = budget = 0.5
    for unit, seconds in chosen:
        if found and found[-1][0][0].program == unit.program and seconds <= room:
            found[-1].append((unit, seconds))
        else:
            budget = budget * 2 if found else budget
            room = budget
            found.append([(unit, seconds)])
        room -= seconds
    return found


def run(work: Work, asked: argparse.Namespace) -> None:
    """Runs mutants, and keeps what became of each."""
    built = work.kept("programs.json", {})
    programs = {program: built[program] for program in asked.tests.split()}
    reached: dict[int, list[tuple[Unit, float]]] = defaultdict(list)
    learnt = [
        entry
        for entry in work.kept("reach.json", [])
        if entry["outcome"] == "passed" and entry["program"] in programs and entry["seconds"] <= asked.longest
    ]
    learnt.sort(key=lambda entry: (list(programs).index(entry["program"]), entry["seconds"]))
    for entry in learnt:
        for number in entry["reached"]:
            reached[number].append((Unit(entry["program"], entry["name"]), entry["seconds"]))
    known = {entry["name"]: entry for entry in work.kept("outcomes.json", [])}
    chosen = [
        mutant
        for mutant in work.mutants()
        if not mutant.left_out
        and asked.text in mutant.name
        and (mutant.name not in known or (asked.again and known[mutant.name]["outcome"] == "missed"))
    ]
    ends = time.monotonic() + 60 * asked.minutes
    lock, done = threading.Lock(), Counter()

    def one(mutant: Mutant) -> None:
        if time.monotonic() > ends:
            return
        outcome, by, began = "missed", "", time.monotonic()
        for portion in portions(reached[mutant.number]):
            seconds = max(LEAST_SECONDS, TIMES * sum(seconds for _, seconds in portion))
            said, _ = tested(
                work, programs, [unit for unit, _ in portion], seconds, APPORTION_MUTANT=str(mutant.number)
            )
            if said != "passed":
                outcome = "caught" if said == "failed" else "timed out"
                by = f"{portion[0][0].program} {portion[0][0].name}" + (" ..." if len(portion) > 1 else "")
                break
        with lock:
            took = round(time.monotonic() - began, 2)
            tests = len(reached[mutant.number])
            known[mutant.name] = {
                "name": mutant.name,
                "outcome": outcome,
                "by": by,
                "reached_by": tests,
                "seconds": took,
            }
            done[outcome] += 1
            if done.total() % 20 == 0 or done.total() == len(chosen):
                work.keep("outcomes.json", list(known.values()))
                print(f"{done.total()} of {len(chosen)}: {dict(done)}", flush=True)

    with concurrent.futures.ThreadPoolExecutor(asked.jobs) as pool:
        list(pool.map(one, chosen))
    work.keep("outcomes.json", list(known.values()))


def report(work: Work) -> None:
    known = {entry["name"]: entry["outcome"] for entry in work.kept("outcomes.json", [])}
    columns = ["listed", "not viable", "not switched", "not run", "caught", "timed out", "missed"]
    counts: dict[str, Counter] = defaultdict(Counter)
    missed = []
    for mutant in work.mutants():
        outcome = mutant.left_out.split(":")[0] or known.get(mutant.name, "not run")
        for row in (mutant.module, "in all"):
            counts[row]["listed"] += 1
            counts[row][outcome] += 1
        if outcome in {"missed", "not switched"}:
            missed.append(f"{outcome}: {mutant.name}")
    print("| module |" + "".join(f" {column} |" for column in columns))
    print("|---|" + "---|" * len(columns))
    for row in sorted(counts, key=lambda row: (row == "in all", row)):
        print(f"| {row} |" + "".join(f" {counts[row][column]:,} |" for column in columns))
    print("\n" + "\n".join(missed))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("step", choices=["prepare", "build", "reach", "run", "report"])
    parser.add_argument(
        "text", nargs="?", default="", help="run: part of the names of the mutants that are run"
    )
    parser.add_argument("--work", type=Path, default=ROOT / "target/mutants", help="the folder of the copy")
    parser.add_argument("--tests", default=" ".join(PROGRAMS), help="programs of tests, the quickest first")
    parser.add_argument("--jobs", type=int, default=2, help="how many tests are run at once")
    parser.add_argument(
        "--again", action="store_true", help="reach: known tests too; run: what was missed, too"
    )
    parser.add_argument(
        "--longest", type=float, default=600, help="run: tests that take longer, in seconds, are left out"
    )
    parser.add_argument("--minutes", type=float, default=600, help="run: begin no more after so many")
    asked = parser.parse_args()
    work = Work(asked.work.resolve())
    match asked.step:
        case "prepare":
            prepare(work)
        case "build":
            build(work, asked.tests.split())
        case "reach":
            reach(work, asked.jobs, asked.tests.split(), asked.again)
        case "run":
            run(work, asked)
        case "report":
            report(work)


if __name__ == "__main__":
    main()
