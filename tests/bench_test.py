#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The bench's report on made-up figures; TAP, runs anywhere."""

import io
import json
import os
import subprocess
import sys
import tempfile
from xml.etree import ElementTree

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "bench"))
import limits  # noqa: E402
import plot  # noqa: E402
import report  # noqa: E402

CASES = []
ROUNDS = 5
# The sides of each way to compare that give a figure of just that size.
SIDES = {"speed": lambda figure: (1, (figure,)),
         "flat": lambda figure: (figure, (1,)),
         "sum": lambda figure: (figure * 8, (5, 3)),
         "more": lambda figure: (1000 + figure, (1000,)),
         "value": lambda figure: (figure, ()),
         "exactly": lambda figure: (figure, ())}


def case(function):
    CASES.append(function)
    return function


def lines_of(row, figures):
    for value in figures:
        ours, peers = SIDES[row.how](value)
        for side, time in zip((row.ours, *row.peers), (ours, *peers)):
            yield f"bench sample {row.metric} {side} {time}"


def good_figure(row):
    """One that reaches the limit with little to spare."""
    if row.limit is None:
        return 1
    if row.how == "speed":
        return row.limit * 1.01
    if row.how == "exactly":
        return row.limit
    return row.limit * 0.99


def bad_figure(row):
    if row.how == "speed":
        return row.limit * 0.99
    return row.limit * 1.01 + (row.how == "exactly")


def whole_log(parts=limits.PARTS, but=(), without=()):
    """A log in which all is well, but for the rows and their figures in @but."""
    replaced = dict(but)
    for part in parts:
        yield f"bench begin {part}"
        seen = set()
        for row in limits.ROWS:
            if row.part != part or row.metric in without:
                continue
            figures = replaced.get(row, [good_figure(row)] * ROUNDS)
            for line in lines_of(row, figures):
                # Rows that share a side share its samples.
                if (row.metric, line.split()[3]) not in seen:
                    yield line
            seen |= {(row.metric, side) for side in (row.ours, *row.peers)}
        yield f"bench end {part} 0 7"


def run(lines, parts=limits.PARTS):
    out = io.StringIO()
    return report.report(lines, parts, out), out.getvalue()


def verdict(result, row):
    return next(r["verdict"] for r in result["rows"]
                if r["what"] == row.what and r["metric"] == row.metric)


def alone(row, figures):
    """The verdict on one row."""
    return report.judge(row, report.Log(lines_of(row, figures)))["verdict"]


LIMITED = [row for row in limits.ROWS if row.limit is not None]


@case
def all_limits_reached_is_good():
    result, text = run(whole_log())
    return result["good"] and "NOT" not in text and \
        f"{len(LIMITED)} of {len(LIMITED)} limits reached, 0 failures" in text


@case
def each_limit_is_reached_on_the_right_side_of_it():
    return len(LIMITED) > 20 and all(
        alone(row, [good_figure(row)] * ROUNDS) == "ok" for row in LIMITED)


@case
def each_limit_is_missed_on_the_wrong_side_of_it():
    return all(alone(row, [bad_figure(row)] * ROUNDS) == "missed"
               for row in LIMITED)


@case
def one_missed_limit_is_not_good():
    for row in LIMITED:
        result, text = run(whole_log(but=[(row, [bad_figure(row)] * ROUNDS)]))
        if result["good"] or "NOT REACHED" not in text:
            print(f"# {row.what}")
            return False
    return True


@case
def the_median_counts_and_with_worst_each_round():
    for row in LIMITED:
        figures = [good_figure(row)] * (ROUNDS - 1) + [bad_figure(row) + 1e3 *
                                                       (row.how != "speed")]
        strict = row.worst or row.how == "exactly"
        if alone(row, figures) != ("missed" if strict else "ok"):
            print(f"# {row.what}")
            return False
    return True


@case
def rounds_are_compared_one_by_one():
    # Both sides drift tenfold; in each round we take half the time.
    row = limits.Row("io", "", "m", "a", ("b",), "speed", 1.99, "us")
    log = report.Log(line for i in (1, 10, 3) for line in
                     (f"bench sample m a {i}", f"bench sample m b {2 * i}"))
    result = report.judge(row, log)
    return result["verdict"] == "ok" and result["figure"] == {
        "median": 2, "min": 2, "max": 2, "rounds": 3}


@case
def the_spread_is_that_of_the_rounds():
    row = limits.Row("io", "", "m", "a", ("b",), "speed", 1, "us")
    log = report.Log(["bench sample m a 2", "bench sample m b 1",
                      "bench sample m a 1", "bench sample m b 3",
                      "bench sample m a 4", "bench sample m b 4"])
    return report.judge(row, log)["figure"] == {
        "median": 1, "min": 0.5, "max": 3, "rounds": 3}


@case
def a_missing_peer_counts_as_failed_and_is_named():
    lines = [line for line in whole_log() if " tang " not in line]
    result, text = run(lines + ["bench missing tang the package clevis-luks"])
    return not result["good"] and "NOT MEASURED: tang is missing: " \
        "the package clevis-luks" in text and "missed" not in \
        [r["verdict"] for r in result["rows"]]


@case
def a_row_without_samples_counts_as_failed():
    return all(not run(whole_log(without=[row.metric]))[0]["good"]
               for row in LIMITED)


@case
def sides_with_different_numbers_of_rounds_are_not_compared():
    row = LIMITED[0]
    log = report.Log([*lines_of(row, [1.5] * 3),
                      f"bench sample {row.metric} {row.ours} 1"])
    return report.judge(row, log)["verdict"] == "unmeasured"


