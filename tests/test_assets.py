"""Assets: fetched by hash through the real pip, from archives made here; and everything that can go wrong."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path

import pytest
from notebook_cells import code_cells, find, read

from course_lib import assets
from course_lib.assets import archives, download, manifest, store
from course_lib.errors import BadInput, CorruptAsset, CourseError, MissingAsset, Offline

REPOSITORY = Path(__file__).resolve().parents[1]


def digest(content: bytes) -> str:
    return sha256(content).hexdigest()


def member(path: str, content: bytes, **more: object) -> dict[str, object]:
    """An entry of the manifest: a file of an archive with its hash."""
    return {"path": path, "sha256": digest(content), **more}


def zipped(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def tarred(files: dict[str, bytes], link: tuple[str, str] | None = None) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
        if link:
            entry = tarfile.TarInfo(link[0])
            entry.type, entry.linkname = tarfile.SYMTYPE, link[1]
            archive.addfile(entry)
    return buffer.getvalue()


@dataclass
class Shelf:
    """A small world: an index folder that pip reads, a data folder with a manifest, and an empty cache."""

    root: Path
    tables: dict[str, str] = field(default_factory=dict)

    @property
    def cache(self) -> Path:
        return self.root / "cache"

    def empty_downloads(self) -> None:
        """From now on archives come through pip, from the index folder."""
        shutil.rmtree(self.cache / "downloads")

    def put(self, name: str, archive: str, content: bytes, members: list[dict[str, object]], **more: object) -> None:
        """Lays the archive into the index and into downloads/ (pip is slow), the asset into the manifest."""
        for folder in (self.root / "index", self.cache / "downloads"):
            folder.mkdir(parents=True, exist_ok=True)
            (folder / archive).write_bytes(content)
        facts: dict[str, object] = {
            "what": "a toy", "package": f"toy-{name}", "version": "1.0", "licence": "none", "card": "cards/toy.md",
            "kind": "sdist" if archive.endswith(".gz") else "wheel", "archive": archive, "sha256": digest(content),
            "archive_bytes": len(content), "unpacked_bytes": 100,
        }  # fmt: skip
        lines = [f"{key} = {json.dumps(value)}" for key, value in {**facts, **more}.items()]
        rows = [", ".join(f"{key} = {json.dumps(value)}" for key, value in row.items()) for row in members]
        lines.append("members = [" + ", ".join(f"{{ {row} }}" for row in rows) + "]")
        self.tables[name] = f"[{name}]\n" + "\n".join(lines)
        (self.root / "data" / "manifest.toml").write_text("\n".join(self.tables.values()), encoding="utf-8")


A, B = b"first file\n", b"second file\n" * 1000
WHEEL = "toy_words-1.0-py3-none-any.whl"
INFO = {
    "toy_words-1.0.dist-info/METADATA": b"Metadata-Version: 2.1\nName: toy-words\nVersion: 1.0\n",
    "toy_words-1.0.dist-info/WHEEL": b"Wheel-Version: 1.0\nGenerator: hand\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    "toy_words-1.0.dist-info/RECORD": b"",
}


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shelf:
    """One wheel with two files. pip sees nothing but the index folder: no network in these tests."""
    (tmp_path / "data").mkdir()
    monkeypatch.setattr(manifest, "data_folder", lambda: tmp_path / "data")
    monkeypatch.setenv("COURSE_CACHE", str(tmp_path / "cache"))
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    shelf = Shelf(tmp_path)
    put_words(shelf)
    return shelf


def put_words(shelf: Shelf, **more: object) -> None:
    content = zipped({"toy/a.txt": A, "toy/deep/b.txt": B, "toy/code.py": b"raise SystemExit", **INFO})
    shelf.put("words", WHEEL, content, [member("toy/a.txt", A), member("toy/deep/b.txt", B)], **more)


def tree(folder: Path) -> set[str]:
    return {file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()}


# --- the usual way ----------------------------------------------------------------------------------------


def test_fetched_through_pip_and_verified(shelf: Shelf) -> None:
    shelf.empty_downloads()
    said: list[str] = []
    folder = assets.fetch("words", said.append)
    assert folder == shelf.cache / "assets" / "words"
    assert tree(folder) == {"a.txt", "b.txt", ".asset.json"}
    assert (folder / "a.txt").read_bytes() == A
    assert said == ["words: fetching toy-words==1.0 (0.0 MB)", "words: unpacking"]
    assert not list(shelf.cache.rglob(".partial*"))
    stamp = json.loads((folder / ".asset.json").read_text())
    assert stamp["files"]["b.txt"] == {"sha256": digest(B), "bytes": len(B)}


def test_the_second_run_does_nothing(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    assets.fetch_core()
    monkeypatch.setattr(store, "_install", lambda *_: pytest.fail("installed again"))
    said: list[str] = []
    assets.fetch_core(said.append)
    assert said == ["[1/1] words: ready"]


def test_path_fetches_what_is_missing_and_one_file_is_a_file(shelf: Shelf) -> None:
    put_words(shelf, file="b.txt")
    assert assets.path("words").read_bytes() == B


def test_an_sdist_runs_none_of_its_code(shelf: Shelf) -> None:
    ran = shelf.root / "ran"
    files = {
        "toy-source-1.0/setup.py": f"open({str(ran)!r}, 'w'); raise SystemExit(1)".encode(),
        "toy-source-1.0/PKG-INFO": b"Metadata-Version: 1.0\nName: toy-source\nVersion: 1.0\n",
        "toy-source-1.0/data/a.txt": A,
    }
    shelf.put("source", "toy-source-1.0.tar.gz", tarred(files), [member("toy-source-1.0/data/a.txt", A)])
    shelf.empty_downloads()
    assert (assets.path("source") / "a.txt").read_bytes() == A
    assert not ran.exists()


def test_an_archive_within_the_archive(shelf: Shelf) -> None:
    inner = "toy-nested-1.0/more.tar.gz"
    content = tarred({inner: tarred({"in/a.txt": A}), "toy-nested-1.0/setup.py": b""})
    shelf.put("nested", "toy-nested-1.0.tar.gz", content, [member("in/a.txt", A)], inside=inner)
    assert tree(assets.path("nested")) == {"a.txt", ".asset.json"}


def test_members_by_pattern(shelf: Shelf) -> None:
    files = {"toy/x/1.txt": A, "toy/x/2.txt": B, "toy/x/note.md": b"", "toy/x/deep/3.txt": A, **INFO}
    listing = f"{digest(A)}  1.txt\n{digest(B)}  2.txt\n"  # what sha256sum prints
    shelf.put("words", WHEEL, zipped(files), [member("toy/x/*.txt", listing.encode(), into="all", files=2)])
    folder = assets.path("words")
    assert tree(folder) == {"all/1.txt", "all/2.txt", ".asset.json"}
    (folder / "all" / "2.txt").write_bytes(B[:-1] + b"!")
    with pytest.raises(CorruptAsset, match=r"all/2\.txt is damaged"):
        assets.verify("words")


def test_the_cache_can_be_moved(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COURSE_CACHE", str(shelf.root / "elsewhere"))
    assert assets.path("words").is_relative_to(shelf.root / "elsewhere")
    monkeypatch.setenv("COURSE_CACHE", " ")
    assert assets.cache_folder() == shelf.root / "data" / "cache"


# --- damage -----------------------------------------------------------------------------------------------

DAMAGE = {
    "changed byte": lambda file: file.write_bytes(B[:-1] + b"!"),
    "truncated": lambda file: file.write_bytes(B[:100]),
    "empty": lambda file: file.write_bytes(b""),
    "removed": lambda file: file.unlink(),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_file_is_named_and_fetched_again_from_the_archive(shelf: Shelf, damage: object) -> None:
    file = assets.path("words") / "b.txt"
    shutil.rmtree(shelf.root / "index")  # no network is needed
    damage(file)  # type: ignore[operator]
    met = digest(file.read_bytes()) if file.exists() else "no file"
    with pytest.raises(CorruptAsset) as caught:
        assets.path("words")
    assert str(file) in caught.value.message
    assert f"expected sha256 {digest(B)}, met {met}" in caught.value.message
    assert "python -m course_lib data --refetch words" in caught.value.fix
    assert assets.fetch("words", refetch=True) == file.parent
    assert file.read_bytes() == B


def test_damage_that_keeps_size_and_time_is_found_by_verify(shelf: Shelf) -> None:
    file = assets.path("words") / "b.txt"
    before = file.stat()
    file.write_bytes(b"x" * len(B))
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert assets.path("words")  # documented: sizes and times only, after the first full check
    with pytest.raises(CorruptAsset):
        assets.verify("words")
    assert assets.status() == {"words": "ready"}
    assert assets.status(full=True) == {"words": "damaged"}


def test_a_forged_stamp_does_not_help(shelf: Shelf) -> None:
    folder = assets.path("words")
    (folder / "b.txt").write_bytes(b"forged")
    stamp = json.loads((folder / ".asset.json").read_text())
    stamp["files"]["b.txt"] = {"sha256": digest(b"forged"), "bytes": 6}
    (folder / ".asset.json").write_text(json.dumps(stamp))
    with pytest.raises(CorruptAsset, match=rf"expected sha256 {digest(B)}, met {digest(b'forged')}"):
        assets.path("words")


@pytest.mark.parametrize("stamp", ["", "{}", "[]", '{"archive_sha256": 1, "files": 2}', None])
def test_a_broken_stamp(shelf: Shelf, stamp: str | None) -> None:
    file = assets.path("words") / ".asset.json"
    file.unlink() if stamp is None else file.write_text(stamp)
    assert assets.status() == {"words": "damaged"}
    with pytest.raises(CorruptAsset, match=r"\.asset\.json cannot be read"):
        assets.verify("words")
    assets.fetch("words", refetch=True)
    assert assets.status() == {"words": "ready"}


def test_a_new_pin_is_fetched_again(shelf: Shelf) -> None:
    assets.path("words")
    shelf.put("words", WHEEL, zipped({"toy/a.txt": B, **INFO}), [member("toy/a.txt", B)])
    assert assets.status() == {"words": "outdated"}
    assert tree(assets.path("words")) == {"a.txt", ".asset.json"}
    assert (assets.path("words") / "a.txt").read_bytes() == B


# --- archives ---------------------------------------------------------------------------------------------


def test_the_index_serves_another_file(shelf: Shelf) -> None:
    shelf.empty_downloads()
    (shelf.root / "index" / WHEEL).write_bytes(zipped({"toy/a.txt": b"evil", **INFO}))
    met = digest((shelf.root / "index" / WHEEL).read_bytes())
    with pytest.raises(CorruptAsset) as caught:
        assets.path("words")
    assert met in caught.value.message
    assert tree(shelf.cache) <= {"assets.lock"}  # nothing of it stays


def test_an_archive_put_there_by_hand_needs_no_network(shelf: Shelf) -> None:
    shutil.rmtree(shelf.root / "index")
    said: list[str] = []
    assert (assets.fetch("words", said.append) / "a.txt").read_bytes() == A
    assert said[0] == f"words: using {shelf.cache / 'downloads' / WHEEL}"


@pytest.mark.parametrize("content", [b"", b"PK not a zip"], ids=["empty", "garbage"])
def test_a_wrong_archive_in_downloads_is_replaced(shelf: Shelf, content: bytes) -> None:
    (shelf.cache / "downloads" / WHEEL).write_bytes(content)
    said: list[str] = []
    assets.fetch("words", said.append)
    assert "wrong hash, fetching it again" in said[0]


def test_a_truncated_archive_by_hand_and_no_network(shelf: Shelf) -> None:
    file = shelf.cache / "downloads" / WHEEL
    file.write_bytes((shelf.root / "index" / WHEEL).read_bytes()[:200])
    shutil.rmtree(shelf.root / "index")
    with pytest.raises(CorruptAsset) as caught:
        assets.path("words")
    assert str(file) in caught.value.message
    assert digest(file.read_bytes()) in caught.value.message


@pytest.mark.parametrize(
    ("listed", "message"),
    [
        (member("toy/none.txt", A), r"holds 0 files toy/none\.txt, expected 1"),
        (member("toy/a.txt", B), rf"expected sha256 {digest(B)}, met {digest(A)}"),
        (member("toy/*.txt", B, files=2), r"holds 1 files toy/\*\.txt, expected 2"),
    ],
    ids=["missing", "wrong hash", "too few"],
)
def test_an_archive_without_the_listed_members(shelf: Shelf, listed: dict[str, object], message: str) -> None:
    shelf.put("words", WHEEL, (shelf.root / "index" / WHEEL).read_bytes(), [listed])
    with pytest.raises(CorruptAsset, match=message):
        assets.path("words")
    assert assets.status() == {"words": "missing"}


@pytest.mark.parametrize("name", ["../evil.txt", "/evil.txt", "toy/../../evil.txt", "toy/sub/evil.txt"])
def test_paths_that_lead_elsewhere_are_not_written(shelf: Shelf, name: str) -> None:
    listed = member("toy/*.txt", f"{digest(A)}  a.txt\n".encode(), files=1)
    shelf.put("words", WHEEL, zipped({name: b"evil", "toy/a.txt": A, **INFO}), [listed])
    assert tree(assets.path("words")) == {"a.txt", ".asset.json"}
    assert not [file for file in shelf.root.rglob("evil*")]


@pytest.mark.parametrize("name", ["toy/..\\evil.txt", "toy/C:evil.txt", "toy/a?.txt"])
def test_names_that_are_not_safe_on_every_system(shelf: Shelf, name: str) -> None:
    shelf.put("words", WHEEL, zipped({name: A, **INFO}), [member("toy/*.txt", b"", files=1)])
    with pytest.raises(CorruptAsset, match="not safe to write"):
        assets.path("words")


def test_links_are_not_followed(shelf: Shelf) -> None:
    files = {"toy-link-1.0/PKG-INFO": b"Metadata-Version: 1.0\nName: toy-link\nVersion: 1.0\n"}
    content = tarred(files, link=("toy-link-1.0/a.txt", "/etc/hostname"))
    shelf.put("link", "toy-link-1.0.tar.gz", content, [member("toy-link-1.0/a.txt", A)])
    with pytest.raises(CorruptAsset, match="holds 0 files"):
        assets.path("link")


def test_a_right_hash_of_something_unreadable(shelf: Shelf) -> None:
    shelf.put("words", WHEEL, b"pinned by mistake", [member("toy/a.txt", A)])
    with pytest.raises(CorruptAsset, match="cannot be read"):
        assets.path("words")


def test_a_wheel_with_compiled_code_is_fetched_for_the_machine_it_was_built_for(shelf: Shelf) -> None:
    """Only data is taken from it, so the machine at hand does not matter."""
    info = {name.replace("toy_words", "toy_built"): content for name, content in INFO.items()}
    tags = {"toy_built-1.0.dist-info/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: cp39-cp39-win32\n"}
    name = {"toy_built-1.0.dist-info/METADATA": b"Metadata-Version: 2.1\nName: toy-built\nVersion: 1.0\n"}
    content = zipped({"toy/a.txt": A, **info, **tags, **name})
    built = {"python": "3.9", "platform": "win32"}
    shelf.put("built", "toy_built-1.0-cp39-cp39-win32.whl", content, [member("toy/a.txt", A)], **built)
    shelf.empty_downloads()
    assert (assets.fetch("built") / "a.txt").read_bytes() == A


# --- network, disk, pip -----------------------------------------------------------------------------------


def test_offline_says_how_to_go_on(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    """A port on this machine where nobody listens: the connection is refused."""
    shelf.empty_downloads()
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.delenv("PIP_FIND_LINKS")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    with pytest.raises(Offline) as caught:
        assets.path("words")
    assert "words is missing, and toy-words==1.0 could not be fetched" in caught.value.message
    assert WHEEL in caught.value.fix and str(shelf.cache / "downloads") in caught.value.fix
    assert not list(shelf.cache.rglob(".partial*"))


def test_what_is_complete_stays_when_the_network_goes(shelf: Shelf) -> None:
    zebra = "toy_zebra-1.0-py3-none-any.whl"
    shelf.put("zebra", zebra, b"", [])
    for folder in (shelf.root / "index", shelf.cache / "downloads"):
        (folder / zebra).unlink()
    with pytest.raises(Offline, match="zebra"):
        assets.fetch_core()
    assert assets.status() == {"words": "ready", "zebra": "missing"}


@pytest.mark.parametrize(
    ("said", "error", "message"),
    [
        ("ERROR: No matching distribution found for toy-words==1.0", Offline, "No matching distribution"),
        ("/usr/bin/python: No module named pip", MissingAsset, "has no pip"),
        (f"ERROR: THESE PACKAGES DO NOT MATCH THE HASHES\n  Got  {'0' * 64}", CorruptAsset, "met " + "0" * 64),
    ],
    ids=["withdrawn", "no pip", "another file"],
)
def test_what_pip_says_becomes_an_error(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch, said: str, error: type[CourseError], message: str
) -> None:
    shelf.empty_downloads()
    monkeypatch.setattr(download, "_run_pip", lambda *_: (1, said))
    with pytest.raises(error, match=message):
        assets.path("words")


@pytest.mark.parametrize(("number", "fix"), [(28, "free 0 MB, or set COURSE_CACHE"), (30, "^set COURSE_CACHE")])
def test_a_full_or_read_only_disk(shelf: Shelf, monkeypatch: pytest.MonkeyPatch, number: int, fix: str) -> None:
    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(archives, "_write", fail)
    with pytest.raises(MissingAsset, match=os.strerror(number)) as caught:
        assets.path("words")
    assert caught.value.fix.startswith(fix.lstrip("^"))
    monkeypatch.undo()
    assert not list(shelf.cache.rglob(".partial*"))


def test_long_downloads_tell_how_far_they_are(shelf: Shelf) -> None:
    asset = replace(assets.read_manifest()["words"], archive_bytes=10_000_000)
    work = shelf.root / "work"
    work.mkdir()
    (work / "half").write_bytes(bytes(5_000_001))
    said: list[str] = []
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1)"]) as slow:
        download._watch(slow, asset, work, said.append)
    assert said == ["words: 50 % of 10.0 MB"]


def test_the_size_of_a_folder_that_loses_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """pip unpacks an sdist, reads its metadata and removes it, while the folder is being measured."""
    for folder in ("kept", "removed"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "file").write_bytes(bytes(7))
    scandir = os.scandir

    def remove_first(place: str | Path) -> Iterator[os.DirEntry[str]]:
        if Path(place).name == "removed":
            (tmp_path / "removed" / "file").unlink()
            (tmp_path / "removed").rmdir()
        return scandir(place)

    monkeypatch.setattr(os, "scandir", remove_first)
    assert download._size(tmp_path) == 7


# --- killed, and two at once ------------------------------------------------------------------------------

RUN = """
import os, sys
from pathlib import Path
sys.path.insert(0, {repository!r})
from course_lib import assets
from course_lib.assets import manifest, store
manifest.data_folder = lambda: Path({data!r})
{extra}
assets.fetch("words", lambda line: print(line, flush=True))
"""


def script(shelf: Shelf, extra: str = "") -> list[str]:
    text = RUN.format(repository=str(REPOSITORY), data=str(shelf.root / "data"), extra=extra)
    return [sys.executable, "-c", text]


KILL = "os.kill(os.getpid(), 9)"
KILLED = {
    "while unpacking": f"store.unpack = lambda a, b, folder: ((folder / 'a.txt').write_bytes(b'fi'), {KILL})",
    "before the rename": f"store._swap = lambda *_: {KILL}",
    "between the renames": f"""
