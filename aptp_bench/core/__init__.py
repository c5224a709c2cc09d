"""What every room stands on: progress, stages on disk, files, processes, provenance, noise, intervals."""
