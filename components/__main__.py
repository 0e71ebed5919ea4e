"""The plugin's process, where Pulumi was given this folder."""

from rayfort.host.provider import serve

if __name__ == "__main__":
    serve()
