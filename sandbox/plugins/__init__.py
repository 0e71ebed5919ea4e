"""Stand-ins for the official Pulumi provider plugins `kubernetes` and `random`.

The official plugins come from Pulumi's download site. Where that site cannot be reached, these serve
the same resource types with the same inputs and outputs, so one unchanged program runs on either.
`install.install` writes the executables that the engine finds on PATH.
"""
