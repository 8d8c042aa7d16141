"""The `nanoboost` command: what people type, and what they read."""
