"""HTTP: one file a resource. Handlers read the request, call the registry or the serving side, and answer."""
