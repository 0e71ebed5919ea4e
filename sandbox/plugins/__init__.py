"""Stand-ins for the official Pulumi provider plugins `kubernetes` and `random`.

The official plugins come from Pulumi's download site. Where that site cannot be reached, these serve
the same resource types with the same inputs and outputs, so one unchanged program runs on either.
`install.install` writes the executables that the engine finds on PATH.
"""

import sys

from google.rpc import status_pb2

# Pulumi brings a copy of google.rpc.Status in a file of another name, and a process can have a message once:
# beside Envoy's protocol, which brings it too (`sandbox.xds`), Pulumi's could not be imported.
sys.modules.setdefault("pulumi.runtime.proto.status_pb2", status_pb2)
