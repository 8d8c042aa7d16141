"""The cluster's credential: made once, refused whenever somebody else could have it."""

import os
import stat
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from nanoboost.errors import UserError
from nanoboost.net.credential import Credential, create, load, replace


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "cluster.pem")


@pytest.fixture
def made(path: str) -> str:
    create(path)
    return path


def refusal(path: str) -> str:
    with pytest.raises(UserError) as caught:
        load(path)
    text = str(caught.value)
    assert text.startswith(path)
    assert "\n" not in text
    return text.removeprefix(path).strip()


def pem_of(key: Any, encryption: Any = None) -> bytes:
    pem: bytes = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        encryption or serialization.NoEncryption(),
    )
    return pem


def write(path: str, *parts: bytes) -> None:
    Path(path).write_bytes(b"".join(parts))
    os.chmod(path, 0o600)


def split(path: str) -> tuple[bytes, bytes]:
    """The key and the certificate of a credential, as PEM."""
    data = Path(path).read_bytes()
    key, mark, certificate = data.partition(b"-----BEGIN CERTIFICATE")
    return key, mark + certificate


# --- making --------------------------------------------------------------------------------------


def test_what_was_made_can_be_loaded(path: str) -> None:
    made = create(path)
    loaded = load(path)
    assert loaded.cluster == made.cluster
    assert len(loaded.cluster) == 16
    assert loaded.accepted == made.accepted
    assert loaded.datagram_keys() == made.datagram_keys()
    assert [len(key) for key in loaded.datagram_keys()] == [32]


def test_each_cluster_is_another(tmp_path: Path) -> None:
    one, two = (create(str(tmp_path / name)) for name in ("1.pem", "2.pem"))
    assert one.cluster != two.cluster
    assert one.datagram_keys() != two.datagram_keys()


def test_it_is_for_its_owner_only_whatever_the_umask(path: str) -> None:
    before = os.umask(0)
    try:
        create(path)
    finally:
        os.umask(before)
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600


def test_its_directory_is_made(tmp_path: Path) -> None:
    create(str(tmp_path / "config" / "nanoboost" / "cluster.pem"))
    assert stat.S_IMODE((tmp_path / "config" / "nanoboost").stat().st_mode) == 0o700


@pytest.mark.parametrize("there", ["a credential", "another file", "a dangling link"])
def test_nothing_is_ever_overwritten(path: str, there: str) -> None:
    if there == "a credential":
        create(path)
    elif there == "another file":
        Path(path).write_text("precious")
    else:
        os.symlink("nowhere", path)
    before = Path(path).read_bytes() if there != "a dangling link" else b""
    with pytest.raises(UserError, match="exists and is never overwritten: use it, or move it"):
        create(path)
    assert there == "a dangling link" or Path(path).read_bytes() == before


def test_a_parent_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for below in ("cluster.pem", "deeper/cluster.pem"):
        with pytest.raises(UserError, match="is no directory to write to"):
            create(str(tmp_path / "file" / below))


def test_a_full_disk_leaves_nothing_half_made(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match="cannot be written: No space left on device"):
        create(path)
    assert not os.path.lexists(path)


def test_the_secret_is_in_no_text(path: str) -> None:
    made = create(path)
    assert str(made.private_key.private_numbers().private_value) not in repr(made)
    assert repr(made) == f"Credential(path={path!r})"


# --- who else could have it ----------------------------------------------------------------------


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o660, 0o604, 0o601])
def test_others_could_read_it(made: str, mode: int) -> None:
    os.chmod(made, mode)
    assert refusal(made) == f"can be read by others (mode {mode:04o}): `chmod 600 {made}`"


def test_a_link_is_not_followed(made: str, tmp_path: Path) -> None:
    link = str(tmp_path / "link.pem")
    os.symlink(made, link)
    assert refusal(link) == f"is a symbolic link: name the file itself, {made}"


def test_a_pipe_does_not_hold_us(path: str) -> None:
    os.mkfifo(path, 0o600)
    assert refusal(path).startswith("is not a regular file")


