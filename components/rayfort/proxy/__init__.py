"""The door for users: kbatch-proxy behind JupyterHub."""
