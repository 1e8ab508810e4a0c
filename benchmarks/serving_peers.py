"""This service and its peers side by side, in turns, on the same cores."""

import os
import statistics
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from benchmarks import contenders, rows
from benchmarks.contenders import Contender, Files
from benchmarks.serving_figures import CLIENTS, MOST, Bench, Figures

AGREED_TEXTS = 200
AGREEMENT = 0.999
WARM_S = 3.0


def side_by_side(bench: Bench, figures: Figures, graft: Contender, files: Files) -> None:
    """Start the peers, see that all answer alike, and load each in turn.

    Args:
        bench: What to do it with.
        figures: Gets the rows, the memory, and what is known of the peers.
        graft: This service.
        files: What it answers with; the peers load the same.

    Raises:
        SystemExit: A peer gives other answers.
    """
    with _peers(bench, figures, files) as peers:
        _agree(bench, figures, graft, peers)
        _rounds(bench, figures, [graft, *peers])


@contextmanager
def _peers(bench: Bench, figures: Figures, files: Files) -> Iterator[list[Contender]]:
    cores = os.cpu_count() or 1
    with ExitStack() as stack:
        started = []
        for name, processes, threads in (
            (contenders.FASTAPI_PROCESSES, cores, 1),
            (contenders.FASTAPI_THREADS, 1, cores),
        ):
            bench.say(f"starting {name}")
            peer = contenders.fastapi(files, name=name, processes=processes, threads=threads)
            started.append(stack.enter_context(peer))
        python, figures.peers[contenders.LITSERVE] = contenders.litserve_python()
        if python is not None:
            bench.say("starting LitServe")
            started.append(stack.enter_context(contenders.litserve(files, python, processes=cores)))
        yield started


def _agree(bench: Bench, figures: Figures, graft: Contender, peers: Sequence[Contender]) -> None:
    texts = bench.texts[:AGREED_TEXTS]
    own = contenders.labels(graft, texts)
    for peer in peers:
        bench.say(f"comparing the answers of {peer.name}")
        share = statistics.mean(a == b for a, b in zip(own, contenders.labels(peer, texts), strict=True))
        figures.agreement[peer.name] = share
        if share < AGREEMENT:
            raise SystemExit(f"{peer.name} agrees on {share:.1%} of {len(texts)} labels: it runs something else.")


def _rounds(bench: Bench, figures: Figures, all_of_them: Sequence[Contender]) -> None:
    calls = {one.name: bench.calls(one.name, [one.path]) for one in all_of_them}
    for number in range(bench.chosen.rounds):
        for one in all_of_them:
            with rows.alone(one, all_of_them):
                if number == 0:
                    rows.measure(one, calls[one.name], clients=MOST, seconds=WARM_S)
                for clients in CLIENTS:
                    bench.say(f"round {number + 1}: {one.name}, {clients} clients")
                    row = rows.measure(one, calls[one.name], clients=clients, seconds=bench.chosen.seconds)
                    figures.rounds.append(row)
    figures.memory = {one.name: rows.memory(one.pid) for one in all_of_them}
