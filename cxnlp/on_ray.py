"""Shards of comments analysed by the workers of a Ray cluster; nothing else imports Ray.

Comes in: shards of raw comments, one after another. Goes out: what was made of each, in the order
given, a few ahead of who takes it. Left out: reading and writing tables, which the driver does
alone: workers see rows, never the warehouse.

A worker is a process with an analyzer of its own. Where the cluster has GPUs, each GPU is a worker
too and holds the network, and the others do all the rest and ask it. A worker that dies is started
again by Ray and its shard is analysed again; the shards that are done stay done.
"""

import os
import socket
import tempfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Final, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from cxnlp.analyse import Analysis, Analyzer, Memory
from cxnlp.config import Settings, bundled
from cxnlp.errors import ConfigError, CxnlpError
from cxnlp.freed import give_back
from cxnlp.model import registry
from cxnlp.model.engine import Engine, Floats, Scores
from cxnlp.model.tokens import Tokens
from cxnlp.names import load_names
from cxnlp.taxonomy import load_taxonomy

Known = tuple[pa.Array, pa.Table]  # digests of texts, and what is told of each
Digests = Callable[[pa.Table], pa.Array]
TAXONOMY: Final = "taxonomy.yaml"
TRIES: Final = 3  # of a shard whose worker dies
READY: Final = 600  # seconds until every worker has loaded the model
SHOWN: Final = 16  # workers that are named in the log
AHEAD: Final = 2  # shards a worker has: one in hand, one waiting
# What Ray reads from the environment as it starts a cluster.
_ALONE: Final = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}


@dataclass(frozen=True, slots=True)
class _Loading:
    """All that a worker needs to load an analyzer, on whatever machine it is."""

    model: dict[str, bytes]
    taxonomy: bytes
    settings: Settings


@contextmanager
def workers(settings: Settings, key: str, tell: Callable[[str], None]) -> Iterator["Workers"]:
    """Give workers, started at the first shard: on the cluster of the settings, or on one here.

    `key` is the driver's `Analyzer.key`, which theirs must be. Raises `ConfigError` when Ray or the
    cluster is not there.
    """
    ray = _ray()
    with ExitStack() as stack:

        def start() -> "_Team":
            stack.enter_context(_cluster(ray, settings))
            team = _Team(ray, settings, key)
            tell(f"analysing on {team}")
            return team

        yield Workers(start)


class Workers:
    """Analyses shards; starts its team when there is one to analyse."""

    def __init__(self, start: "Callable[[], _Team]") -> None:
        self._team = cache(start)

    def analyse(
        self, shards: Iterable[pa.Table], run_id: str, memory: Memory | None, digests: Digests
    ) -> Iterator[Analysis]:
        """Yield the analysis of each shard, in order.

        `digests` names the texts that a shard's comments had last: of those, `memory` is asked.
        """
        waiting: deque[Any] = deque()
        for number, raw in enumerate(shards):
            known = _known(memory, digests(raw)) if memory else None
            waiting.append(self._team().send(number, raw, run_id, known))
            while len(waiting) >= AHEAD * self._team().size:
                yield self._take(waiting.popleft(), memory)
        while waiting:
            yield self._take(waiting.popleft(), memory)

    def _take(self, made: Any, memory: Memory | None) -> Analysis:
        analysis, fresh = self._team().get(made)
        if memory and fresh:
            memory.add(*fresh)
        every = pa.array(np.arange(analysis.comments.num_rows))  # a copy, lest keys keep it all
        return replace(cast("Analysis", analysis), comments=analysis.comments.take(every))


class _Team:
    """Processes of a cluster that have loaded the model."""

    def __init__(self, ray: Any, settings: Settings, key: str) -> None:
        self._ray = ray
        have = ray.cluster_resources()
        gpus = 0 if settings.inference.device == "cpu" else int(have.get("GPU", 0))
        self.size = settings.execution.workers or int(have.get("CPU", 0))
        if not 0 < self.size <= have.get("CPU", 0):
            raise ConfigError(
                f"execution.workers: {self.size} workers need as many cores, the Ray cluster has "
                f"{int(have.get('CPU', 0))}; ask for fewer, or start more nodes first"
            )
        self._given = ray.put(_loading(settings))  # kept: a worker that starts again loads it again
        given = [self._given]
        again = {"max_restarts": -1, "max_task_retries": TRIES - 1}
        device = ray.remote(num_cpus=0, num_gpus=1, **again)(_Device)
        reader = ray.remote(num_cpus=1, **again)(_Reader)
        self._gpus = [device.remote(given) for _ in range(gpus)]
        self._readers = [
            reader.remote(given, self._gpus[i % gpus] if gpus else None) for i in range(self.size)
        ]
        found = self.get([one.about.remote() for one in self._readers], READY)
        self._places = [place for place, _ in found]
        if any(theirs != key for _, theirs in found):
            raise ConfigError(
                "execution: the workers would give other labels than this machine: install the "
                "same version of cxnlp on every node of the Ray cluster"
            )

    def __str__(self) -> str:
        gpus = f" and {len(self._gpus)} GPUs" if self._gpus else ""
        return f"{self.size} workers of Ray{gpus}: {', '.join(self._places[:SHOWN])}"

    def send(self, number: int, raw: pa.Table, run_id: str, known: Known | None) -> Any:
        """Hand a shard to the worker whose turn it is; return what `get` takes."""
        return self._readers[number % self.size].analyse.remote(raw, run_id, known)

    def get(self, what: Any, seconds: float | None = None) -> Any:
        """Wait for an answer; raises what a worker raised, `CxnlpError` when it gave none."""
        errors = self._ray.exceptions
        try:
            return self._ray.get(what, timeout=seconds)
        except errors.RayTaskError as error:
            if isinstance(error.cause, CxnlpError):
                raise error.cause from None
            raise
        except errors.GetTimeoutError as error:
            raise CxnlpError(
                f"the workers were not ready after {READY} s: other work holds the cores of the "
                "Ray cluster, see `ray status`"
            ) from error
        except errors.RayError as error:
            raise CxnlpError(
                f"a worker of Ray ended {TRIES} times at the same shard, or could not be started: "
                f"{str(error).strip().splitlines()[0]}; most often it had no memory left: make "
                "execution.shard_size smaller, or execution.workers fewer, and run again: the "
                "shards that are done are kept"
            ) from error


