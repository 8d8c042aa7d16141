"""The cluster's credential: one file that makes its holder a member.

PEM: a P-256 private key (PKCS#8), its self-signed certificate, then any number of further
certificates that are accepted too (while a new credential is brought in).  **Whoever can read the
file is the cluster**, so it is only used if nobody else can; dates in it are not looked at, because
a Pi without a clock battery boots in 1970.
"""

import os
import re
import shlex
import stat
from datetime import UTC, datetime
from typing import NoReturn

from attrs import field, frozen
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.x509.oid import NameOID

from nanoboost.errors import UserError

FILE_BYTES_MAX = 64 << 10
DATAGRAM_INFO = b"nanoboost gossip v1"
COMMON_NAME = "nanoboost-cluster"
VALID_FROM = datetime(2000, 1, 1, tzinfo=UTC)
VALID_UNTIL = datetime(9999, 12, 31, tzinfo=UTC)

# cryptography 38 (Debian 12) has no `load_pem_x509_certificates`.
_BLOCK = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----.+?-----END \1-----", re.DOTALL)


@frozen(eq=False)
class Credential:
    """What the file holds.  `accepted` are the SHA-256 of the certificates that may connect, the
    own one among them."""

    private_key: ec.EllipticCurvePrivateKey = field(repr=False)
    certificate: x509.Certificate = field(repr=False)
    accepted: frozenset[bytes] = field(repr=False)

    @property
    def cluster(self) -> str:
        """The cluster's id: the first 16 hexadecimal digits of the own certificate's SHA-256."""
        return self.certificate.fingerprint(hashes.SHA256()).hex()[:16]

    def datagram_key(self) -> bytes:
        """32 secret bytes for datagrams: HKDF-SHA256 (RFC 5869) of the private scalar.

        Of the scalar, not of its serialisation, which differs between library versions.
        """
        scalar = self.private_key.private_numbers().private_value.to_bytes(32, "big")
        derivation = HKDF(hashes.SHA256(), length=32, salt=None, info=DATAGRAM_INFO)
        return derivation.derive(scalar)


def create(path: str) -> Credential:
    """Make the credential of a new cluster in the file `path`, readable by its owner only.

    Never overwrites: raises `UserError` if anything is there, or if it cannot be written.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = _self_signed(key)
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ) + certificate.public_bytes(serialization.Encoding.PEM)
    directory = os.path.dirname(os.path.abspath(path))
    try:
        os.makedirs(directory, mode=0o700, exist_ok=True)
    except OSError as error:
        raise UserError(f"{directory} is no directory to write to: {error.strerror}") from None
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    except FileExistsError:
        raise UserError(
            f"{path} exists and is never overwritten: use it, or move it away with "
            f"`mv {shlex.quote(path)} {shlex.quote(path)}.old`"
        ) from None
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror}") from None
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(pem)
            file.flush()
            os.fsync(file.fileno())
        _sync_directory(directory)
    except OSError as error:
        os.unlink(path)  # half a credential would be in the way of the next attempt
        raise UserError(f"{path} cannot be written: {error.strerror}") from None
    return load(path)


def load(path: str) -> Credential:
    """Read the credential in `path`; raises `UserError` naming the finding and its repair."""
    return _parse(path, _read(path))


def _self_signed(key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, COMMON_NAME)])
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(VALID_FROM)
        .not_valid_after(VALID_UNTIL)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )


def _sync_directory(directory: str) -> None:
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


# --- reading -------------------------------------------------------------------------------------


def _refuse(path: str, finding: str, repair: str) -> NoReturn:
    raise UserError(f"{path} {finding}: {repair}")


def _read(path: str) -> bytes:
    """The file's bytes, all checks and the reading done on one descriptor: what was checked is
    what is read.  (`O_NONBLOCK`: opening a FIFO must not wait for a writer.)"""
    quoted = shlex.quote(path)
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        _refuse(path, "does not exist", "make it with `nanoboost init`, or copy a member's")
    except PermissionError:
        _refuse(path, "cannot be read", f"`sudo chown {os.getuid()} {quoted}`")
    except OSError as error:
        if os.path.islink(path):
            target = shlex.quote(os.path.realpath(path))
            _refuse(path, "is a symbolic link", f"name the file itself, {target}")
        _refuse(path, f"cannot be opened ({error.strerror})", f"see `ls -l {quoted}`")
    try:
        _check(path, os.fstat(fd))
        data = os.read(fd, FILE_BYTES_MAX + 1)
    finally:
        os.close(fd)
    if len(data) > FILE_BYTES_MAX:
        _refuse(path, f"is larger than {FILE_BYTES_MAX >> 10} KiB", "this is no credential")
    return data


def _check(path: str, found: os.stat_result) -> None:
    quoted = shlex.quote(path)
    if not stat.S_ISREG(found.st_mode):
        _refuse(path, "is not a regular file", f"see `ls -ld {quoted}`")
    if found.st_uid not in (0, os.getuid()):
        owner = f"belongs to another user (uid {found.st_uid})"
        _refuse(path, owner, f"`sudo chown {os.getuid()} {quoted}`")
    if found.st_mode & 0o077:
        mode = f"can be read by others (mode {stat.S_IMODE(found.st_mode):04o})"
        _refuse(path, mode, f"`chmod 600 {quoted}`")


def _parse(path: str, data: bytes) -> Credential:
    copy = "copy cluster.pem from a member again"
    blocks = [(match[1], match[0]) for match in _BLOCK.finditer(data)]
    keys = [block for label, block in blocks if label == b"PRIVATE KEY"]
    certificates = [block for label, block in blocks if label == b"CERTIFICATE"]
    if len(keys) != 1 or not certificates:
        finding = f"holds {len(keys)} private keys and {len(certificates)} certificates"
        _refuse(path, finding, f"one key and at least one certificate are needed, {copy}")
    try:
        key = serialization.load_pem_private_key(keys[0], None)
        loaded = [x509.load_pem_x509_certificate(block) for block in certificates]
        own_public = loaded[0].public_key()
    except Exception as error:  # cryptography raises several kinds, which differ by version
        _refuse(path, f"is damaged ({type(error).__name__})", copy)
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.curve.name != "secp256r1":
        _refuse(path, "holds a key that is not P-256", copy)
    own_numbers = getattr(own_public, "public_numbers", lambda: None)()
    if own_numbers != key.public_key().public_numbers():
        _refuse(path, "holds a key that does not match the first certificate", copy)
    accepted = frozenset(each.fingerprint(hashes.SHA256()) for each in loaded)
    return Credential(key, loaded[0], accepted)
