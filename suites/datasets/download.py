"""Fetch a data set's official archive: with progress, resumed where it broke off, checked, unpacked safely."""

import hashlib
import os
import shutil
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

from suites.datasets.dataset import DatasetError

# of a connection, and between two pieces of an answer
TIMEOUT_SECONDS = (15, 60)
ATTEMPTS = 3
# bytes at a time; of a broken connection less than that is lost
PIECE = 2**16
# no member of an archive fetched here is larger
LARGEST_MEMBER = 512 * 2**20
# a link in place of the file is not followed, where the system can tell
_WRITE = os.O_WRONLY | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)


@dataclass(frozen=True)
class Archive:
    """A tar file that its upstream offers.

    Attributes:
        url: where.
        md5: its checksum, as the upstream publishes it.
        members: the files in it that are wanted.
        megabytes: room that it takes, packed and unpacked.
    """

    url: str
    md5: str
    members: tuple[str, ...]
    megabytes: int

    @property
    def name(self) -> str:
        """Name of the file."""
        return self.url.rpartition("/")[2]


def fetch_archive(archive: Archive, folder: Path, url: str | None = None, progress: bool = True) -> None:
    """Put the members of an archive under a folder.

    An archive of this name that lies in the folder already is used; otherwise it is downloaded to a `.part` file, which
    a later call goes on with, and removed once it is unpacked.

    Args:
        archive: what to fetch.
        folder: the data folder; made where it is missing.
        url: another address of the same file, such as a mirror; the checksum stays.
        progress: draw a bar.

    Raises:
        DatasetError: no network, no room, a wrong checksum or a damaged archive; the message says what to do.
    """
    path = folder / archive.name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _check_room(folder, archive)
        given = path.exists()
        if not given:
            part = path.with_name(path.name + ".part")
            if part.is_symlink() or (part.exists() and not part.is_file()):  # what it leads to is not ours to write
                raise DatasetError(f"{part} is no file of this command (a link, a folder or a device). Delete it")
            _download(archive, url or archive.url, part, progress)
            _check_sum(part, archive, "Run the same command again to download it anew", remove=True)
            os.replace(part, path)
        else:
            _check_sum(path, archive, "Delete it, and it is downloaded")
        _unpack(path, archive, folder)
        if not given:
            path.unlink()
    except OSError as error:
        raise DatasetError(
            f"{archive.name} cannot be stored in {folder}: {error.strerror or error}. Name another folder by ABKD_DATA"
        ) from error


def _check_room(folder: Path, archive: Archive) -> None:
    free = shutil.disk_usage(folder).free / 1e6
    if free < archive.megabytes:
        raise DatasetError(
            f"{folder} has {free:.0f} MB free; {archive.name} takes {archive.megabytes} MB, packed and unpacked. Make room, "
            "or name another folder by ABKD_DATA"
        )


def _check_sum(path: Path, archive: Archive, next_step: str, *, remove: bool = False) -> None:
    with path.open("rb") as file:
        found = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    if found != archive.md5:
        size = path.stat().st_size
        if remove:
            path.unlink()
        raise DatasetError(f"{path} ({size:,} bytes) has the MD5 checksum {found}; {archive.md5} is expected. {next_step}")


def _download(archive: Archive, url: str, part: Path, progress: bool) -> None:
    """Download to `part`, going on where it ends; a broken connection is tried again."""
    import requests

    reason = ""
    for _ in range(ATTEMPTS):
        try:
            return _receive(url, part, archive.megabytes * 10**6, progress)
        except requests.HTTPError as error:
            reason = str(error)
            break
        except requests.RequestException as error:
            # what lies beneath says it in fewer words: a name that is not resolved, a connection that is refused
            reason = str(getattr(next(iter(error.args), None), "reason", error))
    kept = f" {part.stat().st_size:,} bytes are kept, and a later call goes on." if part.exists() else ""
    raise DatasetError(
        f"{url} cannot be downloaded: {' '.join(reason.split())[:300]}.{kept} Without a network: download it elsewhere "
        f"(MD5 {archive.md5}), put it in {part.parent} as {archive.name}, and run the same command again"
    )


def _receive(url: str, part: Path, most: int, progress: bool) -> None:
    """One request for what `part` lacks; DatasetError where that is more than `most` bytes in all."""
    import requests
    from tqdm import tqdm

    have = part.stat().st_size if part.exists() else 0
    # an encoded answer could not be gone on with
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT_SECONDS) as answer:
        if answer.status_code == 416:  # nothing is left to send: the checksum says whether it is the file
            return
        answer.raise_for_status()
        if answer.status_code != 206:  # the server sends all of it, asked or not
            have = 0
        length = answer.headers.get("Content-Length", "")
        total = have + int(length) if length.isdigit() else None
        if total is not None and total > most:
            raise _too_much(url, part, f"announces {total:,} bytes", most)
        with (
            os.fdopen(os.open(part, _WRITE | (os.O_APPEND if have else os.O_TRUNC), 0o666), "wb") as file,
            tqdm(total=total, initial=have, unit="B", unit_scale=True, desc=part.stem, disable=not progress) as bar,
        ):
            for piece in answer.iter_content(PIECE):
                have += len(piece)
                if have > most:
                    raise _too_much(url, part, "sends more", most)
                file.write(piece)
                bar.update(len(piece))


def _too_much(url: str, part: Path, found: str, most: int) -> DatasetError:
    part.unlink(missing_ok=True)
    return DatasetError(
        f"{url} {found}; at most {most:,} bytes are expected, so it is not the file. Name another address by --url"
    )


def _unpack(path: Path, archive: Archive, folder: Path) -> None:
    """Copy the wanted members; no path, link or mode of the archive is ever followed."""
    with tempfile.TemporaryDirectory(prefix=f".{archive.name}.", dir=folder) as temporary:
        try:
            with tarfile.open(path) as tar:
                for name in archive.members:
                    member = tar.getmember(name)
                    if not member.isreg() or member.size > LARGEST_MEMBER:
                        raise DatasetError(f"{path}: its member {name} is no file of at most {LARGEST_MEMBER:,} bytes")
                    target = Path(temporary) / name
                    target.parent.mkdir(parents=True, exist_ok=True)
                    with tar.extractfile(member) as source, target.open("wb") as copy:
                        shutil.copyfileobj(source, copy, PIECE)
        except (tarfile.TarError, KeyError, EOFError) as error:
            raise DatasetError(
                f"{path} is no tar file with {', '.join(archive.members)}: {error}. Delete it, and it is downloaded"
            ) from error
        for name in archive.members:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            os.replace(Path(temporary) / name, folder / name)
