"""The regression gate: user-space instructions per echo may not grow.

Instructions repeat, times on a shared machine do not. What they were is in bench/instructions.json, by
compiler, since another compiler makes other code; where the machine's compiler is not in there, there is
nothing to compare with, and the gate says so. The bare loop and libuv are measured beside lido: a change of
theirs tells of the machine, not of lido.
"""

import json
from collections.abc import Callable
from pathlib import Path

from jobs.cost import instructions_per_request
from lab import Lab

KINDS = ("lido", "lido futures", "lido stealing", "bare epoll", "libuv")
CONNECTIONS = (1, 64)
MARGIN = 0.02
PASSED, FAILED, SKIPPED = 0, 1, 77


def measure(lab: Lab) -> dict[str, dict[str, float]]:
    """By kind and number of connections."""
    return {
        kind.name: {str(count): round(instructions_per_request(lab, kind, count), 1) for count in CONNECTIONS}
        for kind in lab.kinds
        if kind.name in KINDS
    }


def judge(now: dict, before: dict, say: Callable[[str], None]) -> bool:
    """False: lido needs more than it did. Less than before by more than the margin is said, too: the file
    would otherwise let as much be lost again."""
    good = True
    for kind, counts in now.items():
        for connections, count in counts.items():
            was = before.get(kind, {}).get(connections)
            if was is None:
                say(f"  {kind:16}{connections:>4} connections  {count:8.1f}  was not measured before")
                continue
            change = count / was - 1
            more = change > MARGIN and kind.startswith("lido")
            verdict = (
                "MORE" if more else "less: take it into the file by --update" if change < -MARGIN else "ok"
            )
            say(
                f"  {kind:16}{connections:>4} connections  {count:8.1f}  was {was:8.1f}  {change:+7.1%}  {verdict}"
            )
            good = good and not more
    return good


def gate(lab: Lab, path: Path, update: bool) -> int:
    """An exit status."""
    compiler = lab.machine.compiler
    known = json.loads(path.read_text(encoding="utf-8"))
    if compiler not in known and not update:
        lab.report.say(f"gate: SKIPPED: {path.name} has nothing of {compiler} to compare with")
        return SKIPPED
    lab.report.say(f"User-space instructions per echo of 64 B; lido may need {MARGIN:.0%} more than before")
    now = measure(lab)
    if "lido" not in now:
        lab.report.say("gate: lido's server is not built")
        return FAILED
    good = judge(now, known.get(compiler, {}), lab.report.say)
    if update:
        known[compiler] = known.get(compiler, {}) | now
        path.write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8")
        return PASSED
    return PASSED if good else FAILED
