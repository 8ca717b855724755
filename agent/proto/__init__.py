"""Generated gRPC messages and stubs of the fleet's service.

``fleet.proto`` is the source; after a change run, from the root of the repository::

    make proto

with grpcio-tools 1.81.1, and commit what it writes: an installation needs no compiler.
"""
