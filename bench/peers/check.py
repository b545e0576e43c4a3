#!/usr/bin/env python3
"""check.py [--job JOB] PEER...: does each peer keep what README.md promises of its jobs?

Every job that `PEER --jobs` names is run with one worker and with two, a proxy also with --copy. A line for
each promise; status 0 if all are kept, 1 if not, 77 if no peer could be run here.
"""

import argparse
import os
import re
import socket
import subprocess
import sys

from promises import PROMISES, descriptors
from promises.server import PATIENCE, UNAVAILABLE, Broken, Server, Unavailable, expect, said_by

FIGURE = re.compile(r"[a-z][a-z0-9_]*( [0-9]+(\.[0-9]+)?){3}")


def commands_of(peer, job):
    """Each way to run the job, but for where a proxy connects to."""
    command = [peer, job]
    if job == "hog":
        command += ["--hog", "10:40"]
    for workers in ("1", "2"):
        yield [*command, "--workers", workers]
        if job == "proxy":
            yield [*command, "--workers", workers, "--copy"]


def keeps_promises(server, command, job, report):
    """All are asked of one server, so that it has to outlive what was done to it before."""
    for promise in PROMISES[job]:
        if not report.keeps(command, promise.__name__, lambda p=promise: p(server, job)):
            return
    report.keeps(command, "ends_upon_sigterm", server.end)


def check_server(command, job, report):
    with socket.create_server(("127.0.0.1", 0), backlog=100) as upstream:
        upstream.settimeout(PATIENCE)
        if job == "proxy":
            command = [*command, "--to", f"127.0.0.1:{upstream.getsockname()[1]}"]
        try:
            server = Server(command)
        except Unavailable as reason:
            report.skip(command, str(reason))
            return
        except Broken as broken:
            report.fail(command, "starts", str(broken))
            return
        server.upstream = upstream
        keeps_promises(server, command, job, report)
        server.close()
        report.add(server.said)


def prints_figures(command):
    ended = subprocess.run(command, stdout=subprocess.PIPE, timeout=12 * PATIENCE, check=False)
    expect(ended.returncode == 0, f"status {ended.returncode}")
    lines = ended.stdout.decode().splitlines()
    expect(lines, "no figure")
    for line in lines:
        expect(FIGURE.fullmatch(line), f"not a figure: {line}")


class Report:
    def __init__(self):
        self.kept = self.broken = self.skipped = 0

    def line(self, verdict, command, promise, text=""):
        name = " ".join([os.path.basename(command[0]), *command[1:]])
        print(f"{verdict:4}  {name}: {promise}{': ' if text else ''}{text}", flush=True)

    def keeps(self, command, promise, see):
        """True: it does."""
        try:
            see()
        except (Broken, OSError, subprocess.TimeoutExpired) as broken:
            self.fail(command, promise, f"{broken}" or repr(broken))
            return False
        self.kept += 1
        self.line("ok", command, promise)
        return True

    def fail(self, command, promise, text):
        self.broken += 1
        self.line("FAIL", command, promise, text)

    def skip(self, command, reason):
        self.skipped += 1
        self.line("SKIP", command, "cannot run here", reason)

    def add(self, text):
        if text:
            print(f"      it said: {text}", flush=True)

    def status(self):
        print(f"{self.kept} kept, {self.broken} broken, {self.skipped} skipped")
        if self.broken:
            return 1
        return 0 if self.kept else UNAVAILABLE


def check_peer(peer, only, report):
    print(f"{peer}: {said_by(peer, '--version')}")
    for job in said_by(peer, "--jobs").split():
        if only and job not in only:
            continue
        if job in PROMISES:
            for command in commands_of(peer, job):
                check_server(command, job, report)
        elif job in ("timers", "sched"):
            command = [peer, job, "--repeat", "1"]
            report.keeps(command, "prints_figures", lambda c=command: prints_figures(c))
        else:
            report.fail([peer, job], "is a job of the lab", "there is no such job")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--job", action="append", help="only this one (may be repeated)")
    parser.add_argument("peer", nargs="+")
    arguments = parser.parse_args()
    descriptors.raise_limit()
    report = Report()
    for peer in arguments.peer:
        try:
            check_peer(peer, arguments.job, report)
        except Broken as broken:
            report.fail([peer], "tells about itself", str(broken))
    return report.status()


if __name__ == "__main__":
    sys.exit(main())
