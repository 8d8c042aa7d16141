"""NanoBoost: a DAG engine whose progress survives the loss of any machine."""

__version__ = "0.1.0"
