"""Who is wrong: we, the peer, or the user.

`LocalError`: we are wrong; fix the caller.  `RemoteError`: the peer is wrong; drop the peer and
nothing else.  `UserError`: what the user asked for cannot be; its text is one line that says what
was found and what to do, and is printed without a traceback.
"""


class NanoBoostError(Exception):
    """The root of all errors that NanoBoost raises on purpose."""


class LocalError(NanoBoostError):
    """The caller broke a rule of ours."""


class RemoteError(NanoBoostError):
    """Bytes or messages from outside broke a rule; whoever sent them is dropped."""


class UserError(NanoBoostError):
    """The user asked for something that cannot be.  `str(error)` is the line to print."""


class GraphError(UserError):
    """A Nano or a NanoGraph is not right; the text names the class, the field and what to do."""


class NasError(NanoBoostError):
    """The NAS is missing, foreign, not writable, or does not hold what it should."""
