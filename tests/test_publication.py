"""A publication is whole whatever interrupts it: kill −9, a full disk, readers, a second run.

Run as a program, this file does the killing: see `_kill_at_every_step`.
"""

import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fsspec
import pytest
from warehouse_rows import TEXT, comment, night, rows

from cxnlp import schema
from cxnlp.errors import WarehouseBusyError, WarehouseError
from cxnlp.journal import JOURNAL, STAGING
from cxnlp.metrics import query
from cxnlp.parts import Part, split
from cxnlp.warehouse import Warehouse

Content = dict[str, list[dict[str, Any]]]
TOUCHED = (schema.COMMENTS, schema.FILES)
STEPS = ("replace", "fsync", "unlink", "rmdir", "mkdir")


def publish(root: Path | str, parts: list[Part]) -> list[str]:
    warehouse = Warehouse(str(root))
    with warehouse.hold("r1"):
        return warehouse.publish(parts, run_id="r1", metadata={})


def first_night(text: str = TEXT) -> list[Part]:
    made = night(text, ("avis",), ("2026-08-30", "2026-09-14"))
    return [part for part in made if part.table in TOUCHED]


def second_night() -> list[Part]:
    """Return a publication that changes a month, removes another and adds a source."""
    new = night("Texte corrigé.", ("avis", "enquete"), ("2026-09-14",))
    gone = [part for part in first_night() if part.period == "2026-08"]
    new = [part for part in new if part.table in TOUCHED]
    return [*new, *(Part(p.table, p.data[:0], p.source, p.period) for p in gone)]


def content(root: Path | str) -> Content:
    return {table.name: Warehouse(str(root)).read(table).to_pylist() for table in TOUCHED}


@dataclass
class Killed:
    """What a publication killed at one step left: once recovered, and after the next run."""

    recovered: Content
    problems: list[str]
    litter: list[Path]
    rerun: Content
    problems_then: list[str]


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Content, Content, list[Killed]]:
    """Return the tables before and after a publication, and what each kill left of it."""
    folder = tmp_path_factory.mktemp("killed")
    publish(folder / "before", first_night())
    _run(folder, "before", "publish")
    left = []
    for root in sorted(folder.glob("publish-*")):
        warehouse = Warehouse(str(root))
        with warehouse.hold():
            found = content(root), warehouse.verify(), _litter(root)
            warehouse.publish(second_night(), run_id="r2", metadata={})
            left.append(Killed(*found, content(root), warehouse.verify()))
    before = content(folder / "before")
    publish(folder / "before", second_night())
    return before, content(folder / "before"), left


def test_a_publication_was_killed_at_many_steps(killed: Any) -> None:
    assert len(killed[2]) > 30


def test_after_a_kill_at_any_step_all_is_as_before_or_all_as_after(killed: Any) -> None:
    before, after, left = killed
    done = [one.recovered == after for one in left]
    assert [one.recovered for one in left] == [after if is_done else before for is_done in done]
    assert done == sorted(done)
    assert set(done) == {False, True}


def test_after_a_kill_at_any_step_every_file_is_whole(killed: Any) -> None:
    assert [problem for one in killed[2] for problem in one.problems + one.problems_then] == []


def test_after_a_kill_at_any_step_nothing_lies_about(killed: Any) -> None:
    assert [path for one in killed[2] for path in one.litter] == []


def test_after_a_kill_at_any_step_the_next_run_ends_as_if_undisturbed(killed: Any) -> None:
    assert [one.rerun for one in killed[2]] == [killed[1]] * len(killed[2])


def test_a_recovery_may_be_killed_at_any_step_too(tmp_path: Path) -> None:
    publish(tmp_path / "after", first_night())
    publish(tmp_path / "after", second_night())
    _half_published(tmp_path / "half")
    _run(tmp_path, "half", "recover")
    killed = list(tmp_path.glob("recover-*"))
    assert len(killed) > 20
    for root in killed:
        Warehouse(str(root)).settle()
        assert content(root) == content(tmp_path / "after")
        assert Warehouse(str(root)).verify() == []
        assert _litter(root) == []