def test_a_directory(tmp_path: Path) -> None:
    assert refusal(str(tmp_path)).startswith("is not a regular file")


def test_it_belongs_to_somebody_else(made: str, monkeypatch: pytest.MonkeyPatch) -> None:
    us = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: us + 1)
    if us == 0:
        assert load(made).cluster, "root's files are trusted"
        return
    assert refusal(made) == (f"belongs to another user (uid {us}): `sudo chown {us + 1} {made}`")


def test_a_file_of_a_third_user(made: str, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.fstat

    def third(fd: int) -> Any:
        found = list(real(fd))
        found[stat.ST_UID] = 4242
        return os.stat_result(found)

    monkeypatch.setattr(os, "fstat", third)
    assert refusal(made).startswith("belongs to another user (uid 4242): `sudo chown ")


def test_it_is_not_there(path: str) -> None:
    assert refusal(path) == ("does not exist: make it with `nanoboost init`, or copy a member's")


@pytest.mark.skipif(os.getuid() == 0, reason="root may read everything")
def test_we_may_not_read_it(made: str) -> None:
    os.chmod(made, 0)
    assert refusal(made).startswith("cannot be read")


def test_names_with_blanks_are_quoted_in_the_repair(tmp_path: Path) -> None:
    path = str(tmp_path / "my cluster.pem")
    create(path)
    os.chmod(path, 0o644)
    assert refusal(path).endswith(f"`chmod 600 '{path}'`")


# --- what is in it -------------------------------------------------------------------------------


@pytest.mark.parametrize("data", [b"", b"garbage\n" * 100, bytes(1000), b"\xff" * 1000])
def test_garbage(path: str, data: bytes) -> None:
    write(path, data)
    assert refusal(path).startswith("holds 0 private keys and 0 certificates: one key and at least")


def test_too_large(path: str) -> None:
    write(path, bytes(1 << 20))
    assert refusal(path) == "is larger than 64 KiB: this is no credential"


def test_without_its_key(made: str) -> None:
    write(made, split(made)[1])
    assert refusal(made).startswith("holds 0 private keys and 1 certificates")


def test_without_a_certificate(made: str) -> None:
    write(made, split(made)[0])
    assert refusal(made).startswith("holds 1 private keys and 0 certificates")


def test_two_keys(made: str) -> None:
    key, certificate = split(made)
    write(made, key, key, certificate)
    assert refusal(made).startswith("holds 2 private keys and 1 certificates")


def test_a_key_with_a_password(made: str) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    locked = pem_of(key, serialization.BestAvailableEncryption(b"secret"))
    write(made, locked, split(made)[1])
    assert refusal(made).startswith("holds 0 private keys and 1 certificates")


def test_another_key(made: str) -> None:
    write(made, pem_of(ec.generate_private_key(ec.SECP256R1())), split(made)[1])
    assert refusal(made).startswith("holds a key that does not match the first certificate: copy")


@pytest.mark.parametrize(
    "key",
    [
        rsa.generate_private_key(65537, 2048),
        ec.generate_private_key(ec.SECP384R1()),
    ],
    ids=["RSA", "P-384"],
)
def test_a_key_of_another_kind(made: str, key: Any) -> None:
    write(made, pem_of(key), split(made)[1])
    assert refusal(made).startswith("holds a key that is not P-256")


def test_a_damaged_certificate(made: str) -> None:
    key, certificate = split(made)
    lines = certificate.splitlines()
    write(made, key, b"\n".join([lines[0], b"AAAA", *lines[2:]]))
    assert refusal(made).startswith("is damaged (")


def test_a_damaged_key(made: str) -> None:
    key, certificate = split(made)
    lines = key.splitlines()
    write(made, b"\n".join([lines[0], b"AAAA", *lines[2:]]), b"\n", certificate)
    assert refusal(made).startswith("is damaged (")


def test_further_certificates_are_accepted_too(made: str, tmp_path: Path) -> None:
    other = str(tmp_path / "new.pem")
    create(other)
    ours, theirs = load(made), load(other)
    write(made, Path(made).read_bytes(), split(other)[1])
    both = load(made)
    assert both.cluster == ours.cluster
    assert both.accepted == ours.accepted | theirs.accepted


# --- changing the key ----------------------------------------------------------------------------


def steps(path: str) -> list[Credential]:
    """The credential before a change, and after each step of it."""
    stable = load(path)
    prepared = stable.with_successor()
    return [stable, prepared, prepared.promoted(), prepared.promoted().settled()]


def test_a_cluster_keeps_its_id_through_changes_of_its_key(made: str) -> None:
    credential = load(made)
    for generation in (2, 3, 4):
        *_, credential = steps(made)
        replace(credential)
        assert credential.cluster == load(made).cluster
        assert load(made).identities[0].generation == generation
        assert load(made).fingerprints == credential.fingerprints


def test_nodes_that_are_one_step_apart_accept_each_other_and_others_do_not(made: str) -> None:
    taken = steps(made)
    for one, other in product(range(4), range(4)):
        accept = taken[one].identities[0].fingerprint in taken[other].accepted
        accepted = taken[other].identities[0].fingerprint in taken[one].accepted
        assert (accept and accepted) == (abs(one - other) <= 1)


def test_what_each_step_seals_the_neighbours_open(made: str) -> None:
    stable, prepared, promoted, settled = (each.datagram_keys() for each in steps(made))
    assert stable[0] == prepared[0] != promoted[0] == settled[0]
    assert set(prepared) == set(promoted) == {stable[0], settled[0]}


def test_no_step_can_be_left_out_and_each_can_be_repeated(made: str) -> None:
    stable, prepared, promoted, settled = steps(made)
    for one, other in ((stable, prepared), (prepared, promoted), (promoted, settled)):
        assert one.next(other.pem()).fingerprints == other.fingerprints
        assert other.next(other.pem()).fingerprints == other.fingerprints
        assert other.next(one.pem()).fingerprints == one.fingerprints, "nor is any final"
    for one, other in ((stable, promoted), (stable, settled), (prepared, settled)):
        for here, there in ((one, other), (other, one)):
            with pytest.raises(UserError, match="more than one step away"):
                here.next(there.pem())


def test_where_a_change_stands_can_be_read_from_the_file(made: str) -> None:
    assert [each.is_to_be_promoted for each in steps(made)] == [False, True, False, False]


def test_the_credential_of_another_cluster_is_no_next_one(made: str, tmp_path: Path) -> None:
    other = create(str(tmp_path / "other.pem"))
    with pytest.raises(UserError, match=f"is of cluster {other.cluster}, not {load(made).cluster}"):
        load(made).next(other.pem())
    with pytest.raises(UserError, match="holds 0 private keys"):
        load(made).next(b"garbage")


def test_it_is_replaced_whole_or_not_at_all(made: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _, prepared, *_ = steps(made)
    before = Path(made).read_bytes()

    def full(fd: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(UserError, match=r"cannot be written \(No space left"):
            replace(prepared)
    assert Path(made).read_bytes() == before
    replace(prepared)
    assert load(made).fingerprints == prepared.fingerprints
    assert stat.S_IMODE(os.stat(made).st_mode) == 0o600
    assert os.listdir(os.path.dirname(made)) == [os.path.basename(made)]


def test_the_keys_of_two_clusters_in_one_file(made: str, tmp_path: Path) -> None:
    other = create(str(tmp_path / "other.pem"))
    write(made, load(made).pem(), other.pem())
    assert refusal(made).startswith("holds the keys of two clusters")


def test_three_keys(made: str) -> None:
    write(made, *[load(made).pem()] * 3)
    assert refusal(made).startswith("holds 3 private keys and 3 certificates")


def test_a_second_key_without_its_certificate(made: str) -> None:
    stable, prepared, *_ = steps(made)
    write(made, prepared.pem().replace(split(made)[1], b"") + split(made)[1])
    assert "does not match the first certificate" in refusal(made)
    write(made, stable.pem() + prepared.pem())
    assert refusal(made).startswith("holds 3 private keys")
