"""The messages between coordinator and workers. Pure."""
