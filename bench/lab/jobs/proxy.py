"""A TCP proxy: large transfers."""

import re

from figures import Column
from lab import Lab
from loads import run


def proxy(lab: Lab) -> None:
    """TCP proxy of large transfers, by splice where the peer can, and by copying"""
    lab.report.heading("TCP proxy, one connection at a time: CPU time of the proxy, throughput")
    size = round(lab.seconds * 2e9)
    for case, further in (("as it likes", ()), ("copying", ("--copy",))):
        cpu, rate = Column("CPU", "ns/KiB"), Column("throughput", "MB/s")
        for kind in lab.in_turn(lab.doing("proxy")):
            # The other end of the proxy is the sink that bench/bulk opens and names.
            out = run(
                [lab.program("bench/bulk"), "--bytes", str(size), "--", *kind.command("proxy", 1, *further)],
                lab.machine.all_cpus,
            )
            found = re.search(r"throughput (\S+) cpu_ns_per_kib (\S+)", out)
            rate.add(kind.name, float(found[1]))
            cpu.add(kind.name, float(found[2]))
        lab.report.table("proxy", case, [cpu, rate])