class _Reader:
    """A worker: cleans, segments and fuses; reads with its own network, or asks a GPU's."""

    def __init__(self, given: list[Any], device: Any) -> None:
        loading = _ray().get(given[0])
        how, settings = loading.settings.inference, loading.settings
        with _folder(loading) as folder:
            where = "cpu" if device else how.device
            engine: Any = Engine.load(folder, where, how.precision, how.max_batch_tokens)
            taxonomy = load_taxonomy(folder / TAXONOMY)
        engine = _Asking(engine, device) if device else engine
        keep, mask = settings.language.keep, settings.privacy.mask
        hidden = settings.privacy.names_model
        names = load_names(hidden) if hidden else None
        self._analyzer = Analyzer(engine, taxonomy, keep, mask, names)

    def about(self) -> tuple[str, str]:
        """Return where it is, and its `Analyzer.key`."""
        return f"process {os.getpid()} on {socket.gethostname()}", self._analyzer.key

    def analyse(
        self, raw: pa.Table, run_id: str, known: Known | None
    ) -> tuple[Analysis, Known | None]:
        """Return the analysis of a shard, and what is told of texts that were not known."""
        memory = _Sent(*known) if known else None
        analysis = self._analyzer.analyse(raw, run_id, memory)
        give_back()
        return analysis, memory.fresh if memory else None


class _Device:
    """The network on a GPU, for the workers that ask it."""

    def __init__(self, given: list[Any]) -> None:
        loading = _ray().get(given[0])
        how = loading.settings.inference
        with _folder(loading) as folder:
            self._engine = Engine.load(folder, how.device, how.precision, how.max_batch_tokens)

    def scores(self, tokens: Tokens, texts: int, cues: Floats) -> Scores:
        """Return the scores of tokens."""
        return self._engine.scores(tokens, texts, cues)


class _Asking:
    """An engine whose network is on a GPU."""

    def __init__(self, engine: Engine, device: Any) -> None:
        self.card, self.tokens = engine.card, engine.tokens
        self._device, self._get = device, _ray().get

    def scores(self, tokens: Tokens, texts: int, cues: Floats) -> Scores:
        return self.begin(tokens, texts, cues)()

    def begin(self, tokens: Tokens, texts: int, cues: Floats) -> Callable[[], Scores]:
        asked = self._device.scores.remote(tokens, texts, cues)
        return lambda: cast("Scores", self._get(asked))


class _Sent:
    """What the driver knows of texts, as the `Memory` of one shard; keeps what is new."""

    def __init__(self, digests: pa.Array, told: pa.Table) -> None:
        self._digests, self._told = digests, told
        self.fresh: Known | None = None

    def find(self, digests: pa.Array) -> tuple[npt.NDArray[np.int64], pa.Table]:
        place = pc.fill_null(pc.index_in(digests, self._digests), -1)
        return place.to_numpy(zero_copy_only=False).astype(np.int64), self._told

    def add(self, digests: pa.Array, told: pa.Table) -> None:
        self.fresh = digests, told


def _ray() -> Any:
    try:
        import ray
    except ImportError as error:
        raise ConfigError("execution.engine: ray needs Ray: pip install 'cxnlp[ray]'") from error
    return ray


@contextmanager
def _cluster(ray: Any, settings: Settings) -> Iterator[None]:
    """Be the driver of a cluster; one that this process has joined already is used as it is."""
    if ray.is_initialized():
        yield
        return
    for name, value in _ALONE.items():
        os.environ.setdefault(name, value)
    address = settings.execution.address
    here = {"num_cpus": settings.execution.workers, "include_dashboard": False}
    try:
        ray.init(address or "local", log_to_driver=False, logging_level="ERROR",
                 **({} if address else here))  # fmt: skip
    except Exception as error:  # Ray has no class for this
        if address:
            raise ConfigError(
                f"execution.address {address!r}: no Ray cluster answers there: {error}; expected "
                "ray://HOST:10001, HOST:6379 or auto, the same versions of Python and Ray, and "
                "RAY_AUTH_MODE=token in the environment of a cluster that has a token"
            ) from error
        raise CxnlpError(
            f"Ray could not be started here: {error}; if this machine is busy with other work, "
            "try later or use execution.engine: local"
        ) from error
    try:
        yield
    finally:
        ray.shutdown()


def _loading(settings: Settings) -> _Loading:
    folder = registry.current(bundled(settings.model))
    files = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    return _Loading(files, bundled(settings.taxonomy).read_bytes(), settings)


@contextmanager
def _folder(given: _Loading) -> Iterator[Path]:
    """Give a folder, gone afterwards, that holds the model and `taxonomy.yaml`."""
    with tempfile.TemporaryDirectory(prefix="cxnlp-") as name:
        for file, data in given.model.items():
            (Path(name) / file).write_bytes(data)
        (Path(name) / TAXONOMY).write_bytes(given.taxonomy)
        yield Path(name)


def _known(memory: Memory, digests: pa.Array) -> Known:
    """Return those of the digests that `memory` knows, and what is told of them."""
    place, told = memory.find(digests)
    found = place >= 0
    return digests.filter(pa.array(found)), told.take(pa.array(place[found]))
