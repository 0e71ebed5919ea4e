"""The commands, as the user types them; what each one does is in the modules beside this package."""
