"""The documents: the site that is made of them, what of them is generated, and the shell lines in them."""
