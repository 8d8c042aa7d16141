"""`nanoboost recover`: let one node go on alone after most of the voters are lost for good.

**Nothing is written while anybody may still lead**: not while this node runs, not while a node that
can be reached has a master, and not without a yes.
"""

import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import click

from nanoboost import tap
from nanoboost.cli.cluster import Cluster
from nanoboost.consensus.effects import Persist
from nanoboost.consensus.recovery import jobs_of, recover
from nanoboost.consensus.state import Stored
from nanoboost.consensus.store import RaftStore
from nanoboost.errors import UserError
from nanoboost.gossip.peers import remembered
from nanoboost.identity import node_id
from nanoboost.ids import Address
from nanoboost.net.credential import Credential, load
from nanoboost.net.tls import PinnedTls
from nanoboost.runtime import Runtime
from nanoboost.world.real import real_runtime


@contextlib.asynccontextmanager
async def stopped_node(
    reactor: Any, state_dir: str, credential: Credential
) -> AsyncIterator[Runtime]:
    """The state of a node that does not run, and cannot be started meanwhile."""
    if not (Path(state_dir) / "node.db").exists():
        raise UserError(f"{state_dir} is no node's state: give the directory that --state named")
    tap.check_state(state_dir)
    runtime = real_runtime(reactor, state_dir, credential)
    try:
        yield runtime
    finally:
        await runtime.store.close()


async def recover_here(
    reactor: Any,
    state_dir: str,
    credential_path: str | None,
    seeds: Sequence[str],
    confirmed: Callable[[str], bool],
) -> int:
    """Recover the stopped node of `state_dir`; `confirmed(question)` has the last word."""
    credential = load(credential_path or tap.default_credential())
    async with stopped_node(reactor, state_dir, credential) as runtime:
        raft = RaftStore(runtime.store)
        stored = raft.load()
        persist = recover(node_id(runtime), stored)
        known = [*(tap.parse_address(seed) for seed in seeds), *remembered(runtime.store)]
        await _refuse_while_led(reactor, credential, known)
        if not confirmed(_question(stored, persist)):
            click.echo("nothing has been changed")
            return 1
        await raft.commit(persist)
    click.echo(
        "recovered.  Start this node (nanoboost up).  The others join as new, with --join, once "
        "their state directories are moved away; nanoboost salvage brings back what they had "
        "finished"
    )
    return 0


def _question(stored: Stored, persist: Persist) -> str:
    assert persist.hard_state is not None
    jobs = jobs_of(stored)
    running = sum(not job.state.is_final for job in jobs)
    return (
        f"This node knows {len(jobs)} jobs, {running} of them not ended; its log ends at entry "
        f"{persist.last} of term {stored.hard_state.term}.  Recover on the node whose log is the "
        f"longest.  It will be the only voter of generation {persist.hard_state.generation}, and "
        "what only the others had is lost.  Go on?"
    )


async def _refuse_while_led(
    reactor: Any, credential: Credential, addresses: Sequence[Address]
) -> None:
    """Raise `UserError` if a node that answers knows a master."""
    for address in dict.fromkeys(addresses):
        cluster = Cluster(reactor, PinnedTls(credential, reactor), [address])
        try:
            report = await cluster.status()
        except UserError:
            continue  # nobody there, as is to be expected
        finally:
            cluster.close()
        if report.master:
            raise UserError(
                f"the node at {address} has a master ({report.master}): the cluster lives, start "
                "this node instead (nanoboost up)"
            )