folder = store.cache_folder() / "assets" / "words"
folder.mkdir(parents=True)
(folder / "a.txt").write_bytes(b"old")
(folder / ".asset.json").write_text('{{"archive_sha256": "old", "files": {{}}}}')
rename = os.replace
os.replace = lambda a, b: {KILL} if Path(b) == folder else rename(a, b)
""",
    "while downloading": f"store._archive = lambda a, downloads, p: ((downloads / '.partial-x').mkdir(), {KILL})",
}


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
@pytest.mark.parametrize("extra", KILLED.values(), ids=KILLED)
def test_killed_and_run_again(shelf: Shelf, extra: str) -> None:
    assert subprocess.run(script(shelf, extra), check=False).returncode == -9
    assert list(shelf.cache.rglob(".partial*")), "the kill came too early to prove anything"
    assert assets.status() == {"words": "missing"}
    folder = assets.path("words")
    assert tree(folder) == {"a.txt", "b.txt", ".asset.json"}
    assert (folder / "a.txt").read_bytes() == A
    assert not list(shelf.cache.rglob(".partial*"))


def test_interrupted_by_the_learner_leaves_no_pip_behind(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    shelf.empty_downloads()
    started: list[subprocess.Popen[bytes]] = []

    def interrupt(pip: subprocess.Popen[bytes], *_: object) -> None:
        started.append(pip)
        raise KeyboardInterrupt

    monkeypatch.setattr(download, "_watch", interrupt)
    with pytest.raises(KeyboardInterrupt):
        assets.path("words")
    assert started[0].wait(timeout=10) != 0
    assert not list(shelf.cache.rglob(".partial*"))


def test_several_processes_at_once_fetch_once(shelf: Shelf) -> None:
    shelf.empty_downloads()
    runs = [subprocess.Popen(script(shelf), stdout=subprocess.PIPE, text=True) for _ in range(3)]
    said = [run.communicate(timeout=120)[0] for run in runs]
    assert [run.returncode for run in runs] == [0, 0, 0]
    assert "".join(said).count("fetching toy-words") == 1
    assert assets.path("words")


def test_waiting_for_another_process_is_said(shelf: Shelf) -> None:
    holding = script(shelf, "with store._lock(print):\n    print('held', flush=True); import time; time.sleep(1.5)")
    with subprocess.Popen(holding, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None and other.stdout.readline() == "held\n"
        said: list[str] = []
        assets.fetch("words", said.append)
    assert said[0] == "waiting: another process is fetching"


# --- names, status, the manifest --------------------------------------------------------------------------


def test_an_unknown_name(shelf: Shelf) -> None:
    for call in (assets.path, assets.fetch, assets.verify):
        with pytest.raises(BadInput, match=r"'word'[\s\S]*words"):
            call("word")


def test_status_before_and_after(shelf: Shelf) -> None:
    assert assets.status() == {"words": "missing"}
    with pytest.raises(MissingAsset, match="python -m course_lib data"):
        assets.verify("words")
    assets.fetch("words")
    assets.verify("words")
    assert assets.status() == {"words": "ready"}


@pytest.mark.parametrize(
    "content", [b"not toml", b"[words]\nwhat = 1", b"[words]\nmembers = [{ colour = 1 }]", b"what = 1", b"# caf\xe9"]
)
def test_a_broken_manifest(shelf: Shelf, content: bytes) -> None:
    (shelf.root / "data" / "manifest.toml").write_bytes(content)
    with pytest.raises(CorruptAsset, match=r"manifest\.toml cannot be read"):
        assets.status()


def test_no_manifest(shelf: Shelf) -> None:
    (shelf.root / "data" / "manifest.toml").unlink()
    with pytest.raises(MissingAsset, match="clone of the repository"):
        assets.status()


# --- the real ones ----------------------------------------------------------------------------------------

CORE = ["course_encoder", "sentiment_ratings", "vader_lexicon", "speeches", "wikipedia_leads", "wordnet"]


def test_the_manifest_names_the_notebooks_that_need_an_asset_which_is_not_core() -> None:
    """A notebook needs what its code names, and what the case studies that it imports name."""
    needs: dict[str, set[str]] = {asset.name: set() for asset in assets.read_manifest().values() if not asset.core}
    for path in find():
        code = "\n".join(cell.source for cell in code_cells(read(path)))
        cases = [
            file for file in (REPOSITORY / "course_lib" / "cases").glob("*.py") if file.stem in words_of_imports(code)
        ]
        text = "\n".join([code, *(file.read_text(encoding="utf-8") for file in cases)])
        for name in needs:
            if f'"{name}"' in text:
                needs[name].add(path.name[:2])
    assert needs == {name: set(assets.read_manifest()[name].notebooks) for name in needs}


def words_of_imports(code: str) -> set[str]:
    """Words of the lines that import case studies."""
    return {word for line in code.splitlines() if "course_lib.cases" in line for word in re.findall(r"\w+", line)}


def test_the_real_manifest() -> None:
    table = assets.read_manifest()
    assert [name for name, asset in table.items() if asset.core] == CORE
    for asset in table.values():
        assert len(asset.sha256) == 64 and asset.kind in ("wheel", "sdist")
        assert (assets.data_folder() / asset.card).is_file()


def test_the_real_assets_are_whole() -> None:
    places = dict(zip(CORE, assets.fetch_core(), strict=True))
    for name in CORE:
        folder = assets.cache_folder() / "assets" / name
        size = sum((folder / place).stat().st_size for place in tree(folder) - {".asset.json"})
        assert size == assets.read_manifest()[name].unpacked_bytes
    assert {assets.status(full=True)[name] for name in CORE} == {"ready"}
    assert {"config.json", "model.safetensors", "tokenizer.json", "vocab.txt"} <= tree(places["course_encoder"])
    assert len(list((places["speeches"] / "speeches").glob("*.txt"))) == 249
    assert len(json.loads(places["wikipedia_leads"].read_text(encoding="utf-8"))) == 10_033
    assert places["vader_lexicon"].is_file()


def test_the_second_look_in_a_process_is_cheap() -> None:
    assets.path("course_encoder")
    start = time.perf_counter()
    assets.path("course_encoder")
    assert time.perf_counter() - start < 0.05


def test_importing_assets_is_light() -> None:
    code = "import sys; import course_lib.assets; print({'torch', 'pandas', 'numpy'} & set(sys.modules))"
    found = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "set()"
