"""What all verbs of `nanoboost` share: how they run, how they end, and their common options.

**What goes wrong in the world is one line on the error output, and an exit status**: 0 done, 1 the
job failed, 2 wrong use or wrong input, 3 the cluster cannot be reached.  Never a traceback.
"""

import contextlib
import os
import sys
from collections.abc import Callable, Coroutine
from typing import Any

import click
from twisted.internet.defer import CancelledError, Deferred

from nanoboost import tap
from nanoboost.cli.cluster import Unreachable
from nanoboost.errors import UserError

WRONG, UNREACHABLE = 2, 3
INTERRUPTED, UNREAD = 130, 141
"""What a shell makes of a command that SIGINT or SIGPIPE has ended."""

Work = Callable[[Any], Coroutine[Any, Any, int]]


def run_in_reactor(work: Work) -> None:
    """Run `work(reactor)` and exit with the status that it returns.  Ctrl-C cancels it, and lets it
    tidy up."""
    status = 1

    async def begin(reactor: Any) -> int:
        return await work(reactor)  # what a `work` raises before it waits is told like the rest

    async def main(reactor: Any) -> None:
        nonlocal status
        doing = Deferred.fromCoroutine(begin(reactor))
        over: Deferred[None] = Deferred()

        def interrupt() -> "Deferred[None]":
            doing.cancel()
            return over

        reactor.addSystemEventTrigger("before", "shutdown", interrupt)
        try:
            status = await doing
        except UserError as error:
            click.echo(f"nanoboost: {error}", err=True)
            status = UNREACHABLE if isinstance(error, Unreachable) else WRONG
        except CancelledError:
            status = INTERRUPTED
        except BrokenPipeError:  # `| head` has seen enough; what is still buffered goes nowhere
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            status = UNREAD
        finally:
            over.callback(None)  # also after a bug of ours: the shutdown waits for it

    with contextlib.suppress(SystemExit):
        tap.react(main)
    sys.exit(status)


class Verbs(click.Group):
    """Turns our errors into one line; suggests the verb that was meant."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the verb."""
        try:
            return super().invoke(ctx)
        except UserError as error:
            click.echo(f"nanoboost: {error}", err=True)
            sys.exit(WRONG)


credential_option = click.option(
    "--credential", default=None, metavar="FILE", help="The cluster's credential."
)
node_option = click.option(
    "--node",
    default=None,
    metavar="HOST:PORT",
    envvar="NANOBOOST_NODE",
    help="Any node of the cluster (default: the one on this machine).",
)
state_option = click.option(
    "--state", default=None, metavar="DIR", help="The state directory of the node on this machine."
)
json_option = click.option("--json", "as_json", is_flag=True, help="For programs.")
