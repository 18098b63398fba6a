"""Runs each piece of the bench under callgrind and compares its instructions with the counts that are kept.

What is summed is the cost of each function itself, so functions can be left out by name wherever they are called from.
"""
import os, re, subprocess, sys, tempfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

COUNTS = os.path.join(os.path.dirname(__file__), "counts")
ROUNDS = 200
TOLERANCE = 0.03
# Chosen at run time by what the processor can do, or by the libc that is installed.
OUTSIDE = re.compile(
    r"aws_lc|_sha256|sha256_|^_*(mem(cpy|move|set|cmp|chr|rchr|mem)|bcmp|str[a-z]*)(_|$)"
    r"|^_?_?(libc_)?(malloc|free|calloc|realloc|memalign|cfree)\b|^_int_|^(malloc|unlink_chunk|tcache|sysmalloc|systrim)|arena"
)
OUTSIDE_FILES = re.compile(r"/(ld-|libc\.so|libc-|libpthread|vgpreload|libgcc|libm\.)")


def costs(path):
    """The instructions of each function itself, from a profile in callgrind's format."""
    names, files, total = {}, {}, Counter()
    function, place, is_call = None, "", False

    def named(table, text):
        match = re.match(r"\((\d+)\)(?: (.*))?", text)
        if not match:
            return text
        if match[2] is not None:
            table[match[1]] = match[2]
        return table.get(match[1], "")

    with open(path, errors="replace") as profile:
        for line in profile:
            line = line.rstrip("\n")
            if line.startswith("fn="):
                function = (named(names, line[3:]), place)
            elif line.startswith("ob="):
                place = named(files, line[3:])
            elif line.startswith("cfn="):
                named(names, line[4:])
            elif line.startswith(("cob=",)):
                named(files, line[4:])
            elif line.startswith("calls="):
                is_call = True
            elif re.match(r"[+*\d-]", line) and function:
                if not is_call:
                    total[function] += int(line.split()[1])
                is_call = False
    return total


# Where the counting is on, for pieces of which it is not everything that `counted` calls.
ALONE = {"handle-lookup": "*request*lookup*"}


# The line of the counts that says which compiler they are of.
COMPILER = "# By "


def compiler():
    return subprocess.run(["rustc", "--version"], capture_output=True, text=True, check=True).stdout.strip()


def run(bench, name):
    with tempfile.TemporaryDirectory() as folder:
        out = os.path.join(folder, "profile")
        command = ["valgrind", "--tool=callgrind", "--collect-atstart=no", "--toggle-collect=" + ALONE.get(name, "*gate*counted*"),
                   "--separate-threads=no", f"--callgrind-out-file={out}", bench, name, str(ROUNDS)]
        ran = subprocess.run(command, capture_output=True, text=True)
        if ran.returncode != 0:
            sys.exit(f"{name}: {ran.stdout}\n{ran.stderr[-3000:]}")
        return costs(out)


def inside(profile):
    kept = {key: cost for key, cost in profile.items() if not OUTSIDE.search(key[0]) and not OUTSIDE_FILES.search(key[1])}
    return kept


def main():
    bench, arguments = sys.argv[1], sys.argv[2:]
    if arguments[:1] == ["--show"]:
        profile = run(bench, arguments[1])
        kept = inside(profile)
        print(f"{sum(profile.values()) / ROUNDS:.0f} instructions, {sum(kept.values()) / ROUNDS:.0f} of them counted")
        for (name, place), cost in profile.most_common(int(os.environ.get("LINES", "60"))):
            mark = " " if (name, place) in kept else "-"
            print(f"{cost / ROUNDS:10.1f} {mark} {name[:150]}")
        return
    with open(COUNTS) as kept:
        known_by = [line[len(COMPILER):].strip() for line in kept if line.startswith(COMPILER)]
    if arguments[:1] != ["--write"] and known_by != [compiler()]:
        print(f"skipped, because the counts are of {', '.join(known_by)} and this is {compiler()}")
        return
    listed = subprocess.run([bench], capture_output=True, text=True)
    if listed.returncode != 0:
        sys.exit(f"the pieces do not run:\n{listed.stdout}{listed.stderr}")
    names = [line.split()[0] for line in listed.stdout.splitlines()]
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        counted = dict(zip(names, pool.map(lambda name: round(sum(inside(run(bench, name)).values()) / ROUNDS), names)))
    if arguments[:1] == ["--write"]:
        with open(COUNTS, "w") as kept:
            kept.write("# Instructions of one round, by tests/tools/gate --write. A change belongs to a commit that says why.\n")
            kept.write(f"{COMPILER}{compiler()}\n")
            kept.writelines(f"{name} {count}\n" for name, count in counted.items())
    with open(COUNTS) as kept:
        known = dict(line.split() for line in kept if not line.startswith("#"))
    worse = 0
    for name, count in counted.items():
        before = int(known.get(name, 0))
        change = count / before - 1 if before else 1
        word = "ok" if abs(change) <= TOLERANCE else "FAILED" if change > 0 else "better: tests/tools/gate --write"
        worse += word == "FAILED"
        print(f"{name:16} {count:9} instructions, {before:9} before, {change:+7.2%}  {word}")
    gone = sorted(set(known) - set(counted))
    if gone:
        print(f"kept counts of what is not there any more: {', '.join(gone)}")
    print(f"test result: {'FAILED' if worse or gone else 'ok'}. {len(counted) - worse} passed; {worse + len(gone)} failed; 0 ignored;")
    sys.exit(1 if worse or gone else 0)


main()
