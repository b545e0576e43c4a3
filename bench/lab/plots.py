"""Plots of a run, as SVG, by gnuplot: one for each of the questions that people ask first."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

from machine import find

COMMON = """
set terminal svg noenhanced size 760,{height} dynamic font "Helvetica,12" background "white"
set output "{output}"
set title "{title}"
set border 3 lc rgb "#888888"
set tics nomirror
set grid {grid} lc rgb "#dddddd"
"""
OURS, THEIRS, LIMIT = "0x2f6f9f", "0xb0b0b0", "0x606060"


def draw(figures: list[dict], folder: Path, say: Callable[[str], None]) -> None:
    """Those plots for which there are figures."""
    if not find("gnuplot"):
        say("no plots: there is no gnuplot here (apt-get install gnuplot-nox)")
        return
    try:
        drawn = [name for name, plot in PLOTS.items() if plot(figures, folder / f"{name}.svg")]
    except subprocess.CalledProcessError as failed:
        say(f"no plots: gnuplot: {failed.stderr.strip()}")
        return
    if drawn:
        say(
            f"drawn in {folder.relative_to(folder.parents[1])}/: {', '.join(f'{name}.svg' for name in drawn)}"
        )


def publish(paths: list[Path], folder: Path, say: Callable[[str], None]) -> None:
    """Draws what several runs have found, and keeps the figures beside the plots. Of a case that was measured
    again the last run counts."""
    runs = [json.loads(path.read_text(encoding="utf-8")) for path in paths]
    seen: set[tuple[str, str]] = set()
    for run in reversed(runs):
        cases = {(figure["job"], figure["case"]) for figure in run["figures"]}
        run["figures"] = [f for f in run["figures"] if (f["job"], f["case"]) not in seen]
        seen |= cases
    runs = [run for run in runs if run["figures"]]
    folder.mkdir(parents=True, exist_ok=True)
    draw([figure for run in runs for figure in run["figures"]], folder, say)
    (folder / "figures.json").write_text(json.dumps(runs, indent=1) + "\n", encoding="utf-8")


def pick(figures: list[dict], job: str, case: str, what: str) -> dict[str, dict]:
    """The figures of one column of one table, by kind."""
    return {
        figure["kind"]: figure
        for figure in figures
        if (figure["job"], figure["case"], figure["what"]) == (job, case, what)
    }


def colour(kind: str) -> str:
    return OURS if kind.startswith("lido") else LIMIT if kind.startswith("bare") else THEIRS


def gnuplot(script: str) -> None:
    subprocess.run(["gnuplot"], input=script, text=True, check=True, stderr=subprocess.PIPE)


def bars(
    values: dict[str, dict], output: Path, title: str, unit: str, scale: float = 1, log: bool = False
) -> bool:
    """A bar for each kind, the least at the top, with its extremes as whiskers."""
    if not values:
        return False
    ranked = sorted(values.items(), key=lambda item: -item[1]["median"])
    rows = "\n".join(
        f'{y} {figure["median"] / scale} {figure["min"] / scale} {figure["max"] / scale} "{kind}" {colour(kind)}'
        for y, (kind, figure) in enumerate(ranked)
    )
    # A bar of a log scale begins somewhere: at a half of the least value that it can show.
    shown = [figure["median"] / scale for figure in values.values() if figure["median"] > 0]
    origin = min(shown) / 2 if log else 0
    gnuplot(
        COMMON.format(height=90 + 26 * len(ranked), output=output, title=title, grid="x")
        + f"""
$rows << END
{rows}
END
set xlabel "{unit}"
set yrange [-0.6:{len(ranked) - 0.4}]
{"set logscale x" if log else ""}
set xrange [{origin}:*]
set style fill solid
plot $rows using ({origin}):1:({origin}):2:($1-0.36):($1+0.36):6:ytic(5) with boxxyerror lc rgb variable notitle, \\
     $rows using 2:1:3:4 with xerrorbars pt 0 lc rgb "#303030" notitle
