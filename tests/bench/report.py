#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""From what the bench's parts have printed: a table, JSON and a plot.

    report.py [--json FILE] [--svg FILE] LOG PART...

Exit status 1 if a limit of limits.py is not reached, or a row of these parts could
not be measured, a missing peer included.  Lines of LOG that do not begin with
"bench" are none of its business; see lib.sh for those that do.
"""

import argparse
import collections
import json
import statistics
import sys

import plot
from limits import PARTS, ROWS


class NotMeasured(Exception):
    """Why a row has no figure."""


class Log:
    """What a run has left."""

    def __init__(self, lines):
        self.samples = collections.defaultdict(lambda: collections.defaultdict(list))
        self.points = collections.defaultdict(lambda: collections.defaultdict(list))
        self.missing, self.failed, self.notes = {}, [], []
        self.begun, self.running = set(), None
        for line in lines:
            words = line.split()
            if words[:1] == ["bench"]:
                self.take(words[1], words[2:])
        self.ended()

    def ended(self):
        if self.running:
            self.failed.append(f"part {self.running} did not end")
        self.running = None

    def take(self, kind, words):
        if kind == "begin":
            self.ended()
            self.running = words[0]
            self.begun.add(words[0])
        elif kind == "end":
            self.running = None
            if words[1] != "0":
                self.failed.append(f"part {words[0]} ended with status {words[1]}")
        elif kind == "sample":
            metric, side, value = words
            self.samples[metric][side].append(float(value))
        elif kind == "point":
            series, x, y = words
            self.points[series][float(x)].append(float(y))
        elif kind == "missing":
            self.missing[words[0]] = " ".join(words[1:])
        elif kind == "failed":
            self.failed.append(" ".join([f"{self.running or 'bench'}:", *words]))
        elif kind == "note":
            self.notes.append(" ".join(words))
        else:
            raise ValueError(f"not understood: bench {kind}")

    def side(self, row, side):
        found = self.samples.get(row.metric, {}).get(side)
        if found:
            return found
        if side in self.missing:
            raise NotMeasured(f"{side} is missing: {self.missing[side]}")
        raise NotMeasured(f"no sample of {side}")


def spread(values):
    return {"median": statistics.median(values), "min": min(values),
            "max": max(values), "rounds": len(values)}


def figure(how, ours, peers):
    """Of one round."""
    if how == "speed":
        return peers[0] / ours
    if how in ("flat", "sum"):
        return ours / sum(peers)
    if how == "more":
        return ours - peers[0]
    return ours


def reached(row, figures):
    counts = figures if row.worst or row.how == "exactly" else \
        [statistics.median(figures)]
    if row.how == "speed":
        return min(counts) >= row.limit
    if row.how == "exactly":
        return all(value == row.limit for value in counts)
    if row.how == "more" or row.below:
        return max(counts) < row.limit
    return max(counts) <= row.limit


def judge(row, log):
    """The row as JSON has it; verdict is ok, missed, unmeasured or, where there is
    no limit, none."""
    result = {"part": row.part, "what": row.what, "metric": row.metric,
              "how": row.how, "limit": row.limit, "unit": row.unit,
              "sides": [row.ours, *row.peers]}
    try:
        ours = log.side(row, row.ours)
        peers = [log.side(row, peer) for peer in row.peers]
        if any(len(peer) != len(ours) for peer in peers):
            raise NotMeasured("sides have not had the same number of rounds")
        figures = [figure(row.how, *one) for one in
                   zip(ours, zip(*peers) if peers else [()] * len(ours))]
    except (NotMeasured, ZeroDivisionError) as err:
        return {**result, "verdict": "unmeasured", "why": str(err)}
    result.update(ours=spread(ours), peers=[spread(peer) for peer in peers],
                  figure=spread(figures))
    result["verdict"] = "none" if row.limit is None else \
        "ok" if reached(row, figures) else "missed"
    return result


def number(value):
    """Four digits, or all that there are."""
    if value == int(value) and abs(value) < 1e6:
        return f"{int(value)}"
    if abs(value) >= 1000:
        return f"{value:.0f}"
    return f"{value:.4g}"


def limit_text(row):
    if row.limit is None:
        return ""
    sign = {"speed": ">=", "exactly": "==", "more": "<"}.get(
        row.how, "<" if row.below else "<=")
    return f"{sign} {number(row.limit)}"


def cells(row, result):
    """One line of the table."""
    if result["verdict"] == "unmeasured":
        return [row.what, "", "", "", limit_text(row),
                f"{'NOT ' if row.limit is not None else 'not '}MEASURED: "
                f"{result['why']}"]
    of = result["figure"]
    alone = not row.peers
    peers = " + ".join(number(peer["median"]) for peer in result["peers"])
    return [row.what, f"{number(result['ours']['median'])} {row.unit}", peers,
            f"{'' if alone else number(of['median'])} ({number(of['min'])}.."
            f"{number(of['max'])})".strip(), limit_text(row),
            {"ok": "ok", "missed": "NOT REACHED", "none": ""}[result["verdict"]]]


def print_table(lines, out):
    lines = [["", "ours", "theirs", "figure (min..max)", "to reach", ""], *lines]
    widths = [max(len(line[i]) for line in lines) for i in range(5)]
    for line in lines:
        print("  ".join([line[0].ljust(widths[0]), *(
            text.rjust(width) for text, width in zip(line[1:5], widths[1:])),
            line[5]]).rstrip(), file=out)


def report(lines, parts, out=sys.stdout):
    """Prints it; returns what goes into JSON."""
    log = Log(lines)
    rows = [row for row in ROWS if row.part in parts]
    results = [judge(row, log) for row in rows]
    found = log.failed + [f"part {part} did not run" for part in parts
                          if part not in log.begun]
    print_table([cells(*both) for both in zip(rows, results)], out)
    for note in log.notes:
        print(f"# {note}", file=out)
    for trouble in found:
        print(f"FAILED: {trouble}", file=out)
    bad = sum(row.limit is not None and result["verdict"] != "ok"
              for row, result in zip(rows, results))
    judged = sum(row.limit is not None for row in rows)
    print(f"{judged - bad} of {judged} limits reached, {len(found)} failures",
          file=out)
    return {"good": not bad and not found and judged > 0, "parts": list(parts),
            "rows": results, "troubles": found, "missing": log.missing,
            "notes": log.notes, "samples": log.samples, "points": {
                series: sorted((x, ys) for x, ys in at.items())
                for series, at in log.points.items()}}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--json")
    parser.add_argument("--svg")
    parser.add_argument("log")
    parser.add_argument("parts", nargs="+", choices=PARTS)
    args = parser.parse_args()
    with open(args.log, encoding="utf-8", errors="replace") as file:
        result = report(file, args.parts)
    if args.json:
        with open(args.json, "w", encoding="utf-8") as file:
            json.dump(result, file, indent=1)
            file.write("\n")
    if args.svg and result["points"]:
        with open(args.svg, "w", encoding="utf-8") as file:
            file.write(plot.svg(result["points"]))
    return 0 if result["good"] else 1


if __name__ == "__main__":
    sys.exit(main())
