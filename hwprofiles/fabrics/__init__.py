"""Fabrics: one builder a file, named by the file's stem.

The contract: ``build(ends, *, ...)`` yields the :class:`~hwprofiles.fabrics.base.Wire` s that join
``ends`` things, numbered ``0 .. ends - 1``, through switches, which have names. Its keyword
arguments are the keys of a ``[fabric]``, ``[host]`` or ``[network]`` block that names the builder;
their annotations check those keys. What an end is, a device or a NIC, is for
:mod:`hwprofiles.compose` to say, which nests the fabric of a node in the network between nodes.
"""
