"""A server under test: a process that says where it listens."""

import os
import signal
import subprocess
import time
from pathlib import Path

from report import Failure

PATIENCE = 20  # seconds for a server to start or to end


class Server:
    """Started, and listening, as soon as there is one; use it as a context manager."""

    def __init__(self, command: list[str], cpus: set[int], wrapper: tuple[str, ...] = ()) -> None:
        self.command = command
        # pylint: disable=consider-using-with,subprocess-popen-preexec-fn
        self._process = subprocess.Popen(
            [*wrapper, *command],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=lambda: os.sched_setaffinity(0, cpus),
        )
        line = self._process.stdout.readline()
        if not line.startswith("listening on "):
            self._process.kill()
            raise Failure(f"did not start: {' '.join(command)}: {line}{self._process.stderr.read()}")
        self.address = line.removeprefix("listening on ").strip()

    @property
    def pid(self) -> int:
        """With a wrapper (valgrind replaces itself; strace does not) that of the wrapper."""
        return self._process.pid

    def pids(self) -> list[int]:
        """Itself and the processes it has started: some peers know no threads."""
        found = [self.pid]
        for pid in found:
            for task in Path(f"/proc/{pid}/task").iterdir():
                found += map(int, (task / "children").read_text(encoding="ascii").split())
        return found

    def memory(self, what: str) -> int:
        """A line of /proc/PID/status that counts kB ("VmRSS", "VmPTE"), in bytes, of all processes."""
        total = 0
        for pid in self.pids():
            for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
                if line.startswith(f"{what}:"):
                    total += int(line.split()[1]) * 1024
        return total

    def cpu_ns(self) -> int:
        """CPU time so far, user and system, of all its processes."""
        # The clock of a process, as clock_getcpuclockid(3) makes it.
        return sum(time.clock_gettime_ns((~pid << 3) | 2) for pid in self.pids())

    def stop(self, pid: int | None = None) -> None:
        """Ends it as its user would; a status other than 0 is an error. `pid`: who is told instead."""
        os.kill(pid or self.pid, signal.SIGTERM)
        try:
            _, errors = self._process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            raise Failure(f"does not end: {' '.join(self.command)}")
        if self._process.returncode != 0:
            raise Failure(f"failed with {self._process.returncode}: {' '.join(self.command)}: {errors}")

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, kind: object, failed: BaseException | None, _: object) -> None:
        if failed is None:
            self.stop()
        else:
            self._process.kill()
            _, errors = self._process.communicate()
            failed.add_note(f"beside: {' '.join(self.command)}: {errors}")
