"""Interleaved rounds: every client is a process that holds all contenders and lets them work in turns, A B C, then C A B. Knows no billing."""

import multiprocessing
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

WARM_UP = 15
"""What each contender does, unmeasured, before the first round: statements are prepared and caches filled."""


class Contender(Protocol):
    """One way of doing the work, in one client's process."""

    def do(self, work: Any) -> None:
        """Do one piece of work."""

    def servers(self) -> Sequence[int]:
        """Return the process ids of the backends that work for it."""

    def close(self) -> None:
        """End what was opened."""


Opening = Callable[[str, int], Contender]
"""Opens a contender on a database, for the client at this place. A function of a module, so that another process can import it."""


@dataclass(frozen=True, slots=True)
class Block:
    """What one contender did in one round, over all clients: rate in 1/s, CPU and latencies in milliseconds for one piece of work."""

    contender: str
    clients: int
    round: int
    rate: float
    client_ms: float
    server_ms: float
    latencies_ms: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """Who contends, in how many rounds, and how much each client does in a block."""

    contenders: Mapping[str, Opening]
    rounds: int
    per_block: int

    @property
    def pieces(self) -> int:
        """How many pieces of work one contender of one client needs in all."""
        return WARM_UP + self.rounds * self.per_block


def run(url: str, plan: Plan, work: Sequence[Mapping[str, Sequence[Any]]]) -> list[Block]:
    """Return the blocks of all rounds; `work` holds the pieces of each client by contender, `plan.pieces` of them."""
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(len(work)), context.Queue()
    clients = [context.Process(target=_client, args=(url, plan, place, own, barrier, results)) for place, own in enumerate(work)]
    for client in clients:
        client.start()
    try:
        found = [results.get(timeout=3600) for _ in clients]
    finally:
        for client in clients:
            client.join(timeout=30)
            client.kill()
    failures = [each for each in found if isinstance(each, str)]
    if failures:
        raise RuntimeError(failures[0])
    return [_together([own[place] for own in found]) for place in range(len(found[0]))]


def _client(url: str, plan: Plan, place: int, work: Mapping[str, Sequence[Any]], barrier: Any, results: Any) -> None:
    try:
        results.put(list(_blocks(url, plan, place, work, barrier)))
    except BaseException as error:
        barrier.abort()
        results.put(f"{type(error).__name__}: {error}")
        raise


def _blocks(url: str, plan: Plan, place: int, work: Mapping[str, Sequence[Any]], barrier: Any) -> list[Block]:
    contenders = {name: opening(url, place) for name, opening in plan.contenders.items()}
    left = {name: iter(own) for name, own in work.items()}
    for name, contender in contenders.items():
        for _ in range(WARM_UP):
            contender.do(next(left[name]))
    blocks = []
    names = list(contenders)
    for turn in range(plan.rounds):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            pieces = [next(left[name]) for _ in range(plan.per_block)]
            barrier.wait(timeout=600)
            blocks.append(_measured(name, contenders[name], pieces, turn))
    for contender in contenders.values():
        contender.close()
    return blocks


def _measured(name: str, contender: Contender, pieces: Sequence[Any], turn: int) -> Block:
    servers = contender.servers()
    server, client, start = sum(map(cpu_seconds, servers)), time.process_time(), time.perf_counter()
    latencies = []
    for piece in pieces:
        before = time.perf_counter()
        contender.do(piece)
        latencies.append((time.perf_counter() - before) * 1000)
    spent = time.perf_counter() - start
    client, server = time.process_time() - client, sum(map(cpu_seconds, servers)) - server
    return Block(name, 1, turn, len(pieces) / spent, client / len(pieces) * 1000, server / len(pieces) * 1000, tuple(latencies))


def _together(blocks: Sequence[Block]) -> Block:
    return Block(
        contender=blocks[0].contender,
        clients=len(blocks),
        round=blocks[0].round,
        rate=sum(block.rate for block in blocks),
        client_ms=statistics.fmean(block.client_ms for block in blocks),
        server_ms=statistics.fmean(block.server_ms for block in blocks),
        latencies_ms=tuple(latency for block in blocks for latency in block.latencies_ms),
    )


def cpu_seconds(pid: int) -> float:
    """Return the time that a process of this machine has spent on a CPU."""
    return int(Path(f"/proc/{pid}/schedstat").read_text(encoding="ascii").split()[0]) / 1e9


@dataclass(frozen=True, slots=True)
class Spread:
    """Median and quartiles of a ratio over rounds."""

    low: float
    median: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """Return the spread of values, one for each round."""
        if len(values) < 2:
            return cls(values[0], values[0], values[0])
        low, median, high = statistics.quantiles(values, n=4, method="inclusive")
        return cls(low, median, high)

    def __str__(self) -> str:
        return f"{self.median:.2f} [{self.low:.2f}-{self.high:.2f}]"


def ratios(blocks: Sequence[Block], contender: str, to: str, measure: Callable[[Block], float]) -> Spread:
    """Return how `contender` compares with `to`, round by round."""
    of = {(block.contender, block.round): measure(block) for block in blocks}
    return Spread.of([of[contender, turn] / of[to, turn] for turn in sorted({block.round for block in blocks})])


def median(blocks: Sequence[Block], contender: str, measure: Callable[[Block], float]) -> float:
    """Return the median of a contender's blocks."""
    return statistics.median(measure(block) for block in blocks if block.contender == contender)


def percentile(blocks: Sequence[Block], contender: str, share: float) -> float:
    """Return a percentile of a contender's latencies, in milliseconds."""
    latencies = sorted(latency for block in blocks if block.contender == contender for latency in block.latencies_ms)
    return latencies[min(len(latencies) - 1, int(len(latencies) * share))]


def rate(block: Block) -> float:
    """Return how much was done in a second."""
    return block.rate


def cpu(block: Block) -> float:
    """Return the CPU-ms of client and server together."""
    return block.client_ms + block.server_ms
