"""What the service knows: datasets, jobs, adapters, and the requests that made them. All SQL lives here."""
