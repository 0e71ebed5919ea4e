"""The components, hosted for programs in every language that Pulumi has.

Pulumi starts the plugin, asks it for the schema and has it make components. What the schema says and what the
plugin accepts are both derived from the components' arguments, which are pydantic models.
"""
