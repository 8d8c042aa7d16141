"""The cluster's credential: one file that makes its holder a member.

PEM: a P-256 private key (PKCS#8) and its self-signed certificate; while the key is changed a second
pair, which is accepted but not used; then any number of further certificates that are accepted too.
**Whoever can read the file is the cluster**, so it is only used if nobody else can; dates in it are
not looked at, because a Pi without a clock battery boots in 1970.

A cluster keeps its id when its key is changed: the later certificates name it.  The change goes in
steps (`with_successor`, `promoted`, `settled`), each taken by all nodes before the next; any two
nodes that are at most one step apart understand each other.
"""

import contextlib
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
IDENTITIES_MAX = 2
DATAGRAM_INFO = b"nanoboost gossip v1"
COMMON_NAME = "nanoboost-cluster"
VALID_FROM = datetime(2000, 1, 1, tzinfo=UTC)
VALID_UNTIL = datetime(9999, 12, 31, tzinfo=UTC)

# cryptography 38 (Debian 12) has no `load_pem_x509_certificates`.
_BLOCK = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----.+?-----END \1-----", re.DOTALL)


@frozen(eq=False)
class Identity:
    """A private key and the certificate that names it."""

    private_key: ec.EllipticCurvePrivateKey = field(repr=False)
    certificate: x509.Certificate = field(repr=False)

    @property
    def fingerprint(self) -> bytes:
        """The certificate's SHA-256."""
        return self.certificate.fingerprint(hashes.SHA256())

    @property
    def cluster(self) -> str:
        """The id of the cluster it belongs to: the one that its certificate names, or the first 16
        hexadecimal digits of its fingerprint."""
        named = self.certificate.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
        return str(named[0].value) if named else self.fingerprint.hex()[:16]

    @property
    def generation(self) -> int:
        """How many keys the cluster has had, this one included."""
        told = self.certificate.subject.get_attributes_for_oid(NameOID.ORGANIZATIONAL_UNIT_NAME)
        return int(told[0].value) if told else 1

    def datagram_key(self) -> bytes:
        """32 secret bytes for datagrams: HKDF-SHA256 (RFC 5869) of the private scalar.

        Of the scalar, not of its serialisation, which differs between library versions.
        """
        scalar = self.private_key.private_numbers().private_value.to_bytes(32, "big")
        derivation = HKDF(hashes.SHA256(), length=32, salt=None, info=DATAGRAM_INFO)
        return derivation.derive(scalar)

    def pem(self) -> bytes:
        """As it stands in the file."""
        return self.private_key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ) + self.certificate.public_bytes(serialization.Encoding.PEM)


@frozen(eq=False)
class Credential:
    """What the file at `path` holds.  The first identity is used, the other is accepted; `accepted`
    are the SHA-256 of all certificates that may connect."""

    path: str
    identities: tuple[Identity, ...] = field(repr=False)
    accepted: frozenset[bytes] = field(repr=False)

    @property
    def private_key(self) -> ec.EllipticCurvePrivateKey:
        """The one in use."""
        return self.identities[0].private_key

    @property
    def certificate(self) -> x509.Certificate:
        """The one in use."""
        return self.identities[0].certificate

    @property
    def cluster(self) -> str:
        """The cluster's id: 16 hexadecimal digits."""
        return self.identities[0].cluster

    @property
    def fingerprints(self) -> tuple[str, ...]:
        """The identities, as people compare them: the one in use first."""
        return tuple(each.fingerprint.hex()[:16] for each in self.identities)

    def datagram_keys(self) -> tuple[bytes, ...]:
        """The secrets for datagrams: the first seals, all open."""
        return tuple(each.datagram_key() for each in self.identities)

    def pem(self) -> bytes:
        """As it is written to the file."""
        return b"".join(each.pem() for each in self.identities)

    # --- changing the key ------------------------------------------------------------------------

    def with_successor(self) -> "Credential":
        """The first step: a new identity is accepted, too."""
        old = self.identities[0]
        key = ec.generate_private_key(ec.SECP256R1())
        return self._of(old, Identity(key, _self_signed(key, self.cluster, old.generation + 1)))

    @property
    def is_to_be_promoted(self) -> bool:
        """Whether the first step is taken, and the second is not."""
        first, *second = self.identities
        return bool(second) and first.generation < second[0].generation

    def promoted(self) -> "Credential":
        """The second step: the new identity is used, the old one still accepted."""
        old, new = self.identities
        return self._of(new, old)

    def settled(self) -> "Credential":
        """The last step: only the identity in use is accepted."""
        return self._of(self.identities[0])

    def _of(self, *identities: Identity) -> "Credential":
        return Credential(self.path, identities, frozenset(each.fingerprint for each in identities))

    def next(self, pem: bytes) -> "Credential":
        """The credential in `pem`, to be used instead of this one.

        Raises `UserError` unless nodes that use this one and nodes that use that one understand
        each other: otherwise a step has been left out.
        """
        new = _parse(self.path, pem)
        if new.cluster != self.cluster:
            raise UserError(f"the new credential is of cluster {new.cluster}, not {self.cluster}")
        if (
            self.identities[0].fingerprint not in new.accepted
            or new.identities[0].fingerprint not in self.accepted
        ):
            raise UserError("the new credential is more than one step away from the one in use")
        return new


