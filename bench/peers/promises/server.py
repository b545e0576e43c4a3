"""A peer that runs, and what it means that a promise is broken."""

import os
import signal
import subprocess
import tempfile
import time

from promises import descriptors

PATIENCE = 10  # seconds; what takes longer has failed
UNAVAILABLE = 77


class Broken(Exception):
    """A promise that was not kept."""


class Unavailable(Exception):
    """The peer says that it cannot run here."""


def expect(kept, text):
    if not kept:
        raise Broken(text)


class Server:
    """A peer that runs one job."""

    def __init__(self, command):
        self.errors = tempfile.TemporaryFile()
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=self.errors)
        line = self.process.stdout.readline().decode()
        if not line.startswith("listening on "):
            status = self.process.wait(PATIENCE)
            self.close()
            if status == UNAVAILABLE:
                raise Unavailable(self.said)
            raise Broken(f"did not start: status {status}: {line}{self.said}")
        host, port = line.split()[-1].rsplit(":", 1)
        self.address = (host.strip("[]"), int(port))

    def processes(self):
        """Itself and what it has forked."""
        found = [self.process.pid]
        for pid in found:
            try:
                with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as children:
                    found += map(int, children.read().split())
            except FileNotFoundError:
                pass
        return found

    def memory(self):
        return sum(descriptors.resident_memory(pid) for pid in self.processes())

    def descriptor_count(self):
        """And of files that are open without one."""
        return self.registered_count() + sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in self.processes())

    def registered_count(self):
        return sum(descriptors.registered_files(pid) for pid in self.processes())

    def end(self):
        """Asks it to end, and sees that it does, with all that belongs to it."""
        expect(self.process.poll() is None, f"ended by itself: status {self.process.poll()}")
        processes = self.processes()
        self.process.send_signal(signal.SIGTERM)
        try:
            status = self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired as late:
            raise Broken("SIGTERM does not end it") from late
        expect(status == 0, f"SIGTERM ends it with status {status}")
        wait_until(lambda: not any(map(descriptors.is_running, processes)), "left a process behind")

    def close(self):
        if self.process.poll() is None:
            for pid in reversed(self.processes()):
                os.kill(pid, signal.SIGKILL)
            self.process.wait()
        self.process.stdout.close()
        self.errors.seek(0)
        self.said = self.errors.read().decode(errors="replace").strip()
        self.errors.close()


def wait_until(reached, otherwise):
    """For what gives no event to wait for."""
    deadline = time.monotonic() + PATIENCE
    while not reached():
        expect(time.monotonic() < deadline, otherwise)
        time.sleep(0.01)


def said_by(peer, option):
    try:
        ended = subprocess.run([peer, option], stdout=subprocess.PIPE, check=True)
    except (OSError, subprocess.CalledProcessError) as failed:
        raise Broken(f"does not say its {option}: {failed}") from failed
    return ended.stdout.decode().strip()
