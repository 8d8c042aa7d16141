"""Who is there: SWIM membership with Lifeguard, and nothing that decides more than that.

Theory of operation.  Every probe interval a node pings a member: in turn the next of its shuffled
ring and its neighbour in the order of ids.  If no ack comes in time it asks a few others to ping
for it and, at the same time, asks the member itself over TCP.  If the interval ends without a sign
of life it *suspects* the member: a rumor, carried on later datagrams, which the accused refutes by
raising its own incarnation.  A suspicion that nobody refutes ends as a death; the more members
confirm it, the sooner.  What rumors miss, exchanges of tables repair: each ping and ack carries a
digest of the table, and a digest that keeps differing starts one.  The dead are remembered and now
and then contacted again, so that the halves of a broken network find each other by themselves.

A slow node must not blame others for its own slowness.  It counts the signs of being slow (its
*local health*) and stretches its probes by them; after a pause it forgives everybody for as long as
the pause lasted.

    messages, members    the vocabulary; `decide`, the one rule of precedence
    table, view          whom a node knows; what it believes of them, and what follows from news
    lifecycle            what a change is to the rooms above: up, suspected, down, left
    suspicion, health    when a suspect is dead; how far to trust oneself
    probe, rumors        two of the mechanisms, each a small state machine
    probing, voice, twin asking who is there; how a node speaks; two machines with one identity
    sync, exchange       when to exchange tables and with whom; what is sent of them
    swim                 the core that joins them: `step(now, event)`, `deadline()`
    beacon               how a node that is told nothing finds the others on its LAN
    seal, discovery      shells: sealed datagrams; calls to the whole LAN
    peers                the shell that remembers addresses for the next run
    service              the shell that has it all: UDP, the pump, the store

**Gossip only reports.**  Nothing irreversible follows from its word: Raft and the attempts of tasks
stay right whatever it says; it makes them quick.

Papers: Das, Gupta, Motivala, "SWIM" (DSN 2002); Dadgar, Phillips, Currey, "Lifeguard" (DSN 2018).
"""
