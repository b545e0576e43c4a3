"""Measures lido beside its peers, as its users would. `./dev bench` calls this after a release build.

Each job prints tables as it goes: a row for each kind of server, the median of the rounds with the
extremes, and how that compares with lido's, round by round. CPU time per request is the figure that holds
where the machine is shared; rates tell of the load as much as of the server. All figures are also written
to bench/results/ as JSON, and plots of them as SVG. The exit status says whether all could be measured, not
whether the goals were met. Ctrl-C ends the run with what there is by then.
"""

import argparse
import shlex
import signal
import sys
import time
import traceback
from pathlib import Path

import plots
from gate import KINDS as GATED
from gate import gate
from jobs import JOBS
from kinds import KINDS, look
from lab import Lab
from machine import Machine
from report import Failure, Report

BENCH = Path(__file__).resolve().parent.parent
RESULTS = BENCH / "results"
INSTRUCTIONS = BENCH / "instructions.json"
PUBLISHED = BENCH.parent / "docs/plots"
INTERRUPTED = 128 + signal.SIGINT


def parse() -> argparse.Namespace:
    jobs = "\n".join(f"  {name:14}{job.__doc__.splitlines()[0]}" for name, job in JOBS.items())
    parser = argparse.ArgumentParser(
        prog="./dev bench",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=f"jobs:\n{jobs}\n\npeers:\n  {', '.join(kind.name for kind in KINDS)}",
    )
    parser.add_argument("jobs", nargs="*", metavar="JOB", help="what to measure; all, unless named")
    parser.add_argument(
        "--quick", action="store_true", help="fewer and shorter rounds: a first impression only"
    )
    parser.add_argument("--rounds", type=int, help="how often each is measured (5; quick: 3)")
    parser.add_argument("--seconds", type=float, help="under load, for each server and round (1; quick: 0.2)")
    parser.add_argument(
        "--case", default="", metavar="TEXT", help="of echo only the cases with this in their title"
    )
    parser.add_argument("--peers", default="", metavar="NAME,...", help="only these kinds")
    parser.add_argument("--build", type=Path, default=BENCH.parent / "build/release", help="what is measured")
    parser.add_argument(
        "--publish",
        type=Path,
        nargs="+",
        metavar="JSON",
        help="measure nothing; draw what is in these files for the README, into docs/plots/",
    )
    parser.add_argument(
        "--gate", action="store_true", help="measure only whether instructions per request have grown"
    )
    parser.add_argument(
        "--update", action="store_true", help="with --gate: take what was measured into the file"
    )
    options = parser.parse_args()
    for job in options.jobs:
        if job not in JOBS:
            parser.error(f"no such job: {job} (there are: {', '.join(JOBS)})")
    options.kinds = [name.strip() for name in options.peers.split(",") if name.strip()]
    for name in options.kinds:
        if name not in {kind.name for kind in KINDS}:
            parser.error(f"no such peer: {name} (there are: {', '.join(kind.name for kind in KINDS)})")
    if options.update and not options.gate:
        parser.error("--update is for --gate")
    if options.rounds is None:
        options.rounds = 3 if options.quick else 5
    if options.seconds is None:
        options.seconds = 0.2 if options.quick else 1.0
    if options.rounds < 1 or not 0 < options.seconds < float("inf"):
        parser.error("--rounds and --seconds must be positive")
    return options


def look_around(options: argparse.Namespace, report: Report) -> tuple[Lab, dict]:
    """The lab, and what the JSON says of it."""
    build = options.build.resolve()
    if not (build / "bench/load").exists():
        sys.exit(f"bench: error: not built: {build}/bench/load (use ./dev bench)")
    machine = Machine(BENCH.parent, build)
    kinds, missing = look(build, options.kinds)
    machine.introduce(report.say)
    for kind in kinds:
        report.say(f"peer      {kind.name:16} {kind.version}")
    for name, why in missing.items():
        report.say(f"MISSING   {name:16} {why}")
    report.say(
        f"rounds    {options.rounds} of {options.seconds:g} s under load each"
        f"{': --quick, a first impression only' if options.quick else ''}"
    )
    about = {
        "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "commit": machine.commit,
        "command": shlex.join(["./dev", "bench", *sys.argv[1:]]),
        "quick": options.quick,
        "machine": machine.as_json(),
        "peers": {kind.name: kind.version for kind in kinds},
        "missing": missing,
    }
    lab = Lab(build, machine, report, kinds, options.rounds, options.seconds, options.quick, options.case)
    return lab, about


def run(job: str, lab: Lab) -> None:
    """One that fails leaves the others their turn, also if the mistake is the lab's."""
    try:
        JOBS[job](lab)
    except Failure as failure:
        lab.report.fail(job, " ".join([str(failure).strip(), *getattr(failure, "__notes__", [])]))
    except Exception:  # pylint: disable=broad-exception-caught
        lab.report.fail(job, traceback.format_exc())


def run_all(jobs: list[str], lab: Lab, path: Path, about: dict) -> bool:
    """False: it was broken off. What was measured by then is in the file."""
    try:
        for job in jobs:
            run(job, lab)
            lab.report.write(path, about)
    except KeyboardInterrupt:
        lab.report.say("\ninterrupted; what was measured so far:")
        lab.report.write(path, about)
        return False
    return True


def main() -> None:
    options = parse()
    if options.publish:
        try:
            plots.publish(options.publish, PUBLISHED, print)
        except (OSError, ValueError, KeyError) as wrong:
            sys.exit(f"bench: error: --publish: {wrong!r}")
        return
    if options.gate:
        options.kinds = options.kinds or list(GATED)
    report = Report()
    lab, about = look_around(options, report)
    if options.gate:
        sys.exit(gate(lab, INSTRUCTIONS, options.update))
    path = RESULTS / time.strftime(f"%Y%m%d-%H%M%S-{about['commit']}.json", time.gmtime())
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that no server is left behind
    done = run_all(options.jobs or list(JOBS), lab, path, about)
    report.conclude()
    report.say(f"written to {path.relative_to(BENCH.parent)}")
    plots.draw([figure.as_json() for figure in report.figures], RESULTS, report.say)
    sys.exit(INTERRUPTED if not done else 1 if report.failed else 0)


if __name__ == "__main__":
    main()
