"""Bugs of membership and of connections."""

from typing import Any
from unittest.mock import patch

from twisted.application.service import Service
from twisted.internet.task import LoopingCall

from nanoboost.gossip import view
from nanoboost.gossip.members import Incarnation, Verdict, decide
from nanoboost.gossip.members import State as Believed
from nanoboost.gossip.service import Gossip
from nanoboost.gossip.view import View
from nanoboost.net import link
from nanoboost.net.link import Link
from nanoboost.net.pump import Pump
from nanoboost.net.session import PULSE_S, Session
from tests.simulations.planting import Patches, planted


@planted("gossip", "a suspicion is not refuted", "partition", "L2 G1 G2", 0, 5)
def _() -> Patches:
    with patch.object(View, "_refute", lambda self, claim: None):
        yield


@planted("gossip", "a start is spoken of before it is durable", "failover", "D1", 0, 5)
def _() -> Patches:
    def start(self: Gossip) -> None:
        Service.startService(self)
        self._begin(None)

    with patch.object(Gossip, "startService", start):
        yield


@planted("gossip", "a newer incarnation of the living is no news", "partition", "G4", 0, 5)
def _() -> Patches:
    def dull(known: Any, kind: Believed, claim: Incarnation) -> Verdict:
        if known is not None and kind is known[0] is Believed.ALIVE:
            if claim.generation == known[1].generation:
                return Verdict.DROP
        return decide(known, kind, claim)

    with patch.object(view, "decide", dull):
        yield


@planted("net", "a connection is kept however long it is silent", "dead_air", "L1 L2 L3", 2, 10)
def _() -> Patches:
    def pulse(self: Session) -> None:
        self._arm(PULSE_S, self._pulse)

    with patch.object(Session, "_pulse", pulse):
        yield


@planted("net", "a lost connection is never dialled again", "partition", "L1 L2 L3", 0, 5)
def _() -> Patches:
    closed = Link._closed

    def give_up(self: Link, session: Session, reason: Any) -> None:
        closed(self, session, reason)
        self._stopped = True

    with patch.object(Link, "_closed", give_up):
        yield


@planted("net", "a timer is left behind when a node stops", "rolling_restart", "S3", 0, 5)
def _() -> Patches:
    stop = Pump.stop

    def forget(self: Any) -> None:
        timer, self._timer = self._timer, None
        stop(self)
        self._timer = timer

    with patch.object(Pump, "stop", forget):
        yield


@planted("net", "a LoopingCall runs on the global reactor", "calm", "S1", 0, 1)
def _() -> Patches:
    begin = Gossip.startService

    def start(self: Gossip) -> None:
        begin(self)
        LoopingCall(lambda: None).start(1.0)

    with patch.object(Gossip, "startService", start):
        yield


@planted("net", "what waits for a peer is not counted", "partition", "D3", 1, 5)
def _() -> Patches:
    send_frame = Link.send_frame

    def keep(self: Link, frame: bytes) -> None:
        with patch.object(link, "QUEUE_FRAMES_MAX", 1 << 20):
            send_frame(self, frame)

    with patch.object(link, "QUEUE_FRAMES_MAX", 16), patch.object(Link, "send_frame", keep):
        yield