def create(path: str) -> Credential:
    """Make the credential of a new cluster in the file `path`, readable by its owner only.

    Never overwrites: raises `UserError` if anything is there, or if it cannot be written.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    pem = Identity(key, _self_signed(key)).pem()
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
        _write(fd, pem)
        _sync_directory(directory)
    except OSError as error:
        os.unlink(path)  # half a credential would be in the way of the next attempt
        raise UserError(f"{path} cannot be written: {error.strerror}") from None
    return load(path)


def replace(credential: Credential) -> None:
    """Write the credential over the file it came from, whole or not at all.  Raises `UserError`.

    Blocks for a sync of the disk.
    """
    path, made = credential.path, f"{credential.path}.new"
    try:
        found = os.stat(path)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(made)  # of an attempt that the power cut short
        fd = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        if os.fstat(fd).st_uid != found.st_uid:
            os.fchown(fd, found.st_uid, found.st_gid)
        _write(fd, credential.pem())
        os.rename(made, path)
        _sync_directory(os.path.dirname(os.path.abspath(path)))
    except OSError as error:
        raise UserError(
            f"{path} cannot be written ({error.strerror}): give it and its directory to the user "
            f"of the node (uid {os.getuid()})"
        ) from None


def load(path: str) -> Credential:
    """Read the credential in `path`; raises `UserError` naming the finding and its repair."""
    return _parse(path, _read(path))


def _self_signed(
    key: ec.EllipticCurvePrivateKey, cluster: str = "", generation: int = 1
) -> x509.Certificate:
    """A certificate of `key`; one that does not found a cluster names the one it belongs to."""
    attributes = [x509.NameAttribute(NameOID.COMMON_NAME, COMMON_NAME)]
    if cluster:
        attributes += [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, cluster),
            x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, str(generation)),
        ]
    name = x509.Name(attributes)
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


def _write(fd: int, data: bytes) -> None:
    with os.fdopen(fd, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


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
    if not 1 <= len(keys) <= IDENTITIES_MAX or len(certificates) < len(keys):
        finding = f"holds {len(keys)} private keys and {len(certificates)} certificates"
        _refuse(path, finding, f"one key and at least one certificate are needed, {copy}")
    try:
        loaded_keys = [serialization.load_pem_private_key(block, None) for block in keys]
        loaded = [x509.load_pem_x509_certificate(block) for block in certificates]
        publics = [each.public_key() for each in loaded[: len(keys)]]
    except Exception as error:  # cryptography raises several kinds, which differ by version
        _refuse(path, f"is damaged ({type(error).__name__})", copy)
    identities = []
    for place, key in enumerate(loaded_keys):
        if not isinstance(key, ec.EllipticCurvePrivateKey) or key.curve.name != "secp256r1":
            _refuse(path, "holds a key that is not P-256", copy)
        numbers = getattr(publics[place], "public_numbers", lambda: None)()
        if numbers != key.public_key().public_numbers():
            which = ("first", "second")[place]
            _refuse(path, f"holds a key that does not match the {which} certificate", copy)
        identities.append(Identity(key, loaded[place]))
    if len({each.cluster for each in identities}) > 1:
        _refuse(path, "holds the keys of two clusters", copy)
    accepted = frozenset(each.fingerprint(hashes.SHA256()) for each in loaded)
    return Credential(path, tuple(identities), accepted)
