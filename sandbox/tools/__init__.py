"""The sandbox's tools: one folder per upstream Go module, and the code that builds them."""
