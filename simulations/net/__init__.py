"""The simulated network: links, streams and datagrams, sockets, and a reactor over them."""
