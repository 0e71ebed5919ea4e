"""``python -m rayfort.host``: the plugin's process, which Pulumi starts."""

from rayfort.host.provider import serve

if __name__ == "__main__":
    serve()