def test_a_file_of_the_journal_that_is_nowhere_is_an_error_that_names_it(tmp_path: Path) -> None:
    _half_published(tmp_path)
    for staged in (tmp_path / STAGING).iterdir():
        staged.unlink()
    with (
        pytest.raises(WarehouseError, match=r"part-0\.parquet: was to be replaced.*copy"),
        Warehouse(str(tmp_path)).hold(),
    ):
        pass


def test_a_full_disk_leaves_the_tables_as_they_were(tmp_path: Path) -> None:
    publish(tmp_path, first_night())
    before = content(tmp_path)
    told = _child(tmp_path, "full disk")
    assert "cannot be written" in told
    assert "make room" in told
    assert content(tmp_path) == before
    assert _litter(tmp_path) == []


def test_a_failed_publication_leaves_the_tables_as_they_were(tmp_path: Path) -> None:
    publish(tmp_path, first_night())
    before = content(tmp_path)
    broken = Part(schema.RUNS, schema.empty(schema.FILES))
    with pytest.raises(ValueError, match="is missing"):
        publish(tmp_path, [*second_night(), broken])
    assert content(tmp_path) == before
    assert _litter(tmp_path) == []


def test_two_parts_of_one_path_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="same path"):
        publish(tmp_path, [*first_night(), first_night()[0]])


@pytest.fixture
def changing(tmp_path: Path) -> Iterator[tuple[Path, threading.Thread]]:
    """Give a warehouse that fifty publications change: one row a file, then five, then one …"""
    publish(tmp_path, _crowd(0))
    writer = threading.Thread(
        target=lambda: [publish(tmp_path, _crowd(i)) for i in range(1, 51)], daemon=True
    )
    writer.start()
    yield tmp_path, writer
    writer.join()


def test_our_reader_sees_whole_files_during_fifty_publications(changing: Any) -> None:
    root, writer = changing
    while writer.is_alive():
        part = Warehouse(str(root)).read_part(schema.COMMENTS, "avis", "2026-09")
        assert set(part["text"].to_pylist()) == {str(part.num_rows)}


def test_a_query_sees_whole_files_during_fifty_publications(changing: Any) -> None:
    root, writer = changing
    while writer.is_alive():
        seen = query(str(root), "SELECT text, count(*) AS n FROM comments GROUP BY text")
        assert [(row["text"], row["n"]) for row in seen.to_pylist()] in ([("1", 1)], [("5", 5)])


def test_a_reading_that_fails_for_its_own_reasons_is_not_repeated(tmp_path: Path) -> None:
    publish(tmp_path, first_night())
    calls = []
    with pytest.raises(ZeroDivisionError):
        Warehouse(str(tmp_path)).steady(lambda: calls.append(1) or 1 / 0)
    assert calls == [1]


def test_a_second_run_leaves_at_once_and_is_told_who_holds(tmp_path: Path) -> None:
    with (
        Warehouse(str(tmp_path)).hold("r42"),
        pytest.raises(WarehouseBusyError, match=f"run r42, process {os.getpid()} on") as told,
        Warehouse(str(tmp_path)).hold(),
    ):
        pass
    assert told.value.exit_status == 75


def test_a_killed_run_holds_no_longer(tmp_path: Path) -> None:
    assert _child(tmp_path, "hold and die") == ""
    publish(tmp_path, first_night())


def test_a_reader_settles_what_a_killed_run_left(tmp_path: Path) -> None:
    _half_published(tmp_path)
    Warehouse(str(tmp_path)).settle()
    assert not (tmp_path / JOURNAL).exists()


def test_a_reader_does_not_wait_for_a_run(tmp_path: Path) -> None:
    with Warehouse(str(tmp_path)).hold():
        (tmp_path / JOURNAL).write_text("{}")
        Warehouse(str(tmp_path)).settle()
        (tmp_path / JOURNAL).unlink()


def test_half_a_shard_is_no_shard(tmp_path: Path) -> None:
    warehouse = Warehouse(str(tmp_path))
    warehouse.stage_shard("s", first_night()[0].data, first_night()[1].data)
    shards = tmp_path / "state" / "shards"
    (shards / "s.comments.parquet").rename(shards / "s.comments.parquet.part")
    assert warehouse.read_shard("s") is None
    with warehouse.hold():
        assert [path.name for path in shards.iterdir()] == ["s.mentions.parquet"]


