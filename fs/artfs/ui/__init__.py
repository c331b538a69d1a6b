"""Pages for a browser: a server on this machine, made of templates, usable without scripts."""
