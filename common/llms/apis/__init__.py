"""The APIs that endpoints speak: requests and replies as pure translations, without a socket."""
