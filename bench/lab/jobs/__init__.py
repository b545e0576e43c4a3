"""The jobs of the lab, in the order in which all of them are run.

Each takes the Lab, and its docstring's first line is what `--help` says of it.
"""

from jobs import balance, cost, echo, hog, latency, memory, parts, proxy, requests, sched, timers

JOBS = {
    "echo": echo.echo,
    "growth": echo.growth,
    "crowd": echo.crowd,
    "balance": balance.balance,
    "accept": balance.accept,
    "ping": requests.ping,
    "http": requests.http,
    "churn": requests.churn,
    "udp": requests.udp,
    "latency": latency.latency,
    "fairness": latency.fairness,
    "hog": hog.hog,
    "proxy": proxy.proxy,
    "memory": memory.memory,
    "instructions": cost.instructions,
    "syscalls": cost.syscalls,
    "timers": timers.timers,
    "sched": sched.sched,
    "parts": parts.parts,
    "sleepers": parts.sleepers,
    "load": requests.load_tools,
}
