"""HTTP, processes and storage: the only package that knows BentoML, FastAPI, SQL and environment variables."""