@case
def a_time_of_zero_is_no_figure():
    row = limits.Row("io", "", "m", "a", ("b",), "speed", 1, "us")
    log = report.Log(["bench sample m a 0", "bench sample m b 1"])
    return report.judge(row, log)["verdict"] == "unmeasured"


@case
def a_part_that_fails_does_not_end_or_does_not_run_is_told():
    lines = list(whole_log())
    ended = lines.index("bench end io 0 7")
    failing = lines[:ended] + ["bench failed no disk", "bench end io 1 7"] + \
        lines[ended + 1:]
    unended = lines[:ended] + lines[ended + 1:]
    begun = lines.index("bench begin revoke")
    unbegun = lines[:begun] + lines[lines.index("bench end revoke 0 7") + 1:]
    for some, words in ((failing, "FAILED: io: no disk"),
                        (failing, "FAILED: part io ended with status 1"),
                        (unended, "FAILED: part io did not end"),
                        (lines[:-1], "did not end"),
                        (unbegun, "FAILED: part revoke did not run")):
        result, text = run(some)
        if result["good"] or words not in text:
            print(f"# {words}")
            return False
    return True


@case
def a_kernel_that_complains_in_one_of_two_guests_is_told():
    lines = [*whole_log(), "bench begin kernel", "bench end kernel 1 0",
             "bench begin kernel", "bench end kernel 0 0"]
    result, text = run(lines)
    return not result["good"] and "part kernel ended with status 1" in text


@case
def parts_that_were_not_asked_for_do_not_count():
    result, text = run(whole_log(("io",)), ("io",))
    return result["good"] and "volume opened" not in text


@case
def the_command_and_the_limits_know_the_same_parts():
    with open(os.path.join(HERE, "..", "scripts", "bench"), encoding="utf-8") as file:
        known = next(line for line in file if line.startswith("PARTS="))
    return tuple(known.split('"')[1].split()) == limits.PARTS


@case
def nothing_measured_is_not_good():
    return not run([], ())[0]["good"] and not run([], limits.PARTS)[0]["good"]


@case
def other_lines_are_none_of_its_business():
    result, _ = run(["# chatter", "", "benchmark sample x y 1",
                     *whole_log(), "bench note all is well"])
    return result["good"] and result["notes"] == ["all is well"]


@case
def a_line_that_is_not_understood_is_an_error():
    try:
        report.Log(["bench sing a song"])
    except ValueError:
        return True
    return False


POINTS = [f"bench point {name} {x} {y * (i + 1)}"
          for i, name in enumerate(("volume-paes", "volume-aes", "kek-blob",
                                    "kek-lookup"))
          for x in (10, 100, 1000) for y in (900, 1000, 1200)]


@case
def the_plot_is_svg_with_a_curve_for_each_series():
    result, _ = run([*whole_log(), *POINTS])
    tree = ElementTree.fromstring(plot.svg(result["points"]))
    space = "{http://www.w3.org/2000/svg}"
    words = "".join(tree.itertext())
    return len(tree.findall(space + "polyline")) == 4 and \
        len(tree.findall(space + "circle")) == 12 and \
        "xts(paes)" in words and "1000" in words


@case
def the_plot_stays_within_its_frame():
    result, _ = run(POINTS, ())
    tree = ElementTree.fromstring(plot.svg(result["points"]))
    width, height = float(tree.get("width")), float(tree.get("height"))
    for element in tree:
        for name, value in element.items():
            if name in ("x", "x1", "x2", "cx") and not 0 <= float(value) <= width:
                return False
            if name in ("y", "y1", "y2", "cy") and not 0 <= float(value) <= height:
                return False
    return True


@case
def a_plot_of_one_scale_or_one_series_works():
    return all(ElementTree.fromstring(plot.svg(points)) is not None for points in (
        {"volume-paes": [(10.0, [5.0])]}, {"kek-blob": [(10.0, [5.0]), (20.0, [0])]},
        {}))


@case
def the_command_writes_json_and_svg_and_says_how_it_went():
    with tempfile.TemporaryDirectory() as folder:
        log, out, picture = (os.path.join(folder, name)
                             for name in ("log", "json", "svg"))
        status = []
        for lines in ([*whole_log(("scale",)), *POINTS], list(whole_log(("io",)))):
            with open(log, "w", encoding="utf-8") as file:
                file.write("\n".join(lines) + "\n")
            status.append(subprocess.run(
                [sys.executable, os.path.join(HERE, "bench", "report.py"),
                 "--json", out, "--svg", picture, log, "scale"],
                stdout=subprocess.DEVNULL, check=False).returncode)
            if len(status) == 1:
                with open(out, encoding="utf-8") as file:
                    data = json.load(file)
                ElementTree.parse(picture)
                good = data["good"] and len(data["points"]["volume-paes"]) == 3
        return status == [0, 1] and good


def main():
    print(f"1..{len(CASES)}")
    failed_cases = 0
    for index, function in enumerate(CASES, 1):
        try:
            good = function()
        except Exception as err:  # a case that breaks is a case that failed
            print(f"# {type(err).__name__}: {err}")
            good = False
        failed_cases += not good
        name = function.__name__.replace("_", " ")
        print(f"{'ok' if good else 'not ok'} {index} - {name}", flush=True)
    return 1 if failed_cases else 0


if __name__ == "__main__":
    sys.exit(main())