"""
    )
    return True


def echo(figures: list[dict], output: Path) -> bool:
    return bars(
        pick(figures, "echo", "64 B, 64 connections, 1 worker", "CPU/request"),
        output,
        "TCP echo of 64 B, 64 connections, 1 worker: CPU time of the server per request",
        "microseconds",
        1000,
    )


def memory(figures: list[dict], output: Path) -> bool:
    return bars(
        pick(figures, "memory", "10000 connections", "resident"),
        output,
        "Memory of the server per idle connection, beyond the kernel's sockets",
        "bytes (log)",
        log=True,
    )


def latency(figures: list[dict], output: Path) -> bool:
    """p50 dotted and p99 solid over the rate; only a few kinds, so that they can be told apart."""
    shares = ("30 %", "60 %", "90 %")
    shown = {
        "lido": "#2f6f9f",
        "bare epoll": "#606060",
        "libuv": "#c08030",
        "tokio": "#b04040",
        "Go": "#40a070",
    }
    blocks, curves = [], []
    for index, (kind, rgb) in enumerate(shown.items()):
        points = [
            (
                share,
                pick(figures, "latency", share, "p50").get(kind),
                pick(figures, "latency", share, "p99").get(kind),
            )
            for share in shares
        ]
        if any(p50 is None or p99 is None for _, p50, p99 in points):
            continue
        rows = "\n".join(f"{share.split()[0]} {p50['median']} {p99['median']}" for share, p50, p99 in points)
        blocks.append(f"$curve{index} << END\n{rows}\nEND")
        curves += [
            f'$curve{index} using 1:3 with linespoints lw 2 pt 7 ps 0.6 lc rgb "{rgb}" title "{kind} p99"',
            f'$curve{index} using 1:2 with lines lw 1 dt 3 lc rgb "{rgb}" title "{kind} p50"',
        ]
    if not curves:
        return False
    gnuplot(
        COMMON.format(
            height=420,
            output=output,
            grid="x y",
            title="Latency of an echo under an open load, 64 connections, 1 worker",
        )
        + "\n".join(blocks)
        + f"""
set xlabel "requests per second, % of what lido answers at most"
set ylabel "microseconds (log)"
set logscale y
set xtics (30, 60, 90)
set xrange [25:95]
set key outside right
plot {", ".join(curves)}
"""
    )
    return True


def sched(figures: list[dict], output: Path) -> bool:
    """Groups of bars, a group for each benchmark."""
    names = (
        "spawn_join",
        "chained_spawn",
        "spawn_many_task",
        "spawn_many_remote_idle",
        "yield_many",
        "ping_pong",
        "channel",
        "oneshot",
    )
    shown = {
        "lido": "#2f6f9f",
        "lido stealing": "#7fb0d0",
        "tokio": "#b04040",
        "tokio current": "#d09090",
        "Go": "#40a070",
        "Boost.Fiber": "#c08030",
        "State Threads": "#a0a0a0",
    }
    costs = {name: pick(figures, "sched", f"{name}, 1 worker", "time") for name in names}
    shown = {kind: rgb for kind, rgb in shown.items() if any(kind in cost for cost in costs.values())}
    if not shown:
        return False
    rows = "\n".join(
        f'"{name}" '
        + " ".join(str(costs[name][kind]["median"]) if kind in costs[name] else "NaN" for kind in shown)
        for name in names
    )
    series = ", ".join(
        f'$rows using {column}:xtic(1) lc rgb "{rgb}" title "{kind}"'
        for column, (kind, rgb) in enumerate(shown.items(), start=2)
    )
    gnuplot(
        COMMON.format(height=420, output=output, grid="y", title="Schedulers, one worker: time per operation")
        + f"""
$rows << END
{rows}
END
set style data histograms
set style histogram clustered gap 1
set style fill solid
set logscale y
set yrange [1:*]
set ylabel "ns (log)"
set xtics rotate by -25
set key outside right
plot {series}
"""
    )
    return True


PLOTS = {"echo": echo, "latency": latency, "memory": memory, "sched": sched}
