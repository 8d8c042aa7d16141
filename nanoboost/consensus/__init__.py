"""Who is master, and what is finished: Raft, and a registry of jobs that it replicates.

Theory of operation.  Time is cut into *terms*; a term has at most one leader, elected by a majority
of the voters, and the leader is the master of the cluster.  It appends *entries* to its log and
sends them to everybody; what a majority has on its disk is *committed*, is applied by every node in
the same order, and is never lost again.  A follower that hears no leader for a random while first
asks whether it could win (PreVote), and then stands for election; voters grant it only if its log
has all that theirs has.  A leader that a majority does not answer steps down.

The set of voters follows gossip by itself.  Members become *learners*, which have the log and no
vote; the autopilot, a pure function, makes ready learners voters and replaces the dead, never
resting at two or four voters.  A change of voters passes through a joint configuration, in which
the old and the new majority must both agree, so any number of nodes change in one step.

    messages, effects    the vocabulary: what is said; what happens, and what is to be done
    quorum, membership   the arithmetic of majorities; configurations, joint and rolled back
    log, progress        what is stored; how far each member is
    durability           what the disk has, and the promises that wait for it
    state                the state of a node, over which these work:
    election, replication, snapshotting, reading, leadership, reconfiguration, departure
    raft                 the core that joins them: `step(now, event)`, `deadline()`
    autopilot            who should vote
    registry             the jobs and their frontiers: what the committed records add up to
    store, service       shells: the node's durable store; the pump, and the face to other rooms

**Nothing is promised before it is durable, and nothing that is committed is ever lost**, whatever
messages do and whichever minority of the voters dies.

Departures from the papers, on purpose: a real RequestVote waits for the candidate's own disk; a
candidate outside a voter's configuration may get its vote (PreVote and stickiness keep strangers
quiet, and a voter that lags may not know the newcomer yet); a leader whose disk has stalled hands
over; nodes outside the configuration hear every fourth heartbeat, so that they know the leader.

Papers: Ongaro, "Consensus: Bridging Theory and Practice" (2014), which "thesis" means here; Ongaro
and Ousterhout, "In Search of an Understandable Consensus Algorithm" (2014).  What went wrong in
other implementations, and is tested here: etcd, hashicorp/raft, PySyncObj, NATS (tests/consensus).
"""