def test_an_object_store_that_fails_is_finished_by_the_next_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    publish("memory://whole", first_night())
    publish("memory://whole", second_night())
    store = fsspec.get_filesystem_class("memory")
    copy, step = store.cp_file, 0
    while True:
        root, left = f"memory://failing-{step}", step

        def fails(self: Any, *args: Any, **named: Any) -> None:
            nonlocal left
            left -= 1
            if left < 0:
                raise OSError("the network is gone")
            copy(self, *args, **named)

        publish(root, first_night())
        with monkeypatch.context() as patched:
            patched.setattr(store, "cp_file", fails)
            with suppress(WarehouseError):
                publish(root, second_night())
        with suppress(OSError):
            store().rm_file(f"/failing-{step}/state/lock")
        publish(root, second_night())
        assert content(root) == content("memory://whole")
        assert Warehouse(root).verify() == []
        if left >= 0:
            break
        step += 1
    assert step == 5  # the journal, two parts of comments, files, the manifest


def _crowd(turn: int) -> list[Part]:
    """Return one file of one row, or of five, each of which says how many they are."""
    count = 5 if turn % 2 else 1
    made = [comment(f"c{i}", text=str(count)) for i in range(count)]
    return split(rows(schema.COMMENTS, *made), schema.COMMENTS)


def _half_published(root: Path) -> None:
    """Leave a warehouse whose second publication is settled, and nothing of it in place."""
    publish(root, first_night())
    _child(root, "settle and die")
    assert (root / JOURNAL).exists()


def _litter(root: Path) -> list[Path]:
    staging = root / STAGING
    return [*staging.rglob("*"), *root.rglob("*.part"), *root.glob(JOURNAL)]


def _run(folder: Path, start: str, what: str) -> None:
    subprocess.run([sys.executable, __file__, what, folder, start], check=True, timeout=60)


def _child(root: Path, what: str) -> str:
    """Do something to a warehouse in another process and return what it says."""
    done = subprocess.run(
        [sys.executable, __file__, what, root],
        check=False,
        timeout=60,
        capture_output=True,
        text=True,
    )
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return done.stdout


def _kill_at_every_step(folder: Path, start: str, what: str, act: Callable[[Path], object]) -> None:
    """Copy the warehouse `start` and `act` on it, killed at step 0; then at step 1; and so on.

    A step is a call of the system that changes names or waits for the disk.
    """
    for step in range(1000):
        root = folder / f"{what}-{step:03d}"
        shutil.copytree(folder / start, root)
        child = os.fork()
        if child == 0:
            _die_at(step)
            act(root)
            os._exit(0)
        if os.waitpid(child, 0)[1] == 0:
            return
    raise SystemExit("it never came to an end")


def _die_at(step: int, names: tuple[str, ...] = STEPS) -> None:
    left = step

    def dying(call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*args: Any, **named: Any) -> Any:
            nonlocal left
            left -= 1
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*args, **named)

        return wrapped

    for name in names:
        setattr(os, name, dying(getattr(os, name)))


def _on_a_full_disk(root: Path) -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
    try:
        publish(root, second_night())
    except WarehouseError as error:
        sys.stdout.write(str(error))


def _settle_and_die(root: Path) -> None:
    _die_at(1, ("replace",))  # the first puts the journal in place
    publish(root, second_night())


def _hold_and_die(root: Path) -> None:
    with Warehouse(str(root)).hold():
        os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    what, first = sys.argv[1], Path(sys.argv[2])
    if what == "publish":
        second_night()
        _kill_at_every_step(first, sys.argv[3], what, lambda at: publish(at, second_night()))
    elif what == "recover":
        _kill_at_every_step(first, sys.argv[3], what, lambda at: Warehouse(str(at)).settle())
    else:
        {
            "full disk": _on_a_full_disk,
            "settle and die": _settle_and_die,
            "hold and die": _hold_and_die,
        }[what](first)
