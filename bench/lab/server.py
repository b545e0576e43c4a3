"""A server under test: a process that says where it listens."""

import os
import select
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

from report import Failure

PATIENCE = 20  # seconds for a server to start or to end


class Server:
    """Started, and listening, as soon as there is one; use it as a context manager."""

    def __init__(
        self, command: list[str], cpus: set[int], wrapper: tuple[str, ...] = (), wraps: bool = False
    ) -> None:
        """`wraps`: the wrapper does not replace itself by the server but has it as a child."""
        self.command = command
        self._wraps = wraps
        # pylint: disable=consider-using-with,subprocess-popen-preexec-fn
        self._process = subprocess.Popen(
            [*wrapper, *command],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=lambda: os.sched_setaffinity(0, cpus),
        )
        try:
            line = self._first_line()
        except BaseException:
            self._kill()
            raise
        if not line.startswith("listening on "):
            raise Failure(f"did not start: {' '.join(command)}: {line}{self._kill()}")
        self.address = line.removeprefix("listening on ").strip()

    def _first_line(self) -> str:
        """Empty: there was none in time."""
        ready, _, _ = select.select([self._process.stdout], [], [], PATIENCE)
        return self._process.stdout.readline() if ready else ""

    def _kill(self) -> str:
        """Returns what it has said on stderr."""
        with suppress(OSError):  # they may have ended by themselves
            for pid in self.pids()[1:] if self._wraps else []:
                os.kill(pid, signal.SIGKILL)
        self._process.kill()
        return self._process.communicate()[1]

    @property
    def pid(self) -> int:
        """With a wrapper, that of the wrapper."""
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

    def stop(self) -> None:
        """Ends it as its user would; a status other than 0 is an error."""
        os.kill(self.pids()[1] if self._wraps else self.pid, signal.SIGTERM)
        try:
            _, errors = self._process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            raise Failure(f"does not end: {' '.join(self.command)}: {self._kill()}") from None
        if self._process.returncode != 0:
            raise Failure(f"failed with {self._process.returncode}: {' '.join(self.command)}: {errors}")

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, kind: object, failed: BaseException | None, _: object) -> None:
        if failed is None:
            self.stop()
        else:
            failed.add_note(f"beside: {' '.join(self.command)}: {self._kill()}")
