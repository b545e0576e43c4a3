"""Memory of idle connections."""

import re

from figures import Column
from lab import Lab
from loads import run

CONNECTIONS = 10_000
LIMITS = {"lido": 4500, "lido futures": 256}


def memory(lab: Lab) -> None:
    """Memory of the server per idle connection, of 10 000"""
    lab.report.heading("Memory of the server per idle connection, beyond the kernel's sockets")
    if not lab.has_room("memory", f"{CONNECTIONS} connections", CONNECTIONS):
        return
    resident, tables = Column("resident", "bytes"), Column("page tables", "bytes")
    for kind in lab.in_turn(lab.doing("echo", 1, CONNECTIONS)):
        with lab.start(kind, "echo") as server:
            out = run(
                [lab.program("bench/idle"), str(server.pids()[-1]), str(CONNECTIONS), server.address],
                lab.machine.load_cpu,
            )
        found = re.search(r"rss_bytes (\S+) page_table_bytes (\S+)", out)
        resident.add(kind.name, float(found[1]))
        tables.add(kind.name, float(found[2]))
    case = f"{CONNECTIONS} connections"
    lab.report.table("memory", case, [resident, tables])
    for kind, limit in LIMITS.items():
        if kind in resident.series:
            lab.report.goal("memory", case, f"{kind}: resident", "bytes", resident.series[kind], limit)
