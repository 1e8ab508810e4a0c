"""What the service knows: datasets, jobs, adapters, and the requests that made them. SQL lives here and nowhere else."""
