"""What the figures were measured on."""

import os
import platform
import resource
import shutil
import subprocess
from pathlib import Path


def output_of(*command: str) -> str:
    """What a command prints, in one line; empty if it fails or is not there."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip().split("\n")[0]


def find(program: str) -> bool:
    return shutil.which(program) is not None


class Machine:
    """The server gets one CPU and the load another, if there are two to choose from."""

    def __init__(self, project: Path, build: Path) -> None:
        cpus = sorted(os.sched_getaffinity(0))
        self.cores = len(cpus)
        self.pinned = len(cpus) >= 2
        self.server_cpu = {cpus[0]} if self.pinned else set(cpus)
        self.load_cpu = {cpus[1]} if self.pinned else set(cpus)
        self.all_cpus = set(cpus)
        self.busy = os.getloadavg()[0]
        self.cpu = cpu_name()
        self.kernel = f"{platform.system()} {platform.release()}"
        self.commit = output_of("git", "-C", str(project), "describe", "--always", "--dirty") or "unknown"
        cache = build / "CMakeCache.txt"
        self.compiler = output_of(cached(cache, "CMAKE_C_COMPILER"), "--version")
        self.flags = cached(cache, "CMAKE_C_FLAGS_RELEASE")
        self.descriptors = resource.getrlimit(resource.RLIMIT_NOFILE)[1]

    def server_cpus(self, workers: int) -> set[int]:
        """One worker has a CPU of its own. More share the machine with the load."""
        return self.server_cpu if workers == 1 else self.all_cpus

    def load_cpus(self, workers: int) -> set[int]:
        return self.load_cpu if workers == 1 else self.all_cpus

    def as_json(self) -> dict:
        return {
            "cpu": self.cpu,
            "cores": self.cores,
            "kernel": self.kernel,
            "load": round(self.busy, 2),
            "pinned": self.pinned,
            "descriptors": self.descriptors,
            "compiler": self.compiler,
            "flags": self.flags,
        }

    def introduce(self, say) -> None:
        say(f"machine   {self.cpu}, {self.cores} cores, {self.kernel}, load {self.busy:.2f}")
        say(f"compiler  {self.compiler}, {self.flags}")
        say(f"commit    {self.commit}")
        if self.pinned:
            say(
                f"cpus      server on {min(self.server_cpu)}, load on {min(self.load_cpu)};"
                " not pinned with more than one worker"
            )
        else:
            say("cpus      not pinned: there are not two")
        if self.busy > 0.5:
            say("NOTE      the machine is busy with other things")


def cpu_name() -> str:
    """A virtual machine often says no more than the make, but family and model tell what it is."""
    cpuinfo = "/proc/cpuinfo"
    name = field_of(cpuinfo, "model name") or platform.processor()
    family, model = field_of(cpuinfo, "cpu family"), field_of(cpuinfo, "model")
    return f"{name} (family {family}, model {model})" if family else name


def field_of(path: str, name: str) -> str:
    """The first line "NAME : VALUE" of a file."""
    for line in Path(path).read_text(encoding="utf-8").splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return ""


def cached(cache: Path, name: str) -> str:
    """A value of CMake's cache."""
    for line in cache.read_text(encoding="utf-8").splitlines():
        if line.startswith(f"{name}:"):
            return line.partition("=")[2]
    return ""
