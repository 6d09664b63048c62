"""Fetching: progress, resuming, checksums, safe unpacking, and the command's table, against a server on this machine."""

import functools
import hashlib
import http.server
import io
import re
import shutil
import tarfile
import threading
from dataclasses import replace

import numpy as np
import pytest

from suites.datasets import TABLE, __main__, cifar100, cifar_layout, download, others
from suites.datasets.cifar_layout import Contents
from suites.datasets.dataset import INCOMPLETE, NOT_THERE, THERE, DatasetError
from suites.datasets.download import Archive, fetch_archive

MEMBERS = ("set/train", "set/meta")
CONTENT = {"set/train": bytes(range(256)) * 2000, "set/meta": b"names"}


def _tar(entries):
    """A tar.gz of (name, bytes) files and ready-made TarInfo entries."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as tar:
        for entry, content in entries:
            info = tarfile.TarInfo(entry) if isinstance(entry, str) else entry
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return stream.getvalue()


class _Handler(http.server.BaseHTTPRequestHandler):
    """Serves one file; notes what was asked; may ignore ranges, or break off after so many bytes."""

    def __init__(self, state, *arguments):
        self.state = state
        super().__init__(*arguments)

    def do_GET(self):
        state = self.state
        wanted = self.headers.get("Range")
        state["asked"].append(wanted)
        content, first = state["content"], 0
        if self.path != "/set.tar.gz":
            return self.send_error(404)
        if wanted and state["ranges"]:
            first = int(re.match(r"bytes=(\d+)-", wanted)[1])
            if first >= len(content):
                return self.send_error(416)
        self.send_response(206 if first else 200)
        if state.get("announces", True):
            self.send_header("Content-Length", str(len(content) - first))
        self.end_headers()
        self.wfile.write(content[first:][: state["break_after"].pop(0) if state["break_after"] else None])

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    state = {"asked": [], "content": _tar(CONTENT.items()), "ranges": True, "break_after": []}
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Handler, state)) as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        state["url"] = f"http://127.0.0.1:{running.server_port}/set.tar.gz"
        yield state
        running.shutdown()
        thread.join()


def _archive(state, **changes):
    values = {"url": state["url"], "md5": hashlib.md5(state["content"]).hexdigest(), "members": MEMBERS, "megabytes": 1}
    return Archive(**values | changes)


def _files(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_an_archive_is_downloaded_checked_unpacked_and_removed(server, tmp_path, capsys):
    fetch_archive(_archive(server), tmp_path / "data")
    assert _files(tmp_path / "data") == CONTENT
    assert "set.tar.gz" in capsys.readouterr().err  # the bar
    fetch_archive(_archive(server), tmp_path / "quiet", progress=False)
    assert capsys.readouterr().err == ""


def test_a_broken_download_goes_on_where_it_ended(server, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "PIECE", 100)
    server["break_after"] = [700, 500]
    fetch_archive(_archive(server), tmp_path)
    assert _files(tmp_path) == CONTENT and server["asked"] == [None, "bytes=700-", "bytes=1200-"]


def test_a_later_call_goes_on_too_and_what_is_kept_is_said(server, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "PIECE", 100)
    server["break_after"] = [300, 100, 100]
    with pytest.raises(DatasetError, match=r"500 bytes are kept, and a later call goes on") as caught:
        fetch_archive(_archive(server), tmp_path)
    assert caught.match(rf"MD5 {_archive(server).md5}\), put it in {re.escape(str(tmp_path))} as set.tar.gz")
    fetch_archive(_archive(server), tmp_path)
    assert _files(tmp_path) == CONTENT and server["asked"][-1] == "bytes=500-"


def test_a_server_without_ranges_sends_it_all_again(server, tmp_path):
    server["ranges"] = False
    (tmp_path / "set.tar.gz.part").write_bytes(b"x" * 100)
    fetch_archive(_archive(server), tmp_path)
    assert _files(tmp_path) == CONTENT


def test_a_finished_part_is_not_downloaded_again(server, tmp_path):
    (tmp_path / "set.tar.gz.part").write_bytes(server["content"])
    fetch_archive(_archive(server), tmp_path)
    assert _files(tmp_path) == CONTENT


def test_a_wrong_checksum_names_both_and_the_next_call_starts_anew(server, tmp_path):
    right = server["content"]
    server["content"] = right[:-9] + b"garbage!!"
    archive = _archive(server, md5=hashlib.md5(right).hexdigest())
    found = hashlib.md5(server["content"]).hexdigest()
    with pytest.raises(DatasetError, match=f"{found}; {archive.md5} is expected. Run the same command again"):
        fetch_archive(archive, tmp_path)
    assert _files(tmp_path) == {}
    server["content"] = right
    fetch_archive(archive, tmp_path)
    assert _files(tmp_path) == CONTENT


def test_an_archive_that_the_user_put_there_is_used_and_kept(server, tmp_path):
    (tmp_path / "set.tar.gz").write_bytes(server["content"])
    fetch_archive(_archive(server, url="http://127.0.0.1:9/set.tar.gz"), tmp_path)
    assert _files(tmp_path) == CONTENT | {"set.tar.gz": server["content"]} and server["asked"] == []
    (tmp_path / "set.tar.gz").write_bytes(b"another file")
    with pytest.raises(DatasetError, match="12 bytes.*MD5 checksum .* is expected. Delete it, and it is downloaded"):
        fetch_archive(_archive(server), tmp_path)
    assert (tmp_path / "set.tar.gz").read_bytes() == b"another file"


def test_without_a_network_the_message_says_what_to_put_where(tmp_path):
    archive = Archive(url="http://127.0.0.1:9/set.tar.gz", md5="0" * 32, members=MEMBERS, megabytes=1)
    with pytest.raises(DatasetError, match="cannot be downloaded: .*Without a network: download it elsewhere") as caught:
        fetch_archive(archive, tmp_path)
    assert archive.md5 in str(caught.value) and str(tmp_path) in str(caught.value)


def test_a_missing_file_is_not_asked_for_again(server, tmp_path):
    with pytest.raises(DatasetError, match="404"):
        fetch_archive(_archive(server), tmp_path, url=server["url"].replace("set.tar", "other.tar"))
    assert len(server["asked"]) == 1


def test_no_room_is_said_before_the_download(server, tmp_path):
    with pytest.raises(DatasetError, match="MB free; set.tar.gz takes"):
        fetch_archive(_archive(server, megabytes=10**12), tmp_path)
    assert server["asked"] == []


def test_nothing_in_an_archive_can_write_outside_its_folder(server, tmp_path):
    link = tarfile.TarInfo("set")
    link.type, link.linkname = tarfile.SYMTYPE, str(tmp_path / "outside")
    evil = [("../escaped", b"x"), ("/tmp/abkd-escaped", b"x"), (link, b""), *CONTENT.items()]
    server["content"] = _tar(evil)
    (tmp_path / "outside").mkdir()
    fetch_archive(_archive(server), tmp_path / "data")
    assert _files(tmp_path) == {f"data/{name}": content for name, content in CONTENT.items()}


@pytest.mark.parametrize("kind", ["link", "missing", "no tar", "cut"])
def test_an_archive_without_its_members_is_named(server, tmp_path, kind):
    link = tarfile.TarInfo("set/train")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    server["content"] = {
        "link": _tar([(link, b""), ("set/meta", b"names")]),
        "missing": _tar([("set/meta", b"names")]),
        "no tar": b"<html>moved</html>",
        "cut": server["content"][:900],
    }[kind]
    with pytest.raises(DatasetError, match="set.tar.gz"):
        fetch_archive(_archive(server), tmp_path)
    assert not any(name.startswith("set/") for name in _files(tmp_path))


def test_the_official_archive_is_the_one_of_the_papers_data_set():
    assert cifar100.ARCHIVE.url.startswith("https://www.cs.toronto.edu/~kriz/")
    assert cifar100.ARCHIVE.md5 == "eb9058c3a382ffc7106e4002c42a8d85"


def test_the_table_tells_there_incomplete_and_not_there(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("ABKD_DATA", str(tmp_path))
    (tmp_path / "dolly").mkdir()
    (tmp_path / "dolly/train.jsonl").write_text("{}")
    assert __main__.main(["list"]) == 0
    printed = capsys.readouterr().out
    assert len(re.findall(r"not yet +(?:there|incomplete|not there)$", printed, re.MULTILINE)) == 16
    assert re.search(r"CIFAR-100 +cifar100 +classification +yes +not there\n", printed)
    assert re.search(r"dolly +.*incomplete\n", printed) and "dolly/dev.jsonl, dolly/valid.jsonl missing" in printed
    assert "nox -s data -- fetch cifar100" in printed and str(tmp_path) in printed
    assert __main__.main(["path"]) == 0 and capsys.readouterr().out.strip() == str(tmp_path)


def test_presence_of_named_files(tmp_path):
    assert others.find(("a/b", "c"), tmp_path).state == NOT_THERE
    (tmp_path / "c").touch()
    assert others.find(("a/b", "c"), tmp_path).state == INCOMPLETE
    (tmp_path / "a/b").mkdir(parents=True)
    assert others.find(("a/b", "c"), tmp_path).state == THERE


def test_fetch_of_what_cannot_be_fetched_says_how_to_get_it(capsys):
    with pytest.raises(SystemExit) as ended:
        __main__.main(["fetch", "dtd"])
    assert ended.value.code == 2 and "DATASETS.md" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        __main__.main(["fetch", "cifar"])
    assert "it is not known. Data sets that can be fetched: cifar100" in capsys.readouterr().err


def test_fetch_downloads_and_reads_what_it_got_and_does_so_once(server, tmp_path):
    folder = tmp_path / cifar_layout.FOLDER
    images, labels = np.zeros((6, 32, 32, 3), np.uint8), np.array([0, 1, 2] * 2)
    cifar_layout.write(folder, {"train": (images, labels), "test": (images[:3], labels[:3])}, ["a", "b", "c"])
    server["content"] = _tar((f"{folder.name}/{path.name}", path.read_bytes()) for path in folder.iterdir())
    shutil.rmtree(folder)
    contents = Contents(classes=3, train=2, test=1, next_step="")
    archive = _archive(server, members=tuple(f"{folder.name}/{name}" for name in ("train", "test", "meta")))
    row = replace(
        TABLE["cifar100"],
        presence=lambda place: cifar_layout.presence(place / folder.name, contents),
        fetch=functools.partial(fetch_archive, archive),
        load=lambda scale, seed: cifar100._read(folder, contents, "made here"),
    )
    assert "is there now, in" in __main__.fetch(row, tmp_path, None)
    assert "was there already, in" in __main__.fetch(row, tmp_path, None) and len(server["asked"]) == 1
    (folder / "train").write_bytes((folder / "train").read_bytes()[:100])
    assert "3 classes, 6 train, 3 test" in __main__.fetch(row, tmp_path, None)  # incomplete: fetched again


def test_fetch_without_a_network_ends_with_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("ABKD_DATA", str(tmp_path))
    assert __main__.main(["fetch", "cifar100", "--url", "http://127.0.0.1:9/cifar-100-python.tar.gz"]) == 1
    shown = capsys.readouterr()
    assert shown.out == "" and shown.err.count("\n") == 1 and "as cifar-100-python.tar.gz" in shown.err


def test_every_fetch_goes_through_the_same_code():
    assert [name for name, row in TABLE.items() if row.fetch] == ["cifar100"]
    assert TABLE["cifar100"].fetch.func is download.fetch_archive


@pytest.mark.parametrize("announces", [True, False])
def test_a_server_that_sends_too_much_is_stopped(server, tmp_path, announces):
    server |= {"content": bytes(5 * 10**6), "announces": announces}
    words = "announces 5,000,000 bytes" if announces else "sends more"
    with pytest.raises(DatasetError, match=f"{words}; at most 1,000,000 bytes are expected"):
        fetch_archive(_archive(server), tmp_path)
    assert _files(tmp_path) == {}


def test_a_part_that_is_a_link_is_not_followed(server, tmp_path):
    (tmp_path / "precious").write_bytes(b"precious")
    data = tmp_path / "data"
    data.mkdir()
    for target in (tmp_path / "precious", tmp_path / "not there"):
        (data / "set.tar.gz.part").unlink(missing_ok=True)
        (data / "set.tar.gz.part").symlink_to(target)
        with pytest.raises(DatasetError, match=r"set.tar.gz.part is no file of this command"):
            fetch_archive(_archive(server), data)
        with pytest.raises(OSError):
            download._receive(server["url"], data / "set.tar.gz.part", 10**6, False)
    assert (tmp_path / "precious").read_bytes() == b"precious" and not (tmp_path / "not there").exists()
