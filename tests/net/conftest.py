"""A network in memory, and a node A on it that keeps what it is told."""

import pytest

from nanoboost.net.port import Port
from nanoboost.net.session import Owner
from tests.net.network import PORT, A, Network, Told, an_end


@pytest.fixture
def network() -> Network:
    return Network()


@pytest.fixture
def told(network: Network) -> Told:
    """What node A is told, which listens at PORT."""
    told = Told()
    owner = Owner(told.hear_opened, told.hear, told.hear_closed)
    network.listenTCP(PORT, Port(an_end(network, A), owner))
    return told
