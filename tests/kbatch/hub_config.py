"""The configuration of the JupyterHub of these tests, read by JupyterHub itself.

What Rayfort states is taken as zero-to-jupyterhub takes it: `hub.services` and `hub.loadRoles` by name.
"""

import json
import os
from pathlib import Path

given = json.loads(Path(os.environ["HUB_SETTINGS"]).read_text())
c = get_config()  # type: ignore[name-defined]  # noqa: F821

c.JupyterHub.bind_url = f"http://127.0.0.1:{given['ports']['public']}"
c.JupyterHub.hub_bind_url = f"http://127.0.0.1:{given['ports']['hub']}"
c.JupyterHub.db_url = "sqlite:///hub.sqlite"
c.JupyterHub.cookie_secret_file = str(Path("cookie").absolute())
c.JupyterHub.authenticator_class = "dummy"
c.Authenticator.allow_all = True
c.ConfigurableHTTPProxy.command = given["http_proxy"]
c.ConfigurableHTTPProxy.api_url = f"http://127.0.0.1:{given['ports']['api']}"
c.ConfigurableHTTPProxy.pid_file = str(Path("proxy.pid").absolute())

hub = given["values"]["hub"]
c.JupyterHub.services = [
    *({**service, "name": name} for name, service in hub["services"].items()),
    # Stands for the administrator, who makes users and tokens.
    {"name": "administrator", "api_token": given["administrator"]},
]
c.JupyterHub.load_roles = [
    *({**role, "name": name} for name, role in hub["loadRoles"].items()),
    {
        "name": "administrator",
        "scopes": ["admin:users", "tokens", "list:services"],
        "services": ["administrator"],
    },
    # Users to whom the hub opens the door, whatever the platform says.
    {"name": "elsewhere", "scopes": given["use"], "users": given["strangers"]},
]
